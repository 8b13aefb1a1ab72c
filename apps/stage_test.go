package apps

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
)

type seat struct{ Muted bool }

func TestStageOf(t *testing.T) {
	var got seat
	stage := StageOf("seat", func(_ context.Context, _ Env, _ Call, _ Request, s seat) error {
		got = s
		return nil
	})
	raw, err := stage.Encode(seat{Muted: true})
	if err != nil {
		t.Fatal(err)
	}
	if err := stage.Run(t.Context(), Env{}, nil, Request{}, raw); err != nil || !got.Muted {
		t.Errorf("the stage got %+v, %v", got, err)
	}
	for _, state := range []any{nil, 1, &seat{}, "x"} {
		if _, err := stage.Encode(state); !errors.Is(err, ErrState) {
			t.Errorf("%T was taken: %v", state, err)
		}
	}
	for _, raw := range []string{"", "{", `{"Old":1}`, `{}{}`, "[]"} {
		if err := stage.Run(t.Context(), Env{}, nil, Request{}, []byte(raw)); !errors.Is(err, ErrState) {
			t.Errorf("the state %q was taken: %v", raw, err)
		}
	}
	large := StageOf("large", func(context.Context, Env, Call, Request, string) error { return nil })
	if _, err := large.Encode(strings.Repeat("x", MaxState)); !errors.Is(err, ErrState) {
		t.Errorf("a large state was taken: %v", err)
	}
}

func TestContinue(t *testing.T) {
	next, ok := errors.AsType[*Next](Continue("seat", seat{true}))
	if !ok || next.Stage != "seat" || next.State != (seat{true}) {
		t.Errorf("Continue is %+v", next)
	}
}

func TestCheckAction(t *testing.T) {
	stage := func(name string) Stage {
		return StageOf(name, func(context.Context, Env, Call, Request, int) error { return nil })
	}
	tests := []struct {
		action Action
		want   string
	}{
		{Action{Name: "A", Stages: []Stage{stage("menu"), stage("2-b_c")}}, ""},
		{Action{}, "has no name"},
		{Action{Name: "A", Stages: []Stage{stage("")}}, `stage ""`},
		{Action{Name: "A", Stages: []Stage{stage("a b")}}, `stage "a b"`},
		{Action{Name: "A", Stages: []Stage{stage("a"), stage("a")}}, "two stages a"},
		{Action{Name: "A", Stages: []Stage{{Name: "a"}}}, "make it with StageOf"},
	}
	for _, tt := range tests {
		if got := fmt.Sprint(tt.action.Check()); !strings.Contains(got, tt.want) {
			t.Errorf("%+v: %s, want %q", tt.action, got, tt.want)
		}
	}
	if _, ok := tests[0].action.Stage("menu"); !ok {
		t.Error("a stage is not found")
	}
	if _, ok := tests[0].action.Stage("nowhere"); ok {
		t.Error("a stage is found that there is not")
	}
}

var errOdd = errors.New("something odd")

// What a log keeps of an error says the same to a flow as the error did.
func TestFailure(t *testing.T) {
	media := &MediaError{Sound: "x", Problem: MediaBroken, Detail: "why"}
	refusal := &Refusal{Verdict: Verdict{Status: 486, Reason: "busy", Fault: FaultCaller}, Err: fmt.Errorf("asking: %w", errOdd)}
	all := []error{ErrHangup, ErrDraining, ErrMoved, context.DeadlineExceeded, context.Canceled, errOdd}
	for _, err := range []error{
		ErrHangup, ErrDraining, context.DeadlineExceeded, context.Canceled, errOdd, media, refusal, refusal.Err,
		fmt.Errorf("doing: %w", ErrHangup), fmt.Errorf("doing: %w", media), fmt.Errorf("doing: %w", refusal),
		errors.Join(errOdd, ErrDraining), fmt.Errorf("%w and %w", errOdd, refusal),
	} {
		raw, e := json.Marshal(FailureOf(err))
		if e != nil {
			t.Fatal(e)
		}
		var f *Failure
		if e := json.Unmarshal(raw, &f); e != nil {
			t.Fatal(e)
		}
		again := f.Err()
		if again.Error() != err.Error() || VerdictOf(again) != VerdictOf(err) {
			t.Errorf("%q (%+v) came back as %q (%+v)", err, VerdictOf(err), again, VerdictOf(again))
		}
		for _, target := range all {
			if errors.Is(again, target) != errors.Is(err, target) {
				t.Errorf("%q came back, and errors.Is finds %q in it: %v", again, target, errors.Is(again, target))
			}
		}
	}
	if FailureOf(nil) != nil || (*Failure)(nil).Err() != nil {
		t.Error("no error is a failure")
	}
	huge := FailureOf(fmt.Errorf("%s: %w", strings.Repeat("x", 5000), errOdd))
	if raw, err := json.Marshal(huge); err != nil || len(raw) > 2000 || !errors.Is(huge.Err(), errOdd) {
		t.Errorf("a huge error takes %d bytes, %v", len(raw), err)
	}
}
