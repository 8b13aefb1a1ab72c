//go:build e2e

package chaos

import (
	"context"
	_ "embed"
	"flag"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"asterism/e2e/stack"
	"asterism/e2e/telephony"
)

//go:embed testdata/playback.xml
var playbackXML []byte

var rollFor = flag.Duration("rolling", 20*time.Second, "how long calls are placed while the workers are restarted one after the other")

// showFailed shows what is known of the calls that went wrong.
func showFailed(t *testing.T, dir string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "failed", "*", "calls.txt"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range files {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("%s", data[:min(len(data), 30_000)])
	}
}

const (
	rollingWorkers = 3
	rollingRate    = 20 // calls a second
)

// TestRollingRestart restarts three workers one after the other, as often as
// the time allows, at 20 calls a second: not one call may fail.
func TestRollingRestart(t *testing.T) {
	s := stack.ForTest(t, stack.Options{
		Split: true, Workers: rollingWorkers, Drain: 20 * time.Second, Set: []string{"log.format=json"},
		Asterisk: func(_ int, o *telephony.Options) { o.Realtime = true },
	})
	project, err := telephony.ProjectDir()
	if err != nil {
		t.Fatal(err)
	}
	p := &prompts{}
	p.add(0, 3*time.Second)
	if err := p.put(t.Context(), filepath.Join(project, "bin", "asterism"), s.ConfigPath(), 0, "second", t.TempDir()); err != nil {
		t.Fatal(err)
	}
	sipp(t, s, rollingRate) // caches are filled
	stop := make(chan struct{})
	restarts := make(chan int)
	go func() { restarts <- roll(t, s, stop) }()
	sipp(t, s, int(rollFor.Seconds())*rollingRate)
	close(stop)
	if n := <-restarts; n < rollingWorkers {
		t.Errorf("%d workers were restarted in %v, want all %d at least once", n, *rollFor, rollingWorkers)
	} else {
		t.Logf("%d restarts", n)
	}
	ended, err := metric(t.Context(), s.Process("gateway-1").URL(), "asterism_calls_ended_total")
	if err != nil || int(ended) < int(rollFor.Seconds())*rollingRate {
		t.Errorf("the gateway counts %v calls that ended, %v", ended, err)
	}
}

// roll restarts one worker after the other until it is told to stop, and says
// how many.
func roll(t *testing.T, s *stack.Stack, stop <-chan struct{}) int {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	for n := 0; ; n++ {
		p := s.Process("worker-" + strconv.Itoa(n%rollingWorkers+1))
		if !sleep(ctx, time.Second, stop) {
			return n
		}
		before, began := p.Restarts(), time.Now()
		if err := p.Signal(syscall.SIGTERM); err != nil {
			t.Error(err)
			return n
		}
		for p.Restarts() == before || p.Ready(ctx) != nil {
			if !sleep(ctx, lookEvery, nil) {
				t.Errorf("%s did not come back", p.Name())
				return n
			}
		}
		t.Logf("%s is back after %v", p.Name(), time.Since(began).Round(10*time.Millisecond))
	}
}

// sipp places calls; all must be answered and ended by the platform.
func sipp(t *testing.T, s *stack.Stack, calls int) {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "playback.xml"), playbackXML, 0o600); err != nil {
		t.Fatal(err)
	}
	root, err := telephony.Prepare(t.Context(), telephony.Config{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute+*rollFor)
	defer cancel()
	out, err := root.SIPp(ctx, dir, s.SIP(1), "-sf", "playback.xml", "-s", "1000", "-i", "127.0.0.1",
		"-r", strconv.Itoa(rollingRate), "-m", strconv.Itoa(calls), "-l", "400", "-nostdin", "-trace_err")
	if err == nil {
		return
	}
	var said strings.Builder
	files, globErr := filepath.Glob(filepath.Join(dir, "*errors.log"))
	if globErr != nil {
		t.Fatal(globErr)
	}
	for _, name := range files {
		data, readErr := os.ReadFile(name)
		if readErr != nil {
			t.Fatal(readErr)
		}
		said.Write(data[:min(len(data), 6000)])
	}
	t.Fatalf("of %d calls some failed: %v\n%s\n%s", calls, err, out[max(0, len(out)-2500):], said.String())
}
