package session

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"asterism/apps"
	"asterism/ari/aritest"
)

var update = flag.Bool("update", false, "write the golden journals of the present format")

// golden is a flow whose journals have every kind of record and field that
// does not depend on chance.
func golden(ctx context.Context, env apps.Env, call apps.Call, _ apps.Request) error {
	if _, err := call.Play(ctx, apps.PlayRule{Sounds: []string{"nowhere"}}); err == nil {
		return errors.New("there is no such sound")
	}
	if _, err := call.Play(ctx, apps.PlayRule{Sounds: []string{"welcome"}, Answer: true, StopOn: "#"}); err != nil {
		return err
	}
	if _, err := call.Random(ctx, 1); err != nil {
		return err
	}
	if _, err := call.Now(ctx); err != nil {
		return err
	}
	_, err := call.Do(ctx, "refused", func(context.Context, string) ([]byte, error) {
		return nil, &apps.Refusal{Verdict: apps.Verdict{Status: 507, Reason: "no room", Fault: apps.FaultUpstream}, Err: errEnd}
	})
	if v := apps.VerdictOf(err); v.Status != 507 || !errors.Is(err, errEnd) {
		return errors.New("the refusal is another one")
	}
	env.Note("greeted", "seconds", 2)
	return apps.Continue("listen", shopState{ID: "x", Digits: "é", Round: 2})
}

var errEnd = errors.New("the end")

func listens(ctx context.Context, _ apps.Env, call apps.Call, _ apps.Request, _ shopState) error {
	if _, err := call.Pause(ctx, time.Minute, "5"); err != nil {
		return err
	}
	if _, err := apps.Do(ctx, call, "save", func(context.Context, string) (int, error) { return 7, nil }); err != nil {
		return err
	}
	_, err := call.Play(ctx, apps.PlayRule{Sounds: []string{"welcome"}})
	if !errors.Is(err, apps.ErrHangup) {
		return errors.New("nobody has hung up")
	}
	_, err = apps.Do(ctx, call, "log", func(context.Context, string) (int, error) { return 8, nil })
	return err
}

func goldenNode(t *testing.T) *node {
	t.Helper()
	n := newNode(t, golden)
	n.stages = []apps.Stage{apps.StageOf("listen", listens)}
	n.media["welcome"] = medium{length: 3 * time.Second}
	n.pool.opts.Revision = func() string { return "r1" }
	return n
}

// The journals of each released format stay readable, and what this release
// writes is what the present format says.
func TestGoldenJournals(t *testing.T) {
	var wrote [][]byte
	var mu sync.Mutex
	synctest.Test(t, func(t *testing.T) {
		n := goldenNode(t)
		n.fate = func(_ int, at string) fate {
			mu.Lock()
			defer mu.Unlock()
			if strings.HasSuffix(at, ".do.5 is not answered") || strings.Contains(at, "1.do.4 is not answered") {
				var lines [][]byte
				for _, k := range n.calls {
					lines = append(lines, slices.Clone(k.journal)...)
				}
				wrote = append(wrote, append(bytes.Join(lines, []byte("\n")), '\n'))
			}
			return lives
		}
		c := n.call(aritest.Invite{})
		time.Sleep(time.Second)
		c.Press("5")
		time.Sleep(time.Second)
		c.Press("#")
		time.Sleep(2 * time.Second)
		c.Hangup()
		n.runs.Wait()
		if o := n.outcome(); o.Result != resultHangup {
			t.Errorf("outcome is %+v", o)
		}
	})
	for i, name := range []string{"journal-1-first", "journal-1-stage"} {
		path := filepath.Join("testdata", name)
		if *update {
			if err := os.WriteFile(path, wrote[i], 0o644); err != nil {
				t.Fatal(err)
			}
		}
		kept, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if len(wrote) != 2 || !bytes.Equal(kept, wrote[i]) {
			t.Errorf("%s: this release writes\n%s\nand format 1 is\n%s", name, wrote[i], kept)
		}
	}
	kept, err := filepath.Glob("testdata/journal-*")
	if err != nil || len(kept) < 2 {
		t.Fatalf("the golden journals are %q, %v", kept, err)
	}
	for _, path := range kept {
		t.Run(path, func(t *testing.T) { replayGolden(t, path) })
	}
}

// replayGolden takes a call up from a journal whose last verb is under way.
func replayGolden(t *testing.T, path string) {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		n := goldenNode(t)
		n.journal = bytes.Split(bytes.TrimSpace(raw), []byte("\n"))
		c := n.call(aritest.Invite{})
		if strings.Contains(path, "first") { // it goes on with the second stage
			c.Press("5")
			time.Sleep(time.Second)
			c.Hangup()
		}
		n.runs.Wait()
		sent := n.sent()
		if first := n.commands[0].ID; first != "0.do.5" && first != "1.do.4" || !n.commands[len(sent)-1].Final {
			t.Errorf("commands are %q, want only what is not in the journal", sent)
		}
		if got := counted(t, n.registry, "asterism_session_replays_total"); got != 1 {
			t.Errorf("%v replays were counted:\n%s", got, n.log.String())
		}
		if o := n.outcome(); o.Result != resultHangup {
			t.Errorf("outcome is %+v", o)
		}
	})
}

// FuzzJournal: whatever a journal says, reading it ends in a clear error or in
// memos that are in order.
func FuzzJournal(f *testing.F) {
	for _, name := range []string{"journal-1-first", "journal-1-stage"} {
		raw, err := os.ReadFile(filepath.Join("testdata", name))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw)
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		h, memos, _, err := readJournal(bytes.Split(raw, []byte("\n")))
		if err != nil {
			if !errors.Is(err, errJournal) {
				t.Errorf("the error is %v", err)
			}
			return
		}
		for i, m := range memos {
			if h.Format != journalFormat || (!m.ended && i < len(memos)-1) {
				t.Errorf("memo %d is %+v under %+v", i, m, h)
			}
		}
	})
}
