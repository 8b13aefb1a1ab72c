package session

import "time"

// position is where in its sounds a playback is, by Asterisk's clock. It is
// put right by each event and reckons in between.
type position struct {
	lengths []time.Duration // of each sound; negative where it is not known
	sound   int             // the current one
	offset  time.Duration   // how far that had come at the time at
	heard   time.Duration   // until at, less pauses
	at      time.Time       // zero before the playback has begun
	paused  bool
	moved   bool // a key has moved it, so heard says nothing about lengths
	short   int  // 1 + the first sound that ended long before its length
}

// begin notes when the first sound began.
func (p *position) begin(at time.Time) {
	if p.at.IsZero() {
		p.at = at
	}
}

// to lets the time pass until at.
func (p *position) to(at time.Time) {
	d := at.Sub(p.at)
	if p.at.IsZero() || d <= 0 {
		return
	}
	p.at = at
	if p.paused {
		return
	}
	p.heard += d
	p.offset += d
	p.cross()
}

// cross goes over to the next sounds when the current one must have ended.
func (p *position) cross() {
	for p.sound < len(p.lengths)-1 {
		length := p.lengths[p.sound]
		if length < 0 || p.offset < length {
			return
		}
		p.offset -= length
		p.sound++
	}
}

// next notes that the sound of that index began.
func (p *position) next(sound int, at time.Time) {
	p.to(at)
	if sound >= len(p.lengths) {
		return
	}
	if p.sound < sound && p.short == 0 && !p.moved && tooShort(p.offset, p.lengths[p.sound]) {
		p.short = p.sound + 1
	}
	p.sound, p.offset = sound, 0
}

// following is which sound has begun when it is told that one has: the next,
// or the current one, if the reckoning is a little ahead.
func (p *position) following() int {
	if p.sound > 0 && p.offset < time.Second {
		return p.sound
	}
	return p.sound + 1
}

// skip moves by d inside the current sound.
func (p *position) skip(d time.Duration) {
	p.moved = true
	p.offset = max(p.offset+d, 0)
	if p.sound < len(p.lengths) && p.lengths[p.sound] >= 0 {
		p.offset = min(p.offset, p.lengths[p.sound])
	}
}

// restart goes to the beginning of the current sound.
func (p *position) restart() {
	p.moved = true
	p.offset = 0
}

// expected is how long all sounds last together; ok is false when that is
// not known. In any case it is at least so long.
func (p *position) expected() (total time.Duration, ok bool) {
	ok = len(p.lengths) > 0
	for _, l := range p.lengths {
		if l < 0 {
			ok = false
			continue
		}
		total += l
	}
	return total, ok
}

// failed reports that the playback ended long before it should have, and at
// which sound that showed.
func (p *position) failed() (sound int, ok bool) {
	total, _ := p.expected()
	if p.moved || !tooShort(p.heard, total) {
		return 0, false
	}
	if p.short > 0 {
		return p.short - 1, true
	}
	return p.sound, true
}

// complete goes to the end of the last sound.
func (p *position) complete() {
	last := len(p.lengths) - 1
	if last < 0 {
		return
	}
	if p.sound < last {
		p.sound, p.offset = last, 0
	}
	if p.lengths[last] >= 0 {
		p.offset = p.lengths[last]
	}
}

// tooShort allows for what events and files are inexact by.
func tooShort(heard, length time.Duration) bool {
	return heard < length-length/10-500*time.Millisecond
}
