//go:build e2e

package stack_test

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"asterism/e2e/phone/hear"
	"asterism/e2e/stack"
	"asterism/e2e/telephony"
)

// asterism runs the program as a person does.
func asterism(t *testing.T, s *stack.Stack, args ...string) string {
	t.Helper()
	project, err := telephony.ProjectDir()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, filepath.Join(project, "bin", "asterism"), args...)
	cmd.Env = append(os.Environ(), "ASTERISM_CONFIG="+s.ConfigPath())
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("asterism %v: %v\n%s", args, err, out)
	}
	return string(out)
}

// read returns a WAV file at 8 kHz.
func read(t *testing.T, name string) []int16 {
	t.Helper()
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	heard, err := hear.ReadWAV(f)
	if err != nil {
		t.Fatal(err)
	}
	return heard.At(8000)
}

// TestFirstCall does what the README says, in one process and split.
func TestFirstCall(t *testing.T) {
	for name, o := range map[string]stack.Options{"one process": {}, "split": {Split: true}} {
		t.Run(name, func(t *testing.T) {
			s := stack.ForTest(t, o)
			dir := t.TempDir()
			welcome, heardFile := filepath.Join(dir, "welcome.wav"), filepath.Join(dir, "heard.wav")
			prompt := hear.Sample(1, 2*time.Second, 16000)
			var wav bytes.Buffer
			if err := hear.WriteWAV(&wav, prompt, 16000); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(welcome, wav.Bytes(), 0o600); err != nil {
				t.Fatal(err)
			}
			asterism(t, s, "media", "put", welcome)
			// On a busy machine a packet may come late, which tells nothing
			// about the two commands.
			var r float64
			var said string
			for try := 0; try < 3 && r < 0.95; try++ {
				said = asterism(t, s, "call", "--action", "Playback", "--sound", "welcome", "--heard", heardFile, "sip:1000@"+s.SIP(1))
				r, _ = hear.Correlate(read(t, heardFile), hear.Resample(prompt, 16000, 8000), 8000)
			}
			if r < 0.95 {
				t.Errorf("what was heard correlates %.3f with the prompt; want 0.95. The call said:\n%s", r, said)
			}
		})
	}
}
