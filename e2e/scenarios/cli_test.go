//go:build e2e

package scenarios

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"asterism/e2e/phone/hear"
)

// commandLine does what a person at a shell does.
func commandLine(t *testing.T, p *platform) {
	t.Helper()
	prompt := p.prompt(t, "shell/prompt", 141, 2*time.Second, "--json")
	target := "sip:1000@" + p.SIP(1)
	dir := t.TempDir()
	read := func(t *testing.T, file string) []int16 {
		t.Helper()
		f, err := os.Open(file)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		audio, err := hear.ReadWAV(f)
		if err != nil {
			t.Fatal(err)
		}
		return audio.At(rate)
	}
	t.Run("call", func(t *testing.T) {
		t.Parallel()
		file := filepath.Join(dir, "heard.wav")
		var r float64
		for try := 0; try < tries && r < least; try++ { // for busy machines, as heard does
			out := p.asterism(t, "call", "--action", "Playback", "--sound", "shell/prompt", "--heard", file, target)
			for _, text := range []string{"Answered after ", " ms", "Heard ", "Ended by far end after "} {
				if !strings.Contains(out, text) {
					t.Fatalf("asterism call says %q; want %q", out, text)
				}
			}
			r, _ = hear.Correlate(read(t, file), prompt, rate)
		}
		if r < least {
			t.Errorf("what --heard has written correlates %.3f with the prompt", r)
		}
	})
	t.Run("call with keys, speech and JSON", func(t *testing.T) {
		t.Parallel()
		speech := filepath.Join(dir, "speech.wav")
		if err := os.WriteFile(speech, wave(hear.Sample(142, time.Second, rate), rate, 1), 0o600); err != nil {
			t.Fatal(err)
		}
		out := p.asterism(t, "call", "--json", "--say", speech, "--dtmf", "1,#", "--header", "X-Asterisk-Action: Playback",
			"--header", "X-Asterisk-Sound: shell/prompt", "--header", "X-Asterisk-Loop: forever", "--header", "X-Asterisk-Digits-Stop: #", target)
		var report struct {
			Answered bool    `json:"answered"`
			HeardS   float64 `json:"heard_s"`
			EndedBy  string  `json:"ended_by"`
			CallID   string  `json:"call_id"`
		}
		if err := json.Unmarshal([]byte(out), &report); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		if !report.Answered || report.EndedBy != "far end" || report.HeardS < 1 {
			t.Errorf("the report is %s; want an answered call that the key has ended", out)
		}
		p.logged(t, "run-1", report.CallID, "call ended", `"digit":"#"`)
	})
	t.Run("call with a bound", func(t *testing.T) {
		t.Parallel()
		out := p.asterism(t, "call", "--action", "Playback", "--sound", "shell/prompt", "--header", "X-Asterisk-Loop: 0", "--for", "1s", target)
		if !strings.Contains(out, "Ended by us") {
			t.Errorf("asterism call says %q; want that it hung up", out)
		}
	})
	for name, args := range map[string][]string{
		"refused":     {"--action", "Playback", "--sound", "nowhere", target},
		"nobody":      {"--action", "Playback", "--sound", "x", "sip:1000@127.0.0.1:1"},
		"no file":     {"--say", filepath.Join(dir, "none.wav"), target},
		"not a digit": {"--action", "Playback", "--sound", "shell/prompt", "--dtmf", "1x", target},
	} {
		t.Run("call fails: "+name, func(t *testing.T) {
			t.Parallel()
			out, err := run(t, p.binary, append([]string{"call"}, args...)...)
			exit, ok := errors.AsType[*exec.ExitError](err)
			if !ok || exit.ExitCode() < 1 || !strings.Contains(out, "asterism: ") {
				t.Errorf("asterism call says %q, %v; want a sentence and a failure", out, err)
			}
		})
	}
	t.Run("media", func(t *testing.T) {
		t.Parallel()
		file := filepath.Join(dir, "got.wav")
		p.asterism(t, "media", "get", "shell/prompt", file)
		if r, _ := hear.Correlate(read(t, file), prompt, rate); r < 0.99 {
			t.Errorf("media get returns what correlates %.3f with the prompt", r)
		}
		if out := p.asterism(t, "media", "ls", "shell/"); !strings.Contains(out, "shell/prompt") {
			t.Errorf("media ls says %q", out)
		}
		if out, err := run(t, p.binary, "--config", p.ConfigPath(), "media", "get", "nowhere"); err == nil || !strings.Contains(out, "nowhere") {
			t.Errorf("media get of what is not there says %q, %v", out, err)
		}
	})
}

// roleMetrics are what each role must tell of itself.
var roleMetrics = map[string][]string{
	"gateway-1": {
		"asterism_calls", "asterism_calls_total", "asterism_calls_offered_total", "asterism_calls_accepted_total", "asterism_calls_refused_total",
		"asterism_setup_seconds_count", "asterism_ari_request_seconds_count", "asterism_media_cache_lookups_total", "asterism_gateway_queue_messages",
	},
	"worker-1": {"asterism_worker_sessions", "asterism_worker_sessions_total", "asterism_worker_queue_messages", "asterism_flows_total"},
	"nats-1":   {"asterism_nats_subscriptions", "asterism_build_info", "go_goroutines"},
}

// tells looks for the metrics, and for labels that grow with the calls.
func (p *platform) tells(t *testing.T) {
	t.Helper()
	for process, names := range roleMetrics {
		_, page, err := get(t, p.Process(process).URL()+"/metrics")
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			if !strings.Contains(page, "\n"+name+"{") && !strings.Contains(page, "\n"+name+" ") {
				t.Errorf("%s has no metric %s", process, name)
			}
		}
		if series := strings.Count(page, "\nasterism_"); series > 300 {
			t.Errorf("%s has %d series of its own, want few", process, series)
		}
		if strings.Contains(page, "core/narrow") || strings.Contains(page, fmt.Sprint(p.SIP(1))) {
			t.Errorf("%s has labels made of sounds or addresses", process)
		}
	}
}
