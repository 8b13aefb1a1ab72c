package sim

import (
	"cmp"
	"container/heap"
	"fmt"
	"hash/fnv"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"asterism/ari/aritest"
	"asterism/ari/proxy"
)

// The course of a world.
const (
	arrivals  = 16 * time.Second  // calls come until then
	troubles  = 24 * time.Second  // faults happen until then
	patience  = 40 * time.Second  // who is still on the line hangs up then
	reckoning = 160 * time.Second // everything must have ended by then
)

// world is one simulation. Unless it says otherwise, a field belongs to the
// goroutine that drives the world.
type world struct {
	t     *testing.T
	seed  uint64
	zero  time.Time
	odds  odds
	queue queue
	order int
	last  map[string]time.Time // by link: when its latest message arrives

	srv     *aritest.Server
	bus     *proxy.Bus
	gateway *gateway
	boots   uint64
	workers []*worker
	callers []*caller
	owners  owners
	snares  []snare
	work    sync.WaitGroup // what crashes and stops leave to be waited for

	wake chan struct{} // has a token when something is fresh

	mu    sync.Mutex // guards the rest
	fresh []*message
	// How many messages about sessions were delivered, and how many requests to
	// change something Asterisk was sent.
	messages, requests int
	rolls              map[string]uint64
	lines              []string
	wrong              []string
	effects            map[string]int // what was done, and how often
	deaf               []span         // when nobody heard Asterisk's events
}

type span struct{ from, until time.Time }

// odds are the world's misfortunes, in 1,000.
type odds struct{ lose, double, overtake, late, stall int }

// happening is something that happens at a time.
type happening struct {
	at    time.Time
	order int
	do    func()
}

type queue []happening

func (q queue) Len() int { return len(q) }
func (q queue) Less(i, j int) bool {
	return cmp.Or(q[i].at.Compare(q[j].at), cmp.Compare(q[i].order, q[j].order)) < 0
}
func (q queue) Swap(i, j int) { q[i], q[j] = q[j], q[i] }
func (q *queue) Push(x any)   { *q = append(*q, x.(happening)) } //nolint:forcetypeassert // ours
func (q *queue) Pop() any {
	old := *q
	x := old[len(old)-1]
	*q = old[:len(old)-1]
	return x
}

// roll throws a die of the source with n sides. A source's throws depend on
// the seed and on how many it had before, and on nothing else.
func (w *world) roll(source string, n int) int {
	w.mu.Lock()
	w.rolls[source]++
	k := w.rolls[source]
	w.mu.Unlock()
	h := fnv.New64a()
	_, _ = fmt.Fprintf(h, "%d/%s/%d", w.seed, source, k) // never fails
	x := h.Sum64()
	x ^= x >> 33 // FNV's low bits are weak
	x *= 0xff51afd7ed558ccd
	x ^= x >> 33
	return int(x % uint64(n)) //nolint:gosec // n is small and positive
}

// chance says yes in so many of 1,000 cases.
func (w *world) chance(source string, odds int) bool { return w.roll(source, 1000) < odds }

// between returns a time of at least from and less than to.
func (w *world) between(source string, from, to time.Duration) time.Duration {
	return from + time.Duration(w.roll(source, int(to-from)))
}

// after has something happen later.
func (w *world) after(d time.Duration, do func()) {
	w.order++
	heap.Push(&w.queue, happening{time.Now().Add(d), w.order, do})
}

// note writes a line into the course of the world.
func (w *world) note(format string, args ...any) {
	line := fmt.Sprintf("%12.6f ", time.Since(w.zero).Seconds()) + fmt.Sprintf(format, args...)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.lines = append(w.lines, line)
}

// fault notes that something happened that must not.
func (w *world) fault(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	w.note("WRONG: %s", text)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.wrong = append(w.wrong, fmt.Sprintf("at %.6f: %s", time.Since(w.zero).Seconds(), text))
}

// since is the time of the world.
func (w *world) since(t time.Time) time.Duration { return t.Sub(w.zero) }

// troubling reports whether misfortunes happen still.
func (w *world) troubling() bool { return w.since(time.Now()) < troubles }

// drive lets things happen, one at a time, until done says so. After each
// everybody acts until nobody can without the next message or the next moment.
func (w *world) drive(done func() bool) {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		synctest.Wait()
		w.post()
		w.spring()
		if done() {
			return
		}
		if len(w.queue) > 0 && !w.queue[0].at.After(time.Now()) {
			if h, ok := heap.Pop(&w.queue).(happening); ok {
				h.do()
			}
			continue
		}
		if len(w.queue) > 0 {
			timer.Reset(time.Until(w.queue[0].at))
		}
		select {
		case <-timer.C:
		case <-w.wake:
		}
	}
}

// course returns what happened, of a session only if it is named.
func (w *world) course(about string) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	lines := w.lines
	if about != "" {
		lines = slices.DeleteFunc(slices.Clone(lines), func(line string) bool {
			return strings.Contains(line, "»") && !strings.Contains(line, about)
		})
	}
	return strings.Join(lines, "\n")
}
