package sim

import (
	"flag"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"asterism/ari/proxy"
)

var (
	seeds    = flag.Int("sim.seeds", 200, "how many worlds TestWorlds runs")
	only     = flag.Int64("sim.seed", -1, "run this world alone and print its course")
	many     = flag.Int("sim.many", 9, "there are fewer misfortunes than this")
	kind     = flag.String("sim.kinds", "", "only misfortunes named here")
	firstOne = flag.Uint64("sim.first", 0, "the first seed")
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// live runs the world of a seed to its end.
func live(t *testing.T, seed uint64) (w *world) {
	t.Helper()
	w = &world{
		t: t, seed: seed, zero: time.Now(), last: make(map[string]time.Time), owners: newOwners(),
		wake: make(chan struct{}, 1), rolls: make(map[string]uint64), effects: make(map[string]int),
	}
	w.bus = proxy.NewBus(w.carry)
	w.srv = newAsterisk(t)
	w.trouble()
	w.startGateway(t.TempDir())
	for i := range 3 {
		p := &worker{w: w, name: fmt.Sprintf("worker%d", i)}
		w.workers = append(w.workers, p)
		synctest.Wait() // one after the other
		w.idle(3 * time.Millisecond)
		p.start()
	}
	w.invite(12)
	over := false
	var watch func()
	watch = func() {
		since := w.since(time.Now())
		over = (since > patience && w.quiet()) || since > reckoning
		w.after(time.Second, watch)
	}
	watch()
	w.drive(func() bool { return over })
	w.judge()
	w.end()
	return w
}

// idle lets time pass.
func (w *world) idle(d time.Duration) {
	over := false
	w.after(d, func() { over = true })
	w.drive(func() bool { return over })
}

// end stops everything, whatever state it is in.
func (w *world) end() {
	w.gateway.conn.Close()
	close(w.gateway.dead)
	w.gateway.cancel()
	for _, p := range w.workers {
		if !p.life.gone {
			p.crash()
		}
	}
	<-w.gateway.ended
	w.work.Wait()
	_ = w.srv.Close()
}

// run runs a seed and reports what was wrong.
func run(t *testing.T, seed uint64) (w *world) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { w = live(t, seed) })
	for _, wrong := range w.wrong {
		t.Errorf("seed %d: %s", seed, wrong)
	}
	return w
}

// TestWorlds runs many worlds. One that fails names its seed; `-sim.seed` runs
// it again and prints its course.
func TestWorlds(t *testing.T) {
	if *only >= 0 {
		t.Log(run(t, uint64(*only)).course(""))
		return
	}
	for seed := *firstOne; seed < *firstOne+uint64(*seeds); seed++ {
		if w := run(t, seed); t.Failed() {
			about := ""
			if _, rest, ok := strings.Cut(w.wrong[0], "» "); ok {
				about, _, _ = strings.Cut(rest, " ")
			}
			t.Fatalf("the course of seed %d (%s; -sim.seed %d shows all):\n%s", seed, about, seed, w.course(about))
		}
	}
}

// TestWorldsRepeat runs worlds twice: the second must be the first again, or
// no seed could be looked into. What happens at one moment in several
// processes has no order.
func TestWorldsRepeat(t *testing.T) {
	sorted := func(seed uint64) []string {
		return slices.Sorted(slices.Values(strings.Split(run(t, seed).course(""), "\n")))
	}
	for seed := range uint64(5) {
		a, b := sorted(seed), sorted(seed)
		for i := range min(len(a), len(b)) {
			if a[i] != b[i] {
				t.Fatalf("seed %d is not the same twice:\n%s\n%s", seed, a[i], b[i])
			}
		}
		if len(a) != len(b) {
			t.Errorf("seed %d had %d lines, then %d", seed, len(a), len(b))
		}
	}
}
