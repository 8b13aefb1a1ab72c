package apps

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
)

// What a log keeps of an error is bounded, and is the same whether it went
// through the log or not.
func TestFailureIsBounded(t *testing.T) {
	for _, char := range []string{"e", "<", "\x00", "\xff", "é", `"`} {
		long := strings.Repeat(char, 3000)
		err := errors.New(long)
		for range 20 {
			err = fmt.Errorf("%s: %w", long, err)
		}
		for _, err := range []error{
			err,
			&Refusal{Verdict: Verdict{Status: 500, Reason: long, Fault: Fault(long)}, Err: err},
			&MediaError{Sound: long, Problem: MediaProblem(long), Detail: long},
		} {
			f := FailureOf(err)
			raw := f.Encode()
			var kept Failure
			if jsonErr := json.Unmarshal(raw, &kept); jsonErr != nil || len(raw) > MaxFailure {
				t.Errorf("%q: %d bytes, %v", char, len(raw), jsonErr)
			}
			if a, b := f.Err(), kept.Err(); a.Error() != b.Error() || VerdictOf(a) != VerdictOf(b) {
				t.Errorf("%q: the error is %q, and out of the log %q", char, a, b)
			}
		}
	}
}
