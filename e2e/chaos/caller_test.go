package chaos

import (
	"testing"
	"time"
)

// TestWaitedFor is when a caller presses a key again.
func TestWaitedFor(t *testing.T) {
	s := time.Second
	r := &round{began: born, plan: &plan{at: 10 * s}}
	for _, c := range []struct {
		name              string
		over, pressed, at time.Duration
		want              bool
	}{
		{"long before the fault", 0, 2 * s, 8 * s, true},
		{"long before the fault, too soon", 0, 2 * s, 7 * s, false},
		{"before a fault that lasts", 0, 8 * s, 30 * s, false},
		{"before a fault that is just over", 40 * s, 8 * s, 45 * s, false},
		{"before a fault that was over in time", 40 * s, 8 * s, 46 * s, true},
		{"in a fault that lasts", 0, 12 * s, 30 * s, false},
		{"in a fault that is over", 40 * s, 12 * s, 46 * s, true},
		{"after the fault", 40 * s, 50 * s, 56 * s, true},
		{"after the fault, too soon", 40 * s, 50 * s, 55 * s, false},
	} {
		r.healed = time.Time{}
		if c.over > 0 {
			r.healed = born.Add(c.over)
		}
		if got := r.waitedFor(born.Add(c.pressed), born.Add(c.at)); got != c.want {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}
