package session

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"asterism/apps"
	"asterism/ari/proxy"
)

// playing is one Play under way.
type playing struct {
	*verbRun
	rule   apps.PlayRule
	id     string // of the playback
	path   string // of the playback in ARI
	pos    position
	began  time.Time                                   // when its result was there, by our clock
	open   func(context.Context) (proxy.Result, error) // sends the command again that plays and has no result
	timed  bool                                        // began is known, also when another worker has begun it
	starts time.Time                                   // when it started, by Asterisk's
	skew   time.Duration                               // how far Asterisk's clock is ahead of ours, or more: events take a while
	synced bool                                        // skew is known
	lost   bool                                        // events were lost meanwhile
	looked time.Duration                               // how long the last look was waited for
	went   int                                         // how often it went on to the next sound
	// adopted says that another worker has begun it: of what happened before
	// only the keys are known for sure.
	adopted bool
}

// again is how often a playback is begun anew that was lost before Asterisk
// had it.
const again = 3

// playbackID returns the id of a playback: "<session>~<stage>.<k>".
func playbackID(session string, stage, k int) string {
	return session + "~" + strconv.Itoa(stage) + "." + strconv.Itoa(k)
}

// anotherID returns the id of a playback that is begun anew for the i-th time.
func anotherID(playback string, i int) string { return playback + "." + strconv.Itoa(i) }

// Play implements [apps.Call].
func (s *session) Play(ctx context.Context, rule apps.PlayRule) (apps.Played, error) {
	p := &playing{rule: rule}
	played, err := runVerb(ctx, s, p.verb(), p.run)
	if err != nil && played.Ended == "" {
		played.Ended = apps.EndedByHangup
	}
	return played, err
}

// verb is the playback as the journal knows it.
//
//go:noinline
func (p *playing) verb() *verb[apps.Played] {
	return &verb[apps.Played]{
		name: "play", about: describe(p.rule.Sounds), hash: hashRule(&p.rule), adopts: true, codec: playedCodec,
	}
}

// check refuses rules that no node needs to be asked about.
func check(rule *apps.PlayRule) (apps.Played, error) {
	failed := apps.Played{Ended: apps.EndedFailed}
	if n := len(rule.Sounds); n == 0 || n > apps.MaxSounds {
		return failed, fmt.Errorf("play was called with %d sounds: 1 to %d are allowed", n, apps.MaxSounds)
	}
	keys := string(rule.StopOn + rule.Controls.Keys())
	for i, key := range keys {
		if strings.ContainsRune(keys[:i], key) {
			return failed, fmt.Errorf("play was called with the key %c in two sets", key)
		}
	}
	for i, sound := range rule.Sounds {
		if err := apps.CheckSound(sound); err != nil {
			failed.Sound = i
			return failed, err
		}
	}
	return failed, nil
}

// run plays, or with a key that was typed before only makes sure that it
// could.
func (p *playing) run(ctx context.Context, v *verbRun) (apps.Played, error) {
	if played, err := check(&p.rule); err != nil {
		return played, err
	}
	p.verbRun = v
	p.named(playbackID(v.s.id, v.s.stage.n, v.k))
	early := p.s.listenUnless(p.id, p.rule.StopOn, v)
	defer p.s.listen("")
	if p.replay && p.s.ended(ctx) != nil {
		return p.tooLate(ctx, early)
	}
	if played, err := p.start(ctx, early); err != nil {
		if p.replay && !early && !p.s.isMoved() && p.s.ended(ctx) != nil {
			return p.tooLate(ctx, early) // the end came while it was being adopted
		}
		return played, err
	}
	if early {
		return apps.Played{Ended: apps.EndedByDigit, Digit: p.s.takeKey(p.rule.StopOn)}, nil
	}
	if p.adopted {
		p.pos.begin(p.began)
	}
	return p.wait(ctx)
}

// wait waits for the end of the playback and obeys the keys meanwhile.
func (p *playing) wait(ctx context.Context) (apps.Played, error) {
	timer := time.NewTimer(p.patience())
	defer timer.Stop()
	asked := !p.adopted // what became of it before it was adopted
	for {
		for _, sig := range p.s.takeSignals() {
			played, over, err := p.take(ctx, sig)
			if over || err != nil {
				return played, err
			}
		}
		if lost := p.s.takeLost(); lost || !asked {
			why := "adopted"
			if lost {
				p.lost, why = true, "lost"
			}
			asked = true
			if played, over, err := p.look(ctx, why); over || err != nil {
				return played, err
			}
			continue
		}
		select {
		case <-p.s.wake:
		case <-timer.C:
			if played, over, err := p.look(ctx, "late"); over || err != nil {
				return played, err
			}
			timer.Reset(p.patience())
		case <-ctx.Done():
			return p.interrupted(ctx)
		case <-p.s.ctx.Done():
			return p.interrupted(ctx)
		}
	}
}

// take takes in what has happened; over says that the playback has ended.
func (p *playing) take(ctx context.Context, sig signal) (played apps.Played, over bool, err error) {
	p.clock(sig)
	if name := sig.kind.event(); name != "" && !sig.old {
		p.s.pool.metrics.heard(name, sig.at)
	}
	switch sig.kind {
	case sigStarted:
	case sigContinuing:
		p.next(sig.at)
	case sigDone, sigFailed:
		played, err = p.finished(ctx, sig.kind == sigFailed)
		return played, true, err
	case sigKey:
		return p.pressed(ctx, sig)
	case sigGone: // the context of the call ends with it
	}
	return apps.Played{}, false, nil
}

// clock brings the position up to the time of a signal. When the event that
// the playback has begun was not heard, its time is reckoned back from the
// first signal after the playback was asked for.
func (p *playing) clock(sig signal) {
	switch {
	case sig.at.IsZero():
		return
	case sig.kind == sigStarted:
		p.pos.begin(sig.at)
		if p.starts.IsZero() && p.went == 0 && !p.adopted { // each sound of a list starts
			p.starts = sig.at
			if !sig.old && !p.began.IsZero() { // about when it began, however late the news of it is
				p.skew, p.synced = sig.at.Sub(p.began), true
			}
		}
	case p.pos.at.IsZero() && !p.began.IsZero() && sig.came.After(p.began):
		p.pos.begin(sig.at.Add(p.began.Sub(sig.came)))
	}
	if skew := sig.at.Sub(sig.came); !sig.old && (!p.synced || skew > p.skew) {
		p.skew, p.synced = skew, true
	}
	p.pos.to(sig.at)
}

// reckon brings the position up to now, of which no event tells.
func (p *playing) reckon() {
	if p.began.IsZero() {
		return
	}
	skew := p.skew
	// The event that it started travels with a later one; its result does not
	// wait.
	if !p.starts.IsZero() {
		skew = max(skew, p.starts.Sub(p.began))
	}
	p.pos.begin(p.began.Add(skew))
	p.pos.to(time.Now().Add(skew))
	if total, ok := p.pos.expected(); ok && !p.pos.moved {
		p.pos.heard = min(p.pos.heard, total)
		p.pos.offset = min(p.pos.offset, p.pos.lengths[p.pos.sound])
	}
}

// next goes to the next sound: Asterisk says when it goes on, not to which.
func (p *playing) next(at time.Time) {
	p.went++
	if p.adopted { // it may have gone on before, unheard
		p.went = p.pos.following()
	}
	p.pos.next(p.went, at)
}

// tag names the command that a key leads to. A replay gives the same key the
// same command, which is not carried out twice.
func tag(key uint64) string { return "key" + strconv.FormatUint(key, 10) }

// pressed obeys a key.
func (p *playing) pressed(ctx context.Context, sig signal) (played apps.Played, over bool, err error) {
	if p.overBefore(sig) {
		return apps.Played{}, false, nil // it is for the verbs that follow
	}
	c := p.rule.Controls
	keys := p.rule.StopOn
	if !p.pos.at.IsZero() && !p.tooEarly(sig) { // a key from before the first sound controls nothing
		keys += c.Keys()
	}
	key := p.s.takeNumber(sig.key, keys)
	switch {
	case key == "":
		return apps.Played{}, false, nil
	case p.rule.StopOn.Has(key):
		if err := p.stop(ctx, tag(sig.key)); err != nil {
			played, _ := p.interrupted(ctx)
			return played, true, err
		}
		played = p.played(apps.EndedByDigit)
		played.Digit = key
		return played, true, nil
	case c.Pause.Has(key) && p.pos.paused:
		err = p.control(ctx, sig, "unpause", func() { p.pos.paused = false })
	case c.Pause.Has(key):
		err = p.control(ctx, sig, "pause", func() { p.pos.paused = true })
	case c.Restart.Has(key):
		err = p.control(ctx, sig, "restart", p.pos.restart)
	case c.Forward.Has(key):
		err = p.control(ctx, sig, "forward", func() { p.pos.skip(c.SkipBy()) })
	case c.Back.Has(key):
		err = p.control(ctx, sig, "reverse", func() { p.pos.skip(-c.SkipBy()) })
	}
	if err != nil {
		played, err = p.abandoned(ctx, err)
		return played, true, err
	}
	return apps.Played{}, false, nil
}

// tooEarly reports whether a key that an earlier worker may have heard was
// pressed before the playback had begun.
func (p *playing) tooEarly(sig signal) bool {
	at := p.began
	if p.synced {
		at = at.Add(p.skew)
	}
	return sig.old && p.timed && sig.at.Before(at)
}

// control has Asterisk do an operation, and follows it in the position. An
// operation that comes too early or too late does nothing.
func (p *playing) control(ctx context.Context, sig signal, operation string, follow func()) error {
	r, err := p.do(ctx, tag(sig.key), proxy.ARI("POST", p.path+"/control?operation="+operation, nil))
	if err == nil && r.Err(1) == nil {
		// A key that was heard late has done its work when this was carried
		// out, not when it was pressed.
		if p.synced {
			p.pos.to(time.Now().Add(p.skew - r.Age))
		} else {
			p.pos.moved = true // nobody knows how far it had come
		}
		follow()
	}
	return err
}

// played is how far the playback has come.
func (p *playing) played(ended apps.PlayEnd) apps.Played {
	return apps.Played{Heard: p.pos.heard, Ended: ended, Sound: p.pos.sound, Offset: p.pos.offset}
}

// describe names sounds for the call record.
func describe(sounds []string) string {
	const most = 120
	var b strings.Builder
	for i, sound := range sounds {
		if b.Len()+len(sound) > most {
			fmt.Fprintf(&b, " … (%d in all)", len(sounds))
			break
		}
		if i > 0 {
			b.WriteByte('&')
		}
		b.WriteString(sound)
	}
	return strings.ToValidUTF8(b.String(), "")
}
