package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"asterism/e2e/measure"
)

// The names of the worker's metrics.
const (
	sessionsMetric      = "asterism_worker_sessions"
	subscriptionsMetric = "asterism_worker_subscriptions"
	goroutinesMetric    = "go_goroutines"
	eventMetric         = "asterism_worker_event_seconds"
	resendsMetric       = "asterism_worker_resends_total"
	resyncsMetric       = "asterism_worker_resyncs_total"
)

// place places calls at a rate until so many were placed; length says how
// long the i-th of them hears its prompt. It returns when the last is placed.
func (b *bench) place(ctx context.Context, rate, calls int, length func(i int) time.Duration) error {
	began := time.Now()
	t := time.NewTicker(5 * time.Millisecond)
	defer t.Stop()
	for placed := 0; placed < calls; {
		due := min(calls, int(time.Since(began).Seconds()*float64(rate)))
		for ; placed < due; placed++ {
			n := int(b.number.Add(1))
			b.nodes[n%len(b.nodes)].place(n, length(placed))
		}
		select {
		case <-t.C:
		case <-b.worker.over:
			return fmt.Errorf("the worker has ended: %w", b.worker.failure())
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}

// phase is what was measured while the number of calls stayed the same.
type phase struct {
	calls   int // at once, as the worker says
	rate    float64
	took    time.Duration
	memory  measure.Memory // highest in the window; peak since the start
	metrics measure.Metrics
	earlier measure.Metrics
	returns []time.Duration
	failed  int // since the start
	used    usage
}

// usage is CPU time by who used it, and how long somebody waited for a CPU.
type usage struct {
	worker, nats, load, machine, waited time.Duration
}

// others is what programs that are not ours have used.
func (u usage) others() time.Duration { return max(0, u.machine-u.worker-u.nats-u.load) }

func (b *bench) usage() usage {
	return usage{measure.CPU(b.worker.pid()), measure.CPU(b.server.pid()), measure.CPU(os.Getpid()), measure.Machine(), measure.Waited()}
}

func (u usage) minus(v usage) usage {
	return usage{u.worker - v.worker, u.nats - v.nats, u.load - v.load, u.machine - v.machine, u.waited - v.waited}
}

// measure goes through the three phases: no calls, few, and many.
func (b *bench) measure(ctx context.Context) error {
	o := b.o
	b.note("%d nodes and one worker are ready; measuring without calls", o.nodes)
	if err := b.hold(ctx, "idle", min(o.window, 5*time.Second)); err != nil {
		return err
	}
	life := time.Duration(o.small) * time.Second / time.Duration(o.rate)
	b.note("%d calls at once, %d new ones a second", o.small, o.rate)
	if err := b.place(ctx, o.rate, o.small, func(int) time.Duration { return life }); err != nil {
		return err
	}
	if err := b.steady(ctx, o.small, o.window); err != nil {
		return err
	}
	b.note("going to %d calls at once, %d new ones a second", o.large, o.ramp)
	// The prompts of these end one after the other at the rate, from when all
	// have been placed.
	full := time.Now().Add(time.Duration(o.large) * time.Second / time.Duration(o.ramp))
	if err := b.place(ctx, o.ramp, o.large, func(i int) time.Duration {
		return time.Until(full) + time.Duration(i)*time.Second/time.Duration(o.rate)
	}); err != nil {
		return err
	}
	b.note("%d calls at once, %d new ones a second", o.large, o.rate)
	if err := b.steady(ctx, o.large, o.window*3/2); err != nil {
		return err
	}
	return b.leave(ctx)
}

// steady measures for a window while as many calls begin as end.
func (b *bench) steady(ctx context.Context, calls int, window time.Duration) error {
	ctx, cancel := context.WithCancelCause(ctx)
	life := time.Duration(calls) * time.Second / time.Duration(b.o.rate)
	placing := make(chan struct{})
	go func() {
		defer close(placing)
		more := b.o.rate * int((settle + window + time.Minute).Seconds())
		cancel(b.place(ctx, b.o.rate, more, func(int) time.Duration { return life })) // what ends it ends the measurement
	}()
	defer func() { <-placing }()
	defer cancel(nil)
	if err := wait(ctx, settle); err != nil {
		return err
	}
	return b.hold(ctx, strconv.Itoa(calls), window)
}

// hold measures for a window.
func (b *bench) hold(ctx context.Context, name string, window time.Duration) error {
	var p phase
	var err error
	if p.earlier, err = measure.Scrape(ctx, b.worker.url+"/metrics"); err != nil {
		return err
	}
	b.tally.take()
	before, number, began := b.usage(), b.number.Load(), time.Now()
	profiled := b.profileWorker(ctx, name, window)
	for time.Since(began) < window {
		if err := wait(ctx, min(time.Second, max(0, window-time.Since(began)))); err != nil {
			return errors.Join(err, <-profiled)
		}
		m := measure.MemoryOf(b.worker.pid())
		p.memory.Now, p.memory.Peak = max(p.memory.Now, m.Now), m.Peak
	}
	p.took = time.Since(began)
	p.used, p.rate = b.usage().minus(before), float64(b.number.Load()-number)/p.took.Seconds()
	p.returns = b.tally.take()
	if err := <-profiled; err != nil {
		return err
	}
	if p.metrics, err = measure.Scrape(ctx, b.worker.url+"/metrics"); err != nil {
		return err
	}
	p.calls = int(p.metrics.Sum(sessionsMetric))
	p.failed = b.tally.failures()
	b.phases = append(b.phases, p)
	b.note("  %s MiB, %s cores, %d calls have failed so far", mib(p.memory.Now), cores(p.used.worker, p.took), p.failed)
	return nil
}

// profileWorker stores profiles of the worker, if they are asked for.
func (b *bench) profileWorker(ctx context.Context, name string, window time.Duration) <-chan error {
	done := make(chan error, 1)
	if b.o.profile == "" {
		done <- nil
		return done
	}
	seconds := max(1, int(window.Seconds())-1)
	go func() {
		err := b.fetch(ctx, fmt.Sprintf("profile?seconds=%d", seconds), "cpu-"+name)
		if err == nil {
			err = b.fetch(ctx, "heap", "heap-"+name)
		}
		done <- err
	}()
	return done
}

// fetch stores one profile.
func (b *bench) fetch(ctx context.Context, what, name string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, b.worker.url+"/debug/pprof/"+what, http.NoBody)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return fmt.Errorf("profile: %w", err)
	}
	defer func() { _ = resp.Body.Close() }()
	if err := os.MkdirAll(b.o.profile, 0o755); err != nil { //nolint:gosec // a profile is no secret
		return err
	}
	f, err := os.Create(filepath.Join(b.o.profile, name+".pprof"))
	if err != nil {
		return err
	}
	_, err = io.Copy(f, resp.Body)
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	return err
}
