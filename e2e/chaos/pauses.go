package chaos

import (
	"sync"
	"time"
)

const (
	// tick is how often the machine is asked whether it runs.
	tick = 10 * time.Millisecond
	// standstill is from what lateness on it has stood still.
	standstill = 150 * time.Millisecond
)

// pauses notices when the machine stands still: a goroutine that wants to run
// every 10 ms does not.
type pauses struct {
	quit chan struct{}
	over sync.WaitGroup

	mu  sync.Mutex
	all []standing
}

// standing is a time in which the machine stood still.
type standing struct{ from, to time.Time }

func watchPauses() *pauses {
	p := &pauses{quit: make(chan struct{})}
	p.over.Go(func() {
		t := time.NewTicker(tick)
		defer t.Stop()
		last := time.Now()
		for {
			select {
			case <-p.quit:
				return
			case <-t.C:
			}
			now := time.Now()
			if now.Sub(last) > standstill {
				p.mu.Lock()
				p.all = append(p.all, standing{last, now})
				p.mu.Unlock()
			}
			last = now
		}
	})
	return p
}

func (p *pauses) stop() {
	close(p.quit)
	p.over.Wait()
}

// within is how long the machine stood still between two moments.
func (p *pauses) within(from, to time.Time) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	sum := time.Duration(0)
	for _, s := range p.all {
		a, b := later(s.from, from), earlier(s.to, to)
		sum += max(0, b.Sub(a))
	}
	return sum
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}
