package proxy

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"
)

// bench drives an arbiter by hand.
type bench struct {
	t   *testing.T
	a   *Arbiter
	now time.Time
	out []Action
}

func newBench(t *testing.T, workers ...string) *bench {
	t.Helper()
	b := &bench{t: t, a: NewArbiter(3, 1), now: time.Unix(1000, 0)}
	for _, w := range workers {
		b.beat(w, 0, 100)
	}
	return b
}

func (b *bench) beat(worker string, load, free int) {
	b.step(MsgWorker{Heartbeat{Name: worker, Boot: "1", Load: load, Free: free, Formats: LogFormats}})
}

func (b *bench) step(m Message) []Action {
	b.out = append([]Action(nil), b.a.Step(b.now, m)...)
	return b.out
}

// pass lets time pass in ticks of 10 ms and returns what happened.
func (b *bench) pass(d time.Duration) []Action {
	var all []Action
	for end := b.now.Add(d); b.now.Before(end); {
		b.now = b.now.Add(10 * time.Millisecond)
		all = append(all, b.step(MsgTick{})...)
	}
	return all
}

// one returns the only action of type T among actions.
func one[T Action](t *testing.T, actions []Action) T {
	t.Helper()
	var found []T
	for _, a := range actions {
		if x, ok := a.(T); ok {
			found = append(found, x)
		}
	}
	if len(found) != 1 {
		t.Fatalf("expected one %T among %+v", *new(T), actions)
	}
	return found[0]
}

func none[T Action](t *testing.T, actions []Action) {
	t.Helper()
	for _, a := range actions {
		if x, ok := a.(T); ok {
			t.Fatalf("unexpected %T%+v", x, x)
		}
	}
}

// owned returns a bench with session "c" owned by some worker.
func owned(t *testing.T) (*bench, ActAssign) {
	t.Helper()
	b := newBench(t, "one", "two")
	assign := one[ActAssign](t, b.step(MsgStart{Session: "c", Raw: []byte("start")}))
	one[ActAccepted](t, b.step(MsgAccept{Session: "c", Token: assign.Token}))
	return b, assign
}

func TestAssignThenAccept(t *testing.T) {
	b := newBench(t, "one")
	assign := one[ActAssign](t, b.step(MsgStart{Session: "c", Raw: []byte("start")}))
	if assign.Worker != "one.1" || assign.Token != (Token{3, 1}) || assign.First != 1 || len(assign.Events) != 1 {
		t.Fatalf("assigned %+v", assign)
	}
	cmd := MsgCommand{Session: "c", Token: assign.Token, Command: Command{ID: "0.play.1"}, Reply: "r"}
	actions := b.step(MsgAccept{Session: "c", Token: assign.Token, Command: &cmd})
	if one[ActAccepted](t, actions).Bare {
		t.Error("an acceptance with a command counted as bare")
	}
	if !one[ActExecute](t, actions).First {
		t.Error("the first command was not marked as such")
	}
}

func TestNobodyTakesTheCall(t *testing.T) {
	b := newBench(t)
	b.step(MsgStart{Session: "c", Raw: []byte("start")})
	refused := one[ActRefuse](t, b.pass(time.Second))
	if refused.Session != "c" || b.a.Len() != 0 {
		t.Fatalf("%+v, %d sessions left", refused, b.a.Len())
	}
}

func TestRefusedWithin300ms(t *testing.T) {
	for _, workers := range [][]string{nil, {"deaf"}, {"deaf", "mute"}, {"a", "b", "c", "d"}} {
		b := newBench(t, workers...)
		b.step(MsgStart{Session: "c", Raw: []byte("start")})
		begin := b.now
		for b.a.Len() > 0 {
			if b.now.Sub(begin) > offerTimeout {
				t.Fatalf("workers %v: call still open after %v", workers, b.now.Sub(begin))
			}
			b.pass(10 * time.Millisecond)
		}
	}
}

func TestSilentWorkerIsSuspectUntilItsNextHeartbeat(t *testing.T) {
	b := newBench(t, "one", "two")
	first := one[ActAssign](t, b.step(MsgStart{Session: "c", Raw: []byte("start")}))
	second := one[ActAssign](t, b.pass(assignTimeout))
	if second.Worker == first.Worker || second.Token.Epoch != first.Token.Epoch+1 {
		t.Fatalf("first %+v, second %+v", first, second)
	}
	// The silent one wakes up too late: its command is stale, and nothing is executed.
	late := MsgCommand{Session: "c", Token: first.Token, Command: Command{ID: "x"}, Reply: "r"}
	actions := b.step(MsgAccept{Session: "c", Token: first.Token, Command: &late})
	if !one[ActReply](t, actions).Stale {
		t.Fatalf("late command: %+v", actions)
	}
	none[ActExecute](t, actions)
	none[ActAccepted](t, actions)
}

func TestOnlyWorkerIsAskedAgainAfterAPause(t *testing.T) {
	b := newBench(t, "one")
	first := one[ActAssign](t, b.step(MsgStart{Session: "c", Raw: []byte("start")}))
	second := one[ActAssign](t, b.pass(assignTimeout))
	if second.Worker != first.Worker || second.Token.Epoch != first.Token.Epoch+1 {
		t.Fatalf("first %+v, second %+v", first, second)
	}
	one[ActAccepted](t, b.step(MsgAccept{Session: "c", Token: second.Token}))
}

func TestBusyOrGoneWorkerIsNotAskedAgain(t *testing.T) {
	for name, answer := range map[string]func(ActAssign) Message{
		"busy": func(a ActAssign) Message { return MsgAccept{Session: "c", Token: a.Token, Busy: true} },
		"gone": func(a ActAssign) Message { return MsgWorkerGone{Worker: a.Worker} },
	} {
		b := newBench(t, "one")
		first := one[ActAssign](t, b.step(MsgStart{Session: "c", Raw: []byte("start")}))
		if got := b.step(answer(first)); len(got) != 0 {
			t.Errorf("%s: %+v", name, got)
		}
		b.beat("one", 0, 100)
		one[ActAssign](t, b.out)
	}
}

func TestWorkerWithoutSubscriberIsSkippedAtOnce(t *testing.T) {
	b := newBench(t, "one", "two")
	first := one[ActAssign](t, b.step(MsgStart{Session: "c", Raw: []byte("start")}))
	second := one[ActAssign](t, b.step(MsgWorkerGone{Worker: first.Worker}))
	if second.Worker == first.Worker {
		t.Fatalf("asked %s again", second.Worker)
	}
}

func TestBusyWorkerPassesTheCallOn(t *testing.T) {
	b := newBench(t, "one", "two")
	first := one[ActAssign](t, b.step(MsgStart{Session: "c", Raw: []byte("start")}))
	second := one[ActAssign](t, b.step(MsgAccept{Session: "c", Token: first.Token, Busy: true}))
	if second.Worker == first.Worker {
		t.Fatalf("asked %s again", second.Worker)
	}
}

func TestFullDrainingAndSilentWorkersAreNoCandidates(t *testing.T) {
	b := newBench(t, "good")
	b.beat("full", 10, 0)
	b.step(MsgWorker{Heartbeat{Name: "draining", Boot: "1", Free: 100, Draining: true}})
	for i := range 50 {
		if a := one[ActAssign](t, b.step(MsgStart{Session: fmt.Sprint(i), Raw: []byte("s")})); a.Worker != "good.1" {
			t.Fatalf("call %d went to %s", i, a.Worker)
		}
	}
	b.now = b.now.Add(workerTimeout)
	none[ActAssign](t, b.step(MsgStart{Session: "late", Raw: []byte("s")}))
}

func TestCapacityIsRespectedBetweenHeartbeats(t *testing.T) {
	b := newBench(t)
	b.beat("small", 0, 2)
	for i := range 2 {
		one[ActAssign](t, b.step(MsgStart{Session: fmt.Sprint(i), Raw: []byte("s")}))
	}
	none[ActAssign](t, b.step(MsgStart{Session: "3", Raw: []byte("s")}))
}

func TestCommandWithCurrentTokenProvesALostAcceptance(t *testing.T) {
	b := newBench(t, "one")
	assign := one[ActAssign](t, b.step(MsgStart{Session: "c", Raw: []byte("start")}))
	actions := b.step(MsgCommand{Session: "c", Token: assign.Token, Command: Command{ID: "x"}, Reply: "r"})
	one[ActAccepted](t, actions)
	one[ActExecute](t, actions)
}

func TestRepeatedCommandIsExecutedOnce(t *testing.T) {
	b, assign := owned(t)
	cmd := MsgCommand{Session: "c", Token: assign.Token, Command: Command{ID: "x"}, Reply: "r1"}
	one[ActExecute](t, b.step(cmd))
	cmd.Reply = "r2"
	if got := b.step(cmd); len(got) != 0 {
		t.Fatalf("joining a pending command did %+v", got)
	}
	result := Outcome{Result: Result{Steps: []StepResult{{Code: 204}}}}
	got := b.step(MsgDone{Session: "c", ID: "x", Outcome: result})
	if _, logged := got[0].(ActLog); !logged || len(got) != 3 {
		t.Fatalf("two wait for the result, which is logged before they have it; got %+v", got)
	}
	cmd.Reply = "r3"
	stored := one[ActReply](t, b.step(cmd))
	if !stored.Again || stored.Reply != "r3" || len(stored.Outcome.Result.Steps) != 1 {
		t.Fatalf("stored result: %+v", stored)
	}
}

func TestEventsAreNumberedKeptAndSentAgain(t *testing.T) {
	b, assign := owned(t)
	ev := one[ActEvents](t, b.step(MsgEvent{Session: "c", Raw: []byte("e2")}))
	if ev.First != 2 || len(ev.Events) != 1 || ev.Worker != assign.Worker {
		t.Fatalf("%+v", ev)
	}
	if got := b.step(MsgEvent{Session: "c", Raw: []byte("e3"), Lazy: true}); len(got) != 0 {
		t.Fatalf("a lazy event did %+v", got)
	}
	ev = one[ActEvents](t, b.step(MsgEvent{Session: "c", Raw: []byte("e4")}))
	if ev.First != 3 || len(ev.Events) != 2 {
		t.Fatalf("%+v", ev)
	}
	ev = one[ActEvents](t, b.step(MsgResync{Session: "c", Token: assign.Token, Seq: 1, Reply: "r"}))
	if ev.First != 2 || len(ev.Events) != 3 || ev.Lost {
		t.Fatalf("resync: %+v", ev)
	}
	b.step(MsgRenew{Worker: assign.Worker, Entries: []renewEntry{{"c", assign.Token, 4}}, Reply: "r"})
	if n := b.a.Unacked(); n != 0 {
		t.Fatalf("%d events kept after their acknowledgement", n)
	}
	// A late resync for what has been acknowledged since asks for nothing.
	none[ActEvents](t, b.step(MsgResync{Session: "c", Token: assign.Token, Seq: 1, Reply: "r"}))
}

// The news that Asterisk's events were lost must not make the owner give up
// those that only got lost on the way to it.
func TestLostEventsAreToldWithAllThatIsKept(t *testing.T) {
	b, _ := owned(t)
	one[ActEvents](t, b.step(MsgEvent{Session: "c", Raw: []byte("e2")}))
	ev := one[ActEvents](t, b.step(MsgLost{}))
	if !ev.Lost || ev.First > 2 || ev.First+uint64(len(ev.Events)) != 3 {
		t.Fatalf("%+v", ev)
	}
}

func TestEventLostOnTheWayIsSentAgainAfterTwoRenewals(t *testing.T) {
	b, assign := owned(t)
	one[ActEvents](t, b.step(MsgEvent{Session: "c", Raw: []byte("e2")}))
	renew := MsgRenew{Worker: assign.Worker, Entries: []renewEntry{{"c", assign.Token, 1}}, Reply: "r"}
	none[ActEvents](t, b.step(renew)) // it may still be on its way
	if ev := one[ActEvents](t, b.step(renew)); ev.First != 2 {
		t.Fatalf("%+v", ev)
	}
}

func TestTooManyUnacknowledgedEventsAreSaidToBeLost(t *testing.T) {
	b, assign := owned(t)
	b.step(MsgLink{Up: false})
	for range maxUnacked + 10 {
		none[ActEvents](t, b.step(MsgEvent{Session: "c", Raw: []byte("e")}))
	}
	ev := one[ActEvents](t, b.step(MsgLink{Up: true}))
	if !ev.Lost || len(ev.Events) != maxUnacked || ev.First != 12 {
		t.Fatalf("lost=%v first=%d n=%d", ev.Lost, ev.First, len(ev.Events))
	}
	again := one[ActEvents](t, b.step(MsgResync{Session: "c", Token: assign.Token, Seq: 1, Reply: "r"}))
	if !again.Lost || len(again.Events) != maxUnacked {
		t.Fatalf("again: lost=%v n=%d", again.Lost, len(again.Events))
	}
}

func TestCallOfALostWorkerGoesToAnother(t *testing.T) {
	b, assign := owned(t)
	b.step(MsgCommand{Session: "c", Token: assign.Token, Command: Command{ID: "0"}, Reply: "r"})
	for range 5 {
		b.pass(time.Second)
		b.step(MsgRenew{Worker: assign.Worker, Entries: []renewEntry{{"c", assign.Token, 1}}, Reply: "r"})
	}
	none[ActOrphaned](t, b.pass(leaseTime-100*time.Millisecond))
	one[ActOrphaned](t, b.pass(500*time.Millisecond))
	none[ActAbandon](t, b.pass(orphanTimeout-2*time.Second)) // there is no worker
	stale := b.step(MsgCommand{Session: "c", Token: assign.Token, Command: Command{ID: "x"}, Reply: "r"})
	if !one[ActReply](t, stale).Stale {
		t.Fatalf("%+v", stale)
	}
	b.beat("three", 0, 10)
	again := one[ActAssign](t, b.out)
	if again.Worker != "three.1" || again.Token.Epoch != assign.Token.Epoch+1 || !again.Again || string(again.Start) != "start" {
		t.Fatalf("%+v", again)
	}
	accepted := one[ActAccepted](t, b.step(MsgAccept{Session: "c", Token: again.Token}))
	if accepted.Worker != "three.1" || !accepted.Again || accepted.Bare {
		t.Fatalf("%+v", accepted)
	}
}

// What ended a call, or will, is told to each owner.
func TestNextOwnerHearsOfTheEndThatWasAcknowledged(t *testing.T) {
	b, a := owned(t)
	b.step(MsgEvent{Session: "c", Raw: []byte("hangup"), Keep: true})
	b.step(MsgEvent{Session: "c", Raw: []byte("other")})
	b.step(MsgEvent{Session: "c", Raw: []byte("gone"), Gone: true})
	b.step(MsgAnnounce{Raw: []byte("draining")})
	b.step(MsgRenew{Worker: a.Worker, Entries: []renewEntry{{"c", a.Token, 5}}, Reply: "n"})
	for range 2 {
		a = one[ActAssign](t, b.step(MsgRelease{Session: "c", Token: a.Token}))
		if got := fmt.Sprintf("%s", a.Events); !strings.HasSuffix(got, "hangup gone draining]") {
			t.Errorf("the next owner is told %s", got)
		}
		b.beat("one", 0, 100)
		b.beat("two", 0, 100)
		b.step(MsgAccept{Session: "c", Token: a.Token})
		b.step(MsgRenew{Worker: a.Worker, Entries: []renewEntry{{"c", a.Token, a.First + uint64(len(a.Events)) - 1}}, Reply: "n"})
	}
}

// A release may carry the beginning of a stage: what was before is void.
func TestReleaseAtTheBeginningOfAStage(t *testing.T) {
	b, a := owned(t)
	b.step(MsgCommand{Session: "c", Token: a.Token, Command: Command{ID: "x", Records: [][]byte{bytes.Repeat([]byte("x"), 40<<10)}}, Reply: "r"})
	next := one[ActAssign](t, b.step(MsgRelease{Session: "c", Token: a.Token, Records: [][]byte{[]byte("header")}, Reset: true}))
	if len(next.Journal) != 1 || string(next.Journal[0]) != "header" {
		t.Errorf("the journal has %d records", len(next.Journal))
	}
}

// The result of a prompt is kept however many keys are obeyed in it.
func TestResultOfALongVerbIsKept(t *testing.T) {
	b, a := owned(t)
	play := MsgCommand{Session: "c", Token: a.Token, Command: Command{ID: "0.play.1", Steps: []Step{{Name: StepPlay}}}, Reply: "r"}
	b.step(play)
	b.step(MsgDone{Session: "c", ID: "0.play.1"})
	for i := range 300 {
		id := fmt.Sprintf("0.play.1.key%d", i)
		b.step(MsgCommand{Session: "c", Token: a.Token, Command: Command{ID: id, Steps: []Step{{Method: "POST"}}}, Reply: "r"})
		b.step(MsgDone{Session: "c", ID: id})
	}
	none[ActExecute](t, b.step(play))
}

// While two releases run side by side, a call goes on only where its journal
// can be read.
func TestJournalGoesToWhoCanReadIt(t *testing.T) {
	b := newBench(t)
	b.step(MsgWorker{Heartbeat{Name: "new", Boot: "1", Free: 100, Formats: []int{1, 2}}})
	assign := one[ActAssign](t, b.step(MsgStart{Session: "c", Raw: []byte("start")}))
	cmd := MsgCommand{Session: "c", Token: assign.Token, Command: Command{ID: "x", Records: [][]byte{[]byte("r")}}}
	b.step(MsgAccept{Session: "c", Token: assign.Token, Command: &cmd})
	b.beat("old", 0, 100)
	none[ActAssign](t, b.step(MsgRelease{Session: "c", Token: assign.Token}))
	none[ActAssign](t, b.pass(time.Second))
	b.step(MsgWorker{Heartbeat{Name: "other", Boot: "1", Free: 100, Formats: []int{2}}})
	if again := one[ActAssign](t, b.out); again.Worker != "other.1" {
		t.Errorf("the journal went to %s", again.Worker)
	}
}

func TestOrphanThatNobodyTakesIsEnded(t *testing.T) {
	b, _ := owned(t)
	lost := one[ActAbandon](t, b.pass(leaseTime+orphanTimeout+time.Second))
	if lost.Worker == "" || lost.Reason == "" {
		t.Errorf("%+v", lost)
	}
	closed := one[ActClosed](t, b.step(MsgEvent{Session: "c", Raw: []byte("end"), Gone: true}))
	if closed.Outcome != nil || closed.Ending.Lost == "" {
		t.Errorf("%+v", closed)
	}
}

func TestNoLeaseEndsWhileNATSIsAway(t *testing.T) {
	b, assign := owned(t)
	b.step(MsgLink{Up: false})
	none[ActOrphaned](t, b.pass(20*time.Second))
	b.step(MsgLink{Up: true})
	none[ActOrphaned](t, b.pass(leaseTime-100*time.Millisecond))
	b.step(MsgRenew{Worker: assign.Worker, Entries: []renewEntry{{"c", assign.Token, 1}}, Reply: "r"})
	none[ActOrphaned](t, b.pass(leaseTime-100*time.Millisecond))
}

func TestSessionMissingFromTwoRenewalsIsGivenUp(t *testing.T) {
	b, assign := owned(t)
	renew := MsgRenew{Worker: assign.Worker, Reply: "r"}
	none[ActOrphaned](t, b.step(renew))
	one[ActOrphaned](t, b.step(renew))
}

func TestForeignRenewalIsStale(t *testing.T) {
	b, assign := owned(t)
	for _, e := range []renewEntry{
		{"other", assign.Token, 1},
		{"c", Token{3, 99}, 1},
		{"c", Token{2, 1}, 1},
	} {
		if r := one[ActRenewed](t, b.step(MsgRenew{Worker: assign.Worker, Entries: []renewEntry{e}, Reply: "r"})); len(r.Stale) != 1 {
			t.Errorf("%+v was renewed", e)
		}
	}
	if r := one[ActRenewed](t, b.step(MsgRenew{Worker: "thief.1", Entries: []renewEntry{{"c", assign.Token, 1}}, Reply: "r"})); len(r.Stale) != 1 {
		t.Error("another worker renewed it")
	}
}

// A worker renews what it has been given, whether or not its acceptance has
// left already: it must not be told that the session is somebody else's.
func TestRenewalBeforeTheAcceptanceIsNotStale(t *testing.T) {
	b := newBench(t, "one")
	assign := one[ActAssign](t, b.step(MsgStart{Session: "c", Raw: []byte("start")}))
	entry := renewEntry{"c", assign.Token, 1}
	if r := one[ActRenewed](t, b.step(MsgRenew{Worker: assign.Worker, Entries: []renewEntry{entry}, Reply: "r"})); len(r.Stale) != 0 {
		t.Fatalf("an assigned session is said to be stale: %v", r.Stale)
	}
	one[ActAccepted](t, b.step(MsgAccept{Session: "c", Token: assign.Token}))
}

func TestSessionClosesWhenChannelAndFlowHaveEnded(t *testing.T) {
	for _, channelFirst := range []bool{true, false} {
		b, assign := owned(t)
		final := func() []Action {
			one[ActExecute](t, b.step(MsgCommand{
				Session: "c", Token: assign.Token, Reply: "r",
				Command: Command{ID: "end", Final: true, Outcome: []byte(`{"ended":"complete"}`)},
			}))
			return b.step(MsgDone{Session: "c", ID: "end"})
		}
		gone := func() []Action { return b.step(MsgEvent{Session: "c", Raw: []byte("end"), Gone: true}) }
		first, second := final, gone
		if channelFirst {
			first, second = gone, final
		}
		none[ActClosed](t, first())
		closed := one[ActClosed](t, second())
		if string(closed.Outcome) != `{"ended":"complete"}` || b.a.Len() != 0 {
			t.Fatalf("channel first %v: %+v, %d left", channelFirst, closed, b.a.Len())
		}
	}
}

func TestChannelThatOutlivesItsFlowIsSwept(t *testing.T) {
	b, assign := owned(t)
	b.step(MsgCommand{Session: "c", Token: assign.Token, Command: Command{ID: "end", Final: true}, Reply: "r"})
	b.step(MsgDone{Session: "c", ID: "end"})
	none[ActSweep](t, b.pass(farewellTime-100*time.Millisecond))
	one[ActSweep](t, b.pass(200*time.Millisecond))
}

func TestCallerWhoGivesUpBeforeAcceptanceLeavesNothing(t *testing.T) {
	b := newBench(t, "one")
	assign := one[ActAssign](t, b.step(MsgStart{Session: "c", Raw: []byte("start")}))
	one[ActClosed](t, b.step(MsgEvent{Session: "c", Raw: []byte("end"), Gone: true}))
	if b.a.Len() != 0 || !b.a.Next().IsZero() {
		t.Fatalf("%d sessions left", b.a.Len())
	}
	cmd := MsgCommand{Session: "c", Token: assign.Token, Command: Command{ID: "x"}, Reply: "r"}
	if !one[ActReply](t, b.step(MsgAccept{Session: "c", Token: assign.Token, Command: &cmd})).Stale {
		t.Fatal("late acceptance was taken")
	}
}

func TestDrainingNodeRefuses(t *testing.T) {
	b := newBench(t, "one")
	b.step(MsgDrain{})
	one[ActRefuse](t, b.step(MsgStart{Session: "c", Raw: []byte("start")}))
}

func TestTwoChoicesSpreadCalls(t *testing.T) {
	b := newBench(t, "a", "b", "c", "d")
	for _, w := range []string{"a", "b", "c", "d"} {
		b.beat(w, 0, 10000)
	}
	count := make(map[string]int)
	for i := range 4000 {
		count[one[ActAssign](t, b.step(MsgStart{Session: fmt.Sprint(i), Raw: []byte("s")})).Worker]++
	}
	for w, n := range count {
		if n < 900 || n > 1100 {
			t.Errorf("%s got %d of 4000 calls", w, n)
		}
	}
}
