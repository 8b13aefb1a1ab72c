//go:build e2e

package scenarios

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"asterism/e2e/phone"
	"asterism/e2e/stack"
)

// TestBadInput calls with whatever may be wrong, and looks for the sentence in
// the caller's hands and in the logs of those who said no.
func TestBadInput(t *testing.T) {
	p := start(t, stack.Options{Split: true, Workers: 1})
	good := p.prompt(t, "good", 81, time.Second)
	p.prompt(t, "grüße/ünï", 82, time.Second)
	for name, content := range map[string]string{
		"garbage": "RIFF\x24\x00\x00\x00WAVEfmt " + strings.Repeat("\xff", 40),
		"text":    "this is no sound",
		"empty":   "",
		"cut":     string(wave(good, rate, 1)[:36]),
	} {
		p.object(t, "broken/"+name+".wav", content)
	}
	const (
		gateway = "gateway-1" // refuses by itself
		worker  = "worker-1"  // refuses through the gateway
	)
	long := strings.Repeat("x", 1000)
	for _, test := range []struct {
		name    string
		headers [][2]string
		status  int
		by      string
		says    []string
	}{
		{"no action", [][2]string{{"X-Asterisk-Sound", "good"}}, 400, worker, []string{"X-Asterisk-Action is missing"}},
		{"nothing", nil, 400, worker, []string{"X-Asterisk-Action is missing"}},
		{"unknown action", [][2]string{{"X-Asterisk-Action", "Playbak"}}, 404, worker, []string{"Playbak", "no such action", "Playback"}},
		{"missing sound", [][2]string{{"X-Asterisk-Action", "Playback"}}, 400, worker, []string{"X-Asterisk-Sound is missing"}},
		{"empty sound", playback(""), 400, worker, []string{"X-Asterisk-Sound is missing"}},
		{"no such sound", playback("nowhere"), 404, worker, []string{"nowhere", "not found"}},
		{"no such sound among good ones", playback("good&media:nowhere&good"), 404, worker, []string{"nowhere", "not found"}},
		{"no such sound of Asterisk", playback("sound:nowhere"), 404, worker, []string{"sound:nowhere", "not found"}},
		{"traversal", playback("media:../../secret"), 400, worker, []string{"media:../../secret"}},
		{"kind", playback("http://example.com/x.wav"), 400, worker, []string{"http"}},
		{"broken", playback("broken/garbage"), 488, worker, []string{"broken/garbage", "broken"}},
		{"broken among good ones", playback("good&broken/cut"), 488, worker, []string{"broken/cut", "broken"}},
		{"text", playback("broken/text"), 488, worker, []string{"broken/text", "broken"}},
		{"empty file", playback("broken/empty"), 488, worker, []string{"broken/empty", "broken"}},
		{"loop", playback("good", "Loop", "-1"), 400, worker, []string{"X-Asterisk-Loop", "-1", "expected"}},
		{"boolean", playback("good", "Early-Media", "perhaps"), 400, worker, []string{"X-Asterisk-Early-Media", "perhaps", "yes or no"}},
		{"language", playback("good", "Language", "it,IT"), 400, worker, []string{"X-Asterisk-Language", "it,IT"}},
		{"keys twice", playback("good", "Digits-Stop", "5", "Controls", "pause=5"), 400, worker, []string{"the key 5"}},
		{"comma", playback("one,two"), 400, worker, []string{"one,two"}},
		{"utf-8", playback("größe/日本"), 404, worker, []string{"größe/日本", "not found"}},
		{"not utf-8", playback("gr\xfc\xdfe"), 400, gateway, []string{"X-Asterisk-Sound", "UTF-8"}},
		{"control characters", playback("go\x01od\x1b[2J"), 400, gateway, []string{"X-Asterisk-Sound", "control"}},
		{"10 KiB", playback(strings.Repeat("a", 10<<10)), 400, gateway, nil},
		{"1,025 bytes", playback(strings.Repeat("a", 1025)), 400, gateway, []string{"X-Asterisk-Sound", "1024"}},
		{"more than 2 KiB in all", playback("good", "Vars", "a="+long, "Menu", long, "Greeting", long), 400, gateway, []string{"2048"}},
		{"name of 10 KiB", append(playback("good"), [2]string{"X-Asterisk-" + strings.Repeat("N", 10<<10), "x"}), 400, gateway, nil},
		{"doubled", append(playback("good"), [2]string{"X-Asterisk-Sound", "good"}), 400, gateway, []string{"X-Asterisk-Sound", "twice"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			r := p.refused(t, test.status, test.headers)
			if r.reason == "" {
				t.Error("the refusal carries no reason")
			}
			r.says(t, test.says...)
			p.explained(t, r, test.status, test.by == worker)
		})
	}
	t.Run("good", func(t *testing.T) {
		t.Run("with what is ignored", func(t *testing.T) {
			t.Parallel()
			heard(t, func() (*phone.Call, error) {
				c := p.call(t, playback("good", "Nonsense", "a,b;c=\"d\"", "Mailbox", "100", "Lop", "3"))
				endedByFarEnd(t, c)
				p.logged(t, worker, c.ID(), "X-Asterisk-Lop is not known", "did you mean Loop")
				p.logged(t, worker, c.ID(), "X-Asterisk-Mailbox was ignored")
				return c, hears(c, good)
			})
		})
		t.Run("in any case", func(t *testing.T) {
			t.Parallel()
			p.plays(t, [][2]string{{"x-asterisk-action", "Playback"}, {"X-ASTERISK-SOUND", " good "}}, good)
		})
		t.Run("utf-8", func(t *testing.T) {
			t.Parallel()
			heard(t, func() (*phone.Call, error) {
				c := p.call(t, playback("grüße/ünï", "Vars", "who=M%C3%BCller%2C+Ana&x=1"))
				endedByFarEnd(t, c)
				return c, noLonger(c, 3*time.Second)
			})
		})
	})
	p.nothingLeft(t)
}

// explained looks for the refusal in the logs: the status, the sentence, and
// the same call id everywhere.
func (p *platform) explained(t *testing.T, r refusal, status int, byWorker bool) {
	t.Helper()
	if !byWorker {
		line := p.logged(t, "gateway-1", r.callID, "call refused")
		if line["status"] != float64(status) || !strings.HasPrefix(reasonless(line["reason"]), reasonless(r.reason)) {
			t.Errorf("the gateway logged %v; want %d and %q", line, status, r.reason)
		}
		return
	}
	line := p.logged(t, "worker-1", r.callID, "the flow has ended")
	if line["status"] != float64(status) || line["level"] != "warn" || line["error"] == "" {
		t.Errorf("the worker logged %v; want a warning with %d", line, status)
	}
	record := p.logged(t, "gateway-1", r.callID, "call ended")
	outcome, ok := record["outcome"].(map[string]any)
	if !ok || outcome["status"] != float64(status) || record["session"] != line["session"] {
		t.Errorf("the call record is %v; want status %d and session %v", record, status, line["session"])
	}
}

// reasonless is a text as a quoted string in a header can hold it.
func reasonless(text any) string {
	s, ok := text.(string)
	if !ok {
		return "none"
	}
	return strings.NewReplacer(`"`, "'", `\`, "'").Replace(s)
}

// object puts a file into the bucket past "asterism media".
func (p *platform) object(t *testing.T, name, content string) {
	t.Helper()
	file := filepath.Join(p.dir, "storage", "media", filepath.FromSlash(name))
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

// nothingLeft waits until no call is anywhere.
func (p *platform) nothingLeft(t *testing.T) {
	t.Helper()
	for n := 1; p.Asterisk(n) != nil; n++ {
		eventually(t, "Asterisk without a channel", func() bool { return p.channels(t, n) == 0 })
	}
	for _, proc := range p.Processes() {
		if proc.URL() == "" {
			continue
		}
		for _, name := range []string{"asterism_calls", "asterism_worker_sessions", "asterism_events_unacknowledged"} {
			eventually(t, proc.Name()+" with no "+name, func() bool { return p.metric(t, proc.Name(), name) == 0 })
		}
	}
}

// TestMediaRefused puts files that are no sounds.
func TestMediaRefused(t *testing.T) {
	dir := t.TempDir()
	config := filepath.Join(dir, "asterism.yaml")
	if err := os.WriteFile(config, []byte("storage: {kind: dir, dir: {path: storage}}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	asterism := func(args ...string) (string, error) {
		return run(t, program(t), append([]string{"--config", config}, args...)...)
	}
	t.Run("put", func(t *testing.T) { putRefused(t, dir, asterism) })
	if out, err := asterism("media", "ls"); err != nil || strings.TrimSpace(out) != "" {
		t.Errorf("media ls says %q, %v; want nothing", out, err)
	}
}

func putRefused(t *testing.T, dir string, asterism func(...string) (string, error)) {
	t.Helper()
	for _, test := range []struct {
		file, content string
		says          []string
	}{
		{"paper.wav", "%PDF-1.7\n%\xe2\xe3\xcf\xd3\n", []string{"PDF", "accepted are WAV"}},
		{"picture.wav", "\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR", []string{"a picture", "accepted are WAV"}},
		{"letter.mp3", "Dear customer, welcome.", []string{"text", "accepted are WAV"}},
		{"page.wav", "<!DOCTYPE html><html>404</html>", []string{"web page", "accepted are WAV"}},
		{"song.m4a", "\x00\x00\x00\x20ftypM4A \x00\x00\x00\x00", []string{"M4A", "accepted are WAV"}},
		{"empty.wav", "", []string{"empty", "accepted are WAV"}},
		{"broken.wav", "RIFF\x24\x00\x00\x00WAVEfmt " + strings.Repeat("\xff", 40), []string{"WAV"}},
		{"cut.wav", string(wave(make([]int16, 800), rate, 1)[:30]), []string{"WAV"}},
	} {
		t.Run(test.file, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(dir, test.file)
			if err := os.WriteFile(path, []byte(test.content), 0o600); err != nil {
				t.Fatal(err)
			}
			out, err := asterism("media", "put", path)
			if err == nil {
				t.Fatalf("it was taken: %s", out)
			}
			for _, text := range test.says {
				if !strings.Contains(out, text) {
					t.Errorf("it says %q; want %q", out, text)
				}
			}
			if strings.Count(strings.TrimSpace(out), "\n") > 0 {
				t.Errorf("it says more than one sentence:\n%s", out)
			}
		})
	}
}
