package chaos

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"asterism/e2e/s3server"
	"asterism/e2e/stack"
	"asterism/e2e/telephony"
)

// Options say what the suite does.
type Options struct {
	// Seed is the number from which everything follows.
	Seed uint64
	// Rounds is how often each fault happens, Calls how many calls each finds.
	Rounds, Calls int
	// Round, when not 0, is the only one that is run, counted from 1.
	Round int
	// Within, when not 0, bounds the time that all rounds take: one that is not
	// likely to be over by then is not begun.
	Within time.Duration
	// Faults are the names of those to run; empty is all.
	Faults []string
	// Brief makes long faults short, for the quick suite.
	Brief bool
	// Workers is how many there are. Default 3.
	Workers int
	// Dir is for what is kept of rounds that went wrong, and for the platform
	// while it runs. Required.
	Dir string
	// Stack are the addresses of the platform and more; Dir, Split, Workers,
	// Storage and Relays are set here.
	Stack stack.Options
	// S3 is the loopback address of the storage server.
	S3 string
	// Done is given the report as it is after each round.
	Done func(*Report)
	// Note tells a person what happens.
	Note func(format string, args ...any)
}

// startWithin bounds the start of the platform; it may have to be installed.
const startWithin = 30 * time.Minute

// suite is the platform and what all rounds share.
type suite struct {
	o       Options
	prompts *prompts
	binary  string
	stack   *stack.Stack
	storage *s3server.Server
	bucket  string
}

// Run runs the suite and returns its report, with an error too: that is only
// when it could not be run to its end.
func Run(ctx context.Context, o Options) (*Report, error) {
	if o.Workers == 0 {
		o.Workers = 3
	}
	if o.Note == nil {
		o.Note = func(string, ...any) {}
	}
	if o.Done == nil {
		o.Done = func(*Report) {}
	}
	if len(o.Faults) == 0 {
		o.Faults = FaultNames()
	}
	var chosen []*fault
	for _, name := range o.Faults {
		f, err := faultNamed(name)
		if err != nil {
			return nil, err
		}
		chosen = append(chosen, f)
	}
	if err := os.RemoveAll(filepath.Join(o.Dir, "failed")); err != nil {
		return nil, fmt.Errorf("logs of an earlier run: %w", err)
	}
	s := &suite{o: o, prompts: newPrompts()}
	report := newReport(o, chosen)
	began := time.Now()
	err := s.start(ctx)
	if err == nil {
		err = s.rounds(ctx, chosen, report, began)
	}
	return report, errors.Join(err, s.stop(ctx))
}

// rounds runs the first round of each fault, then the second of each and so
// on, so that a suite that is ended early has seen all of them.
func (s *suite) rounds(ctx context.Context, chosen []*fault, report *Report, began time.Time) error {
	took := map[string]time.Duration{} // of the longest round of each fault
	for _, f := range chosen {
		took[f.name] = f.length(rand.New(rand.NewPCG(s.o.Seed, 0)), s.o.Brief) + usualRound
	}
	for n := 1; n <= s.o.Rounds; n++ {
		if s.o.Round != 0 && n != s.o.Round {
			continue
		}
		ran := false
		for i, f := range chosen {
			from := time.Now()
			if s.o.Within > 0 && from.Add(took[f.name]).After(began.Add(s.o.Within)) {
				continue
			}
			if err := s.round(ctx, f, n, report.Rows[i]); err != nil {
				return err
			}
			ran, took[f.name] = true, max(took[f.name], time.Since(from))
			report.Took = time.Since(began)
			s.o.Done(report)
		}
		if !ran {
			return nil
		}
	}
	return nil
}

// usualRound is how long a round takes of a fault that is over at once.
const usualRound = 30 * time.Second

// start starts storage and platform and fills the one and the other's cache.
func (s *suite) start(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startWithin)
	defer cancel()
	if err := s.startStorage(ctx); err != nil {
		return err
	}
	if err := s.startStack(ctx); err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "chaos-")
	if err != nil {
		return fmt.Errorf("prompts: %w", err)
	}
	defer os.RemoveAll(dir)
	for n := range s.prompts.pcm {
		if err := s.prompts.put(ctx, s.binary, s.stack.ConfigPath(), n, promptName(n), dir); err != nil {
			return err
		}
	}
	return s.warm(ctx)
}

func (s *suite) startStorage(ctx context.Context) error {
	objects := filepath.Join(s.o.Dir, "objects")
	if err := errors.Join(os.RemoveAll(objects), os.MkdirAll(objects, 0o755)); err != nil {
		return fmt.Errorf("storage: %w", err)
	}
	var err error
	if s.storage, err = s3server.Launch(ctx, s.o.S3, objects); err != nil {
		return err
	}
	s.bucket, err = s.storage.NewBucket(ctx)
	return err
}

func (s *suite) startStack(ctx context.Context) error {
	o := s.o.Stack
	o.Dir, o.Split, o.Workers, o.Relays = filepath.Join(s.o.Dir, "run"), true, s.o.Workers, true
	o.Set = append([]string{"log.format=json", "log.level=debug"}, o.Set...)
	o.Storage = stack.Storage{S3: &stack.S3{
		Endpoint: s.storage.Endpoint, Bucket: s.bucket, AccessKey: s.storage.AccessKey, SecretKey: s.storage.SecretKey,
	}}
	o.Drain = drain
	o.Asterisk = func(_ int, a *telephony.Options) { a.Realtime = true }
	project, err := telephony.ProjectDir()
	if err != nil {
		return err
	}
	s.binary = filepath.Join(project, "bin", "asterism")
	s.stack, err = stack.Start(ctx, o)
	return err
}

// drain is how long a role may wait for its calls.
const drain = 30 * time.Second

func (s *suite) stop(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
	defer cancel()
	var err error
	if s.stack != nil {
		err = s.stack.Stop(ctx)
		s.stack = nil
	}
	if s.storage != nil {
		s.storage.Stop()
	}
	return err
}

// settled waits until every part is ready.
func (s *suite) settled(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for _, p := range s.stack.Processes() {
		for {
			err := p.Ready(ctx)
			if err == nil {
				break
			}
			if !sleep(ctx, lookEvery, nil) {
				return fmt.Errorf("%s is not ready: %w", p.Name(), err)
			}
		}
	}
	return nil
}

// round runs one round, again when it went wrong while the machine stood
// still, and adds it to the row of its fault.
func (s *suite) round(ctx context.Context, f *fault, n int, row *Row) error {
	for try := 1; ; try++ {
		r, calls, err := s.once(ctx, f, n)
		if ctx.Err() != nil {
			return context.Cause(ctx) // a round that was not run to its end says nothing
		}
		if err != nil {
			return err
		}
		out := r.judge(calls)
		out.ghosts(s.clean(ctx, r))
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if out.bad() && try < tries && out.StoodStill > toleratedPause {
			row.Again++
			s.o.Note("%s: once more, for the machine stood still for %v: %s", r.plan.name, out.StoodStill, out.summary())
			continue
		}
		row.add(out)
		s.o.Note("%s (at %.1f s, %s): %s", r.plan.name, r.plan.at.Seconds(), r.victim, out.summary())
		if !out.bad() {
			return nil
		}
		dir := filepath.Join(s.o.Dir, "failed", r.plan.name)
		text := fmt.Sprintf("seed %d, fault %s, round %d\n%s", s.o.Seed, f.name, n, out.details(r))
		err = errors.Join(r.keep(dir), os.WriteFile(filepath.Join(dir, "calls.txt"), []byte(text), 0o600))
		s.o.Note("%s; logs are in %s", out.brief(), dir)
		if len(out.Left) > 0 {
			s.o.Note("the platform is started anew, for something was left: %s", strings.Join(out.Left, "; "))
			err = errors.Join(err, s.renew(ctx))
		}
		return err
	}
}

// renew starts the platform anew.
func (s *suite) renew(ctx context.Context) error {
	if err := errors.Join(s.stack.Stop(ctx), s.startStack(ctx)); err != nil {
		return err
	}
	return s.warm(ctx)
}

const (
	// tries is how often a round is run that the machine disturbs.
	tries = 3
	// toleratedPause is how long the machine may stand still, all in all,
	// before a round that went wrong is run again.
	toleratedPause = 500 * time.Millisecond
)

// once runs one round.
func (s *suite) once(ctx context.Context, f *fault, n int) (*round, []*placed, error) {
	if err := s.settled(ctx); err != nil {
		return nil, nil, err
	}
	r := &round{
		plan: newPlan(s.o.Seed, f, n, s.o.Calls, s.o.Brief, s.prompts), prompts: s.prompts,
		stack: s.stack, storage: s.storage, sip: s.stack.SIP(1),
	}
	dir, err := os.MkdirTemp("", "chaos-")
	if err != nil {
		return nil, nil, fmt.Errorf("prompts: %w", err)
	}
	defer os.RemoveAll(dir)
	for _, c := range r.plan.calls {
		if c.name == "" {
			continue
		}
		if err := s.prompts.put(ctx, s.binary, s.stack.ConfigPath(), c.items[0], c.name, dir); err != nil {
			return nil, nil, err
		}
	}
	calls, err := r.run(ctx)
	if err != nil && ctx.Err() == nil {
		// What the fault did to the platform shows in the calls.
		s.o.Note("%s: %v", r.plan.name, err)
		r.trouble = err.Error()
		err = nil
	}
	return r, calls, err
}

// warm plays each prompt once, so that the node has it.
func (s *suite) warm(ctx context.Context) error {
	if err := s.settled(ctx); err != nil {
		return err
	}
	r := &round{
		plan: &plan{fault: &fault{}}, prompts: s.prompts, stack: s.stack, sip: s.stack.SIP(1), struck: make(chan struct{}),
	}
	return r.listen(ctx, slices.Collect(func(yield func(int) bool) {
		for n := range s.prompts.pcm {
			if !yield(n) {
				return
			}
		}
	}))
}
