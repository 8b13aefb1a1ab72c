package ari_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coder/websocket"

	"asterism/ari"
)

// serveEvents starts a server whose websocket connections are served by serve, with their number from 1.
func serveEvents(t *testing.T, serve func(ctx context.Context, n int, c *websocket.Conn)) *ari.Client {
	t.Helper()
	var n atomic.Int32
	return newClient(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/ari/events" || r.URL.RawQuery != "app=the%20app" {
			t.Errorf("asked for %s", r.RequestURI)
		}
		if u, p, ok := r.BasicAuth(); !ok || u != "user" || p != "pa:ss" {
			t.Errorf("authorization is %q %q %v", u, p, ok)
		}
		c, err := websocket.Accept(w, r, nil)
		if err != nil {
			t.Error(err)
			return
		}
		defer c.CloseNow()
		// The request's context of a hijacked connection does not end with it.
		serve(r.Context(), int(n.Add(1)), c)
	})
}

func say(ctx context.Context, t *testing.T, c *websocket.Conn, events ...string) {
	t.Helper()
	for _, e := range events {
		if err := c.Write(ctx, websocket.MessageText, []byte(e)); err != nil {
			t.Errorf("write %s: %v", e, err)
		}
	}
}

// listen runs Listen until the script of callbacks has come to its last line, and returns the script as it happened.
func listen(t *testing.T, c *ari.Client, o ari.ListenOptions, until func(script []string) bool) []string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	errDone := errors.New("done")
	ctx, stop := context.WithCancelCause(ctx)
	var script []string
	add := func(format string, args ...any) {
		script = append(script, fmt.Sprintf(format, args...))
		if until(script) {
			stop(errDone)
		}
	}
	onConnect, onEvent := o.OnConnect, o.OnEvent
	o.App = "the app"
	o.MinBackoff, o.MaxBackoff = time.Millisecond, 5*time.Millisecond
	o.OnConnect = func(ctx context.Context, first bool) error {
		add("connect %v", first)
		if onConnect != nil {
			return onConnect(ctx, first)
		}
		return nil
	}
	o.OnEvent = func(raw []byte) {
		if onEvent != nil {
			onEvent(raw)
		}
		add("%.40s", raw)
	}
	o.OnDisconnect = func(err error) {
		switch {
		case errors.Is(err, errDone):
			add("ended")
		case errors.Is(err, ari.ErrQueueFull), errors.Is(err, ari.ErrNoPong):
			add("%v", err)
		case ari.StatusCode(err) != 0:
			add("refused %d", ari.StatusCode(err))
		default:
			add("lost: %v", err)
		}
	}
	if err := c.Listen(ctx, o); !errors.Is(err, errDone) {
		t.Fatalf("Listen returned %v after %q", err, script)
	}
	return script
}

func last(want string) func([]string) bool {
	return func(s []string) bool { return s[len(s)-1] == want }
}

func check(t *testing.T, got []string, want ...string) {
	t.Helper()
	if !slices.EqualFunc(got, want, func(g, w string) bool {
		return g == w || (strings.HasSuffix(w, "…") && strings.HasPrefix(g, strings.TrimSuffix(w, "…")))
	}) {
		t.Errorf("happened %q\nexpected %q", got, want)
	}
}

// TestReconnect drops the connection: the user hears of it and of the next one, before its first event, and nothing is
// out of order. In the end the server is told goodbye.
func TestReconnect(t *testing.T) {
	goodbye := make(chan error, 1)
	c := serveEvents(t, func(ctx context.Context, n int, c *websocket.Conn) {
		switch n {
		case 1:
			say(ctx, t, c, "a", "b", "c")
			c.Close(websocket.StatusGoingAway, "restart")
		case 2:
			say(ctx, t, c, "d") // and the connection breaks
		default:
			say(ctx, t, c, "e", "f")
			_, _, err := c.Read(ctx)
			goodbye <- err
		}
	})
	got := listen(t, c, ari.ListenOptions{}, last("f"))
	check(t, got, "connect true", "a", "b", "c", "lost: ari: listen: connection lost: …", "connect false", "d", "lost: ari: listen: connection lost: …", "connect false", "e", "f", "ended")
	if err := <-goodbye; websocket.CloseStatus(err) != websocket.StatusNormalClosure {
		t.Errorf("the server saw %v, expected a normal closure", err)
	}
}

// TestWrongPassword says so and goes on trying.
func TestWrongPassword(t *testing.T) {
	var n atomic.Int32
	var ws http.HandlerFunc = func(w http.ResponseWriter, r *http.Request) {
		switch n.Add(1) {
		case 1:
			w.WriteHeader(http.StatusUnauthorized)
			_, _ = io.WriteString(w, `{"error":"Authentication required"}`)
			return
		case 2:
			return // a 200 without an upgrade
		}
		c, err := websocket.Accept(w, r, nil)
		if err != nil {
			t.Error(err)
			return
		}
		defer c.CloseNow()
		say(r.Context(), t, c, "a")
		_, _, _ = c.Read(r.Context())
	}
	check(t, listen(t, newClient(t, ws), ari.ListenOptions{}, last("a")), "refused 401", "refused 200", "connect true", "a", "ended")
}

// TestNobodyThere has no Asterisk at first.
func TestNobodyThere(t *testing.T) {
	srv := httptest.NewServer(http.NotFoundHandler())
	c, err := ari.New(ari.Options{BaseURL: srv.URL})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	srv.Close()
	got := listen(t, c, ari.ListenOptions{}, func(s []string) bool { return len(s) == 3 })
	check(t, got, "lost: ari: listen: connect to …", "lost: ari: listen: connect to …", "lost: ari: listen: connect to …")
}

// TestSlowHandler fills the queue. What was queued is delivered, in order, then comes the disconnect with the reason.
func TestSlowHandler(t *testing.T) {
	for _, tt := range []struct {
		name string
		opts ari.ListenOptions
	}{
		{"by number", ari.ListenOptions{QueueEvents: 3}},
		{"by size", ari.ListenOptions{QueueBytes: 10}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cut, busy := make(chan struct{}), make(chan struct{})
			c := serveEvents(t, func(ctx context.Context, n int, c *websocket.Conn) {
				if n > 1 {
					say(ctx, t, c, "again")
					_, _, _ = c.Read(ctx)
					return
				}
				say(ctx, t, c, "000")
				<-busy
				for i := range 1000 {
					if c.Write(ctx, websocket.MessageText, fmt.Appendf(nil, "%03d", i+1)) != nil {
						break
					}
				}
				_, _, _ = c.Read(ctx) // until it is cut off
				close(cut)
			})
			tt.opts.OnEvent = func(raw []byte) {
				if string(raw) == "000" {
					close(busy)
					<-cut
				}
			}
			got := listen(t, c, tt.opts, last("again"))
			check(t, got, "connect true", "000", "001", "002", "003", "ari: listen: "+ari.ErrQueueFull.Error(), "connect false", "again", "ended")
		})
	}
}

// TestNoPong is a server that has stopped, or a network that has gone.
func TestNoPong(t *testing.T) {
	stopped := make(chan struct{})
	defer close(stopped)
	c := serveEvents(t, func(ctx context.Context, n int, c *websocket.Conn) {
		if n == 1 {
			<-stopped // reads nothing, and so answers no ping
			return
		}
		say(ctx, t, c, "again")
		_, _, _ = c.Read(ctx)
	})
	got := listen(t, c, ari.ListenOptions{PingInterval: 5 * time.Millisecond, PingTimeout: 50 * time.Millisecond}, last("again"))
	check(t, got[:3], "connect true", "ari: listen: "+ari.ErrNoPong.Error()+" within 50ms", "connect false")
}

// TestPings proves that pings keep a quiet connection.
func TestPings(t *testing.T) {
	c := serveEvents(t, func(ctx context.Context, _ int, c *websocket.Conn) {
		ctx = c.CloseRead(ctx) // answers pings
		timer := time.NewTimer(200 * time.Millisecond)
		defer timer.Stop()
		<-timer.C
		say(ctx, t, c, "a")
		<-ctx.Done()
	})
	check(t, listen(t, c, ari.ListenOptions{PingInterval: 5 * time.Millisecond, PingTimeout: 5 * time.Second}, last("a")), "connect true", "a", "ended")
}

// TestConnectCallback fails, and outlives its connection.
func TestConnectCallback(t *testing.T) {
	c := serveEvents(t, func(ctx context.Context, n int, c *websocket.Conn) {
		say(ctx, t, c, fmt.Sprint("from ", n))
		if n == 2 {
			return
		}
		_, _, _ = c.Read(ctx)
	})
	calls := 0
	o := ari.ListenOptions{OnConnect: func(ctx context.Context, _ bool) error {
		switch calls++; calls {
		case 1:
			return errors.New("cannot reconcile")
		case 2:
			<-ctx.Done()
			return context.Cause(ctx)
		}
		return nil
	}}
	got := listen(t, c, o, last("from 3"))
	check(t, got, "connect true", "lost: ari: listen: on connect: cannot reconcile", "connect true", "lost: ari: listen: connection lost: …", "connect true", "from 3", "ended")
}

// TestHugeMessage is more than the limit.
func TestHugeMessage(t *testing.T) {
	c := serveEvents(t, func(ctx context.Context, n int, c *websocket.Conn) {
		if n == 1 {
			say(ctx, t, c, "small", strings.Repeat("x", 1001))
		} else {
			say(ctx, t, c, strings.Repeat("x", 1000))
		}
		_, _, _ = c.Read(ctx)
	})
	got := listen(t, c, ari.ListenOptions{ReadLimit: 1000}, func(s []string) bool { return strings.HasPrefix(s[len(s)-1], "xxx") })
	check(t, got, "connect true", "small", "lost: ari: listen: connection lost: …", "connect false", strings.Repeat("x", 40), "ended")
}

func TestListenArguments(t *testing.T) {
	c := newClient(t, func(http.ResponseWriter, *http.Request) { t.Error("something was sent") })
	for _, o := range []ari.ListenOptions{{App: "a"}, {OnEvent: func([]byte) {}}} {
		if err := c.Listen(t.Context(), o); !errors.Is(err, ari.ErrInvalidArgument) {
			t.Errorf("%+v: %v, expected a refusal", o, err)
		}
	}
}
