package session

import (
	"fmt"
	"testing"
	"time"

	"asterism/apps/calltest"
	"asterism/ari/aritest"
)

// mortal is a phone whose call outlives its workers.
type mortal struct {
	phone
	u *undone
}

// Late is the time that deaths have cost.
func (m *mortal) Late() time.Duration {
	m.u.mu.Lock()
	defer m.u.mu.Unlock()
	return m.u.late
}

func newMortal(t *testing.T, f func(point int, at string) fate) *mortal {
	t.Helper()
	u := newUndone()
	n := newNode(t, u.flow)
	n.fate, n.died = f, u.died
	t.Cleanup(func() {
		close(u.done)
		for _, problem := range u.problems {
			t.Error(problem)
		}
		if t.Failed() {
			n.mu.Lock()
			t.Logf("deaths: %q\ncommands: %q\n%s", n.deaths, n.short(), n.log.String())
			n.mu.Unlock()
		}
	})
	return &mortal{phone: phone{n: n, caller: n.call(aritest.Invite{}), ctx: u.ctx, call: u}, u: u}
}

// Whatever a call on a node keeps, it keeps when its worker dies at any
// moment: before a command is sent, before it is answered, after an event.
func TestConformanceWithDeaths(t *testing.T) {
	for _, f := range []fate{dies, diesHeard, isReleased} {
		died, points := false, 0
		for k := 1; k == 1 || died; k++ {
			points, died = k-1, false // in none of the cases: then there are no points left
			t.Run(fmt.Sprintf("fate %d at %d", f, k), func(t *testing.T) {
				calltest.Conformance(t, func(t *testing.T) calltest.Bench {
					t.Helper()
					return newMortal(t, func(point int, _ string) fate {
						if point == k {
							died = true
							return f
						}
						return lives
					})
				})
			})
		}
		if points < 14 {
			t.Errorf("fate %d came at %d points only", f, points)
		}
	}
}
