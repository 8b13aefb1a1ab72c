package sip

import (
	"errors"

	"asterism/apps"
)

// Cause is why the headers of a call were refused: a fixed set, fit for a
// metric's label. It is wrapped in the refusal; see [CauseOf].
type Cause string

// The causes.
const (
	CauseLayout    Cause = "layout"            // the dialplan is of another release
	CauseCut       Cause = "cut"               // the arguments are not all there
	CauseTooLong   Cause = "too long"          // a value or all together
	CauseEncoding  Cause = "encoding"          // control characters, or not UTF-8
	CauseDoubled   Cause = "doubled"           // a header is there twice
	CauseAction    Cause = "unknown action"    // no such action
	CauseMissing   Cause = "missing"           // a required header is not there
	CauseMalformed Cause = "malformed"         // a value is not what its header takes
	CauseUnsigned  Cause = "signature missing" // no signature, and a key is configured
	CauseTwoSigned Cause = "signature doubled" // more than one signature
	CauseGarbled   Cause = "signature garbled" // not of the form of a signature
	CauseKey       Cause = "signature key"     // by a key that is not configured here
	CauseWrong     Cause = "signature wrong"   // does not fit the parameters
	CauseStale     Cause = "signature stale"   // older than the greatest age
	CauseFuture    Cause = "signature future"  // from the future: the clocks differ
	CauseNoCallID  Cause = "signature call-id" // the call has no Call-ID to check
	CauseNone      Cause = "none"              // not refused by this package
)

// Causes lists all causes, for a metric that starts all its labels at zero.
func Causes() []Cause {
	return []Cause{
		CauseLayout, CauseCut, CauseTooLong, CauseEncoding, CauseDoubled, CauseAction, CauseMissing, CauseMalformed,
		CauseUnsigned, CauseTwoSigned, CauseGarbled, CauseKey, CauseWrong, CauseStale, CauseFuture, CauseNoCallID,
	}
}

// Error makes a Cause an error, so that errors.Is finds it in a refusal.
func (c Cause) Error() string { return string(c) }

// CauseOf returns the cause that err wraps, or [CauseNone].
func CauseOf(err error) Cause {
	if cause, ok := errors.AsType[Cause](err); ok {
		return cause
	}
	return CauseNone
}

// refuse returns a refusal whose fault is the caller's.
func refuse(status int, cause Cause, format string, args ...any) *apps.Refusal {
	r := apps.Refuse(status, apps.FaultCaller, format, args...)
	r.Err = cause
	return r
}
