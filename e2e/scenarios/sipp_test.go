//go:build e2e

package scenarios

import (
	"context"
	_ "embed"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"

	"asterism/e2e/stack"
	"asterism/e2e/telephony"
)

//go:embed testdata/playback.xml
var playbackXML []byte

// TestThousandCalls places 1,000 calls at 20 a second, none of which may fail,
// and looks for anything that is left of them.
func TestThousandCalls(t *testing.T) {
	t.Parallel() // beside tests that do not listen
	p := start(t, stack.Options{Split: true, Workers: 2, Set: []string{"log.level=info"}})
	p.prompt(t, "second", 131, time.Second)
	p.sipp(t, 100) // connections are made and caches filled
	p.nothingLeft(t)
	// Connections that are idle for 10 s are closed.
	before := p.measure(t)
	for began := time.Now(); time.Since(began) < 12*time.Second; wait(t, 200*time.Millisecond) {
		lower(before, p.measure(t))
	}
	if n := before["subscriptions"]; n < 4 {
		t.Fatalf("%d subscriptions were counted, want at least two of the gateway and two of each worker", n)
	}
	p.sipp(t, 1000)
	p.nothingLeft(t)
	after := p.measure(t)
	if !within(t, time.Minute, func() bool {
		lower(after, p.measure(t))
		return !exceeds(after, before)
	}) {
		t.Errorf("left behind, before and after 1,000 calls:\n%v\n%v", before, after)
	}
	for what, want := range map[string]float64{
		"asterism_calls_total": 1100, "asterism_calls_accepted_total": 1100, "asterism_calls_ended_total": 1100,
		"asterism_calls_refused_total": 0, "asterism_calls_abandoned_total": 0, "asterism_media_cache_fetches_total": 1,
	} {
		if got := p.metric(t, "gateway-1", what); got != want {
			t.Errorf("%s is %v, want %v", what, got, want)
		}
	}
}

// sipp places calls at 20 a second.
func (p *platform) sipp(t *testing.T, calls int) {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "playback.xml"), playbackXML, 0o600); err != nil {
		t.Fatal(err)
	}
	root, err := telephony.Prepare(t.Context(), telephony.Config{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	out, err := root.SIPp(ctx, dir, p.SIP(1), "-sf", "playback.xml", "-s", "1000", "-i", "127.0.0.1",
		"-r", "20", "-m", strconv.Itoa(calls), "-l", "400", "-nostdin", "-trace_err")
	if err != nil {
		log := ""
		if files, globErr := filepath.Glob(filepath.Join(dir, "*errors.log")); globErr == nil && len(files) > 0 {
			if data, readErr := os.ReadFile(files[0]); readErr == nil {
				log = string(data[:min(len(data), 4000)])
			}
		}
		t.Fatalf("of %d calls some failed: %v\n%s\n%s", calls, err, out[max(0, len(out)-2500):], log)
	}
}

// measure counts what calls must not leave behind.
func (p *platform) measure(t *testing.T) map[string]int {
	t.Helper()
	counts := map[string]int{}
	for _, proc := range p.Processes() {
		counts["open files of "+proc.Name()] = openFiles(t, proc.Pid())
		if proc.URL() != "" {
			counts["goroutines of "+proc.Name()] = int(p.metric(t, proc.Name(), "go_goroutines"))
		}
	}
	counts["subscriptions"] = int(p.metric(t, "nats-1", "asterism_nats_subscriptions"))
	counts["files of the media cache"] = files(t, filepath.Join(p.dir, "asterisk-1", "media"))
	counts["files of the spool"] = files(t, filepath.Join(p.dir, "asterisk-1", "spool"))
	return counts
}

// lower keeps the least of each: now and then there is one more, of a page
// that is being read or a message on its way.
func lower(least, now map[string]int) {
	for what, n := range now {
		least[what] = min(least[what], n)
	}
}

func exceeds(now, before map[string]int) bool {
	return slices.ContainsFunc(slices.Collect(maps.Keys(now)), func(what string) bool { return now[what] > before[what] })
}

func files(t *testing.T, dir string) int {
	t.Helper()
	n := 0
	err := filepath.WalkDir(dir, func(_ string, entry os.DirEntry, err error) error {
		if err == nil && !entry.IsDir() {
			n++
		}
		return nil
	})
	if err != nil {
		t.Fatal(fmt.Errorf("count files: %w", err))
	}
	return n
}
