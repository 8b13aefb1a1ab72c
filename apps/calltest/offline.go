package calltest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"asterism/apps"
)

var errFull = errors.New("the mailbox is full")

// gives returns a function for Do that counts its runs.
func gives(raw string, err error, ran *int) func(context.Context, string) ([]byte, error) {
	return func(context.Context, string) ([]byte, error) {
		*ran++
		return []byte(raw), err
	}
}

// The verbs that need no caller, and the end of a node.
var offlineBehaviours = []behaviour{
	{"time passes in whole milliseconds", func(b *bench) {
		first, err1 := b.Call().Now(b.Context())
		b.pauses(2*second, "", "")
		then, err2 := b.Call().Now(b.Context())
		if err1 != nil || err2 != nil || then.Sub(first) < 2*second-tolerance {
			b.t.Errorf("it was %v, %v, and 2 s later %v, %v", first, err1, then, err2)
		}
		if then.Location() != time.UTC || then.Nanosecond()%int(time.Millisecond) != 0 {
			b.t.Errorf("the time is %v, want it in UTC and whole milliseconds", then)
		}
	}},
	{"random numbers are below their bound", func(b *bench) {
		for n := 1; n < 20; n++ {
			if got, err := b.Call().Random(b.Context(), n); err != nil || got < 0 || got >= n {
				b.t.Errorf("Random(%d) = %d, %v", n, got, err)
			}
		}
		if got, err := b.Call().Random(b.Context(), 0); err == nil {
			b.t.Errorf("Random(0) = %d, and there is no such number", got)
		}
	}},
	{"ids are unique", func(b *bench) {
		one, err1 := b.Call().NewID(b.Context())
		two, err2 := b.Call().NewID(b.Context())
		if err1 != nil || err2 != nil || one == two || len(one) != 26 || len(two) != 26 {
			b.t.Errorf("NewID: %q, %v, and %q, %v; want two of 26 characters", one, err1, two, err2)
		}
	}},
	{"what was done gives back its result, and its key is its own", func(b *bench) {
		var keys []string
		deposit := func(_ context.Context, key string) (int, error) {
			keys = append(keys, key)
			return len(keys), nil
		}
		for i := range 2 {
			if got, err := apps.Do(b.Context(), b.Call(), "deposit", deposit); err != nil || got != i+1 {
				b.t.Errorf("Do = %d, %v, want %d", got, err, i+1)
			}
		}
		if len(keys) != 2 || keys[0] == keys[1] || keys[0] == "" {
			b.t.Errorf("the keys are %q, want two", keys)
		}
	}},
	{"the error of what was done comes back", func(b *bench) {
		ran := 0
		_, err := b.Call().Do(b.Context(), "deposit", gives("", fmt.Errorf("depositing: %w", errFull), &ran))
		if !errors.Is(err, errFull) || err.Error() != "depositing: the mailbox is full" {
			b.t.Errorf("Do: %v, want %v", err, errFull)
		}
		_, err = b.Call().Do(b.Context(), "deposit", gives("", apps.Refuse(507, apps.FaultUpstream, "no room"), &ran))
		if v := apps.VerdictOf(err); v.Status != 507 || v.Fault != apps.FaultUpstream || ran != 2 {
			b.t.Errorf("Do: %v, want a refusal with 507; it ran %d times", err, ran)
		}
	}},
	{"a result that no log can hold is an error", func(b *bench) {
		for _, raw := range []string{`"` + strings.Repeat("x", apps.MaxResult) + `"`, "{"} {
			if got, err := b.Call().Do(b.Context(), "read", gives(raw, nil, new(int))); err == nil || got != nil {
				b.t.Errorf("Do gave back %d bytes and %v", len(got), err)
			}
		}
		if got, err := b.Call().Do(b.Context(), "nothing", gives("", nil, new(int))); err != nil || len(got) != 0 {
			b.t.Errorf("Do = %q, %v, and nothing is a result", got, err)
		}
	}},
	{"work goes on after a hang-up", func(b *bench) {
		b.Hangup()
		<-b.Context().Done()
		b.offline(b.Context())
		b.everyVerb(b.Context(), apps.ErrHangup)
	}},
	{"a flow's own time limit ends work", func(b *bench) {
		ctx, cancel := context.WithTimeoutCause(b.Context(), second, errEnough)
		defer cancel()
		_, err := b.Call().Do(ctx, "wait", func(ctx context.Context, _ string) ([]byte, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		})
		if !errors.Is(err, errEnough) {
			b.t.Errorf("Do: %v, want %v", err, errEnough)
		}
		b.wantAge(second)
		ran := 0
		if _, err := b.Call().Do(ctx, "more", gives("1", nil, &ran)); !errors.Is(err, errEnough) || ran != 0 {
			b.t.Errorf("Do: %v, want %v; it ran %d times", err, errEnough, ran)
		}
		b.offline(b.Context())
	}},
	{"the end of a node's time ends a playback, and a farewell is heard", func(b *bench) {
		b.Media("welcome", welcome, "")
		b.at(second, b.Drain)
		played, err := b.play(rule("welcome"))
		if !errors.Is(err, apps.ErrDraining) {
			b.t.Errorf("Play: %v, want %v", err, apps.ErrDraining)
		}
		b.wantPlayed(played, apps.Played{Heard: second, Ended: apps.EndedByHangup, Offset: second})
		b.everyVerb(b.Context(), apps.ErrDraining)
		b.offline(b.Context())
		ctx, cancel := apps.Farewell(b.Context())
		defer cancel()
		played, err = b.Call().Play(ctx, rule("welcome"))
		if err != nil {
			b.t.Errorf("the farewell: %v", err)
		}
		b.wantPlayed(played, apps.Played{Heard: welcome, Ended: apps.EndedComplete, Offset: welcome})
		b.wantHeard("welcome", "welcome")
	}},
	{"a hang-up ends a farewell", func(b *bench) {
		b.Media("welcome", welcome, "")
		b.Drain()
		<-b.Context().Done()
		ctx, cancel := apps.Farewell(b.Context())
		defer cancel()
		b.at(second, b.Hangup)
		if _, err := b.Call().Play(ctx, rule("welcome")); !errors.Is(err, apps.ErrHangup) {
			b.t.Errorf("the farewell: %v, want %v", err, apps.ErrHangup)
		}
	}},
}

// offline calls each verb that needs no caller.
func (b *bench) offline(ctx context.Context) {
	b.t.Helper()
	if at, err := b.Call().Now(ctx); err != nil || at.IsZero() {
		b.t.Errorf("Now: %v, %v", at, err)
	}
	if n, err := b.Call().Random(ctx, 6); err != nil {
		b.t.Errorf("Random: %v, %v", n, err)
	}
	if id, err := b.Call().NewID(ctx); err != nil || id == "" {
		b.t.Errorf("NewID: %q, %v", id, err)
	}
	got, err := b.Call().Do(ctx, "work", func(ctx context.Context, _ string) ([]byte, error) {
		return []byte("1"), context.Cause(ctx)
	})
	if err != nil || string(got) != "1" {
		b.t.Errorf("Do: %s, %v", got, err)
	}
}
