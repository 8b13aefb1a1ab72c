package aritest

import (
	"bufio"
	"context"
	"encoding/json"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/coder/websocket"
)

// writeTimeout is how long one event may take to reach the reader. Asterisk gives 100 ms; a
// busy test machine gets more.
const writeTimeout = 5 * time.Second

// serveEvents upgrades to a websocket and feeds it until either side leaves.
func (s *Server) serveEvents(w http.ResponseWriter, hr *http.Request) {
	h := w.Header()
	h.Set("Server", "Asterisk/"+s.opt.Version)
	refuse := func(status int, message string) {
		h.Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_, _ = w.Write(fail(status, message).body)
	}
	s.mu.Lock()
	crashed := s.crashed
	s.mu.Unlock()
	bad, err := s.faults.before(hr.Context(), hr, crashed)
	if err != nil {
		refuse(http.StatusServiceUnavailable, err.Error())
		return
	}
	if bad != nil {
		refuse(bad.status, http.StatusText(bad.status))
		return
	}
	if !s.authorized(hr) {
		h.Set("WWW-Authenticate", `Basic realm="Asterisk REST Interface"`)
		refuse(http.StatusUnauthorized, "Authentication required")
		return
	}
	if s.faults.refusesSocket() {
		refuse(http.StatusServiceUnavailable, "Service Unavailable")
		return
	}
	names := strings.Split(hr.URL.Query().Get("app"), ",")
	if names[0] == "" {
		refuse(http.StatusBadRequest, "Missing parameter app")
		return
	}
	f := newFeed(s.opt.EventQueue)
	f.frozen = s.faults.isFrozen()
	all, _ := strconv.ParseBool(hr.URL.Query().Get("subscribeAll"))
	s.mu.Lock()
	if s.down {
		s.mu.Unlock()
		refuse(http.StatusServiceUnavailable, "Service Unavailable")
		return
	}
	s.wg.Add(1) // under the lock, so before Close waits
	defer s.wg.Done()
	// The application is there before its client knows: no event is lost in between.
	for _, name := range names {
		s.connect(name, f, all)
	}
	s.mu.Unlock()
	conn, err := websocket.Accept(w, hr, &websocket.AcceptOptions{Subprotocols: []string{"ari"}, InsecureSkipVerify: true})
	if err == nil {
		s.feedSocket(hr.Context(), conn, f)
	}
	s.mu.Lock()
	s.disconnect(f)
	s.mu.Unlock()
	f.close(false)
	if conn != nil {
		_ = conn.CloseNow()
	}
}

// feedSocket writes events until the feed is closed or the peer is gone.
func (s *Server) feedSocket(ctx context.Context, conn *websocket.Conn, f *feed) {
	gone := conn.CloseRead(ctx)
	for {
		batch := f.take(gone.Done())
		if batch == nil {
			break
		}
		for _, ev := range batch {
			limited, cancel := context.WithTimeout(gone, writeTimeout)
			err := conn.Write(limited, websocket.MessageText, ev)
			cancel()
			if err != nil {
				return
			}
		}
	}
	f.mu.Lock()
	abrupt := f.abrupt
	f.mu.Unlock()
	if !abrupt && gone.Err() == nil {
		_ = conn.Close(websocket.StatusGoingAway, "")
	}
}

// hijacker is a ResponseWriter whose connection is one end of a pipe.
type hijacker struct {
	conn   net.Conn
	header http.Header
	status chan int
	body   []byte
}

func (h *hijacker) Header() http.Header { return h.header }

func (h *hijacker) WriteHeader(status int) { h.status <- status }

func (h *hijacker) Write(p []byte) (int, error) {
	h.body = append(h.body, p...)
	return len(p), nil
}

// Hijack implements [http.Hijacker].
func (h *hijacker) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	return h.conn, bufio.NewReadWriter(bufio.NewReader(h.conn), bufio.NewWriter(h.conn)), nil
}

// upgradeInMemory does the websocket handshake over a pipe.
func (s *Server) upgradeInMemory(hr *http.Request) (*http.Response, error) {
	client, server := net.Pipe()
	h := &hijacker{conn: server, header: http.Header{}, status: make(chan int, 2)}
	served := make(chan struct{})
	life, end := context.WithCancel(context.WithoutCancel(hr.Context())) // the connection outlives the handshake
	upgrade := hr.Clone(life)
	s.wg.Go(func() {
		defer close(served)
		defer end()
		s.serveEvents(h, upgrade)
		_ = server.Close()
	})
	var status int
	select {
	case status = <-h.status:
	case <-hr.Context().Done():
		end()
		_ = client.Close()
		return nil, context.Cause(hr.Context())
	}
	resp := &http.Response{
		Status: strconv.Itoa(status) + " " + http.StatusText(status), StatusCode: status,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: h.header, Request: hr, Body: client,
	}
	if status != http.StatusSwitchingProtocols {
		<-served
		_ = client.Close()
		resp.Body = http.NoBody
		if json.Valid(h.body) {
			resp.Body = jsonBody(h.body)
		}
	}
	return resp, nil
}
