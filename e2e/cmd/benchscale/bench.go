package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"

	"asterism/e2e/measure"
	"asterism/e2e/telephony"
)

const (
	// startWithin is when all parts must have found one another.
	startWithin = 30 * time.Second
	// settle is the pause between reaching a number of calls and measuring.
	settle = 5 * time.Second
	// leaveRate is how many calls a second hang up at the end.
	leaveRate = 1500
)

// bench is one run.
type bench struct {
	o    options
	note func(format string, args ...any)

	dir             string
	config          string
	nats            string
	gatewayPassword string
	release         []func()
	server, worker  *child
	endNodes        context.CancelFunc
	nodes           []*node
	logs            *os.File // of the gateways

	tally   tally
	number  atomic.Int64 // of the last call
	sweeper sync.WaitGroup
	endSw   context.CancelFunc
	phases  []phase
	left    measure.Metrics // of the worker once all calls had ended
}

// start starts NATS, the worker and all nodes, and waits until calls can be
// placed on each.
func (b *bench) start(ctx context.Context) error {
	b.tally.failed = make(map[string]int)
	var err error
	if b.dir, err = os.MkdirTemp("", "asterism-bench-scale"); err != nil {
		return err
	}
	address, release, err := telephony.Loopback()
	if err != nil {
		return err
	}
	b.release = append(b.release, release)
	if err := b.configure(address); err != nil {
		return err
	}
	if b.server, err = b.startChild("nats", net.JoinHostPort(address, "8081")); err != nil {
		return err
	}
	if b.worker, err = b.startChild("worker", net.JoinHostPort(address, "8082")); err != nil {
		return err
	}
	if b.logs, err = os.Create(filepath.Join(b.dir, "gateways.log")); err != nil {
		return err
	}
	log := zerolog.New(b.logs).Level(zerolog.WarnLevel).With().Timestamp().Logger()
	life, end := context.WithCancel(context.WithoutCancel(ctx))
	b.endNodes = end
	for i := range b.o.nodes {
		n, err := b.startNode(life, i+1, log.With().Str("node", fmt.Sprintf("n%d", i+1)).Logger())
		if err != nil {
			return fmt.Errorf("node %d: %w", i+1, err)
		}
		b.nodes = append(b.nodes, n)
	}
	if err := b.ready(ctx); err != nil {
		return err
	}
	sweeps, end := context.WithCancel(life)
	b.endSw = end
	b.sweeper.Go(func() { b.sweep(sweeps) })
	return nil
}

// configure writes the configuration of NATS and the worker.
func (b *bench) configure(address string) error {
	b.nats = "nats://" + net.JoinHostPort(address, "4222")
	b.gatewayPassword = rand.Text()
	workerPassword := rand.Text()
	b.config = filepath.Join(b.dir, "asterism.yaml")
	text := fmt.Sprintf(`log: {level: info, format: json}
http: {pprof: %t}
nats:
  urls: [%s]
  password: %s
  server: {listen: "%s", gateway_password: %s, worker_password: %s}
worker: {name: w1, capacity: %d}
drain: 1s
`, b.o.profile != "", b.nats, workerPassword, net.JoinHostPort(address, "4222"), b.gatewayPassword, workerPassword, b.o.large+b.o.large/10)
	return os.WriteFile(b.config, []byte(text), 0o600)
}

// ready waits until every gateway is ready and the worker is known to all.
func (b *bench) ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, startWithin, fmt.Errorf("not all of %d nodes were ready within %v", b.o.nodes, startWithin))
	defer cancel()
	for {
		err := b.isReady(ctx)
		if err == nil {
			break
		}
		select {
		case <-b.server.over:
			return b.server.failure()
		case <-b.worker.over:
			return b.worker.failure()
		case <-ctx.Done():
			return errors.Join(context.Cause(ctx), err)
		case <-time.After(100 * time.Millisecond):
		}
	}
	return wait(ctx, 2*time.Second) // a heartbeat of the worker reaches everyone within one
}

func (b *bench) isReady(ctx context.Context) error {
	for _, n := range b.nodes {
		if err := n.gateway.Ready(); err != nil {
			return err
		}
	}
	_, err := measure.Scrape(ctx, b.worker.url+"/metrics")
	return err
}

// wait waits for d or the end of ctx.
func wait(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// sweep counts what has ended, four times a second until ctx ends.
func (b *bench) sweep(ctx context.Context) {
	for wait(ctx, 250*time.Millisecond) == nil {
		b.count()
	}
}

// count counts what has ended and returns how many calls there are.
func (b *bench) count() int {
	total := 0
	for _, n := range b.nodes {
		total += n.sweep(&b.tally)
	}
	return total
}

// leave ends all calls from their callers' side and waits until the worker
// has forgotten them.
func (b *bench) leave(ctx context.Context) error {
	b.endSw()
	b.sweeper.Wait()
	b.count() // what ends from now on does not count
	b.note("hanging up %d calls", b.count())
	began, gone := time.Now(), 0
	for _, n := range b.nodes {
		n.mu.Lock()
		calls := n.calls
		n.calls = make(map[string]*call)
		n.mu.Unlock()
		for _, c := range calls {
			gone++
			if ahead := time.Duration(gone)*time.Second/leaveRate - time.Since(began); ahead > 10*time.Millisecond {
				if err := wait(ctx, ahead); err != nil {
					return err
				}
			}
			c.caller.Hangup()
		}
	}
	until := time.Now().Add(20 * time.Second)
	for {
		m, err := measure.Scrape(ctx, b.worker.url+"/metrics")
		if err != nil {
			return err
		}
		// Goroutines end a moment after their sessions have been forgotten.
		if b.left = m; m.Sum(sessionsMetric) == 0 || time.Now().After(until) {
			if err := wait(ctx, time.Second); err != nil {
				return err
			}
			b.left, err = measure.Scrape(ctx, b.worker.url+"/metrics")
			return err
		}
		if err := wait(ctx, 200*time.Millisecond); err != nil {
			return err
		}
	}
}

// stop ends whatever was started, in any state.
func (b *bench) stop() error {
	var errs []error
	if b.endSw != nil {
		b.endSw()
		b.sweeper.Wait()
	}
	if b.worker != nil {
		errs = append(errs, b.worker.stop())
	}
	if b.endNodes != nil {
		b.endNodes()
	}
	for _, n := range b.nodes {
		errs = append(errs, n.stop())
	}
	if b.server != nil {
		errs = append(errs, b.server.stop())
	}
	if b.logs != nil {
		errs = append(errs, b.logs.Close())
	}
	for _, f := range b.release {
		f()
	}
	return errors.Join(append(errs, b.keepLogs(), os.RemoveAll(b.dir))...)
}

// keepLogs puts the logs beside the profiles, if there are any.
func (b *bench) keepLogs() error {
	if b.o.profile == "" || b.dir == "" {
		return nil
	}
	for _, name := range []string{"worker.log", "nats.log", "gateways.log"} {
		data, err := os.ReadFile(filepath.Join(b.dir, name))
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err == nil {
			err = os.WriteFile(filepath.Join(b.o.profile, name), data, 0o600)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
