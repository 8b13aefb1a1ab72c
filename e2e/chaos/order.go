package chaos

import (
	"cmp"
	"slices"
)

// order is how what was heard fits into what was to be heard.
type order struct {
	repeated  int // prompts heard again because they were cut, or for nothing
	needless  int // of them: heard again although they had been heard whole
	lost      int // prompts cut short and not heard again
	forbidden int // prompts out of order, or of another call
	next      int // how many of the expected ones were heard
	cut       bool
}

func (o order) cost() int { return o.repeated + o.needless + 1000*o.lost + 100_000*o.forbidden }

// inOrder finds the kindest way to see what was heard as a walk through the
// expected prompts, in which a prompt may be heard again from its start, along
// with those after it, but none may be left out.
func inOrder(expected []int, heard []reading) order {
	states := []order{{}}
	for _, r := range heard {
		var next []order
		for _, s := range states {
			next = append(next, s.after(expected, r)...)
		}
		states = least(next)
	}
	slices.SortFunc(states, func(a, b order) int {
		return cmp.Or(cmp.Compare(a.cost(), b.cost()), cmp.Compare(b.next, a.next))
	})
	return states[0]
}

// least keeps the best of the states that are at the same place.
func least(all []order) []order {
	slices.SortFunc(all, func(a, b order) int {
		c := 0
		if a.cut != b.cut {
			if c = 1; b.cut {
				c = -1
			}
		}
		return cmp.Or(cmp.Compare(a.next, b.next), c, cmp.Compare(a.cost(), b.cost()))
	})
	return slices.CompactFunc(all, func(a, b order) bool { return a.next == b.next && a.cut == b.cut })
}

// after is what one more prompt can mean.
func (o order) after(expected []int, r reading) []order {
	var all []order
	if !r.begins { // it began in its middle
		o.forbidden++
		return []order{o}
	}
	for j, prompt := range expected {
		if prompt != r.prompt {
			continue
		}
		s := o
		switch {
		case j > o.next: // prompts between were not heard
			s.forbidden += j - o.next
			if o.cut {
				s.forbidden--
				s.lost++
			}
		case j == o.next && !o.cut: // as expected
		case j == o.next: // the one that was cut
			s.repeated++
		default: // again from an earlier one
			s.repeated++
			s.needless++
		}
		s.next, s.cut = j+1, false
		if !r.whole {
			s.next, s.cut = j, true
		}
		all = append(all, s)
	}
	if len(all) == 0 {
		o.forbidden++
		all = append(all, o)
	}
	return all
}
