package session

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"asterism/apps"
	"asterism/ari/aritest"
	"asterism/ari/proxy"
)

// taken is a call whose worker dies three seconds after it came in.
func taken(t *testing.T, flow apps.Flow, check func(n *node, c *aritest.Caller)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		n := newNode(t, flow)
		n.media["welcome"] = medium{length: 10 * time.Second}
		c := n.call(aritest.Invite{})
		time.Sleep(3 * time.Second)
		n.kills(c)
		n.runs.Wait()
		synctest.Wait()
		if strings.Contains(n.log.String(), "begins again") {
			t.Errorf("the stage began again:\n%s", n.log.String())
		}
		check(n, c)
	})
}

// What a verb returns is what its replay returns, in every respect: a flow
// that looks at it goes the same way.
func TestResultsAreThoseOfAReplay(t *testing.T) {
	type own struct{ error }
	tests := []struct {
		name string
		do   func() ([]byte, error)
		tell func(raw []byte, err error) string // what the flow makes of it
	}{
		{"an error of the system", func() ([]byte, error) { _, err := os.ReadFile("/nonexistent/x"); return nil, err }, func(_ []byte, err error) string {
			return fmt.Sprint(errors.Is(err, fs.ErrNotExist), err)
		}},
		{"an error of a type", func() ([]byte, error) { return nil, own{errEnd} }, func(_ []byte, err error) string {
			_, ok := errors.AsType[own](err)
			return fmt.Sprint(ok, errors.Is(err, errEnd))
		}},
		{"a long error", func() ([]byte, error) { return nil, errors.New(strings.Repeat("e", 5000)) }, func(_ []byte, err error) string { return err.Error() }},
		{"bytes that are no text", func() ([]byte, error) { return nil, errors.New("\xff\xfe") }, func(_ []byte, err error) string { return err.Error() }},
		{"many errors", func() ([]byte, error) {
			err := errEnd
			for range 30 {
				err = fmt.Errorf("%s%w", strings.Repeat("<", 300), err)
			}
			return nil, err
		}, func(_ []byte, err error) string { return fmt.Sprint(errors.Is(err, errEnd), err) }},
		{"the next stage", func() ([]byte, error) { return nil, apps.Continue("x", 1) }, func(_ []byte, err error) string {
			_, ok := errors.AsType[*apps.Next](err)
			return fmt.Sprint(ok)
		}},
		{"white space", func() ([]byte, error) { return []byte(" [1, 2]\n"), nil }, func(raw []byte, err error) string { return fmt.Sprintf("%q %v", raw, err) }},
		{"null", func() ([]byte, error) { return []byte("null"), nil }, func(raw []byte, err error) string { return fmt.Sprintf("%q %v", raw, err) }},
		{"nothing", func() ([]byte, error) { return []byte{}, nil }, func(raw []byte, err error) string { return fmt.Sprintf("%v %v", raw == nil, err) }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			ran := 0
			taken(t, func(ctx context.Context, _ apps.Env, call apps.Call, _ apps.Request) error {
				raw, err := call.Do(ctx, "it", func(context.Context, string) ([]byte, error) { ran++; return tt.do() })
				_, err = call.Play(ctx, apps.PlayRule{Sounds: []string{"welcome"}, Answer: true, Language: tt.tell(raw, err)})
				return err
			}, func(n *node, _ *aritest.Caller) {
				if o := n.outcome(); o.Result != resultDone || ran != 1 {
					t.Errorf("outcome is %+v, and it was done %d times", o, ran)
				}
			})
		})
	}
}

// A key that controls a playback, and was typed before the first sound, does
// nothing, also when another worker finds it.
func TestKeysBeforeTheFirstSound(t *testing.T) {
	for _, f := range []fate{lives, dies, diesHeard, isReleased} {
		synctest.Test(t, func(t *testing.T) {
			var later string
			n := newNode(t, func(ctx context.Context, _ apps.Env, call apps.Call, _ apps.Request) error {
				_, err := call.Play(ctx, apps.PlayRule{Sounds: []string{"welcome"}, Answer: true, Controls: apps.Controls{Pause: "5"}})
				if err == nil {
					later, err = call.Pause(ctx, time.Second, "5")
				}
				return err
			})
			n.media["welcome"] = medium{length: 10 * time.Second}
			slow := true
			n.before = func(proxy.Command) error {
				if slow {
					slow = false
					time.Sleep(3 * time.Second)
				}
				return nil
			}
			c := n.call(aritest.Invite{})
			time.Sleep(time.Second)
			c.Press("5")
			time.Sleep(6 * time.Second)
			n.fated(c, f)
			time.Sleep(20 * time.Second)
			if !c.State().Ended || later != "5" {
				t.Errorf("fate %d: ended is %v, and %q was left", f, c.State().Ended, later)
				c.Hangup()
			}
		})
	}
}

// fated lets the worker of a call meet its fate now.
func (n *node) fated(c *aritest.Caller, f fate) {
	n.mu.Lock()
	k := n.calls[c.Channel()]
	old, owner := n.fate, k.owner
	n.fate = once(f, "by hand")
	n.mu.Unlock()
	n.point(k, owner, "by hand")
	n.mu.Lock()
	n.fate = old
	n.mu.Unlock()
	synctest.Wait()
}

// A playback that was begun anew is stopped like any other when its stage
// begins again.
func TestMismatchOfAPlaybackThatWasBegunAnew(t *testing.T) {
	long := func(ctx context.Context, env apps.Env, call apps.Call, req apps.Request) error {
		n := call.(*session).link.(*memoryLink).node
		n.mu.Lock()
		n.media["long"] = medium{length: 20 * time.Second}
		n.fate = once(nodeDies, ".play.1 is in")
		n.mu.Unlock()
		return plays("long")(ctx, env, call, req)
	}
	changing(t, func(n *node, c *aritest.Caller) {
		n.mu.Lock()
		n.fate = nil
		n.mu.Unlock()
		time.Sleep(4 * time.Second)
		n.kills(c)
	}, func(n *node, c *aritest.Caller) {
		heard := c.Heard()
		if len(heard) != 2 || heard[0].Completed || heard[0].Until.After(heard[1].From) {
			t.Errorf("the caller heard %+v; commands are %q", heard, n.sent())
		}
	}, long, plays("long"), plays("menu"))
}

// A result of Do is in the log soon, however long nothing else is sent.
func TestResultsAreInTheLogBeforeALongPause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ran := 0
		n := newNode(t, func(ctx context.Context, _ apps.Env, call apps.Call, _ apps.Request) error {
			if _, err := call.Do(ctx, "hook", func(context.Context, string) ([]byte, error) { ran++; return nil, nil }); err != nil {
				return err
			}
			_, err := call.Pause(ctx, time.Hour, "1")
			return err
		})
		c := n.call(aritest.Invite{})
		time.Sleep(50 * time.Minute)
		n.kills(c)
		c.Hangup()
		n.runs.Wait()
		if o := n.outcome(); ran != 1 || o.Result != resultHangup {
			t.Errorf("it was done %d times: %+v", ran, o)
		}
	})
}

// Notes are in the call record once, although a stage that begins again writes
// them once more.
func TestMismatchRepeatsNoNotes(t *testing.T) {
	notes := func(sound string) apps.Flow {
		return func(ctx context.Context, env apps.Env, call apps.Call, req apps.Request) error {
			env.Note("hello")
			return plays(sound)(ctx, env, call, req)
		}
	}
	changing(t, func(n *node, c *aritest.Caller) { time.Sleep(time.Second); n.kills(c) }, func(n *node, _ *aritest.Caller) {
		if o := n.outcome(); len(o.Notes) != 1 {
			t.Errorf("notes are %+v", o.Notes)
		}
	}, notes("welcome"), notes("menu"))
}

// Keys that the replay uses up do not push out older ones that wait.
func TestManyKeysOfAStageAreTakenOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var old string
		n := newNode(t, func(ctx context.Context, _ apps.Env, call apps.Call, _ apps.Request) error {
			if err := call.Answer(ctx); err != nil {
				return err
			}
			for range 300 {
				if _, err := call.Pause(ctx, time.Minute, "1"); err != nil {
					return err
				}
			}
			if _, err := call.Do(ctx, "flush", func(context.Context, string) ([]byte, error) { return nil, nil }); err != nil {
				return err
			}
			if _, err := call.Pause(ctx, 10*time.Second, "2"); err != nil {
				return err
			}
			key, err := call.Pause(ctx, time.Second, "9")
			old = key
			return err
		})
		c := n.call(aritest.Invite{})
		c.Press("9")
		for range 300 {
			c.Press("1")
			time.Sleep(100 * time.Millisecond)
		}
		time.Sleep(time.Second)
		n.kills(c)
		n.runs.Wait()
		if o := n.outcome(); old != "9" || o.Used != 301 || o.Keys != 301 {
			t.Errorf("the 9 is %q: %+v", old, o)
		}
	})
}
