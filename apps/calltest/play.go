package calltest

import (
	"context"
	"slices"
	"strings"
	"time"

	"asterism/apps"
)

func (c *Caller) play(ctx context.Context, rule apps.PlayRule) (apps.Played, error) {
	leave, err := c.enter(ctx, "Play")
	if err != nil {
		return apps.Played{Ended: apps.EndedByHangup}, err
	}
	defer leave()
	if err := c.checkRule(rule); err != nil {
		return apps.Played{Ended: apps.EndedFailed}, err
	}
	p := &playing{caller: c, rule: rule}
	for i, sound := range rule.Sounds {
		m := c.lookUp(sound)
		if m.problem != "" {
			return apps.Played{Ended: apps.EndedFailed, Sound: i}, &apps.MediaError{Sound: sound, Problem: m.problem}
		}
		p.lengths = append(p.lengths, m.length)
	}
	if rule.Answer {
		c.answer()
	}
	if key := c.take(rule.StopOn); key != "" {
		return apps.Played{Ended: apps.EndedByDigit, Digit: key}, nil
	}
	p.seen = len(c.typedKeys())
	defer c.hear("")
	return p.run(ctx)
}

func (c *Caller) checkRule(rule apps.PlayRule) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if n := len(rule.Sounds); n == 0 || n > apps.MaxSounds {
		return c.misused("Play was called with %d sounds: 1 to %d are allowed", n, apps.MaxSounds)
	}
	keys := string(rule.StopOn + rule.Controls.Keys())
	for i, key := range keys {
		if strings.ContainsRune(keys[:i], key) {
			return c.misused("Play was called with the key %c in two sets", key)
		}
	}
	return nil
}

func (c *Caller) typedKeys() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.typed)
}

// playing is one Play under way.
type playing struct {
	caller  *Caller
	rule    apps.PlayRule
	lengths []time.Duration

	sound  int           // the current one
	offset time.Duration // how far it had come at since
	since  time.Time     // when offset was true; zero while paused
	heard  time.Duration // until since
	seen   int           // how many of the caller's typed keys were looked at
}

// run plays to the end, the key or the hang-up.
func (p *playing) run(ctx context.Context) (apps.Played, error) {
	for p.sound = range p.rule.Sounds {
		p.offset = 0
		p.resume()
		p.caller.began(p.rule.Sounds[p.sound])
		if played, err := p.runSound(ctx); err != nil || played.Ended != "" {
			return played, err
		}
	}
	return p.ended(apps.EndedComplete), nil
}

// runSound plays the current sound. Ended is "" when it was heard to its end.
func (p *playing) runSound(ctx context.Context) (apps.Played, error) {
	length := p.lengths[p.sound]
	for {
		p.account()
		if p.offset >= length {
			return apps.Played{}, nil
		}
		timer := time.NewTimer(length - p.offset)
		done := timer.C
		if p.since.IsZero() {
			done = nil
		}
		select {
		case <-ctx.Done():
			timer.Stop()
			p.account()
			return p.ended(apps.EndedByHangup), context.Cause(ctx)
		case <-p.caller.ctx.Done(): // ctx need not be made from the call's
			timer.Stop()
			p.account()
			return p.ended(apps.EndedByHangup), p.caller.cause()
		case <-done:
		case <-p.caller.pressed:
			timer.Stop()
			p.account()
			if key := p.keys(length); key != "" {
				played := p.ended(apps.EndedByDigit)
				played.Digit = key
				return played, nil
			}
		}
	}
}

// account brings offset and heard up to now.
func (p *playing) account() {
	if p.since.IsZero() {
		return
	}
	passed := time.Since(p.since)
	p.offset += passed
	p.heard += passed
	p.since = p.since.Add(passed)
}

func (p *playing) ended(by apps.PlayEnd) apps.Played {
	return apps.Played{Heard: p.heard, Ended: by, Sound: p.sound, Offset: p.offset}
}

// keys obeys the keys pressed since it last looked and returns the one that
// stops the playback, if any.
func (p *playing) keys(length time.Duration) (stop string) {
	for typed := p.caller.typedKeys(); p.seen < len(typed); typed = p.caller.typedKeys() {
		key := typed[p.seen]
		switch controls := p.rule.Controls; {
		case p.rule.StopOn.Has(key):
			p.caller.drop(p.seen)
			return key
		case !controls.Keys().Has(key):
			p.seen++
			continue
		case controls.Pause.Has(key):
			p.togglePause()
		case controls.Restart.Has(key):
			p.offset = 0
		case controls.Forward.Has(key):
			p.offset = min(p.offset+controls.SkipBy(), length)
		case controls.Back.Has(key):
			p.offset = max(p.offset-controls.SkipBy(), 0)
		}
		p.caller.drop(p.seen)
	}
	return ""
}

func (p *playing) togglePause() {
	if p.since.IsZero() {
		p.resume()
		p.caller.hear(p.rule.Sounds[p.sound])
		return
	}
	p.since = time.Time{}
	p.caller.hear(nothing)
}

func (p *playing) resume() { p.since = time.Now() }

// drop uses up the typed key at i.
func (c *Caller) drop(i int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.typed = slices.Delete(c.typed, i, i+1)
}

// began notes that a sound begins.
func (c *Caller) began(sound string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.heard = append(c.heard, sound)
	if strings.HasPrefix(sound, "silence:") {
		sound = nothing
	}
	c.log.hear(sound)
}
