package proxy

import (
	"io"
	"net"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"
)

// relay carries connections to a server, and stops carrying when frozen. The
// connections stand nevertheless.
type relay struct {
	net.Listener

	frozen sync.RWMutex // held by who freezes
	work   sync.WaitGroup
}

func newRelay(t *testing.T, server string) *relay {
	t.Helper()
	var lc net.ListenConfig
	l, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &relay{Listener: l}
	r.work.Go(func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			out, err := new(net.Dialer).DialContext(t.Context(), "tcp", server)
			if err != nil {
				_ = in.Close()
				continue
			}
			r.work.Go(func() { r.carry(in, out) })
			r.work.Go(func() { r.carry(out, in) })
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		r.work.Wait()
	})
	return r
}

func (r *relay) carry(to, from net.Conn) {
	defer func() { _, _ = to.Close(), from.Close() }()
	_, _ = io.Copy(struct{ io.Writer }{to}, readerFunc(func(b []byte) (int, error) {
		n, err := from.Read(b)
		r.frozen.RLock()
		defer r.frozen.RUnlock()
		return n, err
	}))
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(b []byte) (int, error) { return f(b) }

// A connection to a server that is frozen stands, and answers nothing.
func TestFrozenServerDoesNotAnswer(t *testing.T) {
	f := newFabricOn(t, "127.0.0.1")
	u, err := url.Parse(f.nats.URL())
	if err != nil {
		t.Fatal(err)
	}
	r := newRelay(t, u.Host)
	c, err := Connect(ConnOptions{URL: "nats://" + r.Addr().String(), User: string(RoleGateway), Password: "g", Log: zerolog.Nop()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	f.eventually("it answers", c.answers)
	r.frozen.Lock()
	if c.answers() || !c.Up() {
		t.Errorf("frozen: answers %v, stands %v; want a connection that stands and does not answer", c.answers(), c.Up())
	}
	r.frozen.Unlock()
	f.eventually("it answers again", c.answers)
}

// What is sent to a server that takes nothing any more fails in time: whoever
// sends holds a lock.
func TestSendingToAFrozenServerFailsInTime(t *testing.T) {
	f := newFabricOn(t, "127.0.0.1")
	u, err := url.Parse(f.nats.URL())
	if err != nil {
		t.Fatal(err)
	}
	r := newRelay(t, u.Host)
	c, err := Connect(ConnOptions{URL: "nats://" + r.Addr().String(), User: string(RoleGateway), Password: "g", Log: zerolog.Nop()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	f.eventually("it answers", c.answers)
	r.frozen.Lock()
	defer r.frozen.Unlock()
	failed := make(chan error, 1)
	go func() {
		data := make([]byte, 256<<10)
		for range 1000 { // far more than the system's buffers hold
			if err := c.send("w.x", "", data); err != nil {
				failed <- err
				return
			}
		}
		failed <- nil
	}()
	select {
	case err := <-failed:
		if err == nil {
			t.Error("everything was sent")
		}
	case <-time.After(30 * time.Second):
		t.Fatal("sending hangs")
	}
}
