//go:build e2e

package scenarios

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"asterism/e2e/phone"
	"asterism/e2e/phone/hear"
)

// playback is the headers of a call that plays sounds. The rest are names,
// without X-Asterisk-, and values.
func playback(sounds string, more ...string) [][2]string {
	headers := [][2]string{{"X-Asterisk-Action", "Playback"}, {"X-Asterisk-Sound", sounds}}
	for i := 0; i+1 < len(more); i += 2 {
		headers = append(headers, [2]string{"X-Asterisk-" + more[i], more[i+1]})
	}
	return headers
}

// newPhone is a phone of the test's own.
func newPhone(t *testing.T) *phone.Phone {
	t.Helper()
	ph, err := phone.New(phone.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := ph.Close(); err != nil {
			t.Errorf("close the phone: %v", err)
		}
	})
	return ph
}

// to is a call to the n-th node.
func (p *platform) to(node int, headers [][2]string) phone.DialOptions {
	return phone.DialOptions{Target: "sip:1000@" + p.SIP(node), Headers: headers}
}

// dial calls the n-th node and waits for the answer or refusal.
func (p *platform) dial(t *testing.T, node int, headers [][2]string) (*phone.Call, error) {
	t.Helper()
	return dialWith(t, p.to(node, headers))
}

func dialWith(t *testing.T, o phone.DialOptions) (*phone.Call, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	return newPhone(t).Dial(ctx, o)
}

// call calls the first node, which must answer.
func (p *platform) call(t *testing.T, headers [][2]string) *phone.Call {
	t.Helper()
	return p.callNode(t, 1, headers)
}

func (p *platform) callNode(t *testing.T, node int, headers [][2]string) *phone.Call {
	t.Helper()
	c, err := p.dial(t, node, headers)
	if err != nil {
		t.Fatalf("call with %v: %v", headers, err)
	}
	return c
}

// refusal is how a call was refused.
type refusal struct {
	callID string
	reason string        // the sentence that the caller's log shows
	after  time.Duration // the INVITE
}

// refused calls the first node, which must refuse with the status.
func (p *platform) refused(t *testing.T, status int, headers [][2]string) refusal {
	t.Helper()
	c, err := p.dial(t, 1, headers)
	return refusedWith(t, c, err, status)
}

func refusedWith(t *testing.T, c *phone.Call, err error, status int) refusal {
	t.Helper()
	r, ok := errors.AsType[*phone.RefusedError](err)
	if !ok {
		t.Fatalf("the call ended with %v; want a refusal with %d", err, status)
	}
	if r.Status != status {
		t.Errorf("refused with %d %s, want %d: %v", r.Status, r.Phrase, status, r.Headers)
	}
	if c.EarlyMedia() {
		t.Error("there was sound before the refusal")
	}
	end, err := c.Wait(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return refusal{callID: c.ID(), reason: reasonOf(r), after: end.At}
}

// reasonOf is the sentence that a refusal carries as the name in
// P-Asserted-Identity.
func reasonOf(r *phone.RefusedError) string {
	name, uri, ok := strings.Cut(r.Header("P-Asserted-Identity"), " <")
	if !ok || !strings.HasPrefix(uri, "sip:refused@") {
		return ""
	}
	return strings.Trim(name, `"`)
}

// says fails the test unless the reason holds all the texts.
func (r refusal) says(t *testing.T, texts ...string) {
	t.Helper()
	for _, text := range texts {
		if !strings.Contains(r.reason, text) {
			t.Errorf("the reason is %q; want it to say %q", r.reason, text)
		}
	}
}

// ended waits for the end of a call and says how it was.
func ended(t *testing.T, c *phone.Call) phone.End {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	end, err := c.Wait(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return end
}

// endedByFarEnd waits for the end, which must be a BYE of the platform.
func endedByFarEnd(t *testing.T, c *phone.Call) phone.End {
	t.Helper()
	end := ended(t, c)
	if end.By != phone.FarEnd || !end.Answered {
		t.Errorf("the call ended by %q (%s), answered: %v; want a BYE of the platform", end.By, end.Reason, end.Answered)
	}
	return end
}

// least is the correlation from which on a prompt counts as heard.
const least = 0.95

const (
	// stall is a pause in the stream that the platform cannot have made: also
	// between sounds Asterisk sends a packet every 20 ms. The machine, or what
	// it runs on, stood still.
	stall = 60 * time.Millisecond
	tries = 4
)

// heard judges a call by what was heard in it, and repeats it when the machine
// stood still meanwhile, as busy ones do: then there was a gap that is nobody's
// fault.
func heard(t *testing.T, listen func() (*phone.Call, error)) {
	t.Helper()
	for try := 1; ; try++ {
		c, err := listen()
		if err == nil {
			return
		}
		rx := c.Reception()
		if try == tries || rx.LongestGap < stall {
			t.Fatalf("%v\n%v\n%+v", err, c.Events(), rx)
		}
		t.Logf("once more, for the machine stood still for %v: %v", rx.LongestGap, err)
	}
}

// hears is an error unless a prompt was heard, whole.
func hears(c *phone.Call, prompt []int16) error {
	heard := c.Heard()
	if r, at := hear.Correlate(heard, prompt, rate); r < least {
		return fmt.Errorf("of a prompt of %.1f s a correlation of %.3f at %.2f s was heard in %.1f s; want %.2f",
			seconds(prompt), r, at.Seconds(), seconds(heard), least)
	}
	return nil
}

// sequence is an error unless the parts were heard one after the other, with
// gaps from least to most. Without most, gaps do not matter.
func sequence(c *phone.Call, shortest, longest time.Duration, parts ...[]int16) error {
	found, err := hear.Sequence(c.Heard(), rate, least, parts...)
	if err != nil {
		return err
	}
	for i, part := range found[1:] {
		if longest > 0 && (part.Gap < shortest || part.Gap > longest) {
			return fmt.Errorf("a gap of %v before part %d, want %v to %v", part.Gap, i+2, shortest, longest)
		}
	}
	return nil
}

// noLonger is an error when more was heard.
func noLonger(c *phone.Call, most time.Duration) error {
	if s := seconds(c.Heard()); s > most.Seconds() {
		return fmt.Errorf("%.1f s were heard, want at most %v", s, most)
	}
	return nil
}

func seconds(pcm []int16) float64 { return float64(len(pcm)) / rate }

// part is a piece of a sound, in seconds.
func part(pcm []int16, from, to float64) []int16 {
	return pcm[int(from*rate):min(int(to*rate), len(pcm))]
}

// listen waits until so much was heard.
func listen(t *testing.T, c *phone.Call, d time.Duration) {
	t.Helper()
	eventually(t, "sound", func() bool { return seconds(c.Heard()) >= d.Seconds() })
}

// press sends keys.
func press(t *testing.T, c *phone.Call, keys string) {
	t.Helper()
	if err := c.SendDTMF(t.Context(), keys); err != nil {
		t.Fatal(err)
	}
}

// statuses are the provisional and final responses to the INVITE.
func statuses(c *phone.Call) []string {
	var all []string
	for _, e := range c.Events() {
		if len(e.What) > 3 && e.What[3] == ' ' && e.What[0] >= '1' && e.What[0] <= '6' {
			all = append(all, e.What)
		}
	}
	return all
}
