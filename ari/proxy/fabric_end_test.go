package proxy

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
)

// A worker may have more calls of one node than fit into one message.
func TestRenewalOfManySessions(t *testing.T) {
	f := newFabric(t)
	w := f.worker("one", func(ctx context.Context, _ *testRunner) { <-ctx.Done() })
	const many = 20_000
	h := renewHeader{Worker: w.key}
	f.gateway.mu.Lock()
	a := f.gateway.arbiter
	for i := range many {
		s := &session{
			id: fmt.Sprintf("some-asterisk-1795354409.%d", i), token: Token{1, 1}, worker: w.key, state: stateOwned, first: 2, accepted: true,
			created: time.Now(), lease: time.Now().Add(time.Hour), commands: make(map[string]*commandState),
		}
		a.sessions[s.id], a.workers[w.key].sessions[s.id] = s, s
		h.Sessions = append(h.Sessions, renewEntry{s.id, s.token, 1})
	}
	f.gateway.mu.Unlock()
	n := newNodeLink(f.gateway.key)
	n.heard = time.Now().Add(-time.Hour)
	w.renewParts(n, h)
	w.renewParts(n, h)
	f.eventually("all are renewed", func() bool {
		f.gateway.mu.Lock()
		defer f.gateway.mu.Unlock()
		for _, s := range a.sessions {
			if time.Until(s.lease) > leaseTime || s.missing > 0 {
				return false
			}
		}
		return len(a.sessions) == many
	})
	f.eventually("the worker knows", func() bool {
		n.mu.Lock()
		defer n.mu.Unlock()
		return time.Since(n.heard) < time.Minute
	})
	f.gateway.mu.Lock()
	defer f.gateway.mu.Unlock()
	clear(a.sessions)
	clear(a.workers[w.key].sessions)
}

// A channel that leaves without a hang-up, by a command typed into Asterisk
// say, ends its flow.
func TestChannelThatLeavesEndsItsFlow(t *testing.T) {
	f := newFabric(t)
	left := make(chan error, 1)
	f.worker("one", func(ctx context.Context, r *testRunner) {
		r.Accept()
		ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
		defer cancel()
		left <- r.await(ctx, "StasisEnd")
		_ = r.end(context.WithoutCancel(ctx))
	})
	c := f.call("1", "", "end")
	f.eventually("the call is taken", func() bool { return f.metric("asterism_calls_accepted_total") == 1 })
	if err := f.gateway.client.Channels().Continue(t.Context(), c.Channel(), nil); err != nil {
		t.Fatal(err)
	}
	if err := <-left; err != nil {
		t.Errorf("the flow was not told that the channel has left: %v", err)
	}
	f.eventually("all is closed", func() bool { return f.gateway.Calls() == 0 })
}

// A worker that is closed while NATS is away does not wait for it.
func TestCloseDoesNotWaitForNATS(t *testing.T) {
	f := newFabricOn(t, "127.0.0.1")
	ended := make(chan error, 1)
	w := f.worker("one", func(ctx context.Context, r *testRunner) {
		r.Accept()
		<-ctx.Done()
		ended <- r.end(context.WithoutCancel(ctx), r.hangup())
	})
	f.call("1", "", "end")
	f.eventually("the call is taken", func() bool { return f.metric("asterism_calls_accepted_total") == 1 })
	f.nats.Close()
	time.Sleep(fenceAfter + 200*time.Millisecond)
	closed := make(chan struct{})
	go func() { w.Close(); close(closed) }()
	select {
	case <-closed:
	case <-time.After(10 * time.Second):
		t.Fatal("Close waits for NATS")
	}
	if err := <-ended; !errors.Is(err, ErrClosed) {
		t.Errorf("the last command: %v, want ErrClosed", err)
	}
}

// A call that outlasts the drain is hung up.
func TestCallsEndWhenTheTimeOfDrainIsOver(t *testing.T) {
	f := newFabric(t)
	f.worker("one", func(ctx context.Context, r *testRunner) {
		r.Accept()
		if r.await(ctx, "ChannelHangupRequest") == nil {
			_ = r.end(ctx)
		}
	})
	c := f.call("1", "", "end")
	f.eventually("the call is taken", func() bool { return f.metric("asterism_calls_accepted_total") == 1 })
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	err := f.gateway.Drain(ctx)
	if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "1 calls were hung up") {
		t.Errorf("Drain returned %v", err)
	}
	if s := c.State(); !s.Ended || s.SIPStatus != 503 {
		t.Errorf("after the drain: %+v", s)
	}
}

// A server that has been restarted has closed its ends of the idle
// connections; the next request must not meet one of them.
func TestConnectionsOfARestartedAsteriskAreForgotten(t *testing.T) {
	f := newFabric(t)
	f.eventually("Asterisk is connected", func() bool { return f.gateway.Ready() == nil })
	step := ARI(http.MethodGet, "/channels/x", nil)
	if r, err := f.gateway.roundTrip(t.Context(), step); err != nil || r.Code != http.StatusNotFound {
		t.Fatalf("%+v: %v", r, err)
	}
	f.asterisk.Faults().Crash()
	f.eventually("the gateway knows", func() bool { return f.gateway.Ready() != nil })
	if err := f.asterisk.Faults().Restart(); err != nil {
		t.Fatal(err)
	}
	f.eventually("Asterisk is connected again", func() bool { return f.gateway.Ready() == nil })
	if r, err := f.gateway.roundTrip(t.Context(), step); err != nil || r.Code != http.StatusNotFound {
		t.Fatalf("after the restart: %+v: %v", r, err)
	}
}

func TestRefusalOfACallerWhoHasGoneIs404(t *testing.T) {
	f := newFabric(t)
	f.eventually("Asterisk is connected", func() bool { return f.gateway.Ready() == nil })
	x := &execution{g: f.gateway, session: "nobody"}
	r, err := x.do(t.Context(), RefuseCall(RefuseArgs{Status: 486, Reason: "busy"}))
	if err != nil || r.Code != http.StatusNotFound {
		t.Errorf("%+v: %v", r, err)
	}
}

// Whatever a worker reports, a call record is one line of JSON.
func TestCallRecordIsOneLine(t *testing.T) {
	var log bytes.Buffer
	f := newFabric(t)
	for _, outcome := range []string{"{\"a\":\n\n1}", "}\n{\"level\":\"error\"", `{"a":1}`} {
		f.gateway.mu.Lock()
		f.gateway.calls["c"] = &call{id: "c", channel: "c", log: zerolog.New(&log)}
		f.gateway.closeCall(ActClosed{Session: "c", Outcome: []byte(outcome)})
		f.gateway.mu.Unlock()
	}
	lines := strings.Split(strings.TrimSuffix(log.String(), "\n"), "\n")
	if len(lines) != 3 {
		t.Errorf("3 calls wrote %d lines:\n%s", len(lines), log.String())
	}
	for _, line := range lines {
		if !json.Valid([]byte(line)) {
			t.Errorf("not JSON: %s", line)
		}
	}
}

func TestReasonTextIsShortAndPlain(t *testing.T) {
	for _, s := range []string{strings.Repeat("ü", 500), strings.Repeat("x", 500), "a\r\nInjected: b\x85\x00\"\\", "\xff\xfe"} {
		got := reasonText(s)
		if len(got) > maxReason || !utf8.ValidString(got) || strings.ContainsAny(got, "\r\n\x00\"\\\u0085") {
			t.Errorf("%q became %q (%d bytes)", s, got, len(got))
		}
	}
}

func TestServerWithoutPasswordsIsRefused(t *testing.T) {
	s, err := NewServer(t.Context(), ServerOptions{Host: "127.0.90.1", Port: -1, Log: zerolog.Nop()})
	if err == nil {
		s.Close()
		t.Fatal("a server that everybody may connect to was started")
	}
}

// Metrics may be asked for while a role starts; this is for the race detector.
func TestMetricsWhileStarting(t *testing.T) {
	f := newFabric(t)
	for i := range 10 {
		registry := prometheus.NewRegistry()
		var gather sync.WaitGroup
		stop := make(chan struct{})
		gather.Go(func() {
			for {
				if _, err := registry.Gather(); err != nil {
					t.Error(err)
				}
				select {
				case <-stop:
					return
				default:
				}
			}
		})
		w, err := NewWorker(f.connect(RoleWorker, "w"), WorkerOptions{
			Name: fmt.Sprintf("w%d", i), Capacity: 1, Log: zerolog.Nop(), Registry: registry,
		})
		close(stop)
		gather.Wait()
		if err != nil {
			t.Fatal(err)
		}
		w.Close()
	}
}
