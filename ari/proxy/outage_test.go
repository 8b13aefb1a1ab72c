package proxy

import (
	"context"
	"net"
	"net/url"
	"strconv"
	"testing"
	"time"

	"asterism/ari/aritest"
)

// TestNATSOutageInACall: the media goes on, and the flow goes on when NATS is
// back, with what happened meanwhile.
func TestNATSOutageInACall(t *testing.T) {
	f := newFabricOn(t, "127.0.0.1")
	f.asterisk.Faults().Clear()
	f.worker("one", playback("welcome"))
	c := f.call("1", "", "end")
	if err := c.Await(t.Context(), func(s aritest.CallState) bool { return len(s.Heard) == 1 }); err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(f.nats.URL())
	if err != nil {
		t.Fatal(err)
	}
	host, portText, err := net.SplitHostPort(u.Host)
	if err != nil {
		t.Fatal(err)
	}
	port, err := strconv.Atoi(portText)
	if err != nil {
		t.Fatal(err)
	}
	f.nats.Close()
	time.Sleep(1500 * time.Millisecond) // the playback ends in here
	if s := c.State(); s.Ended || !s.Heard[0].Completed {
		t.Fatalf("during the outage: %+v", s)
	}
	f.startNATS(host, port)
	if s := f.ended(c); s.SIPStatus != 200 || len(s.Heard) != 1 {
		t.Fatalf("%+v", s)
	}
	f.eventually("all is closed", func() bool { return f.gateway.Calls() == 0 })
	if n := f.metric("asterism_calls_abandoned_total"); n != 0 {
		t.Errorf("%v calls abandoned", n)
	}
}

// TestLateCommandsAreNotSentAfterAnOutage: what a caller of Do gave up on is
// never executed.
func TestLateCommandsAreNotSentAfterAnOutage(t *testing.T) {
	f := newFabricOn(t, "127.0.0.1")
	gaveUp := make(chan struct{})
	goOn := make(chan struct{})
	f.worker("one", func(ctx context.Context, r *testRunner) {
		r.Accept()
		<-goOn
		short, cancel := context.WithTimeout(ctx, 200*time.Millisecond)
		defer cancel()
		_, err := r.Do(short, Command{ID: "late", Steps: []Step{Play(MediaArgs{ID: r.ID() + "~late", Sounds: []string{"late"}})}})
		if err == nil {
			t.Error("a command was answered without NATS")
		}
		close(gaveUp)
		<-ctx.Done()
	})
	c := f.call("1", "", "end")
	f.eventually("the call is taken", func() bool { return f.metric("asterism_calls_accepted_total") == 1 })
	u, err := url.Parse(f.nats.URL())
	if err != nil {
		t.Fatal(err)
	}
	port, err := strconv.Atoi(u.Port())
	if err != nil {
		t.Fatal(err)
	}
	f.nats.Close()
	f.eventually("the gateway knows", func() bool { return !f.gateway.opts.Conn.Up() })
	close(goOn)
	<-gaveUp
	f.startNATS(u.Hostname(), port)
	f.eventually("NATS is back", func() bool { return f.gateway.opts.Conn.Up() })
	time.Sleep(500 * time.Millisecond)
	if heard := c.Heard(); len(heard) != 0 {
		t.Fatalf("a command ran after its deadline: %+v", heard)
	}
	c.Hangup()
}
