package chaos

import (
	"context"
	"errors"
	"time"

	"asterism/e2e/phone"
)

const (
	// againAfter is how long a caller waits before he presses a key again that
	// has done nothing, once the fault is over.
	againAfter = 6 * time.Second
	// probeEvery is how often a probe presses its key.
	probeEvery = 300 * time.Millisecond
	// patience is how much longer than it may last a call is waited for.
	patience = 40 * time.Second
	// hangupWithin bounds a hang-up.
	hangupWithin = 5 * time.Second
)

// pressed is a key that was pressed.
type pressed struct {
	key      string
	from, to time.Time // of its tone
	again    bool      // because an earlier one did nothing
}

// placed is a call that was placed, and what became of it.
type placed struct {
	plan     *callPlan
	call     *phone.Call
	id       string
	began    time.Time // the INVITE
	keys     []pressed
	end      phone.End
	err      error // a refusal, or what went wrong
	late     bool  // it did not end and the phone hung up
	heardAt  time.Time
	heard    []int16
	rx       phone.Reception
	answered bool
}

// sleep waits; false means that something else was sooner.
func sleep(ctx context.Context, d time.Duration, done <-chan struct{}) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-done:
		return false
	case <-t.C:
		return true
	}
}

// place places a call and does what its plan says until it is over.
func (r *round) place(ctx context.Context, ph *phone.Phone, c *callPlan) *placed {
	p := &placed{plan: c}
	if !sleep(ctx, time.Until(r.began.Add(c.at)), nil) {
		p.err = context.Cause(ctx)
		return p
	}
	bound := c.until(r.prompts) + r.plan.lasts + patience
	limited, cancel := context.WithTimeout(ctx, bound)
	defer cancel()
	p.began = time.Now()
	call, err := ph.Start(limited, phone.DialOptions{Target: "sip:1000@" + r.sip, Headers: c.headers()})
	p.call, p.err = call, err
	if call == nil {
		return p
	}
	p.id = call.ID()
	r.placing(p)
	if p.sounds(limited) {
		r.act(limited, p)
	}
	p.finish(ctx, limited)
	return p
}

// sounds waits for the first sound; false means that the call ended before.
func (p *placed) sounds(ctx context.Context) bool {
	for p.call.Reception().Packets == 0 {
		if !sleep(ctx, 10*time.Millisecond, p.call.Done()) {
			return false
		}
	}
	p.heardAt = p.began.Add(p.call.Reception().First)
	return true
}

// act does what the caller does once he hears something.
func (r *round) act(ctx context.Context, p *placed) {
	c := p.plan
	if c.kind == probe {
		select {
		case <-r.struck:
		case <-p.call.Done():
			return
		case <-ctx.Done():
			return
		}
		for p.press(ctx, stopKey, len(p.keys) > 0) && sleep(ctx, probeEvery, p.call.Done()) {
		}
		return
	}
	for _, k := range c.keys {
		if !sleep(ctx, time.Until(p.heardAt.Add(k.at)), p.call.Done()) || !p.press(ctx, k.key, false) {
			return
		}
	}
	switch {
	case c.hangs > 0:
		if sleep(ctx, time.Until(p.heardAt.Add(c.hangs)), p.call.Done()) {
			p.hangup(ctx)
		}
	case c.kind == controls:
		// It ends by itself, unless a key was lost in whose place another one
		// has paused it.
		if sleep(ctx, time.Until(p.heardAt.Add(c.until(r.prompts)+r.plan.lasts+4*time.Second)), p.call.Done()) {
			p.press(ctx, stopKey, true)
		}
	case len(c.keys) > 0 && c.keys[len(c.keys)-1].key == stopKey:
		for r.sleepOut(ctx, p) && p.press(ctx, stopKey, true) {
		}
	}
}

// sleepOut waits as long as a key that is pressed now may take to be obeyed;
// false means that the call has ended.
func (r *round) sleepOut(ctx context.Context, p *placed) bool {
	pressed := time.Now()
	for {
		if !sleep(ctx, lookEvery, p.call.Done()) {
			return false
		}
		now := time.Now()
		if r.waitedFor(pressed, now) {
			return true
		}
	}
}

// waitedFor reports whether a caller has waited long enough for a key: while
// the fault lasts nobody may be there to obey it.
func (r *round) waitedFor(pressed, now time.Time) bool {
	happens, over := r.began.Add(r.plan.at), r.over()
	if over.IsZero() && now.After(happens) {
		return false
	}
	if over.After(pressed) && happens.Before(pressed.Add(againAfter)) {
		pressed = over
	}
	return now.Sub(pressed) >= againAfter
}

// press presses keys; false means that the call has ended.
func (p *placed) press(ctx context.Context, keys string, again bool) bool {
	k := pressed{key: keys, from: time.Now(), again: again}
	err := p.call.SendDTMF(ctx, keys)
	k.to = time.Now()
	if err != nil && !errors.Is(err, phone.ErrCallEnded) {
		return false
	}
	p.keys = append(p.keys, k)
	return err == nil
}

func (p *placed) hangup(ctx context.Context) {
	bye, cancel := context.WithTimeout(context.WithoutCancel(ctx), hangupWithin)
	defer cancel()
	_ = p.call.Hangup(bye) // What matters is on the platform, which is looked at later.
}

// finish waits for the end of the call and keeps what was heard.
func (p *placed) finish(ctx, limited context.Context) {
	select {
	case <-p.call.Done():
	case <-limited.Done():
		p.late = ctx.Err() == nil
		p.hangup(ctx)
	}
	p.end, _ = p.call.Wait(context.WithoutCancel(ctx)) // It is over: hangup has ended it in any case.
	if err := p.call.Answered(context.WithoutCancel(ctx)); err != nil {
		p.err = err
	}
	_, p.answered = p.call.AnsweredAt()
	p.heard, p.rx = p.call.Heard(), p.call.Reception()
	if p.heardAt.IsZero() && p.rx.Packets > 0 {
		p.heardAt = p.began.Add(p.rx.First)
	}
}

// endAt is when the call ended.
func (p *placed) endAt() time.Time { return p.began.Add(p.end.At) }
