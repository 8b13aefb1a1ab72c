// Package inside does in Do what a replay would not do again.
package inside

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"asterism/apps"
	"helper"
)

type config struct{ n int }

func (c *config) set()     { c.n = 1 }
func (c *config) get() int { return c.n }
func (c config) with() config {
	c.n++
	return c
}

func Memory(ctx context.Context, call apps.Call) error {
	var cfg config
	ptr := &config{}
	var sb strings.Builder
	page := new(bytes.Buffer)
	seen := map[string]bool{}
	buf := make([]byte, 4)
	names := []string{"b", "a"}
	var box helper.Box[int]
	add := func() { cfg.n++ }
	add()
	_, err := call.Do(ctx, "wrong", func(context.Context, string) ([]byte, error) {
		raw, err := os.ReadFile("x")
		if err != nil {
			return nil, err
		}
		sb.WriteString("x")                   // want `^WriteString may set sb in Do, which is not run again when the flow is replayed, so sb would keep its old value: use a variable of Do, and return the value$`
		page.Reset()                          // want `^Reset may set page in Do`
		fmt.Fprint(page, "a")                 // want `^what is given page may set page in Do`
		delete(seen, "x")                     // want `^seen is set in Do, which is not run again when the flow is replayed, so seen would keep its old value: return the value from Do$`
		copy(buf[1:], "abcd")                 // want `^buf is set in Do`
		clear(seen)                           // want `^seen is set in Do`
		slices.Sort(names)                    // want `^names is set in Do`
		cfg.set()                             // want `^set is not fit for Do: c is set in Do, .* \(inside.go:20\)$`
		ptr.set()                             // want `^set is not fit for Do`
		add()                                 // want `^add is not fit for Do: cfg is set in Do`
		_ = box.Get()                         // want `^Get may set box in Do`
		_ = json.Unmarshal(raw, ptr)          // want `^ptr is set in Do`
		return nil, json.Unmarshal(raw, &cfg) // want `^who has the address of cfg may set cfg in Do`
	})
	if err != nil {
		return err
	}
	if _, err := call.Do(ctx, "named", ptr.load); err != nil { // want `^load is not fit for Do: c is set in Do`
		return err
	}
	_, err = call.Do(ctx, "right", func(context.Context, string) ([]byte, error) {
		var own config
		own.set()
		inc := func() { own.n++ }
		inc()
		var out strings.Builder
		out.WriteString(sb.String() + page.String())
		more := map[string]bool{}
		delete(more, "a")
		_ = cfg.get() + ptr.get() + cfg.with().n
		_ = os.WriteFile("a", page.Bytes(), 0o600)
		return json.Marshal(own)
	})
	return err
}

func (c *config) load(context.Context, string) (raw []byte, err error) { // want load:`os.ReadFile reaches`
	raw, err = os.ReadFile("x")
	c.n = len(raw)
	return raw, err
}

type seat struct {
	call apps.Call
	path string
}

func (s seat) say(ctx context.Context) error { return s.call.Play(ctx, "a") }

func (s seat) file() string { return s.path + ".txt" }

func (s *seat) read(context.Context, string) ([]byte, error) { return os.ReadFile(s.path) } // want read:`os.ReadFile reaches`

type player interface {
	Play(ctx context.Context, sound string) error
}

func speak(ctx context.Context, s seat) error { return s.say(ctx) }

func Verbs(ctx context.Context, call apps.Call) error {
	s := seat{call: call}
	var p player = call
	all := []seat{s}
	greeter := helper.Greeter{Call: call}
	play := call.Play // want `^Play is taken as a value, by which it could be called in Do unseen: call it by its name, or in a function of yours$`
	say := func(ctx context.Context) error { return call.Play(ctx, "a") }
	if err := say(ctx); err != nil {
		return err
	}
	_, err := call.Do(ctx, "wrong", func(ctx context.Context, _ string) ([]byte, error) {
		_ = s.say(ctx)            // want `^say is not fit for Do: Play in Do is not run when the flow is replayed, .* \(inside.go:\d+\)$`
		_ = speak(ctx, s)         // want `^s holds the Call, whose verbs in Do are not run when the flow is replayed: use only those of its fields in Do that are needed$`
		_ = speak(ctx, all[0])    // want `^all holds the Call`
		_ = p.Play(ctx, "a")      // want `^p holds the Call`
		_ = greeter.Run(ctx)      // want `^greeter holds the Call`
		_ = say(ctx)              // want `^say is not fit for Do: Play in Do is not run`
		_ = s.call.Play(ctx, "a") // want `^Play in Do is not run`
		return nil, play(ctx, "a")
	})
	if err != nil {
		return err
	}
	if _, err := call.Do(ctx, "method", s.read); err != nil {
		return err
	}
	zone := time.UTC
	_, err = call.Do(ctx, "right", func(ctx context.Context, _ string) ([]byte, error) {
		return []byte(s.path + all[0].path + s.file() + zone.String()), nil
	})
	return err
}
