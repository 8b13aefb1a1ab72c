package proxy

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// A journal within its bound cannot be handed over.
func TestManySmallRecordsCanBeHandedOver(t *testing.T) {
	b, assign := owned(t)
	rec := []byte(`{"e":1000,"v":"pause","h":"1h8x2k"}`)
	for i := range 2 {
		recs := make([][]byte, 600)
		for j := range recs {
			recs[j] = rec
		}
		id := fmt.Sprint("c", i)
		one[ActExecute](t, b.step(MsgCommand{Session: "c", Token: assign.Token, Command: Command{ID: id, Records: recs}}))
		b.step(MsgDone{Session: "c", ID: id})
	}
	again := one[ActAssign](t, b.step(MsgRelease{Session: "c", Token: assign.Token}))
	parts := append([][]byte{nil}, again.Journal...)
	if _, err := encodeFrame(assignHeader{Session: "c"}, append(parts, again.Events...)...); err != nil {
		t.Fatalf("journal of %d bytes: %v", b.a.sessions["c"].journaled, err)
	}
}

// A call whose flow kills its workers goes round for ever.
func TestPoisonCall(t *testing.T) {
	b, assign := owned(t)
	offers, logged := 0, 0
	for range 3600 { // an hour
		b.now = b.now.Add(time.Second)
		for i := range 3 {
			b.beat(fmt.Sprint("w", i), 0, 100)
		}
		for _, a := range b.step(MsgTick{}) {
			switch a := a.(type) {
			case ActAssign:
				offers++
				b.step(MsgAccept{Session: "c", Token: a.Token})
			case ActLog:
				logged += 80
			case ActAbandon:
				t.Logf("abandoned after %d offers", offers)
				return
			}
		}
	}
	_ = assign
	t.Errorf("%d workers were given (and died of) the call in an hour, log + ~%d bytes", offers, logged)
}

// What a takeover takes is no set-up time.
func TestSetupTimeOfATakeover(t *testing.T) {
	f := newFabric(t)
	runs := make(chan *testRunner, 10)
	first := f.worker("one", resumable(runs))
	c := f.call("1", "", "end")
	<-runs
	time.Sleep(1500 * time.Millisecond)
	f.worker("two", resumable(runs))
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	_ = first.Drain(ctx)
	<-runs
	t.Logf("accepted=%v", f.metric("asterism_calls_accepted_total"))
	fams, _ := f.registry.Gather()
	for _, fam := range fams {
		for _, m := range fam.Metric {
			if h := m.GetHistogram(); h != nil && h.GetSampleSum() > 1 {
				t.Errorf("%s: %d samples, sum %.2f s, though the call was accepted at once", fam.GetName(), h.GetSampleCount(), h.GetSampleSum())
			}
		}
	}
	c.Hangup()
}

// Which worker can read a journal is forgotten by a restart.
func TestFormatSurvivesRestart(t *testing.T) {
	var saved SavedSession
	a := NewArbiter(1, 1)
	now := time.Unix(1000, 0)
	step := func(m Message) (out []Action) {
		out = append(out, a.Step(now, m)...)
		for _, x := range out {
			if l, ok := x.(ActLog); ok {
				for _, e := range l.Entries {
					saved.add(e)
				}
			}
		}
		return out
	}
	step(MsgWorker{Heartbeat{Name: "new", Boot: "1", Free: 9, Formats: []int{1, 2}}})
	as := one[ActAssign](t, step(MsgStart{Session: "c", Raw: []byte("start")}))
	step(MsgAccept{Session: "c", Token: as.Token, Command: &MsgCommand{Session: "c", Token: as.Token, Command: Command{ID: "1", Records: [][]byte{[]byte(`{"f":2}`)}}}})
	a = NewArbiter(2, 1)
	step(MsgRestore{saved})
	step(MsgWorker{Heartbeat{Name: "old", Boot: "1", Free: 9, Formats: []int{1}}})
	now = now.Add(claimTime)
	none[ActAssign](t, step(MsgTick{}))
}

// A call that nobody had accepted when the gateway died.
func TestCallNobodyAcceptedIsEndedSoonAfterRestart(t *testing.T) {
	var saved SavedSession
	saved.add(LogStart{Session: "c", Channel: "c", At: time.Unix(999, 0), Event: []byte("start")})
	saved.add(LogToken{Token: Token{1, 1}, Worker: "one.1"})
	b := newBench(t)
	b.step(MsgRestore{saved})
	one[ActAbandon](t, b.pass(freshTimeout+time.Second)) // which hangs up with 503
}

// Two restarts, events between, no command.
func TestClaimAfterTwoRestarts(t *testing.T) {
	var saved SavedSession
	keep := func(actions []Action) []Action {
		for _, x := range actions {
			if l, ok := x.(ActLog); ok {
				for _, e := range l.Entries {
					saved.add(e)
				}
			}
		}
		return actions
	}
	saved.add(LogStart{Session: "c", Channel: "c", At: time.Unix(999, 0), Event: []byte("start")})
	saved.add(LogToken{Token: Token{1, 1}, Worker: "one.1"})
	now := time.Unix(1000, 0)
	a := NewArbiter(2, 1)
	keep(a.Step(now, MsgRestore{saved}))
	cl := one[ActClaimed](t, append([]Action(nil), keep(a.Step(now, MsgClaim{Worker: "one.1", Entries: []renewEntry{{"c", Token{1, 1}, 1}}}))...))
	tok := cl.Granted[0].Token
	ev := one[ActEvents](t, append([]Action(nil), keep(a.Step(now, MsgEvent{Session: "c", Raw: []byte("ChannelTalkingStarted")}))...))
	has := ev.First + uint64(len(ev.Events)) - 1
	a = NewArbiter(3, 1)
	keep(a.Step(now, MsgRestore{saved}))
	cl = one[ActClaimed](t, append([]Action(nil), keep(a.Step(now, MsgClaim{Worker: "one.1", Entries: []renewEntry{{"c", tok, has}}}))...))
	if len(cl.Granted) != 1 {
		t.Errorf("the owner with the last logged token is told stale: %+v", cl)
	}
}

// Requests without an id of their own are not taken for those of the owner before.
func TestRequestsOfTwoOwnersAreDifferent(t *testing.T) {
	f := newFabric(t)
	runs := make(chan *testRunner, 10)
	got := make(chan string, 10)
	flow := func(path string) func(ctx context.Context, r *testRunner) {
		return func(ctx context.Context, r *testRunner) {
			req, _ := http.NewRequestWithContext(ctx, http.MethodPost, "http://x/ari/channels/"+r.ID()+"/"+path, bytes.NewReader(nil))
			resp, err := r.RoundTrip(req)
			if err != nil {
				t.Error(err)
				return
			}
			_ = resp.Body.Close()
			got <- fmt.Sprint(path, " ", resp.StatusCode)
			runs <- r
			<-ctx.Done()
		}
	}
	first := f.worker("one", flow("ring"))
	c := f.call("1", "", "end")
	<-runs
	f.worker("two", flow("answer"))
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	// the test runner is not released: the lease ends
	first.Close()
	_ = ctx
	<-runs
	t.Log(<-got, <-got)
	if !c.State().Answered {
		t.Error("the second owner's answer was never carried out: it got the stored result of the first one's ring")
	}
	c.Hangup()
}

// Events lost between the claim and the gateway's first connection to Asterisk.
func TestEventLostBeforeFirstConnection(t *testing.T) {
	f := newFabric(t, withSpool(t))
	runs := make(chan *testRunner, 10)
	f.worker("one", func(ctx context.Context, r *testRunner) {
		r.Accept()
		runs <- r
		<-ctx.Done()
	})
	c := f.call("1", "", "end")
	r := <-runs
	f.eventually("taken", func() bool { return f.metric("asterism_calls_accepted_total") == 1 })
	before := r.at.Load().token
	f.stop()
	f.options.Boot, f.options.Registry = 2, nil
	f.asterisk.Faults().DropSockets(2) // Asterisk is away a little longer than NATS
	f.startGateway()
	f.eventually("claimed", func() bool { return r.at.Load().token.after(before) })
	<-r.lost // the owner looks now, and finds its playback going on
	f.eventually("connected", func() bool { return f.gateway.Ready() == nil })
	select {
	case <-r.lost:
	case <-time.After(2 * time.Second):
		t.Error("what happened between the claim and the first connection to Asterisk is never told: no Lost")
	}
	c.Hangup()
}

func withJetStream(t *testing.T, f *fabric) {
	t.Helper()
	if err := f.nats.srv.EnableJetStream(&server.JetStreamConfig{StoreDir: t.TempDir()}); err != nil {
		t.Fatal(err)
	}
	if err := f.nats.enableJetStream(); err != nil {
		t.Fatal(err)
	}
}

// Caller gives up before anybody accepts.
func TestAbandonedRecord(t *testing.T) {
	f := newFabric(t, withSpool(t), func(o *GatewayOptions) { o.Calls = CallsOptions{Stream: CallsStream} })
	withJetStream(t, f)
	f.eventually("ready", func() bool { return f.gateway.Ready() == nil })
	c := f.call("1", "", "end")
	f.eventually("known", func() bool { return f.gateway.Calls() == 1 })
	c.Hangup()
	if r := f.lastRecord(1); r.End != EndAbandoned {
		t.Errorf("the caller gave up before a worker took the call: %+v", r)
	}
}

func hangupFlow(ctx context.Context, r *testRunner) {
	r.Accept()
	_ = r.await(ctx, "StasisEnd")
	_, _ = r.Do(ctx, Command{ID: "end", Final: true, Outcome: []byte(`{"action":"Test","result":"hangup"}`)})
}

// Asterisk crashes; the first reconciliation after it fails.
func TestRestartReasonAfterFailedReconcile(t *testing.T) {
	f := newFabric(t, withSpool(t), func(o *GatewayOptions) { o.Calls = CallsOptions{Stream: CallsStream} })
	withJetStream(t, f)
	f.worker("one", hangupFlow)
	f.call("1", "", "end")
	f.eventually("taken", func() bool { return f.metric("asterism_calls_accepted_total") == 1 })
	time.Sleep(1100 * time.Millisecond)
	f.asterisk.Faults().Crash()
	f.asterisk.Faults().Fail("GET /bridges", 500, 1)
	if err := f.asterisk.Faults().Restart(); err != nil {
		t.Fatal(err)
	}
	if r := f.lastRecord(1); r.End != EndLost || r.Reason != reasonRestarted {
		t.Errorf("end %q by %q reason %q; want lost, %q", r.End, r.By, r.Reason, reasonRestarted)
	}
}

// Asterisk crashes and is back while the gateway is away.
func TestAsteriskRestartedWhileTheGatewayWasAway(t *testing.T) {
	f := newFabric(t, withSpool(t), func(o *GatewayOptions) { o.Calls = CallsOptions{Stream: CallsStream} })
	withJetStream(t, f)
	f.worker("one", hangupFlow)
	f.call("1", "", "end")
	f.eventually("taken", func() bool { return f.metric("asterism_calls_accepted_total") == 1 })
	time.Sleep(1100 * time.Millisecond)
	f.stop()
	f.asterisk.Faults().Crash()
	if err := f.asterisk.Faults().Restart(); err != nil {
		t.Fatal(err)
	}
	f.options.Boot, f.options.Registry = 2, nil
	f.startGateway()
	if r := f.lastRecord(1); r.End != EndLost {
		t.Errorf("end %q by %q reason %q; want lost", r.End, r.By, r.Reason)
	}
}

// A log that was given up is taken for the truth by the next life.
func TestLogGivenUpIsNotRestored(t *testing.T) {
	s, _ := testStore(t)
	_ = s.append("c", LogStart{Session: "c", Event: []byte("{}")}, LogToken{Token: Token{1, 1}, Worker: "one.1"})
	s.files["c"].f.Close() // disk full
	_ = s.append("c", LogToken{Token: Token{1, 2}, Worker: "two.1"}, LogCommand{ID: "0.play.1", Records: [][]byte{make([]byte, maxBacklog)}})
	_, saved := reopen(t, s)
	if len(saved) == 1 {
		t.Errorf("given up, said not to survive, yet restored with the stale token %v of %s and without the commands since", saved[0].Token, saved[0].Worker)
	}
}

// Two gateways on one spool would both go on with its calls.
func TestSpoolHasOneGateway(t *testing.T) {
	dir := t.TempDir()
	lock, err := LockSpool(dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := LockSpool(dir); !errors.Is(err, ErrSpoolInUse) || !strings.Contains(err.Error(), dir) {
		t.Errorf("a second gateway was told %v", err)
	}
	if err := lock.Close(); err != nil {
		t.Fatal(err)
	}
	again, err := LockSpool(dir)
	if err != nil {
		t.Fatalf("after the first has gone: %v", err)
	}
	_ = again.Close()
}
