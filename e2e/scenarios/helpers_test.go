//go:build e2e

package scenarios

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"asterism/asterisk-conf"
	"asterism/e2e/phone/hear"
	"asterism/e2e/stack"
	"asterism/e2e/telephony"
)

const (
	// rate is that of a telephone, in Hz.
	rate = 8000
	// patience is how long a test waits for what should happen soon.
	patience = 30 * time.Second
)

// TestMain lets more tests run side by side than there are processors: they
// listen, which takes time and no work.
func TestMain(m *testing.M) {
	flag.Parse()
	if err := flag.Set("test.parallel", "8"); err != nil {
		panic(err)
	}
	goleak.VerifyTestMain(m)
}

// platform is a running stack and the tools of a person beside it.
type platform struct {
	*stack.Stack

	dir    string
	binary string
}

// start starts a platform whose logs are JSON and complete.
func start(t *testing.T, o stack.Options) *platform {
	t.Helper()
	p := &platform{dir: filepath.Join(t.TempDir(), "run"), binary: program(t)}
	o.Dir = p.dir
	o.Set = append([]string{"log.format=json", "log.level=debug"}, o.Set...)
	if o.Asterisk == nil {
		o.Asterisk = func(int, *telephony.Options) {}
	}
	change := o.Asterisk
	o.Asterisk = func(n int, a *telephony.Options) {
		a.Realtime = true
		change(n, a)
	}
	p.Stack = stack.ForTest(t, o)
	return p
}

// program is bin/asterism.
func program(t *testing.T) string {
	t.Helper()
	project, err := telephony.ProjectDir()
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Join(project, "bin", "asterism")
}

// environment is that of the test without settings of asterism.
func environment() []string {
	return slices.DeleteFunc(os.Environ(), func(kv string) bool {
		return strings.HasPrefix(kv, "ASTERISM_") && !strings.HasPrefix(kv, "ASTERISM_LEFTOVERS=")
	})
}

// run runs a program to its end and returns what it wrote.
func run(t *testing.T, name string, args ...string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = environment()
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// asterism runs a command that must succeed and returns what it wrote.
func (p *platform) asterism(t *testing.T, args ...string) string {
	t.Helper()
	out, err := run(t, p.binary, append([]string{"--config", p.ConfigPath()}, args...)...)
	if err != nil {
		t.Fatalf("asterism %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return out
}

// prompt makes a sound of this length, different for each seed, and puts it
// from an 8 kHz WAV file. It returns what must be heard.
func (p *platform) prompt(t *testing.T, name string, seed uint64, length time.Duration, flags ...string) []int16 {
	t.Helper()
	return p.promptAs(t, name, seed, length, rate, 1, flags...)
}

// promptAs is prompt from a file of another rate or with several channels.
func (p *platform) promptAs(t *testing.T, name string, seed uint64, length time.Duration, hertz, channels int, flags ...string) []int16 {
	t.Helper()
	file := filepath.Join(t.TempDir(), "prompt.wav")
	if err := os.WriteFile(file, wave(hear.Sample(seed, length, hertz), hertz, channels), 0o600); err != nil {
		t.Fatal(err)
	}
	p.asterism(t, append([]string{"media", "put", file, name}, flags...)...)
	return hear.Sample(seed, length, rate)
}

// wave is a WAV file with the same sound in all channels, the second one at
// half the volume.
func wave(pcm []int16, hertz, channels int) []byte {
	var data []byte
	for _, s := range pcm {
		for c := range channels {
			data = binary.LittleEndian.AppendUint16(data, uint16(s>>min(c, 1)))
		}
	}
	b := binary.LittleEndian.AppendUint32([]byte("RIFF"), uint32(36+len(data)))
	b = binary.LittleEndian.AppendUint32(append(b, "WAVEfmt "...), 16)
	b = binary.LittleEndian.AppendUint16(b, 1)
	b = binary.LittleEndian.AppendUint16(b, uint16(channels))
	b = binary.LittleEndian.AppendUint32(b, uint32(hertz))
	b = binary.LittleEndian.AppendUint32(b, uint32(hertz*channels*2))
	b = binary.LittleEndian.AppendUint16(b, uint16(channels*2))
	b = binary.LittleEndian.AppendUint16(b, 16)
	b = binary.LittleEndian.AppendUint32(append(b, "data"...), uint32(len(data)))
	return append(b, data...)
}

// eventually polls until ok, or fails the test after patience.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	if !within(t, patience, ok) {
		t.Fatalf("waited in vain for %s", what)
	}
}

// within polls until ok and says whether that came in time.
func within(t *testing.T, limit time.Duration, ok func() bool) bool {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	for !ok() {
		select {
		case <-ctx.Done():
			return false
		case <-time.After(20 * time.Millisecond):
		}
	}
	return true
}

// wait lets time pass: what a person does between two keys.
func wait(t *testing.T, d time.Duration) {
	t.Helper()
	select {
	case <-t.Context().Done():
	case <-time.After(d):
	}
}

// lines are the lines of a process's log about a call; with an empty Call-ID
// all of them.
func (p *platform) lines(t *testing.T, process, callID string) []map[string]any {
	t.Helper()
	log, err := p.Process(process).Log()
	if err != nil {
		t.Fatal(err)
	}
	return parseLog(log, callID)
}

func parseLog(log, callID string) []map[string]any {
	var found []map[string]any
	for line := range strings.Lines(log) {
		var fields map[string]any
		if json.Unmarshal([]byte(line), &fields) != nil {
			continue
		}
		if callID == "" || fields["call"] == callID {
			found = append(found, fields)
		}
	}
	return found
}

// logged waits for a line about a call that holds all the texts, in any of
// the fields, and returns it.
func (p *platform) logged(t *testing.T, process, callID string, texts ...string) map[string]any {
	t.Helper()
	var all []map[string]any
	var line map[string]any
	found := within(t, patience, func() bool {
		all = p.lines(t, process, callID)
		i := slices.IndexFunc(all, func(fields map[string]any) bool { return holds(fields, texts) })
		if i >= 0 {
			line = all[i]
		}
		return i >= 0
	})
	if !found {
		t.Fatalf("%s has logged no line about call %s with %q, only %v", process, callID, texts, all)
	}
	return line
}

func holds(fields map[string]any, texts []string) bool {
	var all strings.Builder
	enc := json.NewEncoder(&all)
	enc.SetEscapeHTML(false)
	if enc.Encode(fields) != nil {
		return false
	}
	return !slices.ContainsFunc(texts, func(text string) bool { return !strings.Contains(all.String(), text) })
}

// freeAddress is an address and port that nobody listens on.
func freeAddress(t *testing.T) string {
	t.Helper()
	host, release, err := telephony.Loopback()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(release)
	return host + ":4222"
}

// rtpTimeout ends calls without media sooner.
func rtpTimeout(seconds int) func(*asteriskconf.Params) {
	return func(p *asteriskconf.Params) { p.RTPTimeout = seconds }
}

// chain applies two changes, of which either may be nil.
func chain(changes ...func(*asteriskconf.Params)) func(*asteriskconf.Params) {
	return func(p *asteriskconf.Params) {
		for _, change := range changes {
			if change != nil {
				change(p)
			}
		}
	}
}
