package main

import (
	"bytes"
	"encoding/json"
	"math"
	"os"
	"strings"
	"testing"

	"asterism/e2e/phone/hear"
)

// tone writes a second of sound.
func tone(t *testing.T, name string) {
	t.Helper()
	samples := make([]int16, 16000)
	for i := range samples {
		samples[i] = int16(9000 * math.Sin(2*math.Pi*440*float64(i)/16000))
	}
	var b bytes.Buffer
	if err := hear.WriteWAV(&b, samples, 16000); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestMedia(t *testing.T) {
	t.Chdir(t.TempDir())
	tone(t, "welcome.wav")
	if err := os.WriteFile("letter.pdf", []byte("%PDF-1.7 dear sirs"), 0o600); err != nil {
		t.Fatal(err)
	}
	env := []string{"ASTERISM_STORAGE_DIR_PATH=objects"}
	for _, step := range []struct {
		args string
		code int
		want string
	}{
		{"media ls --json", 0, "[]"},
		{"media put welcome.wav", 0, "welcome: 1.0 s, from WAV, mono, 16 kHz; stored as WAV, mono, 16 kHz"},
		{"media put welcome.wav greetings/hello --language it --json", 0, `"name": "it/greetings/hello"`},
		{"media put letter.pdf", 1, "PDF"},
		{"media put nothing.wav", 1, "nothing.wav"},
		{"media put welcome.wav ../up", 1, "../up"},
		{"media put -", 1, "expected one after the -"},
		{"media ls", 0, "it/greetings/hello"},
		{"media ls wel", 0, "welcome"},
		{"media get welcome copy.wav", 0, "welcome: written to copy.wav"},
		{"media get it/greetings/hello", 0, "written to hello.wav"},
		{"media get welcome -", 0, "RIFF"},
		{"media get welcom", 1, "no such sound"},
		{"media rm welcom welcome", 1, "welcome: removed"},
		{"media rm greetings/hello --language it --json", 0, `"greetings/hello"`},
		{"media ls --json", 0, "[]"},
	} {
		code, stdout, stderr := asterism(t, env, strings.Fields(step.args)...)
		if code != step.code || !strings.Contains(stdout+stderr, step.want) {
			t.Errorf("asterism %s: exit code %d, printed %.300q; want %d and %q", step.args, code, stdout+stderr, step.code, step.want)
		}
		if strings.Contains(step.args, "--json") && step.code == 0 && !json.Valid([]byte(stdout)) {
			t.Errorf("asterism %s: %q is not JSON", step.args, stdout)
		}
	}
	first, err := os.ReadFile("copy.wav")
	if err != nil {
		t.Fatal(err)
	}
	if second, err := os.ReadFile("hello.wav"); err != nil || !bytes.Equal(first, second) {
		t.Errorf("the same sound under two names differs: %v", err)
	}
}
