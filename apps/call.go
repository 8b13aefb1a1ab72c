package apps

import (
	"context"
	"strings"
	"time"
)

// Flow runs one call from its first verb to its end. Returning ends the call:
// nil hangs up normally, an error that carries a verdict (see [VerdictOf])
// becomes that SIP status when the call was not answered yet. [Continue] goes
// on with a [Stage] instead.
//
// A flow may be run again from its first line, or that of its present stage,
// on another worker after its own worker has died, with the results of the
// verbs that were already done. So it must be deterministic between verbs: no
// goroutines, clocks, randomness or I/O of its own.
type Flow func(ctx context.Context, env Env, call Call, req Request) error

// Call is the call that a flow runs. Its verbs block until what they ask for
// has happened or ctx has ended; then they return [context.Cause] of ctx:
// [ErrHangup] when the caller is gone, [ErrDraining] when the node must stop
// (see [Farewell]), [ErrMoved] when another worker has taken the call over.
//
// Errors survive a replay by their text: errors.Is finds those of this package
// and any other whose text is the same, errors.As a [*Refusal] and a
// [*MediaError] and nothing else.
//
// A Call belongs to one goroutine; its verbs must not be used concurrently.
type Call interface {
	// Answer answers the call (SIP 200). Answering twice does nothing.
	Answer(ctx context.Context) error

	// Play plays the sounds of rule and returns when they have ended, when a
	// key stopped them, or with an error. A [*MediaError] says that a sound
	// cannot be played; all sounds are looked up first, so nothing of this rule
	// has been heard then, and the call is not answered by it. Played is filled
	// in on error too, as far as it is known.
	//
	// A StopOn key typed before Play stops it at once: the sounds are looked
	// up, the call is answered if rule says so, nothing is heard. A key that
	// stopped or controlled a playback is used up; any other stays for later
	// verbs, in the order typed. Control keys count only while Play runs.
	Play(ctx context.Context, rule PlayRule) (Played, error)

	// Pause waits for d, or until one of the keys in stopOn is pressed, which
	// it returns and uses up; "" means that the time passed. Keys typed before
	// count; other keys stay for later verbs.
	Pause(ctx context.Context, d time.Duration, stopOn Keys) (digit string, err error)

	// The verbs below need no caller: after a hang-up and while the node is
	// draining they work as before, also with the flow's own context. Only a
	// time limit of the flow's own, or [ErrMoved], ends them.

	// Now returns the time in UTC, in whole milliseconds.
	Now(ctx context.Context) (time.Time, error)

	// Random returns a number from 0 to n-1, each as likely. n must be at
	// least 1.
	Random(ctx context.Context, n int) (int, error)

	// NewID returns an id that nobody else has: a ULID, 26 letters and digits
	// that sort by time.
	NewID(ctx context.Context) (string, error)

	// Do does what reaches beyond the call: reads and writes storage, asks a
	// webhook. fn runs once, and its result or error is what every replay
	// gives back. Only when the worker dies before the result is in the log fn
	// runs again, with the same key, by which a write can know that it was
	// done: it is unique to this Do of this call.
	//
	// The name says in a word what it is, for the call record: "deposit". The
	// result is JSON of at most [MaxResult] bytes; see also the function [Do].
	// Before fn runs it is made sure that the call is still this worker's.
	Do(ctx context.Context, name string, fn func(ctx context.Context, key string) ([]byte, error)) ([]byte, error)
}

// Keys is a set of telephone keys, each one of 0-9, *, #, A-D.
type Keys string

// AllKeys is the set of every key that a telephone has.
const AllKeys Keys = "0123456789*#ABCD"

// Has reports whether key, one character, is in the set.
func (k Keys) Has(key string) bool {
	return len(key) == 1 && strings.Contains(string(k), key)
}

// Without returns the set less the keys of other.
func (k Keys) Without(other Keys) Keys {
	return Keys(strings.Map(func(r rune) rune {
		if strings.ContainsRune(string(other), r) {
			return -1
		}
		return r
	}, string(k)))
}

// PlayRule says what to play and how it may end.
type PlayRule struct {
	// Sounds are played one after the other without a gap. Each is
	// "media:<key>", a bare name, or one of Asterisk's own kinds: "sound:",
	// "digits:", "number:", "characters:", "tone:", "silence:<milliseconds>".
	// At most [MaxSounds].
	Sounds []string
	// Answer answers the call as soon as all sounds are known to exist, and
	// before the first is heard. Without it, and before an answer, the sounds
	// are early media (SIP 183).
	Answer bool
	// StopOn ends the playback at the first of these keys, typed before or
	// during it.
	StopOn Keys
	// Controls are the keys that move inside the playback.
	Controls Controls
	// Language is the caller's language as a BCP 47 tag such as "it-IT"; ""
	// is the default of the platform.
	Language string
}

// MaxSounds is the greatest number of sounds in one [PlayRule].
const MaxSounds = 128

// Controls are the keys that control a playback. An empty set disables that
// control. A key may stand in one set only.
type Controls struct {
	Pause   Keys // pauses, and goes on when pressed again
	Restart Keys // starts the current sound from its beginning
	Forward Keys // skips ahead by Skip, at most to the end of the current sound
	Back    Keys // skips back by Skip, at most to the current sound's beginning
	// Skip is how far Forward and Back go; 0 means 3 s.
	Skip time.Duration
}

// Keys returns all the keys that control something.
func (c Controls) Keys() Keys { return c.Pause + c.Restart + c.Forward + c.Back }

// SkipBy is how far Forward and Back go, with the default filled in.
func (c Controls) SkipBy() time.Duration {
	if c.Skip == 0 {
		return 3 * time.Second
	}
	return c.Skip
}

// Any reports whether a control key is set.
func (c Controls) Any() bool {
	return c.Pause != "" || c.Restart != "" || c.Forward != "" || c.Back != ""
}

// Played tells how a playback went.
type Played struct {
	// Heard is how long the caller was played to, by Asterisk's clock. Time
	// in which a control key had paused the playback does not count.
	Heard time.Duration
	// Ended says what ended it.
	Ended PlayEnd
	// Digit is the key that stopped it, with EndedByDigit.
	Digit string
	// Sound is the index in PlayRule.Sounds that was playing at the end, and
	// Offset how far it had come.
	Sound  int
	Offset time.Duration
}

// PlayEnd is what ended a playback.
type PlayEnd string

// The ends of a playback.
const (
	EndedComplete PlayEnd = "complete" // every sound was heard to its end
	EndedByDigit  PlayEnd = "digit"    // a StopOn key
	EndedByHangup PlayEnd = "hangup"   // ctx ended: mostly, the caller hung up
	EndedFailed   PlayEnd = "failed"   // a sound could not be played; comes with a MediaError
)
