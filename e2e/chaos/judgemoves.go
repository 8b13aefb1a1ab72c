package chaos

import (
	"fmt"
	"slices"
	"time"

	"asterism/e2e/phone/hear"
)

// action is what a key has done in a prompt.
type action struct {
	what string // pause, restart, forward or back
	also string // another key that would have done the same
	at   time.Duration
}

func (a action) is(what string) bool { return a.what == what || a.also == what }

// actionsOf reads from what was heard what the keys have done. wrong are the
// moves that no key makes, or that one made twice.
func actionsOf(r reading) (done []action, doubles int, wrong []string) {
	for _, m := range r.moves {
		a := action{at: m.at}
		by := m.by()
		switch {
		case by.Abs() <= moved:
			a.what = "pause"
		case m.to < moved && by < 0: // back stops at the beginning
			a.what = "restart"
			if -by <= skip+moved {
				a.also = "back"
			}
		case about(by, skip):
			a.what = "forward"
		case about(by, -skip):
			a.what = "back"
		case about(by, 2*skip) || about(by, -2*skip):
			doubles++
			a.what = map[bool]string{true: "forward", false: "back"}[by > 0]
		default:
			wrong = append(wrong, fmt.Sprintf("at %.2f s the prompt went from %.2f s to %.2f s", m.at.Seconds(), m.from.Seconds(), m.to.Seconds()))
			continue
		}
		done = append(done, a)
	}
	return done, doubles, wrong
}

// about allows for the silence in a prompt, and for a frame or two.
func about(d, want time.Duration) bool { return (d - want).Abs() <= moved }

var actionOf = map[string]string{pauseKey: "pause", restartKey: "restart", forwardKey: "forward", backKey: "back"}

// wanted is an action that keys have asked for.
type wanted struct {
	what   string
	at     time.Duration // after the first sound
	busy   bool          // it may have been obeyed late
	unsure bool          // it may have been obeyed together with another one, or too late
}

// wants are the actions that the keys of a call ask for. Two keys make one
// pause.
func (p *placed) wants(w window, end time.Duration) []wanted {
	var all []wanted
	for i := 0; i < len(p.keys); i++ {
		k := p.keys[i]
		what := actionOf[k.key]
		if what == "" {
			continue
		}
		a := wanted{what: what, at: k.from.Sub(p.heardAt), busy: w.busy(k)}
		latest := a.at
		if a.busy {
			latest = max(latest, w.obeys().Sub(p.heardAt))
		}
		if k.key == pauseKey && i+1 < len(p.keys) && p.keys[i+1].key == pauseKey {
			i++
			// Obeyed together they are a pause that nobody hears.
			a.busy = a.busy || w.busy(p.keys[i])
			a.unsure = a.busy
		}
		// A key at the very end has nothing left to move in.
		a.unsure = a.unsure || latest > end-slack-edge
		all = append(all, a)
	}
	busy := 0
	for _, a := range all {
		if a.busy {
			busy++
		}
	}
	for i := range all {
		all[i].unsure = all[i].unsure || all[i].busy && busy > 1
	}
	return all
}

// judgeMoves judges a call whose keys move about in one long prompt.
func (p *placed) judgeMoves(v *verdict, w window, ps *prompts, heard []reading) {
	if p.late {
		v.Dropped++
		v.fails("the call did not end; the phone hung up after %.1f s", p.end.At.Seconds())
	}
	if len(heard) == 0 {
		v.Dropped++
		v.fails("nothing was heard: %s", p.ending())
		return
	}
	long := p.plan.items[0]
	for _, r := range heard {
		if r.prompt != long && (r.prompt != hear.Unknown || r.end-r.at > moved) {
			v.Forbidden++
			v.fails("another sound was heard: %v", r)
		}
	}
	i := slices.IndexFunc(heard, func(r reading) bool { return r.prompt == long })
	if i < 0 {
		v.Dropped++
		return
	}
	r := heard[i]
	if !r.begins {
		v.Forbidden++
		v.fails("the prompt began in its middle: %v", r)
	}
	if p.stopPressed() == nil && r.to < ps.words.Bounds(long).To-edge {
		v.Dropped++
		v.fails("the far end hung up after %.2f s of the prompt: %s", r.to.Seconds(), p.ending())
	}
	p.compare(v, w, r)
}

// compare judges what the keys have done against what they asked for.
func (p *placed) compare(v *verdict, w window, r reading) {
	done, doubles, wrong := actionsOf(r)
	wants := p.wants(w, r.end)
	for _, text := range wrong {
		// Two keys that were obeyed together, late, make a move of their own.
		if !slices.ContainsFunc(wants, func(a wanted) bool { return a.unsure }) {
			v.Forbidden++
			v.fails("%s", text)
		}
	}
	v.Double += doubles
	if doubles > 0 {
		v.fails("%d keys moved twice as far as they should", doubles)
	}
	for _, a := range wants {
		i := slices.IndexFunc(done, func(d action) bool { return d.is(a.what) && d.at > a.at-slack })
		switch {
		case i >= 0:
			done = slices.Delete(done, i, i+1)
		case !a.unsure:
			v.Lost++
			v.fails("the key for %s, %.2f s after the first sound, did nothing", a.what, a.at.Seconds())
		}
	}
	for _, d := range done {
		switch {
		case d.what == "restart" && w.fault.forgets:
			v.Repeated++
		default:
			v.Double++
			v.fails("at %.2f s there was a %s that no key asked for", d.at.Seconds(), d.what)
		}
	}
}
