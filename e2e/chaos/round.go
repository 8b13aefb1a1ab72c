package chaos

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"syscall"
	"time"

	"asterism/e2e/phone"
	"asterism/e2e/s3server"
	"asterism/e2e/stack"
)

const (
	// backWithin is how long a process that was struck may take to be ready.
	backWithin = 30 * time.Second
	// lookEvery is how often it is asked.
	lookEvery = 25 * time.Millisecond
	// cleanWithin is how long after the last call nothing may be left of it.
	cleanWithin = 20 * time.Second
)

// round is one round under way.
type round struct {
	plan    *plan
	prompts *prompts
	stack   *stack.Stack
	storage *s3server.Server
	sip     string
	victim  string // the worker that is struck

	began   time.Time
	struck  chan struct{} // closed when the fault has happened
	strikes time.Time     // when it has; written before struck is closed

	mu     sync.Mutex
	healed time.Time       // when it was over
	probes map[string]bool // their Call-IDs

	trouble string // what went wrong with the fault itself
	marks   logMarks
	pauses  *pauses
	owners  map[string]string // the worker of each probe when the fault happened
}

// over is when the fault was over; zero before.
func (r *round) over() time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.healed
}

// placing notes that a call has been placed.
func (r *round) placing(p *placed) {
	if p.plan.kind != probe {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.probes[p.id] = true
}

func (r *round) signal(process string, sig syscall.Signal) error {
	return r.stack.Process(process).Signal(sig)
}

// run places all calls, strikes, and waits until everything is over.
func (r *round) run(ctx context.Context) ([]*placed, error) {
	ph, err := phone.New(phone.Options{})
	if err != nil {
		return nil, err
	}
	r.pauses = watchPauses()
	defer r.pauses.stop()
	r.began, r.struck, r.marks = time.Now(), make(chan struct{}), r.markLogs()
	r.probes = map[string]bool{}
	calls := make([]*placed, len(r.plan.calls))
	var all sync.WaitGroup
	for i := range r.plan.calls {
		all.Go(func() { calls[i] = r.place(ctx, ph, &r.plan.calls[i]) })
	}
	err = r.strike(ctx)
	all.Wait()
	return calls, errors.Join(err, ph.Close()) //nolint:contextcheck // closing has a bound of its own.
}

// strike makes the fault happen and be over.
func (r *round) strike(ctx context.Context) error {
	if !sleep(ctx, time.Until(r.began.Add(r.plan.at)), nil) {
		return context.Cause(ctx)
	}
	r.choose()
	process := r.stack.Process(r.plan.fault.back)
	restarts := 0
	if process != nil {
		restarts = process.Restarts()
	}
	r.strikes = time.Now()
	undo, err := r.plan.fault.strike(ctx, r)
	close(r.struck)
	if undo != nil {
		sleep(ctx, time.Until(r.strikes.Add(r.plan.lasts)), nil)
		err = errors.Join(err, undo(ctx))
	}
	if err != nil {
		err = fmt.Errorf("%s: %w", r.plan.fault.about, err)
	} else if process != nil {
		err = r.await(ctx, process, restarts)
	}
	r.mu.Lock()
	r.healed = time.Now()
	r.mu.Unlock()
	return err
}

// await waits until a process is ready again: after a restart when the fault
// ends it, otherwise as it is.
func (r *round) await(ctx context.Context, p *stack.Process, restarts int) error {
	ctx, cancel := context.WithTimeout(ctx, backWithin+r.plan.lasts)
	defer cancel()
	ends := r.plan.lasts == 0
	for {
		if (!ends || p.Restarts() > restarts) && p.Ready(ctx) == nil {
			return nil
		}
		if !sleep(ctx, lookEvery, nil) {
			return fmt.Errorf("%s was not ready again within %v after %s", p.Name(), backWithin, r.plan.fault.about)
		}
	}
}

// choose decides which worker is struck: the one that runs the most probes, so
// that they tell how soon its calls are run again.
func (r *round) choose() {
	r.owners = r.readOwners()
	count := map[string]int{}
	r.mu.Lock()
	for id, worker := range r.owners {
		if r.probes[id] {
			count[worker]++
		}
	}
	r.mu.Unlock()
	r.victim = ""
	for n := 1; ; n++ {
		name := fmt.Sprintf("worker-%d", n)
		if r.stack.Process(name) == nil {
			break
		}
		if r.victim == "" || count[name] > count[r.victim] {
			r.victim = name
		}
	}
}
