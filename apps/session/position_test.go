package session

import (
	"testing"
	"time"
)

func TestPosition(t *testing.T) {
	const s = time.Second
	zero := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	at := func(d time.Duration) time.Time { return zero.Add(d) }
	tests := []struct {
		name    string
		lengths []time.Duration
		do      func(p *position)
		sound   int
		offset  time.Duration
		heard   time.Duration
		failed  int // -1: none
	}{
		{"not begun", []time.Duration{3 * s}, func(p *position) { p.at = time.Time{}; p.to(at(s)) }, 0, 0, 0, 0},
		{"reckons across known sounds", []time.Duration{s, s, 3 * s}, func(p *position) { p.to(at(5 * s)) }, 2, 3 * s, 5 * s, -1},
		{"stays in a sound of unknown length", []time.Duration{-1, s}, func(p *position) { p.to(at(5 * s)) }, 0, 5 * s, 5 * s, -1},
		{"is told of the next sound", []time.Duration{-1, s}, func(p *position) { p.next(1, at(4*s)); p.to(at(5 * s)) }, 1, s, 5 * s, -1},
		{"is told a little late", []time.Duration{s, s}, func(p *position) { p.next(1, at(s+20*time.Millisecond)); p.to(at(2 * s)) }, 1, s - 20*time.Millisecond, 2 * s, -1},
		{"is told a little early", []time.Duration{s, s}, func(p *position) { p.next(1, at(s-20*time.Millisecond)); p.to(at(2 * s)) }, 1, s + 20*time.Millisecond, 2 * s, -1},
		{"more sounds than there are", []time.Duration{s}, func(p *position) { p.next(1, at(s)) }, 0, s, s, -1},
		{"time does not go back", []time.Duration{3 * s}, func(p *position) { p.to(at(3 * s)); p.to(at(s)) }, 0, 3 * s, 3 * s, -1},
		{"a pause is not heard", []time.Duration{3 * s}, func(p *position) {
			p.to(at(s))
			p.paused = true
			p.to(at(9 * s))
			p.paused = false
			p.to(at(11 * s))
		}, 0, 3 * s, 3 * s, -1},
		{"forward at most to the end", []time.Duration{3 * s, s}, func(p *position) { p.to(at(s)); p.skip(9 * s) }, 0, 3 * s, s, -1},
		{"back at most to the beginning", []time.Duration{3 * s}, func(p *position) { p.to(at(s)); p.skip(-9 * s) }, 0, 0, s, -1},
		{"too short", []time.Duration{3 * s}, func(p *position) { p.to(at(2 * s)) }, 0, 2 * s, 2 * s, 0},
		{"one of them too short", []time.Duration{s, 9 * s, s}, func(p *position) { p.next(1, at(s)); p.next(2, at(s)); p.to(at(2 * s)) }, 2, s, 2 * s, 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := &position{lengths: tt.lengths}
			p.begin(at(0))
			tt.do(p)
			if p.sound != tt.sound || p.offset != tt.offset || p.heard != tt.heard {
				t.Errorf("sound %d at %v, heard %v; want %d at %v, %v", p.sound, p.offset, p.heard, tt.sound, tt.offset, tt.heard)
			}
			sound, failed := p.failed()
			if failed != (tt.failed >= 0) || (failed && sound != tt.failed) {
				t.Errorf("failed at %d, %v; want %d", sound, failed, tt.failed)
			}
		})
	}
}
