package calltest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"asterism/apps"
)

// answer is what a script makes a Do give back.
type answer struct {
	value any
	err   error
}

// Answer implements [apps.Call].
func (c *Caller) Answer(ctx context.Context) error {
	err := c.doAnswer(ctx)
	_, err = remember(c, "Answer()", struct{}{}, err)
	return err
}

// Play implements [apps.Call].
func (c *Caller) Play(ctx context.Context, rule apps.PlayRule) (apps.Played, error) {
	played, err := c.play(ctx, rule)
	c.mu.Lock()
	c.plays = append(c.plays, rule)
	c.mu.Unlock()
	return remember(c, aboutPlay(rule), played, err)
}

// Pause implements [apps.Call].
func (c *Caller) Pause(ctx context.Context, d time.Duration, stopOn apps.Keys) (string, error) {
	digit, err := c.pause(ctx, d, stopOn)
	return remember(c, aboutPause(d, stopOn), digit, err)
}

// Now implements [apps.Call].
func (c *Caller) Now(ctx context.Context) (time.Time, error) {
	leave, err := c.enterOffline(ctx, "Now")
	if err != nil {
		return remember(c, "Now()", time.Time{}, err)
	}
	defer leave()
	return remember(c, "Now()", time.Now().UTC().Truncate(time.Millisecond), nil)
}

// Random implements [apps.Call].
func (c *Caller) Random(ctx context.Context, n int) (int, error) {
	about := fmt.Sprintf("Random(%d)", n)
	leave, err := c.enterOffline(ctx, "Random")
	if err != nil {
		return remember(c, about, 0, err)
	}
	defer leave()
	drawn := 0
	switch {
	case n < 1:
		err = fmt.Errorf("a random number below %d was asked for: there is none", n)
	case len(c.draws) > 0:
		drawn, c.draws = c.draws[0], c.draws[1:]
		if drawn < 0 || drawn >= n {
			err = fmt.Errorf("the script draws %d, which is not from 0 to %d", drawn, n-1)
		}
	default:
		drawn = c.random.IntN(n)
	}
	return remember(c, about, drawn, err)
}

// NewID implements [apps.Call]. The ids of a test are always the same.
func (c *Caller) NewID(ctx context.Context) (string, error) {
	leave, err := c.enterOffline(ctx, "NewID")
	if err != nil {
		return remember(c, "NewID()", "", err)
	}
	defer leave()
	c.ids++
	return remember(c, "NewID()", fmt.Sprintf("01TEST%020d", c.ids), nil)
}

// Do implements [apps.Call]. What the script gives back with [Gives] and
// [Breaks] comes first; else fn is run.
func (c *Caller) Do(ctx context.Context, name string, fn func(ctx context.Context, key string) ([]byte, error)) ([]byte, error) {
	leave, err := c.enterOffline(ctx, "Do")
	if err != nil {
		return remember[[]byte](c, aboutDo(name), nil, err)
	}
	defer leave()
	c.act("has " + name + " done")
	raw, err := c.effect(ctx, name, fn)
	if err == nil {
		raw, err = apps.CheckResult(name, raw)
	}
	if err != nil {
		raw = nil
	}
	return remember(c, aboutDo(name), raw, err)
}

func (c *Caller) effect(ctx context.Context, name string, fn func(ctx context.Context, key string) ([]byte, error)) ([]byte, error) {
	if list := c.answers[name]; len(list) > 0 {
		c.answers[name] = list[1:]
		if list[0].err != nil {
			return nil, list[0].err
		}
		raw, err := json.Marshal(list[0].value)
		if err != nil {
			return nil, fmt.Errorf("what the script gives for %s: %w", name, err)
		}
		return raw, nil
	}
	ctx, cancel := outlive(ctx)
	defer cancel(nil)
	c.ids++
	raw, err := fn(ctx, fmt.Sprintf("call~%d", c.ids))
	if limit := context.Cause(ctx); err != nil && limit != nil {
		return nil, limit
	}
	return raw, err
}

// outlive returns a context that ends with ctx, but not with the call.
func outlive(ctx context.Context) (context.Context, context.CancelCauseFunc) {
	out, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() {
		if cause := context.Cause(ctx); !callEnded(cause) {
			cancel(cause)
		}
	})
	return out, func(cause error) { stop(); cancel(cause) }
}

// act notes an event of the call.
func (c *Caller) act(what string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.log.act(what)
}

// unused lists what the script gives and nobody asked for.
func (c *Caller) unused() (problems []string) {
	for name, list := range c.answers {
		if len(list) > 0 {
			problems = append(problems, fmt.Sprintf("the script gives %d answers more for Do %q than the flow asked for", len(list), name))
		}
	}
	if len(c.draws) > 0 {
		problems = append(problems, fmt.Sprintf("the script draws %v, and the flow did not ask for it", c.draws))
	}
	return problems
}

func aboutPlay(rule apps.PlayRule) string {
	s := fmt.Sprintf("Play(%q", rule.Sounds)
	if rule.Answer {
		s += ", answering"
	}
	if rule.StopOn != "" {
		s += fmt.Sprintf(", stopped by %s", rule.StopOn)
	}
	if rule.Controls.Any() {
		s += fmt.Sprintf(", controlled by %+v", rule.Controls)
	}
	if rule.Language != "" {
		s += ", in " + rule.Language
	}
	return s + ")"
}

func aboutPause(d time.Duration, stopOn apps.Keys) string {
	return fmt.Sprintf("Pause(%v, %q)", d, string(stopOn))
}

func aboutDo(name string) string { return fmt.Sprintf("Do(%q)", name) }

// errDiffers is what the verbs of a second run return once it differs.
var errDiffers = errors.New("calltest: the second run differs from the first")
