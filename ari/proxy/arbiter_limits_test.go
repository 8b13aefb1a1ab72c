package proxy

import (
	"bytes"
	"context"
	"strings"
	"testing"
	"time"
)

// A gateway that was stopped for longer than a lease lasts finds the renewals
// of that time behind its own tick.
func TestNoLeaseEndsWhileTheGatewayIsStopped(t *testing.T) {
	b, assign := owned(t)
	b.pass(50 * time.Millisecond)
	b.now = b.now.Add(20 * time.Second)
	none[ActOrphaned](t, b.step(MsgTick{}))
	b.step(MsgRenew{Worker: assign.Worker, Entries: []renewEntry{{"c", assign.Token, 1}}, Reply: "r"})
	none[ActOrphaned](t, b.pass(leaseTime-100*time.Millisecond))
	one[ActOrphaned](t, b.pass(500*time.Millisecond))
}

// The call of a lost worker is hung up once, and again only
// when it is still there a while later.
func TestAbandonedCallIsNotSweptAtOnce(t *testing.T) {
	b, _ := owned(t)
	var all []Action
	for len(all) == 0 || !b.a.sessions["c"].flowDone {
		all = b.pass(10 * time.Millisecond)
	}
	one[ActAbandon](t, all)
	none[ActSweep](t, b.pass(farewellTime-100*time.Millisecond))
	one[ActSweep](t, b.pass(200*time.Millisecond))
}

func TestResyncFromTheFutureIsSurvived(t *testing.T) {
	b, assign := owned(t)
	b.step(MsgResync{Session: "c", Token: assign.Token, Seq: 1 << 40, Reply: "r"})
	b.step(MsgLost{})
	ev := one[ActEvents](t, b.step(MsgEvent{Session: "c", Raw: []byte("e2")}))
	if ev.First != 2 || len(ev.Events) != 1 {
		t.Fatalf("%+v", ev)
	}
}

// However large events are, what is kept of them fits into one message.
func TestUnacknowledgedEventsFitIntoAMessage(t *testing.T) {
	b, _ := owned(t)
	b.step(MsgLink{Up: false})
	for range 100 {
		b.step(MsgEvent{Session: "c", Raw: bytes.Repeat([]byte("x"), 10<<10)})
	}
	ev := one[ActEvents](t, b.step(MsgLink{Up: true}))
	if !ev.Lost || ev.First+uint64(len(ev.Events)) != 102 {
		t.Fatalf("lost=%v first=%d n=%d", ev.Lost, ev.First, len(ev.Events))
	}
	h := eventsHeader{Session: ev.Session, Token: ev.Token, First: ev.First, Lost: ev.Lost}
	if _, err := encodeFrame(h, ev.Events...); err != nil {
		t.Fatal(err)
	}
}

// takenIn notes what a session is told.
type takenIn struct {
	events []string
	lost   int
}

func (r *takenIn) Run(context.Context)               {}
func (r *takenIn) Event(_ uint64, raw []byte)        { r.events = append(r.events, string(raw)) }
func (r *takenIn) Lost()                             { r.lost++ }
func (r *takenIn) Pending() ([][]byte, bool, uint64) { return nil, false, 0 }

// When NATS and the connection to Asterisk were away at the same time, what
// the session has already had is sent again with the news that events are
// lost. A key must not count twice for that.
func TestEventsAreTakenInOnceAlsoWhenSomeWereLost(t *testing.T) {
	r := &takenIn{}
	s := &Session{runner: r}
	s.seq.Store(5)
	s.take(eventsHeader{First: 3, Lost: true}, [][]byte{[]byte("3"), []byte("4"), []byte("5"), []byte("6")})
	s.take(eventsHeader{First: 9, Lost: true}, [][]byte{[]byte("9")})
	if got := strings.Join(r.events, ","); got != "6,9" || r.lost != 2 || s.seq.Load() != 9 {
		t.Errorf("took in %s, lost %d times, at %d; want 6,9, twice, 9", got, r.lost, s.seq.Load())
	}
}

// A command that an earlier life of the gateway had begun is answered as one
// that was executed before: nobody may reckon from now on what it began.
func TestCommandBegunBeforeARestartIsAnsweredAsDoneBefore(t *testing.T) {
	b := newBench(t, "one")
	token := Token{Boot: 2, Epoch: 1}
	b.step(MsgRestore{Saved: SavedSession{
		Start: LogStart{Session: "c", Channel: "c", At: b.now, Event: []byte("start")}, Token: token,
		Worker: "one.1", Commands: []SavedCommand{{ID: "0.play.1"}},
	}})
	b.step(MsgClaim{Worker: "one.1", Entries: []renewEntry{{"c", token, 1}}, Reply: "claim"})
	cmd := MsgCommand{Session: "c", Token: b.a.sessions["c"].token, Command: Command{ID: "0.play.1"}, Reply: "r"}
	if x := one[ActExecute](t, b.step(cmd)); !x.Unsure {
		t.Errorf("executed as if for the first time: %+v", x)
	}
	r := one[ActReply](t, b.step(MsgDone{Session: "c", ID: "0.play.1"}))
	b.now = b.now.Add(time.Minute)
	for _, r := range []ActReply{r, one[ActReply](t, b.step(cmd))} {
		if !r.Again || r.Age != 0 {
			t.Errorf("answered with %+v", r)
		}
	}
}
