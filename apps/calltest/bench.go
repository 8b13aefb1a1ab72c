package calltest

import (
	"context"
	"testing"
	"time"

	"asterism/apps"
)

// Bench is one call on a test bench with the caller in the test's hand.
// [Caller] is one; package apps/session makes another from a real session
// over a simulated Asterisk. [Conformance] drives either.
//
// Everything happens in the virtual time of a synctest bubble. The caller's
// methods may be used while a verb of Call blocks in another goroutine.
type Bench interface {
	// Call is the call under test. It has not been answered.
	Call() apps.Call
	// Context is the call's context, which a flow would be given. It ends
	// with [apps.ErrHangup] as its cause when the caller has hung up.
	Context() context.Context
	// Media makes a sound known before it is used: how long it is, or, when
	// problem is not "", why it cannot be played. A sound that was never
	// made known is not found.
	Media(sound string, length time.Duration, problem apps.MediaProblem)
	// Press presses one key. It returns at once.
	Press(key string)
	// Hangup makes the caller hang up. It returns at once.
	Hangup()
	// Drain makes the node's time run out: the context of Context ends with
	// [apps.ErrDraining], and the call goes on. It returns at once.
	Drain()
	// Heard lists, by the names that the rules gave them, the sounds of which
	// the caller heard something, in the order in which they began.
	Heard() []string
	// Answered reports whether the call was answered.
	Answered() bool
}

// Factory makes the bench for one test inside its synctest bubble. What it
// starts must have ended when the test's clean-ups have run.
type Factory func(t *testing.T) Bench
