package proxy

import (
	"context"
	"fmt"
	"net/http"
	"testing"
	"time"
)

// A long Play with many control keys; then its worker dies.
func TestPlayIsNotSentTwiceAfterManyKeys(t *testing.T) {
	b, assign := owned(t)
	do := func(tok Token, id string) []Action {
		out := b.step(MsgCommand{Session: "c", Token: tok, Command: Command{ID: id, Steps: []Step{{Name: StepPlay}}}, Reply: "r"})
		out = append([]Action(nil), out...)
		b.step(MsgDone{Session: "c", ID: id, Outcome: Outcome{Result: Result{Steps: []StepResult{{Code: 201}}}}})
		return out
	}
	one[ActExecute](t, do(assign.Token, "0.play.1"))
	for i := range 513 {
		one[ActExecute](t, do(assign.Token, fmt.Sprintf("0.play.1.key%d", i)))
	}
	again := one[ActAssign](t, b.step(MsgRelease{Session: "c", Token: assign.Token}))
	one[ActAccepted](t, b.step(MsgAccept{Session: "c", Token: again.Token}))
	for _, a := range do(again.Token, "0.play.1") {
		if _, ok := a.(ActExecute); ok {
			t.Error("the new owner's 0.play.1 is executed a second time: its result was evicted by 513 keys")
		}
	}
}

// A key pressed before the call was first offered.
func TestKeyBeforeTheLogBegins(t *testing.T) {
	b := newBench(t)
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
	keep(b.step(MsgStart{Session: "c", Raw: []byte("start")}))
	keep(b.step(MsgEvent{Session: "c", Raw: []byte("key"), Digit: "5"}))
	keep(b.step(MsgWorker{Heartbeat{Name: "one", Boot: "1", Free: 9, Formats: LogFormats}}))
	if saved.Start.Session != "c" {
		t.Fatal("not logged")
	}
	if len(saved.Digits) != 1 {
		t.Error("the key is not in the log, and lost when gateway and worker die")
	}
}

// A recording that was begun when the gateway died.
func TestRecordIsAdopted(t *testing.T) {
	f := newFabric(t)
	runs := make(chan *testRunner, 1)
	f.worker("one", func(ctx context.Context, r *testRunner) {
		r.Accept()
		runs <- r
		<-ctx.Done()
	})
	c := f.call("1", "", "end")
	r := <-runs
	step := ARI(http.MethodPost, "/channels/"+r.ID()+"/record?name="+r.ID()+"~rec&format=wav", nil)
	x := &execution{g: f.gateway, session: r.ID()}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	res, err := x.ari(ctx, step)
	t.Log(res.Code, err)
	x.unsure = true
	res, err = x.ari(ctx, step)
	if err != nil || !res.OK() {
		t.Errorf("the recording goes on in Asterisk, and the new life answers %d %s", res.Code, res.Body)
	}
	res, _ = x.ari(ctx, ARI(http.MethodPost, "/channels/"+r.ID()+"/dtmf?dtmf=12", nil))
	t.Logf("dtmf redo: %d %s", res.Code, res.Body)
	c.Hangup()
}

// Dead air of gone events while Asterisk is away.
func TestGoneEventsPileUp(t *testing.T) {
	b, assign := owned(t)
	for range 300 {
		b.step(MsgEvent{Session: "c", Raw: goneEvent("c"), Gone: true, Reason: reasonDead})
	}
	if n := len(b.a.sessions["c"].events); n > 5 {
		t.Errorf("%d StasisEnd events of one channel wait for %s, lost=%v", n, assign.Worker, b.a.sessions["c"].lost)
	}
}

// No limit to the memory of results.
func TestResultsOfEarlierStagesAreDropped(t *testing.T) {
	b, assign := owned(t)
	for i := range 64 {
		id := fmt.Sprint("0.", i)
		b.step(MsgCommand{Session: "c", Token: assign.Token, Command: Command{ID: id, Steps: []Step{{Name: StepPlay}}}})
		b.step(MsgDone{Session: "c", ID: id, Outcome: Outcome{Result: Result{Steps: []StepResult{{200, make([]byte, maxAnswer)}}}}})
	}
	b.step(MsgCommand{Session: "c", Token: assign.Token, Command: Command{ID: "1.x", Reset: true}})
	n := 0
	for _, c := range b.a.sessions["c"].commands {
		for _, s := range c.result.Result.Steps {
			n += len(s.Body)
		}
	}
	if n > 0 {
		t.Errorf("after a reset %d bytes of results of the stage before are kept", n)
	}
}
