package chaos

import (
	"fmt"
	"strings"
	"time"

	"asterism/e2e/phone/hear"
)

const (
	// edge is how much at either end of a prompt may be missing: a frame or
	// two, of which the ear knows nothing.
	edge = 60 * time.Millisecond
	// moved is from which distance on a playback has moved within its prompt,
	// or has paused. The silence in a prompt is shorter.
	moved = 300 * time.Millisecond
)

// reading is a prompt as it was heard, in one go or with moves and pauses.
type reading struct {
	prompt   int
	at, end  time.Duration // in what was heard
	from, to time.Duration // in the prompt, of its first and last sound heard
	moves    []move
	whole    bool          // from its first sound to its last without a move
	begins   bool          // with its first sound
	missing  time.Duration // in its middle
}

// move is a place where a prompt did not just go on.
type move struct {
	at       time.Duration // in what was heard, when it left off
	from, to time.Duration // in the prompt
	waited   time.Duration // until it went on
}

func (m move) by() time.Duration { return m.to - m.from }

// readings joins the parts of a recording to prompts. A prompt in which keys
// move about is joined over the moves as well.
func readings(words *hear.Vocabulary, parts []hear.Part, moves bool) []reading {
	var all []reading
	for _, p := range parts {
		if p.Prompt != hear.Unknown && p.To-p.From < edge {
			continue // Asterisk plays the first frame of a file again when it goes on after a pause.
		}
		n := len(all) - 1
		if n >= 0 && all[n].prompt == p.Prompt && p.Prompt != hear.Unknown {
			m := move{at: all[n].end, from: all[n].to, to: p.From, waited: p.At - all[n].end}
			goesOn := m.by().Abs() < edge || m.by() > 0 && words.Silent(p.Prompt, m.from, m.to)
			if goesOn || moves {
				if !goesOn || m.waited-m.by() > moved {
					all[n].moves = append(all[n].moves, m)
				}
				all[n].end, all[n].to = p.End(), p.To
				all[n].missing += p.Missing
				continue
			}
		}
		all = append(all, reading{prompt: p.Prompt, at: p.At, end: p.End(), from: p.From, to: p.To, missing: p.Missing})
	}
	for i := range all {
		r := &all[i]
		if r.prompt == hear.Unknown {
			continue
		}
		b := words.Bounds(r.prompt)
		r.begins = r.from <= b.From+edge
		r.whole = r.begins && r.to >= b.To-edge && !r.jumps()
	}
	return all
}

// jumps reports whether a part of the prompt was skipped or heard again.
func (r *reading) jumps() bool {
	for _, m := range r.moves {
		if m.by().Abs() > moved {
			return true
		}
	}
	return false
}

func (r reading) String() string {
	if r.prompt == hear.Unknown {
		return fmt.Sprintf("%.2f–%.2f s: a sound of no prompt", r.at.Seconds(), r.end.Seconds())
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%.2f–%.2f s: prompt %d", r.at.Seconds(), r.end.Seconds(), r.prompt)
	if !r.whole {
		fmt.Fprintf(&b, " from %.2f to %.2f", r.from.Seconds(), r.to.Seconds())
	}
	for _, m := range r.moves {
		fmt.Fprintf(&b, ", at %.2f s from %.2f to %.2f after %.2f s", m.at.Seconds(), m.from.Seconds(), m.to.Seconds(), m.waited.Seconds())
	}
	return b.String()
}
