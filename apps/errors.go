package apps

import (
	"errors"
	"fmt"
)

// Causes with which a call's context ends. Verbs return them.
var (
	// ErrHangup: the caller has hung up or the channel is gone.
	ErrHangup = errors.New("the caller has hung up")
	// ErrDraining: the node is going out of service and its time has run out.
	// The call is hung up a little later; see [Farewell].
	ErrDraining = errors.New("the node is draining")
	// ErrMoved: another worker owns the call now. The flow unwinds and must
	// touch nothing more.
	ErrMoved = errors.New("the call has moved to another worker")
)

// Fault says who is to blame for a failed call, so that alarms can tell a
// wrong number from a broken platform.
type Fault string

// The faults.
const (
	FaultCaller   Fault = "caller"   // a request that cannot be served as it stands
	FaultUs       Fault = "platform" // a defect or an overload of the platform
	FaultUpstream Fault = "upstream" // something the platform depends on, such as storage
	FaultNobody   Fault = "nobody"   // nothing failed: the call was meant to end unanswered
)

// Verdict is what an error means for the caller: the SIP status (RFC 3261
// section 21) that refuses the call before it is answered, a reason that the
// caller's log shows, and whose fault it is.
type Verdict struct {
	Status int
	Reason string
	Fault  Fault
}

// Refusal is an error with a verdict of its own.
type Refusal struct {
	Verdict
	Err error // what led to it; may be nil
}

// Refuse returns a Refusal with the reason formatted as by fmt.Sprintf.
func Refuse(status int, fault Fault, format string, args ...any) *Refusal {
	return &Refusal{Verdict: Verdict{Status: status, Reason: fmt.Sprintf(format, args...), Fault: fault}}
}

func (r *Refusal) Error() string {
	if r.Err != nil {
		return fmt.Sprintf("refused with SIP %d: %s: %v", r.Status, r.Reason, r.Err)
	}
	return fmt.Sprintf("refused with SIP %d: %s", r.Status, r.Reason)
}

// Unwrap returns what led to the refusal.
func (r *Refusal) Unwrap() error { return r.Err }

// MediaProblem is why a sound cannot be played.
type MediaProblem string

// The problems with a sound.
const (
	MediaNotFound    MediaProblem = "not found"   // neither in storage nor among Asterisk's sounds
	MediaBroken      MediaProblem = "broken"      // it is there and cannot be decoded
	MediaUnavailable MediaProblem = "unavailable" // storage does not answer
	MediaInvalid     MediaProblem = "invalid"     // not a sound name
)

// MediaError says which sound cannot be played and why.
type MediaError struct {
	Sound   string
	Problem MediaProblem
	Detail  string
}

func (e *MediaError) Error() string {
	if e.Detail == "" {
		return fmt.Sprintf("sound %q is %s", e.Sound, e.Problem)
	}
	return fmt.Sprintf("sound %q is %s: %s", e.Sound, e.Problem, e.Detail)
}

// verdict maps a media problem to what the edge should know: 404 and 488 are
// final, 503 makes it try another node.
func (e *MediaError) verdict() Verdict {
	switch e.Problem {
	case MediaNotFound:
		return Verdict{Status: 404, Reason: e.Error(), Fault: FaultCaller}
	case MediaInvalid:
		return Verdict{Status: 400, Reason: e.Error(), Fault: FaultCaller}
	case MediaBroken:
		return Verdict{Status: 488, Reason: e.Error(), Fault: FaultUs}
	case MediaUnavailable:
		return Verdict{Status: 503, Reason: e.Error(), Fault: FaultUpstream}
	}
	return Verdict{Status: 500, Reason: e.Error(), Fault: FaultUs}
}

// VerdictOf returns the verdict that err carries, or 500 and [FaultUs] for an
// error that carries none. [ErrHangup] is 487, [ErrDraining] 503.
func VerdictOf(err error) Verdict {
	if r, ok := errors.AsType[*Refusal](err); ok {
		return r.Verdict
	}
	if m, ok := errors.AsType[*MediaError](err); ok {
		return m.verdict()
	}
	switch {
	case errors.Is(err, ErrHangup):
		return Verdict{Status: 487, Reason: ErrHangup.Error(), Fault: FaultCaller}
	case errors.Is(err, ErrDraining):
		return Verdict{Status: 503, Reason: ErrDraining.Error(), Fault: FaultUs}
	}
	return Verdict{Status: 500, Reason: "internal error", Fault: FaultUs}
}
