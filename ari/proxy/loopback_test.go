package proxy

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"
)

// recorder is a server that knows how many connections were made to it.
type recorder struct {
	*httptest.Server
	mu    sync.Mutex
	conns map[string]bool
}

func newRecorder(t *testing.T, handle http.HandlerFunc) *recorder {
	t.Helper()
	r := &recorder{conns: make(map[string]bool)}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		r.mu.Lock()
		r.conns[req.RemoteAddr] = true
		r.mu.Unlock()
		handle(w, req)
	}))
	t.Cleanup(r.Close)
	return r
}

func (r *recorder) connections() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.conns)
}

func (r *recorder) transport(t *testing.T) *loopbackTransport {
	t.Helper()
	tr := newLoopbackTransport(r.Listener.Addr().String())
	t.Cleanup(tr.close)
	return tr
}

// ask sends a request and returns status and body.
func ask(ctx context.Context, t *testing.T, tr *loopbackTransport, method, url, body string) (int, string, error) {
	t.Helper()
	req, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := tr.RoundTrip(req)
	if err != nil {
		return 0, "", err
	}
	defer func() { _ = resp.Body.Close() }()
	data, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(data), err
}

func echo(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	w.WriteHeader(http.StatusAccepted)
	_, _ = io.WriteString(w, r.Method+" "+r.URL.RequestURI()+" "+string(body))
}

func TestLoopbackReusesItsConnection(t *testing.T) {
	r := newRecorder(t, echo)
	tr := r.transport(t)
	for range 10 {
		code, body, err := ask(t.Context(), t, tr, "POST", r.URL+"/a%2Fb?c=d", "hello")
		if err != nil || code != http.StatusAccepted || body != "POST /a%2Fb?c=d hello" {
			t.Fatalf("%d %q %v", code, body, err)
		}
	}
	if n := r.connections(); n != 1 {
		t.Errorf("%d connections for 10 requests in a row", n)
	}
}

func TestLoopbackServesManyAtOnce(t *testing.T) {
	gate := make(chan struct{})
	r := newRecorder(t, func(w http.ResponseWriter, req *http.Request) { <-gate; echo(w, req) })
	tr := r.transport(t)
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			if _, _, err := ask(t.Context(), t, tr, "GET", r.URL, ""); err != nil {
				t.Error(err)
			}
		})
	}
	for end := time.Now().Add(5 * time.Second); r.connections() < 20; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("a request waits for another")
		}
	}
	close(gate)
	all.Wait()
}

func TestLoopbackHonoursContexts(t *testing.T) {
	stuck := make(chan struct{})
	r := newRecorder(t, func(http.ResponseWriter, *http.Request) { <-stuck })
	t.Cleanup(func() { close(stuck) })
	tr := r.transport(t)
	cause := errors.New("called off")
	cancelled, cancel := context.WithCancelCause(t.Context())
	time.AfterFunc(20*time.Millisecond, func() { cancel(cause) })
	if _, _, err := ask(cancelled, t, tr, "GET", r.URL, ""); !errors.Is(err, cause) {
		t.Errorf("cancelled: %v", err)
	}
	short, stop := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer stop()
	if _, _, err := ask(short, t, tr, "GET", r.URL, ""); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("deadline: %v", err)
	}
}

func TestLoopbackSurvivesAServerThatClosesConnections(t *testing.T) {
	r := newRecorder(t, func(w http.ResponseWriter, req *http.Request) {
		w.Header().Set("Connection", "close")
		echo(w, req)
	})
	tr := r.transport(t)
	for range 3 {
		if _, _, err := ask(t.Context(), t, tr, "GET", r.URL, ""); err != nil {
			t.Fatal(err)
		}
	}
	if n := r.connections(); n != 3 {
		t.Errorf("%d connections, expected a new one each time", n)
	}
}

func TestLoopbackClosesWhatABusierTimeHasLeft(t *testing.T) {
	r := newRecorder(t, echo)
	tr := r.transport(t)
	now := time.Now()
	for _, age := range []time.Duration{idleTimeout + time.Second, idleTimeout, time.Second} {
		conn, err := tr.dial.DialContext(t.Context(), "tcp", tr.addr)
		if err != nil {
			t.Fatal(err)
		}
		tr.give(&loopbackConn{Conn: conn})
		tr.idle[len(tr.idle)-1].used = now.Add(-age)
	}
	tr.trim(now)
	if n := len(tr.idle); n != 1 {
		t.Errorf("%d connections are kept, want the one that was used a second ago", n)
	}
}

func TestLoopbackBoundsAnswers(t *testing.T) {
	r := newRecorder(t, func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, strings.Repeat("x", 2*maxAnswer))
	})
	_, body, err := ask(t.Context(), t, r.transport(t), "GET", r.URL, "")
	if err != nil || len(body) != maxAnswer+1 {
		t.Fatalf("%d bytes, %v", len(body), err)
	}
}

func TestLoopbackSaysWhenNobodyListens(t *testing.T) {
	r := newRecorder(t, echo)
	tr := r.transport(t)
	url := r.URL
	r.Close()
	if _, _, err := ask(t.Context(), t, tr, "GET", url, ""); err == nil {
		t.Fatal("answered by nobody")
	}
}
