package session

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/rs/zerolog"

	"asterism/apps"
	"asterism/ari/proxy"
)

const (
	// lateBy is how much longer than its sounds a playback may last before it
	// is looked for.
	lateBy = 5 * time.Second
	// mostPatience is the longest time between two looks at a playback whose
	// length is not known; the first is after lateBy, and each time is twice
	// the one before.
	mostPatience = 2 * time.Minute
	// haltWithin is how long a playback may take to stop.
	haltWithin = 2 * time.Second
	// goneWithin is how long the news of a hang-up may be behind that of the
	// playback which it ended.
	goneWithin = 250 * time.Millisecond
)

// patience is how long to wait for events before looking.
func (p *playing) patience() time.Duration {
	if total, ok := p.pos.expected(); ok && !p.pos.paused && p.looked == 0 {
		p.looked = lateBy
		return total + lateBy
	}
	p.looked = min(max(2*p.looked, lateBy), mostPatience)
	return p.looked
}

// look finds out by asking how things are; over says that the playback has
// ended.
func (p *playing) look(ctx context.Context, why string) (played apps.Played, over bool, err error) {
	r, err := p.verbRun.look(ctx, why,
		proxy.ARI(http.MethodGet, "/channels/"+escape(p.s.id), nil), proxy.ARI(http.MethodGet, p.path, nil))
	if err != nil {
		played, err = p.abandoned(ctx, err)
		return played, true, err
	}
	step, ok := errors.AsType[*proxy.StepError](r.Err(2))
	switch {
	case !ok || step.Code != http.StatusNotFound:
		return apps.Played{}, false, nil // it goes on, or Asterisk cannot say
	case step.Index == 0:
		p.s.cancel(apps.ErrHangup)
		played, err = p.interrupted(ctx)
		return played, true, err
	}
	if p.adopted {
		p.reckon()
	}
	// Its last event may be on its way.
	if played, over, err := p.settle(ctx, goneWithin); over {
		return played, true, err
	}
	played, err = p.vanished(ctx)
	return played, true, err
}

// settle takes in events for a while, until one says that the playback has
// ended. Keys stay for later verbs.
func (p *playing) settle(ctx context.Context, within time.Duration) (played apps.Played, over bool, err error) {
	state, ended := p.drain(ctx, within)
	if !ended {
		return apps.Played{}, false, nil
	}
	played, err = p.finished(ctx, state == sigFailed)
	return played, true, err
}

// drain follows the events for a while, until the last of the playback.
func (p *playing) drain(ctx context.Context, within time.Duration) (last signalKind, ended bool) {
	timer := time.NewTimer(within)
	defer timer.Stop()
	for {
		for _, sig := range p.s.takeSignals() {
			p.clock(sig)
			switch sig.kind {
			case sigContinuing:
				p.next(sig.at)
			case sigDone, sigFailed:
				return sig.kind, true
			case sigStarted, sigKey, sigGone:
			}
		}
		select {
		case <-p.s.wake:
		case <-timer.C:
			return 0, false
		case <-ctx.Done():
			return 0, false
		case <-p.s.ctx.Done():
			return 0, false
		}
	}
}

// vanished judges a playback that is over and of which no event said so.
func (p *playing) vanished(ctx context.Context) (apps.Played, error) {
	if !p.adopted { // of that it was reckoned as it was found out
		p.reckon()
	}
	if _, known := p.pos.expected(); !known && !p.lost && !p.adopted {
		return p.failed(ctx, p.pos.sound, "Asterisk gave it up without a word")
	}
	return p.finished(ctx, false)
}

// finished judges a playback that has ended by itself.
func (p *playing) finished(ctx context.Context, failed bool) (apps.Played, error) {
	if failed {
		return p.failed(ctx, p.pos.sound, "Asterisk could not play it")
	}
	if p.adopted || (p.lost && p.starts.IsZero()) { // nobody knows when it started
		p.wholly()
	} else if sound, short := p.pos.failed(); short {
		return p.failed(ctx, sound, fmt.Sprintf("it ended after %v", p.pos.offset.Round(time.Millisecond)))
	}
	p.pos.complete()
	return p.played(apps.EndedComplete), nil
}

// wholly judges how long an adopted playback was heard that has ended: nobody
// saw all of it, so it is taken to have been heard to its end.
func (p *playing) wholly() {
	if total, ok := p.pos.expected(); ok && !p.pos.moved && !p.pos.paused {
		p.pos.heard = total
	}
}

// tooLate judges a playback that another worker had begun, and that was under
// way when the call, or the time that the flow has given it, ended.
func (p *playing) tooLate(ctx context.Context, early bool) (apps.Played, error) {
	within, cancel := context.WithTimeout(context.WithoutCancel(ctx), haltWithin)
	defer cancel()
	if _, err := p.start(within, early); err != nil || early {
		return apps.Played{Ended: apps.EndedByHangup}, p.s.ended(ctx)
	}
	p.pos.begin(p.began)
	return p.late(ctx)
}

// late is the end of an adopted playback when the call or the time for the
// verb is over: it may have ended long before that.
func (p *playing) late(ctx context.Context) (apps.Played, error) {
	within, cancel := context.WithTimeout(context.WithoutCancel(ctx), haltWithin)
	defer cancel()
	key, done, gone := p.past()
	if key.key != 0 {
		if p.s.over() == nil {
			_ = p.stop(within, tag(key.key))
		}
		played := p.played(apps.EndedByDigit)
		played.Digit = key.digit
		return played, nil
	}
	if gone.IsZero() && done.IsZero() && p.s.over() == nil {
		r, err := p.do(within, tagHalt, proxy.ARI(http.MethodDelete, p.path, nil))
		if err == nil && r.Again && r.Err(1) != nil { // it may have begun since
			r, err = p.do(within, "overtaken", proxy.ARI(http.MethodDelete, p.path, nil))
		}
		if err != nil || len(r.Steps) == 0 {
			return p.played(apps.EndedByHangup), p.s.ended(ctx)
		}
		p.pos.to(time.Now().Add(p.skew - r.Age))
		if !r.Steps[0].OK() {
			done = p.pos.at
		}
	} else if gone.IsZero() && done.IsZero() {
		p.reckon()
	}
	total, known := p.pos.expected()
	whole := !done.IsZero() && (gone.IsZero() || gone.Sub(done) > goneWithin)
	if known && !p.pos.moved && !p.pos.paused {
		whole = p.pos.heard+goneWithin >= total
	}
	if whole {
		return p.finished(ctx, false)
	}
	return p.played(apps.EndedByHangup), p.s.ended(ctx)
}

// stopKey is a key that has stopped a playback.
type stopKey struct {
	key   uint64 // its number
	digit string
}

// past follows what has happened to an adopted playback: which key has
// stopped it, when it ended, and when the caller hung up.
func (p *playing) past() (key stopKey, done, gone time.Time) {
	for _, sig := range p.s.takeSignals() {
		if done.IsZero() {
			p.clock(sig)
		}
		switch sig.kind {
		case sigStarted:
		case sigContinuing:
			p.next(sig.at)
		case sigDone, sigFailed:
			done = sig.at
		case sigGone:
			return key, done, sig.at
		case sigKey:
			if done.IsZero() && !p.overBefore(sig) {
				if digit := p.s.takeNumber(sig.key, p.rule.StopOn); digit != "" {
					return stopKey{sig.key, digit}, done, gone
				}
			}
		}
	}
	return key, done, gone
}

// overBefore reports whether an adopted playback must have ended before a key
// was pressed, which then is not for it.
func (p *playing) overBefore(sig signal) bool {
	total, ok := p.pos.expected()
	return p.adopted && ok && !p.pos.moved && !p.pos.paused && sig.old && sig.at.Sub(p.began) > total+goneWithin
}

// failed is the end of a playback that went wrong. Mostly the caller has hung
// up, of which the news comes a little later.
func (p *playing) failed(ctx context.Context, sound int, detail string) (apps.Played, error) {
	timer := time.NewTimer(goneWithin)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	case <-p.s.ctx.Done():
	}
	if err := p.s.ended(ctx); err != nil {
		return p.played(apps.EndedByHangup), err
	}
	if err := p.lookForChannel(ctx, "failed"); err != nil {
		return p.abandoned(ctx, err)
	}
	played := p.played(apps.EndedFailed)
	played.Sound = sound
	return played, &apps.MediaError{Sound: p.rule.Sounds[sound], Problem: apps.MediaBroken, Detail: detail}
}

// interrupted is the end of a playback whose context has ended. When the call
// goes on, the playback is stopped.
func (p *playing) interrupted(ctx context.Context) (apps.Played, error) {
	if p.adopted && !p.s.isMoved() { // who has the call now sees the rest of it
		return p.late(ctx)
	}
	over := false
	for _, sig := range p.s.takeSignals() {
		if over {
			break
		}
		p.clock(sig)
		if sig.kind == sigContinuing {
			p.next(sig.at)
		}
		over = sig.kind == sigGone || sig.kind == sigDone || sig.kind == sigFailed
	}
	if !over && p.s.over() == nil {
		over = p.halt(ctx)
	}
	if !over {
		p.reckon()
	}
	return p.played(apps.EndedByHangup), p.s.ended(ctx)
}

// abandoned is the end of a playback that cannot be commanded any more.
func (p *playing) abandoned(ctx context.Context, err error) (apps.Played, error) {
	if p.s.ended(ctx) != nil {
		return p.interrupted(ctx)
	}
	return p.played(apps.EndedFailed), err
}

// halt stops the playback though the verb's own context has ended, and
// reports whether it has.
func (p *playing) halt(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), haltWithin)
	defer cancel()
	err := p.stop(ctx, tagHalt)
	if err != nil {
		p.s.line(zerolog.WarnLevel).Err(err).Str("playback", p.id).Msg("playback was not stopped")
	}
	return err == nil
}

// stop stops the playback and waits until it has ended, unless that was long
// ago.
func (p *playing) stop(ctx context.Context, tag string) error {
	r, err := p.do(ctx, tag, proxy.ARI(http.MethodDelete, p.path, nil))
	if err != nil {
		return err
	}
	if err := r.Err(1); err != nil && r.Steps[0].Code != http.StatusNotFound {
		return p.verbRun.refused(ctx, "stopping the playback", err)
	}
	if p.open != nil && !r.Steps[0].OK() {
		return p.overtake(ctx)
	}
	within := haltWithin
	if p.adopted && (r.Again || !r.Steps[0].OK()) {
		within = 0 // its last event may have gone to somebody else
	}
	if _, ended := p.drain(ctx, within); ended {
		return nil
	}
	return p.s.ended(ctx)
}
