package phone

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

var (
	// ErrNoAnswer says that the far end did not answer before the caller gave up; the call was cancelled.
	ErrNoAnswer = errors.New("no answer")
	// ErrUnreachable says that nothing listens at the address called, or that it cannot be reached.
	ErrUnreachable = errors.New("nothing is listening")
	// ErrClosed says that the phone has been closed.
	ErrClosed = errors.New("the phone is closed")
)

// RefusedError is a final response other than 2xx to the INVITE. 3xx are here too: the phone does not follow them.
type RefusedError struct {
	Status  int         // SIP status, 300–699.
	Phrase  string      // The reason phrase of the status line.
	Headers [][2]string // All headers of the response, in their order.
}

func (e *RefusedError) Error() string {
	what := "refused"
	if e.Status < 400 {
		what = "redirected"
	}
	text := fmt.Sprintf("%s: %d %s", what, e.Status, e.Phrase)
	if contact := e.Header("Contact"); e.Status < 400 && contact != "" {
		text += " to " + contact
	}
	reason := e.Header("Reason")
	if said := displayName(e.Header("P-Asserted-Identity")); said != "" {
		reason = said // More than a cause: see docs/adr/0003.
	}
	if reason != "" {
		text += " (" + reason + ")"
	}
	return text
}

// displayName is the quoted display name of an address (RFC 3261 section 20.10), or "".
func displayName(address string) string {
	rest, ok := strings.CutPrefix(strings.TrimSpace(address), `"`)
	name, _, closed := strings.Cut(rest, `" <`)
	if !ok || !closed {
		return ""
	}
	return name
}

// Header returns the first header of a name, in any case, or "".
func (e *RefusedError) Header(name string) string { return headerOf(e.Headers, name) }

func headerOf(headers [][2]string, name string) string {
	for _, h := range headers {
		if strings.EqualFold(h[0], name) {
			return h[1]
		}
	}
	return ""
}

// Party is who ended a call.
type Party string

// The parties that can end a call.
const (
	Us     Party = "us"      // BYE or CANCEL of the phone.
	FarEnd Party = "far end" // BYE, CANCEL or a final refusal of the far end.
	Nobody Party = "nobody"  // The call died: no answer to a request, a transport failure, the phone closed.
)

// End is how a call ended.
type End struct {
	By       Party
	At       time.Duration // After the INVITE.
	Answered bool          // Whether there was a 200 before.
	Status   int           // The final SIP status of an unanswered call, 0 otherwise.
	Reason   string        // The Reason header (RFC 3326) of the BYE, CANCEL or refusal, or a sentence on what went wrong.
	Cause    int           // The Q.850 cause of the Reason header; 0 when there is none.
	Headers  [][2]string   // All headers of the message that ended the call; nil when the phone sent it.
}

// causeOf reads the Q.850 cause from the values of Reason headers (RFC 3326).
func causeOf(headers [][2]string) (reason string, cause int) {
	for _, h := range headers {
		if !strings.EqualFold(h[0], "Reason") {
			continue
		}
		if reason != "" {
			reason += ", "
		}
		reason += h[1]
		for value := range strings.SplitSeq(h[1], ",") {
			protocol, params, _ := strings.Cut(value, ";")
			if !strings.EqualFold(strings.TrimSpace(protocol), "Q.850") {
				continue
			}
			for param := range strings.SplitSeq(params, ";") {
				name, number, _ := strings.Cut(param, "=")
				if n, err := strconv.Atoi(strings.TrimSpace(number)); err == nil && strings.EqualFold(strings.TrimSpace(name), "cause") && cause == 0 {
					cause = n
				}
			}
		}
	}
	return reason, cause
}
