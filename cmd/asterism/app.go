package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"asterism/cmd/asterism/internal/config"
)

// closeTimeout bounds each clean-up step once calls have ended or been given
// up.
const closeTimeout = 10 * time.Second

var errStarting = errors.New("starting")

// app owns the parts of one process: what a part needs, the order in which
// parts start, and what undoes each of them, last in, first out. Main makes
// one; tests reuse it.
type app struct {
	role     config.Role
	cfg      config.Config
	log      zerolog.Logger
	registry *prometheus.Registry
	checks   *checks

	drains, closers []step
	failed          chan error // a part that cannot go on says why
	httpAddr        string     // where HTTP listens, once started
}

// step is one named clean-up.
type step struct {
	name string
	do   func(context.Context) error
}

// part starts something and leaves behind how to stop it.
type part func(context.Context, *app) error

func newApp(role config.Role, cfg config.Config, log zerolog.Logger) *app {
	if role != config.RoleWorker {
		oneCore()
	}
	a := &app{
		role: role, cfg: cfg, log: log,
		registry: newRegistry(), checks: newChecks(), failed: make(chan error, 1),
	}
	a.checks.set("started", func(context.Context) error { return errStarting })
	return a
}

// oneCore confines the process to one core at a time, unless GOMAXPROCS says
// otherwise. What a role does for a call is a chain of short steps; on more
// cores the runtime spends a good part of the CPU on waking threads that then
// find nothing to do (docs/adr/0006), which Asterisk could use. One core
// carries some 500 new calls a second. Workers are left alone: with tens of
// thousands of calls the garbage collector would hold up new ones on one core.
func oneCore() {
	if os.Getenv("GOMAXPROCS") == "" {
		runtime.GOMAXPROCS(1)
	}
}

// onDrain adds what must be waited for before anything is closed. It runs
// within the configured time of drain.
func (a *app) onDrain(name string, do func(context.Context) error) {
	a.drains = append(a.drains, step{name, do})
}

// onClose adds a clean-up.
func (a *app) onClose(name string, do func(context.Context) error) {
	a.closers = append(a.closers, step{name, do})
}

// fail ends Run with err; only the first failure counts.
func (a *app) fail(err error) {
	select {
	case a.failed <- err:
	default:
	}
}

// Run starts the parts in order, works until ctx ends or a part fails, drains
// and closes. Ending ctx is the ordinary way to stop, and no error.
func (a *app) Run(ctx context.Context, parts ...part) (err error) {
	defer func() { err = errors.Join(err, a.Close()) }() //nolint:contextcheck // ctx has ended by then
	if err := a.start(ctx, parts); err != nil {
		if ctx.Err() != nil {
			return nil // told to stop while starting
		}
		return err
	}
	a.log.Info().Str("http", a.httpAddr).Str("version", currentVersion()).Msgf("asterism %s is running", a.role)
	select {
	case <-ctx.Done():
		return a.drain(context.WithoutCancel(ctx))
	case err := <-a.failed:
		return err
	}
}

func (a *app) start(ctx context.Context, parts []part) error {
	if a.cfg.HTTP.Listen != "" {
		h, err := startHTTP(ctx, a.cfg.HTTP, a.checks, a.registry, a.log)
		if err != nil {
			return err
		}
		a.httpAddr = h.addr()
		a.onClose("http", h.close)
	}
	for _, p := range parts {
		if err := p(ctx, a); err != nil {
			return err
		}
	}
	a.checks.remove("started")
	return nil
}

// drain takes no new calls and waits for those there are.
func (a *app) drain(ctx context.Context) error {
	if len(a.drains) == 0 {
		return nil
	}
	a.log.Info().Stringer("at_most", a.cfg.Drain).Msg("draining: no new calls, waiting for those there are; a second signal ends at once")
	ctx, cancel := context.WithTimeout(ctx, a.cfg.Drain)
	defer cancel()
	for _, s := range slices.Backward(a.drains) {
		err := s.do(ctx)
		switch {
		case errors.Is(err, context.DeadlineExceeded):
			a.log.Warn().Str("part", s.name).Msg("the time of drain is over; the calls that are left end now")
		case err != nil:
			a.log.Error().Err(err).Str("part", s.name).Msg("draining failed")
		}
	}
	return nil
}

// Close undoes what has been started, last in, first out. It is safe to call
// twice.
func (a *app) Close() error {
	var errs []error
	for _, s := range slices.Backward(a.closers) {
		ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
		if err := s.do(ctx); err != nil {
			errs = append(errs, fmt.Errorf("closing %s: %w", s.name, err))
		}
		cancel()
	}
	a.closers = nil
	return errors.Join(errs...)
}
