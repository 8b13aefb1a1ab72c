package aritest

import (
	"context"
	"errors"
	"net/http"
	"path"
	"strings"
	"sync"
	"time"
)

var errBroken = errors.New("aritest: connection broken off on purpose")

// Faults are the switches for misbehaviour. Path patterns are those of [path.Match] over the path below /ari, with
// a method before it if wanted ("POST /channels/*/play"); "" matches everything.
type Faults struct {
	s *Server

	mu     sync.Mutex
	slow   []slowRule
	errs   []errRule
	lose   []loseRule
	thaw   chan struct{} // non-nil while frozen; closed by Thaw
	refuse int           // websockets still to be refused
	hangs  []*hangRule
}

type slowRule struct {
	pattern string
	d       time.Duration
}

type errRule struct {
	pattern string
	status  int
	left    int
}

type hangRule struct {
	pattern string
	left    int
}

type loseRule struct {
	typ  string
	left int
}

func newFaults(s *Server) *Faults { return &Faults{s: s} }

// Slow delays every matching request by d before it is looked at. d of 0 removes the rule.
func (f *Faults) Slow(pattern string, d time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i := range f.slow {
		if f.slow[i].pattern == pattern {
			f.slow[i].d = d
			return
		}
	}
	f.slow = append(f.slow, slowRule{pattern, d})
}

// Fail answers the next n matching requests with status, without doing them.
func (f *Faults) Fail(pattern string, status, n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.errs = append(f.errs, errRule{pattern, status, n})
}

// Hang gives the next n matching requests no answer until their caller gives up; they are not done.
func (f *Faults) Hang(pattern string, n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.hangs = append(f.hangs, &hangRule{pattern, n})
}

// LoseEvents drops the next n events of a type; "" means any type.
func (f *Faults) LoseEvents(typ string, n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.lose = append(f.lose, loseRule{typ, n})
}

// Clear removes all rules and thaws a frozen server.
func (f *Faults) Clear() {
	f.Thaw()
	f.mu.Lock()
	defer f.mu.Unlock()
	f.slow, f.errs, f.lose, f.hangs, f.refuse = nil, nil, nil, nil, 0
}

// DropSockets breaks every event connection off without a closing handshake. Channels, playbacks and recordings
// go on; what happens until the next connection is lost. The next `refuse` attempts to connect get 503.
func (f *Faults) DropSockets(refuse int) {
	f.mu.Lock()
	f.refuse = refuse
	f.mu.Unlock()
	s := f.s
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, a := range s.apps {
		if a.feed != nil {
			fd := a.feed
			s.disconnect(fd)
			fd.close(true)
		}
	}
}

// Freeze makes the server behave like a process under SIGSTOP: no answer and no event, connections stay open. The world goes on:
// what callers do and what timers end is reported after [Faults.Thaw].
func (f *Faults) Freeze() {
	f.mu.Lock()
	if f.thaw == nil {
		f.thaw = make(chan struct{})
	}
	f.mu.Unlock()
	f.freezeFeeds(true)
}

// Thaw ends [Faults.Freeze]: requests that waited are done now, events that waited are sent.
func (f *Faults) Thaw() {
	f.mu.Lock()
	if f.thaw != nil {
		close(f.thaw)
		f.thaw = nil
	}
	f.mu.Unlock()
	f.freezeFeeds(false)
}

func (f *Faults) freezeFeeds(on bool) {
	f.s.mu.Lock()
	defer f.s.mu.Unlock()
	for _, a := range f.s.apps {
		if a.feed != nil {
			a.feed.freeze(on)
		}
	}
}

// Crash makes the server behave like a process under SIGKILL: every connection breaks, every channel, bridge and playback is gone and nobody is told.
// Recordings stay as far as they were written. [Faults.Restart] starts it anew.
func (f *Faults) Crash() {
	f.Thaw()
	f.s.stop()
}

// Restart starts a crashed server anew on the same address. The error is that of binding the address.
func (f *Faults) Restart() error {
	s := f.s
	s.mu.Lock()
	if !s.down {
		s.mu.Unlock()
		return nil
	}
	s.reset()
	s.mu.Unlock()
	if s.addr == "" {
		return nil
	}
	return s.listen(s.addr)
}

func (f *Faults) isFrozen() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.thaw != nil
}

func (f *Faults) refusesSocket() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.refuse > 0 {
		f.refuse--
		return true
	}
	return false
}

// losesLocked is called with the server's lock held, which is always taken before f.mu here and never after it.
func (f *Faults) losesLocked(typ string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i := range f.lose {
		if l := &f.lose[i]; l.left > 0 && (l.typ == "" || l.typ == typ) {
			l.left--
			return true
		}
	}
	return false
}

func matches(pattern string, hr *http.Request) bool {
	if pattern == "" {
		return true
	}
	if method, rest, found := strings.Cut(pattern, " "); found {
		if method != hr.Method {
			return false
		}
		pattern = rest
	}
	hit, err := path.Match(pattern, strings.TrimPrefix(hr.URL.Path, "/ari"))
	return err == nil && hit
}

// before applies the faults to a request: a reply replaces the real one, an error breaks the connection off.
func (f *Faults) before(ctx context.Context, hr *http.Request, crashed <-chan struct{}) (*reply, error) {
	f.mu.Lock()
	thaw := f.thaw
	var delay time.Duration
	for _, r := range f.slow {
		if matches(r.pattern, hr) {
			delay = max(delay, r.d)
		}
	}
	status, hang := 0, false
	for i := range f.errs {
		if e := &f.errs[i]; e.left > 0 && matches(e.pattern, hr) {
			e.left--
			status = e.status
			break
		}
	}
	for _, h := range f.hangs {
		if h.left > 0 && matches(h.pattern, hr) {
			h.left--
			hang = true
			break
		}
	}
	f.mu.Unlock()
	if hang {
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-crashed:
			return nil, errBroken
		}
	}
	if thaw != nil {
		select {
		case <-thaw:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-crashed:
			return nil, errBroken
		}
	}
	if delay > 0 {
		timer := time.NewTimer(delay)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-crashed:
			return nil, errBroken
		}
	}
	if status != 0 {
		rep := fail(status, http.StatusText(status))
		return &rep, nil
	}
	return nil, nil //nolint:nilnil // no fault: the request is to be done
}
