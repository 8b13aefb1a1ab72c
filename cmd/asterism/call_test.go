package main

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"asterism/e2e/phone"
	"asterism/e2e/phone/hear"
)

// farEnd is a phone that takes one call and does with it what the test says.
func farEnd(t *testing.T, do func(ctx context.Context, c *phone.Call) error) *phone.Phone {
	t.Helper()
	p, err := phone.New(phone.Options{Addr: "127.0.40.20:0", Incoming: 1})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	done := make(chan struct{})
	go func() {
		defer close(done)
		c, err := p.Accept(ctx)
		if err == nil {
			err = do(ctx, c)
		}
		if err != nil && ctx.Err() == nil {
			t.Error(err)
		}
	}()
	t.Cleanup(func() {
		cancel()
		<-done
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	return p
}

// call runs the whole program's call command.
func call(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	code = run(t.Context(), append([]string{"call"}, args...), nil, &out, &errs)
	return code, out.String(), errs.String()
}

func writeSample(t *testing.T, seed uint64, rate int) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "say.wav")
	var b bytes.Buffer
	if err := hear.WriteWAV(&b, hear.Sample(seed, time.Second, rate), rate); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestCallIsHeardAndSaysSo(t *testing.T) {
	prompt := hear.Sample(1, time.Second, telephoneRate)
	var digits, action string
	var said []int16
	p := farEnd(t, func(ctx context.Context, c *phone.Call) error {
		for _, h := range c.Request() {
			if strings.HasPrefix(h[0], "X-Asterisk-") {
				action += h[0] + "=" + h[1] + ";"
			}
		}
		if err := c.Answer(ctx); err != nil {
			return err
		}
		if err := c.Say(ctx, prompt); err != nil {
			return err
		}
		for len(c.Digits()) < 3 && ctx.Err() == nil {
			time.Sleep(5 * time.Millisecond)
		}
		for _, d := range c.Digits() {
			digits += string(d.Key)
		}
		said = c.Heard()
		return c.Hangup(ctx)
	})
	heard := filepath.Join(t.TempDir(), "heard.wav")
	code, stdout, stderr := call(t, "--action", "Playback", "--sound", "welcome", "--language", "it", "--header", "X-Asterisk-Loop: 2, 3",
		"--say", writeSample(t, 2, 44_100), "--dtmf", "12#", "--heard", heard, "--transport", "tcp", p.URI())
	if code != 0 || stderr != "" {
		t.Fatalf("code %d: %s", code, stderr)
	}
	for _, want := range []string{"Answered after ", "Heard ", "0 lost", "Ended by far end after "} {
		if !strings.Contains(stdout, want) {
			t.Errorf("the report lacks %q:\n%s", want, stdout)
		}
	}
	if want := "X-Asterisk-Action=Playback;X-Asterisk-Sound=welcome;X-Asterisk-Language=it;X-Asterisk-Loop=2, 3;"; action != want {
		t.Errorf("headers are %s, want %s", action, want)
	}
	if digits != "12#" {
		t.Errorf("digits are %q", digits)
	}
	if r, _ := hear.Correlate(said, hear.Sample(2, time.Second, telephoneRate), telephoneRate); r < 0.99 {
		t.Errorf("the far end heard the file at %.3f", r)
	}
	file, err := os.Open(heard)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close() //nolint:errcheck // It was only read.
	audio, err := hear.ReadWAV(file)
	if err != nil {
		t.Fatal(err)
	}
	if r, _ := hear.Correlate(audio.At(telephoneRate), prompt, telephoneRate); r < 0.99 {
		t.Errorf("the file has the prompt at %.3f", r)
	}
}

func TestCallAsJSONEndsAtItsBound(t *testing.T) {
	p := farEnd(t, func(ctx context.Context, c *phone.Call) error { return c.Answer(ctx) })
	code, stdout, stderr := call(t, "--json", "--for", "300ms", "--codec", "alaw", p.URI())
	var report struct {
		Answered bool    `json:"answered"`
		Codec    string  `json:"codec"`
		EndedBy  string  `json:"ended_by"`
		EndedMS  float64 `json:"ended_ms"`
		Packets  int     `json:"packets"`
		Timeline []struct {
			What string `json:"what"`
		} `json:"timeline"`
	}
	if err := json.Unmarshal([]byte(stdout), &report); err != nil || code != 0 {
		t.Fatalf("code %d, %v: %s%s", code, err, stdout, stderr)
	}
	if !report.Answered || report.Codec != "PCMA" || report.EndedBy != "us" || report.EndedMS < 300 || report.Packets == 0 || len(report.Timeline) < 4 {
		t.Errorf("the report is %s", stdout)
	}
}

func TestCallFails(t *testing.T) {
	refuse := func(ctx context.Context, c *phone.Call) error {
		return c.Reject(ctx, 404, "Not Found", [2]string{"Reason", `Q.850;cause=1;text="no such sound"`})
	}
	ring := func(ctx context.Context, c *phone.Call) error {
		if err := c.Ring(ctx); err != nil {
			return err
		}
		<-c.Done()
		return nil
	}
	mute := func(ctx context.Context, c *phone.Call) error {
		c.Mute(true)
		return c.Answer(ctx)
	}
	notWAV := filepath.Join(t.TempDir(), "a.wav")
	if err := os.WriteFile(notWAV, []byte("ID3 not at all"), 0o600); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name string
		do   func(context.Context, *phone.Call) error
		args []string
		says string
	}{
		{"refused", refuse, nil, `refused: 404 Not Found (Q.850;cause=1;text="no such sound")`},
		{"not answered", ring, []string{"--for", "300ms"}, "no answer (the last response was 180): the bound of 300ms is over"},
		{"nothing heard", mute, []string{"--for", "300ms", "--heard", filepath.Join(t.TempDir(), "h.wav")}, "nothing was heard"},
		{"nobody there", nil, []string{"sip:1@127.0.40.9:9"}, "nothing is listening at 127.0.40.9:9"},
		{"no URI", nil, []string{"1000"}, "expected a SIP URI"},
		{"wrong digits", nil, []string{"--dtmf", "1x", "sip:1@127.0.40.9:9"}, "character 2"},
		{"wrong header", nil, []string{"--header", "no colon", "sip:1@127.0.40.9:9"}, "expected 'Name: value'"},
		{"wrong codec", nil, []string{"--codec", "g729", "sip:1@127.0.40.9:9"}, "--codec"},
		{"not a WAV file", nil, []string{"--say", notWAV, "sip:1@127.0.40.9:9"}, "not a WAV file"},
		{"no file", nil, []string{"--say", notWAV + "x", "sip:1@127.0.40.9:9"}, "--say"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			args := test.args
			if test.do != nil {
				args = append(args, farEnd(t, test.do).URI())
			}
			code, stdout, stderr := call(t, args...)
			if code != 1 || !strings.Contains(stderr, test.says) {
				t.Errorf("code %d, want 1 and %q:\n%s%s", code, test.says, stdout, stderr)
			}
		})
	}
}
