package proxy

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"asterism/ari/aritest"
)

// withSpool gives a gateway a spool.
func withSpool(t *testing.T) func(*GatewayOptions) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "sessions")
	return func(o *GatewayOptions) { o.Spool = dir }
}

// noLogs makes sure that no session log is left in the spool.
func (f *fabric) noLogs() {
	f.t.Helper()
	f.eventually("all logs are removed", func() bool {
		files, err := os.ReadDir(f.options.Spool)
		return err == nil && !slices.ContainsFunc(files, func(e os.DirEntry) bool { return e.Type().IsRegular() })
	})
}

// resumable is a playback whose flow can be run again from its first line: it
// plays, and waits for a key before it ends. Each of its runs is told to runs.
func resumable(runs chan<- *testRunner) func(context.Context, *testRunner) {
	return func(ctx context.Context, r *testRunner) {
		args := MediaArgs{ID: r.ID() + "~1", Sounds: []string{"welcome"}}
		res, err := r.Do(ctx, Command{ID: "0.play.1", Records: [][]byte{[]byte("begun")}, Steps: []Step{
			Resolve(args), ARI(http.MethodPost, "/channels/"+url.PathEscape(r.ID())+"/answer", nil), Play(args),
		}})
		if err != nil || res.Err(3) != nil {
			return
		}
		runs <- r
		if len(r.start.Digits) == 0 && r.await(ctx, "ChannelDtmfReceived") != nil {
			return
		}
		_ = r.end(ctx, r.hangup())
	}
}

func (f *fabric) finishes(c *aritest.Caller) {
	f.t.Helper()
	s := f.ended(c)
	if s.SIPStatus != 200 || len(s.Heard) != 1 {
		f.t.Errorf("the caller's call: %+v; want one prompt, heard once", s)
	}
	f.eventually("all is closed", func() bool { return f.gateway.Calls() == 0 })
	f.noLogs()
}

// The call of a worker that is lost goes on with another, which is told all
// that matters.
func TestCallMovesToAnotherWorker(t *testing.T) {
	f := newFabric(t, withSpool(t))
	runs := make(chan *testRunner, 10)
	first := f.worker("one", resumable(runs))
	c := f.call("1", "", "end")
	<-runs
	first.Close()
	f.worker("two", resumable(runs))
	again := <-runs
	if !again.start.Again || len(again.start.Event) == 0 || len(again.start.Journal) != 1 || string(again.start.Journal[0]) != "begun" {
		t.Errorf("the second worker was given %+v", again.start)
	}
	c.Press("5")
	f.finishes(c)
	if n := f.metric("asterism_calls_orphaned_total"); n != 1 {
		t.Errorf("%v calls orphaned, want 1", n)
	}
}

// A worker that drains gives its calls back, and another goes on at once.
func TestDrainingWorkerGivesItsCallsBack(t *testing.T) {
	f := newFabric(t, withSpool(t))
	runs := make(chan *testRunner, 10)
	first := f.worker("one", resumable(runs))
	c := f.call("1", "", "end")
	<-runs
	f.worker("two", resumable(runs))
	begun := time.Now()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	if err := first.Drain(ctx); err != nil {
		t.Fatal(err)
	}
	again := <-runs
	if again.w.opts.Name != "two" {
		t.Errorf("the call went to %s", again.w.opts.Name)
	}
	if took := time.Since(begun); took > leaseTime { // else it was the lease that ended
		t.Errorf("the call was taken over after %v", took)
	}
	c.Press("5")
	f.finishes(c)
	if n := f.metric("asterism_worker_unreleased_total"); n != 0 {
		t.Errorf("%v calls could not be released", n)
	}
}

// A worker keeps its calls when their gateway starts anew.
func TestCallSurvivesARestartOfItsGateway(t *testing.T) {
	f := newFabric(t, withSpool(t))
	runs := make(chan *testRunner, 10)
	w := f.worker("one", resumable(runs))
	c := f.call("1", "", "end")
	r := <-runs
	before := r.at.Load().token
	f.stop()
	// Times of events are in milliseconds: a key is later than its call.
	begun := time.Now()
	f.eventually("time has passed", func() bool { return time.Since(begun) > 40*time.Millisecond })
	c.Press("1") // no event tells of it
	f.options.Boot, f.options.Registry = 2, nil
	f.startGateway()
	f.eventually("the call is claimed", func() bool { return r.at.Load().token.after(before) })
	select {
	case <-runs:
		t.Error("the flow was started again")
	default:
	}
	f.finishes(c) // the key was obeyed
	if w.Sessions() != 0 {
		t.Errorf("%d sessions are left", w.Sessions())
	}
}

// Gateway and worker die together, and the keys pressed before are not lost.
func TestCallSurvivesGatewayAndWorker(t *testing.T) {
	f := newFabric(t, withSpool(t))
	runs := make(chan *testRunner, 10)
	first := f.worker("one", resumable(runs))
	c := f.call("1", "", "end")
	<-runs
	first.Close()
	c.Press("7")
	f.eventually("the key is there", func() bool {
		f.gateway.mu.Lock()
		defer f.gateway.mu.Unlock()
		s := f.gateway.arbiter.sessions[c.Channel()]
		return s != nil && len(s.digits) == 1
	})
	f.stop()
	f.options.Boot, f.options.Registry = 2, nil
	f.startGateway()
	f.worker("two", resumable(runs))
	again := <-runs
	if len(again.start.Digits) != 1 || again.start.Digits[0].Key != "7" || !again.start.Again {
		t.Errorf("the second worker was given %+v", again.start)
	}
	f.finishes(c)
}

// A token of before the restart that is not the last one claims nothing.
func TestStaleClaimEndsTheSession(t *testing.T) {
	f := newFabric(t, withSpool(t))
	runs := make(chan *testRunner, 10)
	why := make(chan error, 1)
	w := f.worker("one", func(ctx context.Context, r *testRunner) {
		r.Accept()
		runs <- r
		<-ctx.Done()
		why <- context.Cause(ctx)
	})
	c := f.call("1", "", "end")
	r := <-runs
	f.eventually("the call is taken", func() bool { return f.metric("asterism_calls_accepted_total") == 1 })
	f.stop()
	stale := *r.at.Load()
	stale.token.Epoch--
	r.at.Store(&stale)
	f.options.Boot, f.options.Registry = 2, nil
	f.startGateway()
	if err := <-why; !errors.Is(err, ErrMoved) {
		t.Errorf("the session ended with %v, want ErrMoved", err)
	}
	c.Hangup()
	w.Close()
}

// A call whose StasisStart nobody heard is let in when the gateway is back.
func TestCallThatArrivedUnheardIsLetIn(t *testing.T) {
	f := newFabric(t, withSpool(t))
	f.worker("one", playback("welcome"))
	f.asterisk.Faults().LoseEvents("StasisStart", 1)
	c := f.call("1", "", "end")
	f.eventually("the call is in Asterisk", func() bool {
		app, err := f.gateway.client.Applications().Get(t.Context(), App)
		return err == nil && len(app.ChannelIDs) == 1
	})
	f.stop()
	f.options.Boot, f.options.Registry = 2, nil
	f.startGateway()
	if s := f.ended(c); s.SIPStatus != 200 || len(s.Heard) != 1 {
		t.Errorf("%+v", s)
	}
}
