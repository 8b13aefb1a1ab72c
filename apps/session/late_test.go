package session

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"asterism/apps"
	"asterism/ari/aritest"
	"asterism/ari/proxy"
)

// A playback whose time is over before storage has given its prompt is not
// heard later, over another one.
func TestPlaybackThatIsGivenUpBeforeItBegins(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		emptyPools()
		defer emptyPools()
		sh := &shelf{
			any:     promptLength,
			slow:    map[string]time.Duration{"big": 4 * time.Second},
			prompts: map[string]medium{"big": {length: 20 * time.Second}, "bye": {length: 3 * time.Second}},
		}
		var ended error
		f := newFabric(t, func(ctx context.Context, _ apps.Env, call apps.Call, req apps.Request) error {
			if req.Sounds[0] == "warm-up" {
				return nil
			}
			if err := call.Answer(ctx); err != nil {
				return err
			}
			now, err := call.Now(ctx)
			if err != nil {
				return err
			}
			short, cancel := context.WithDeadline(ctx, now.Add(time.Second))
			defer cancel()
			_, ended = call.Play(short, apps.PlayRule{Sounds: []string{"big"}})
			if _, err = call.Play(ctx, apps.PlayRule{Sounds: []string{"bye"}}); err == nil {
				_, err = call.Pause(ctx, 2*time.Second, "") // one playback waits for the other
			}
			return err
		}, sh, true)
		c := f.call("x")
		<-c.Ended()
		var bye aritest.Heard
		heard := c.State().Heard
		for _, h := range heard {
			switch nameOf(h.Media) {
			case "big":
				if h.Until.Sub(h.From) > 100*time.Millisecond {
					t.Errorf("it was heard for %v", h.Until.Sub(h.From))
				}
			case "bye":
				bye = h
			}
		}
		if !bye.Completed || !errors.Is(ended, context.DeadlineExceeded) {
			t.Errorf("the caller heard %+v, and Play returned %v", heard, ended)
		}
		f.closed()
	})
}

// The first command of a stage begins the journal anew once, also when it was
// not answered in time: the second time it would make its own result void.
func TestStageBeginsOnce(t *testing.T) {
	for _, hurry := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			n := newNode(t, func(ctx context.Context, _ apps.Env, call apps.Call, _ apps.Request) error {
				if err := call.Answer(ctx); err != nil {
					return err
				}
				return apps.Continue("two", 0)
			})
			n.stages = []apps.Stage{apps.StageOf("two", func(ctx context.Context, _ apps.Env, call apps.Call, _ apps.Request, _ int) error {
				within := ctx
				if hurry {
					now, err := call.Now(ctx)
					if err != nil {
						return err
					}
					short, cancel := context.WithDeadline(ctx, now.Add(time.Second))
					defer cancel()
					within = short
				}
				_, _ = call.Play(within, apps.PlayRule{Sounds: []string{"welcome"}})
				_, err := call.Play(ctx, apps.PlayRule{Sounds: []string{"menu"}})
				return err
			})}
			n.media["welcome"], n.media["menu"] = medium{length: 10 * time.Second}, medium{length: time.Second}
			silent := true
			n.before = func(c proxy.Command) error {
				if c.Reset && silent {
					silent = false
					time.Sleep(2 * time.Second)
					return errors.New("no answer")
				}
				return nil
			}
			c := n.call(aritest.Invite{})
			n.runs.Wait()
			var began []string
			for _, c := range n.commands {
				if c.Reset {
					began = append(began, c.ID)
				}
			}
			if len(began) != 2 || began[0] != began[1] {
				t.Errorf("the stage began with %q; commands are %q", began, n.sent())
			}
			heard := c.Heard()
			if last := heard[len(heard)-1]; !last.Completed || nameOf(last.Media) != "menu" {
				t.Errorf("the caller heard %+v", heard)
			}
			for _, k := range n.calls {
				if h, memos, _, err := readJournal(k.journal); err != nil || h.Stage != "two" || len(memos) == 0 {
					t.Errorf("the journal is %q: %v", k.journal, err)
				}
			}
		})
	}
}

// What was done outside is done under the same key when the stage begins
// again, whatever else the new release does.
func TestKeysOfDoOutliveAMismatch(t *testing.T) {
	var keys []string
	flow := func(sound string, names ...string) apps.Flow {
		return func(ctx context.Context, env apps.Env, call apps.Call, req apps.Request) error {
			for _, name := range names {
				if _, err := call.Do(ctx, name, func(_ context.Context, key string) ([]byte, error) { keys = append(keys, key); return nil, nil }); err != nil {
					return err
				}
			}
			return plays(sound)(ctx, env, call, req)
		}
	}
	changing(t, func(n *node, c *aritest.Caller) { time.Sleep(time.Second); n.kills(c) }, func(_ *node, c *aritest.Caller) {
		id := c.Channel() + "~0."
		want := []string{id + "pay.1", id + "pay.2", "", id + "log.1", id + "pay.1", "", id + "pay.2"}
		want[2] = keys[2]
		want[5] = keys[2]
		if !slices.Equal(keys, want) || !plainName("pay") || plainName("a/b") || len(keys[2]) > len(id)+12 {
			t.Errorf("keys are %q, want %q", keys, want)
		}
	}, flow("welcome", "pay", "pay", "a/b"), flow("menu", "log", "pay", "a/b", "pay"))
}
