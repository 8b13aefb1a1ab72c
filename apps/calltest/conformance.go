package calltest

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"asterism/apps"
)

// tolerance is how far a real session's clock may be off: Asterisk tells
// times in messages, and a sound ends at a packet of 20 ms.
const tolerance = 100 * time.Millisecond

// Conformance holds a call to the contract of [apps.Call]. It runs the same
// behaviours against the scripted call and against a real session, so that a
// flow that passes with one works with the other.
func Conformance(t *testing.T, factory Factory) {
	t.Helper()
	for _, group := range [][]behaviour{playBehaviours, keyBehaviours, controlBehaviours, endBehaviours, offlineBehaviours} {
		for _, b := range group {
			t.Run(b.name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					bench := &bench{Bench: factory(t), t: t, start: time.Now()}
					b.check(bench)
				})
			})
		}
	}
}

// behaviour is one sentence of the contract and the call that shows it.
type behaviour struct {
	name  string
	check func(b *bench)
}

// bench adds what the behaviours are told with. Its helpers fail the test.
type bench struct {
	Bench
	t     *testing.T
	start time.Time
}

// at does something on the caller's side when the call is d old.
func (b *bench) at(d time.Duration, do func()) {
	timer := time.AfterFunc(d-time.Since(b.start), do)
	b.t.Cleanup(func() { timer.Stop() })
}

func (b *bench) pressAt(d time.Duration, keys ...string) {
	b.at(d, func() {
		for _, key := range keys {
			b.Press(key)
		}
	})
}

// typeAhead presses keys before any verb runs.
func (b *bench) typeAhead(keys ...string) {
	for _, key := range keys {
		b.Press(key)
	}
	synctest.Wait()
}

func (b *bench) play(rule apps.PlayRule) (apps.Played, error) {
	return b.Call().Play(b.Context(), rule)
}

// plays plays and wants no error.
func (b *bench) plays(rule apps.PlayRule) apps.Played {
	b.t.Helper()
	played, err := b.play(rule)
	if err != nil {
		b.t.Fatalf("Play(%v): %v", rule.Sounds, err)
	}
	return played
}

// pauses pauses and wants this key.
func (b *bench) pauses(d time.Duration, stopOn apps.Keys, want string) {
	b.t.Helper()
	digit, err := b.Call().Pause(b.Context(), d, stopOn)
	if err != nil || digit != want {
		b.t.Errorf("Pause(%v, %q) = %q, %v; want %q", d, stopOn, digit, err, want)
	}
}

func (b *bench) wantPlayed(got, want apps.Played) {
	b.t.Helper()
	if !near(got.Heard, want.Heard) || !near(got.Offset, want.Offset) ||
		got.Ended != want.Ended || got.Digit != want.Digit || got.Sound != want.Sound {
		b.t.Errorf("Played is\n%+v, want about\n%+v", got, want)
	}
}

func (b *bench) wantHeard(want ...string) {
	b.t.Helper()
	synctest.Wait()
	if got := b.Heard(); !slices.Equal(got, want) {
		b.t.Errorf("the caller heard %q, want %q", got, want)
	}
}

func (b *bench) wantAnswered(want bool) {
	b.t.Helper()
	synctest.Wait()
	if got := b.Answered(); got != want {
		b.t.Errorf("answered: %v, want %v", got, want)
	}
}

// late is for a [Bench] that loses time: its verbs may take so much longer in
// all than they say.
type late interface{ Late() time.Duration }

// wantAge checks how old the call is.
func (b *bench) wantAge(want time.Duration) {
	b.t.Helper()
	most := want + tolerance
	if l, ok := b.Bench.(late); ok {
		most += l.Late()
	}
	if got := time.Since(b.start); got < want-tolerance || got > most {
		b.t.Errorf("it is %v after the start of the call, want %v to %v", got, want-tolerance, most)
	}
}

func (b *bench) wantMediaError(err error, sound string, problem apps.MediaProblem) {
	b.t.Helper()
	media, ok := errors.AsType[*apps.MediaError](err)
	if !ok || media.Sound != sound || media.Problem != problem {
		b.t.Errorf("error is %v, want a MediaError: %s is %s", err, sound, problem)
	}
}

func near(got, want time.Duration) bool { return (got - want).Abs() <= tolerance }

// everyVerb calls each verb and wants this error from each.
func (b *bench) everyVerb(ctx context.Context, want error) {
	b.t.Helper()
	before := len(b.Heard())
	if err := b.Call().Answer(ctx); !errors.Is(err, want) {
		b.t.Errorf("Answer: %v, want %v", err, want)
	}
	played, err := b.Call().Play(ctx, apps.PlayRule{Sounds: []string{"welcome"}})
	if !errors.Is(err, want) || played.Ended != apps.EndedByHangup {
		b.t.Errorf("Play: %+v, %v, want it ended by %q with %v", played, err, apps.EndedByHangup, want)
	}
	if digit, err := b.Call().Pause(ctx, time.Second, "1"); !errors.Is(err, want) || digit != "" {
		b.t.Errorf("Pause: %q, %v, want %v", digit, err, want)
	}
	if at, err := b.Call().Now(ctx); err != nil || at.IsZero() {
		b.t.Errorf("Now: %v, %v, and it needs no caller", at, err)
	}
	if got := len(b.Heard()); got != before {
		b.t.Errorf("the caller heard %d sounds more", got-before)
	}
}
