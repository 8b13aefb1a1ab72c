//go:build e2e

package phone

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"asterism/e2e/phone/hear"
	"asterism/e2e/telephony"
)

// asterisk starts the real one with a few extensions of the tests' own beside its fixed contexts, and writes a prompt for them.
func asterisk(t *testing.T) (a *telephony.Asterisk, prompt []int16) {
	t.Helper()
	a = telephony.ForTest(t)
	prompt = hear.Sample(42, 3*time.Second, sampleRate)
	// Asterisk's WAV reader takes the header for sound, and leaves out as much at the end.
	file := append(append([]int16(nil), prompt...), make([]int16, 22)...)
	var b bytes.Buffer
	must(t, hear.WriteWAV(&b, file, sampleRate))
	must(t, os.MkdirAll(a.MediaDir(), 0o755))
	must(t, os.WriteFile(filepath.Join(a.MediaDir(), "welcome.wav"), b.Bytes(), 0o644))
	welcome := filepath.Join(a.MediaDir(), "welcome")
	for _, module := range []string{"app_playback", "app_echo", "app_read"} {
		command(t, a, "module load "+module+".so")
	}
	for _, line := range []string{
		"play,1,Answer()", "play,2,Playback(" + welcome + ")", "play,3,Hangup(16)",
		"early,1,Progress()", "early,2,Playback(" + welcome + ",noanswer)", "early,3,Hangup(17)",
		"echo,1,Answer()", "echo,2,Echo()",
		"read,1,Answer()", "read,2,Read(D,,5)", "read,3,Hangup(${D:1})",
		"ring,1,Ringing()", "ring,2,Wait(20)",
	} {
		command(t, a, "dialplan add extension "+line+" into ingress replace")
	}
	return a, prompt
}

func command(t *testing.T, a *telephony.Asterisk, line string) {
	t.Helper()
	out, err := a.Command(bounded(t), line)
	if err != nil {
		t.Fatalf("%s: %v: %s", line, err, out)
	}
}

func TestAgainstAsterisk(t *testing.T) {
	a, prompt := asterisk(t)
	p := newPhone(t, "127.0.40.1", 0)
	target := func(user string) string { return "sip:" + user + "@" + a.SIPAddress() }

	for name, opts := range map[string]DialOptions{
		"playback over UDP":  {Target: target("play")},
		"playback over TCP":  {Target: target("play") + ";transport=tcp"},
		"playback in A-law":  {Target: target("play"), Codecs: []Codec{PCMA}},
		"a header of 5 KiB":  {Target: target("play"), Headers: [][2]string{{"X-Long", strings.Repeat("x", 5<<10)}}},
		"playback as others": {Target: target("play"), From: `"Anna" <sip:anna@example.com>`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, err := p.Dial(bounded(t), opts)
			must(t, err)
			end, err := c.Wait(bounded(t))
			must(t, err)
			if end.By != FarEnd || end.Cause != 16 {
				t.Errorf("the call ended with %+v", end)
			}
			resembles(t, c.Heard(), prompt)
			if rx := c.Reception(); rx.Lost != 0 || rx.Sources != 1 {
				t.Errorf("received %+v", rx)
			}
		})
	}

	t.Run("early media", func(t *testing.T) {
		t.Parallel()
		c, err := p.Dial(bounded(t), DialOptions{Target: target("early")})
		var refused *RefusedError
		if !errors.As(err, &refused) || refused.Status != 486 {
			t.Fatalf("got %v", err)
		}
		if !c.EarlyMedia() {
			t.Error("no early media")
		}
		happened(t, c, "183")
		resembles(t, c.Heard(), prompt)
	})

	t.Run("echo", func(t *testing.T) {
		t.Parallel()
		c, err := p.Dial(bounded(t), DialOptions{Target: target("echo")})
		must(t, err)
		said := hear.Sample(7, 2*time.Second, sampleRate)
		must(t, c.Say(bounded(t), said))
		time.Sleep(200 * time.Millisecond) // The echo's way back.
		must(t, c.Hangup(bounded(t)))
		resembles(t, c.Heard(), said)
	})

	t.Run("digits", func(t *testing.T) {
		t.Parallel()
		c, err := p.Dial(bounded(t), DialOptions{Target: target("read")})
		must(t, err)
		if err := c.SendDTMF(bounded(t), "1,34#"); err != nil {
			out, _ := a.Command(bounded(t), "dialplan show read@ingress")
			t.Fatal(err, c.Events(), c.end, out)
		}
		end, err := c.Wait(bounded(t))
		must(t, err)
		if end.Cause != 34 { // What Asterisk read, without the first digit.
			t.Errorf("the call ended with %+v", end)
		}
	})

	t.Run("cancelled", func(t *testing.T) {
		t.Parallel()
		c, err := p.Start(bounded(t), DialOptions{Target: target("ring")})
		must(t, err)
		happened(t, c, "180")
		must(t, c.Hangup(bounded(t)))
		if end, err := c.Wait(bounded(t)); err != nil || end.Status != 487 || end.By != Us {
			t.Errorf("the call ended with %+v, %v", end, err)
		}
	})
}
