package chaos

import (
	"errors"
	"fmt"
	"time"

	"asterism/e2e/phone"
	"asterism/e2e/phone/hear"
)

const (
	// slack is how much earlier than a key seems to have been pressed it may
	// have been obeyed: frames, and the phone's own lateness.
	slack = 250 * time.Millisecond
	// busyBefore is how long before the fault a key may have been pressed that
	// nobody has obeyed yet.
	busyBefore = 300 * time.Millisecond
	// around is how long before and after the fault a call may be refused.
	refusedBefore = time.Second
	refusedAfter  = 5 * time.Second
)

// normalClearing is the cause (Q.850) of an ordinary end.
const normalClearing = 16

// verdict is what is said of one call.
type verdict struct {
	Dropped   int `json:"dropped"`
	Refused   int `json:"refused"` // as it may be
	Cut       int `json:"cut"`     // prompts cut short and not heard again
	Repeated  int `json:"repeated"`
	Double    int `json:"double"`
	Lost      int `json:"lost"`      // keys that did nothing
	Forbidden int `json:"forbidden"` // prompts in an order that nobody asked for

	Problems []string `json:"problems,omitempty"`
}

func (v *verdict) fails(format string, args ...any) {
	v.Problems = append(v.Problems, fmt.Sprintf(format, args...))
}

// window is what the judge must know of the fault.
type window struct {
	fault    *fault
	from, to time.Time
}

// busy reports whether a key was pressed while nobody may have obeyed it, so
// that it took effect later.
func (w window) busy(k pressed) bool {
	return k.to.After(w.from.Add(-busyBefore)) && k.from.Before(w.obeys())
}

// obeys is when keys must have been obeyed.
func (w window) obeys() time.Time {
	base := w.to
	if !w.fault.fromEnd && w.fault.limit > w.to.Sub(w.from) {
		base = w.from
	}
	return base.Add(w.fault.limit + 2*time.Second)
}

// refusable reports whether a call may be refused.
func (w window) refusable(p *placed) bool {
	during := p.began.After(w.from.Add(-refusedBefore)) && p.began.Before(w.to.Add(refusedAfter))
	return during && (w.fault.refuses || p.plan.kind == fresh)
}

// judge says what became of a call.
func judge(p *placed, w window, ps *prompts) (verdict, []reading) {
	var v verdict
	heard := readings(ps.words, ps.words.Follow(p.heard), p.plan.kind == controls)
	if p.call == nil {
		v.fails("the call was not placed: %v", p.err)
		return v, heard
	}
	if p.refusedBefore(&v, w) {
		return v, heard
	}
	if p.end.By == phone.FarEnd && p.end.Answered && p.end.Cause != normalClearing {
		v.Dropped++
		v.fails("the far end gave the call up: %s", p.ending())
		return v, heard
	}
	p.judgeHoles(&v, heard)
	if p.plan.kind == controls {
		p.judgeMoves(&v, w, ps, heard)
		return v, heard
	}
	for i, r := range heard {
		if r.prompt == hear.Unknown {
			// What is left of a prompt too short to be told; or a stranger.
			if r.end-r.at > 300*time.Millisecond {
				v.Forbidden++
				v.fails("at %.2f s a sound of no prompt was heard", r.at.Seconds())
			}
			heard[i].begins = false
		}
	}
	known := make([]reading, 0, len(heard))
	for _, r := range heard {
		if r.prompt != hear.Unknown {
			known = append(known, r)
		}
	}
	p.judgeOrder(&v, w, inOrder(p.plan.expected(len(known)), known))
	p.judgeStop(&v)
	return v, heard
}

// frame is how much sound a packet holds.
const frame = 20 * time.Millisecond

// judgeHoles judges what is missing in the middle of prompts: no more than the
// network has lost.
func (p *placed) judgeHoles(v *verdict, heard []reading) {
	missing := time.Duration(0)
	for _, r := range heard {
		missing += r.missing
	}
	if missing > time.Duration(p.rx.Lost+1)*frame {
		v.Cut++
		v.fails("%v are missing in the middle of prompts, and %d packets were lost", missing, p.rx.Lost)
	}
}

// refusedBefore judges a call that ended before anything was heard.
func (p *placed) refusedBefore(v *verdict, w window) bool {
	refusal, ok := errors.AsType[*phone.RefusedError](p.err)
	switch {
	case ok && len(p.heard) == 0 && refusal.Status == 503 && w.refusable(p):
		v.Refused++
		return true
	case ok && p.plan.early && refusal.Status == 480:
		return false // its ordinary end
	case ok:
		v.Dropped++
		v.fails("refused: %v, %.2f s after the INVITE", p.err, p.end.At.Seconds())
		return true
	case p.end.By == phone.Us && p.plan.hangs > 0 || p.end.By == phone.FarEnd || p.late:
		return false
	case p.err != nil:
		v.Dropped++
		v.fails("failed: %v", p.err)
		return true
	case p.end.By == phone.Nobody:
		v.Dropped++
		v.fails("died: %s", p.end.Reason)
		return true
	}
	return false
}

// byCaller reports whether the end is the caller's doing: a hang-up, or a key
// that stops. It is not asked of a call that did not end.
func (p *placed) byCaller() bool { return p.end.By == phone.Us || p.stopPressed() != nil }

// stopPressed is the first key that may have ended the call; nil when there is
// none.
func (p *placed) stopPressed() *pressed {
	if !p.plan.stops {
		return nil
	}
	for i := range p.keys {
		if p.keys[i].key == stopKey && p.keys[i].from.Before(p.endAt()) {
			return &p.keys[i]
		}
	}
	return nil
}

// judgeOrder judges what was heard up to the end of the call.
func (p *placed) judgeOrder(v *verdict, w window, o order) {
	v.Repeated, v.Cut, v.Forbidden = o.repeated, v.Cut+o.lost, v.Forbidden+o.forbidden
	if o.lost > 0 {
		v.fails("%d prompts were cut short and not heard again", o.lost)
	}
	if o.forbidden > 0 {
		v.fails("%d prompts were heard in an order that nobody asked for", o.forbidden)
	}
	if o.needless > 0 && !w.fault.forgets {
		v.Double += o.needless
		v.fails("%d prompts were heard again although they had been heard whole", o.needless)
	}
	if p.late {
		v.Dropped++
		v.fails("the call did not end; the phone hung up after %.1f s", p.end.At.Seconds())
		return
	}
	if p.byCaller() {
		return
	}
	whole := len(p.plan.items) * p.plan.loops
	switch {
	case p.plan.loops == 0:
		v.Dropped++
		v.fails("the far end hung up an endless call: %s", p.ending())
	case o.next == whole-1 && o.cut:
		v.Cut++
		v.fails("the last prompt was cut short: %s", p.ending())
	case o.next < whole:
		v.Dropped++
		v.fails("the far end hung up when %d of %d prompts had been heard: %s", o.next, whole, p.ending())
	}
}

func (p *placed) ending() string {
	return fmt.Sprintf("by %s after %.2f s, status %d, cause %d %s", p.end.By, p.end.At.Seconds(), p.end.Status, p.end.Cause, p.end.Reason)
}

// judgeStop judges whether the keys that stop have stopped.
func (p *placed) judgeStop(v *verdict) {
	first := p.stopPressed()
	if first == nil || p.plan.kind == probe {
		return
	}
	again := 0
	for _, k := range p.keys {
		if k.again && k.from.Before(p.endAt()) {
			again++
		}
	}
	if again > 0 || p.late {
		v.Lost++
		v.fails("the key %s pressed %.2f s after the first sound did nothing", first.key, first.from.Sub(p.heardAt).Seconds())
	}
}
