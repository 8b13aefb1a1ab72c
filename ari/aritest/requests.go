package aritest

import (
	"bytes"
	"io"
	"slices"
	"sync"
	"time"
)

// Request is one finished REST request, as [Server.Requests] keeps it.
type Request struct {
	Method string
	Path   string // below /ari, unescaped
	Query  string // raw
	Status int
	At     time.Time
	Took   time.Duration
}

// requestLog is a ring of the latest requests.
type requestLog struct {
	mu   sync.Mutex
	max  int
	ring []Request
	next int
}

func (l *requestLog) add(r Request) {
	if l.max <= 0 {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.ring) < l.max {
		l.ring = append(l.ring, r)
		return
	}
	l.ring[l.next] = r
	l.next = (l.next + 1) % l.max
}

// Requests returns the latest finished REST requests, oldest first, at most [Options.RequestLog].
func (s *Server) Requests() []Request {
	s.log.mu.Lock()
	defer s.log.mu.Unlock()
	return slices.Concat(s.log.ring[s.log.next:], s.log.ring[:s.log.next])
}

func jsonBody(b []byte) io.ReadCloser { return io.NopCloser(bytes.NewReader(b)) }
