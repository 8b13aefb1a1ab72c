package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	asteriskconf "asterism/asterisk-conf"
	"asterism/e2e/measure"
	"asterism/e2e/phone/hear"
	"asterism/e2e/stack"
	"asterism/e2e/telephony"
)

const (
	plainName    = "dialplan Playback"
	splitName    = "asterism, 3 processes"
	otherName    = "the same, other build"
	runName      = "asterism run"
	skeletonName = "message skeleton"

	promptLength = time.Second
	sampleRate   = 8000
)

// bench is one run of all measurements.
type bench struct {
	rates    []int
	length   time.Duration
	profiles string // directory, empty for none
	against  string // another build of the program, empty for none
	dir      string
	root     *telephony.Root
	rows     []row
}

func (b *bench) run(ctx context.Context, w io.Writer) error {
	var err error
	if b.root, err = telephony.Prepare(ctx, telephony.Config{}); err != nil {
		return err
	}
	if b.dir, err = os.MkdirTemp("", "asterism-bench"); err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(b.dir) }()
	if err := b.prompt(); err != nil {
		return err
	}
	if err := b.split(ctx); err != nil {
		return err
	}
	if err := b.single(ctx); err != nil {
		return err
	}
	printTable(w, b.rows)
	printRatios(w, b.rows)
	return nil
}

// prompt writes the prompt into the storage that all stacks use, and beside
// it for the dialplan.
func (b *bench) prompt() error {
	pcm := hear.Sample(1, promptLength, sampleRate)
	for _, path := range []string{b.promptPath() + ".wav", filepath.Join(b.dir, "storage", "media", "bench.wav")} {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil { //nolint:gosec // a prompt is no secret
			return err
		}
		f, err := os.Create(path) //nolint:gosec // in our own directory
		if err != nil {
			return err
		}
		err = hear.WriteWAV(f, pcm, sampleRate)
		if closeErr := f.Close(); err == nil {
			err = closeErr
		}
		if err != nil {
			return fmt.Errorf("writing the prompt: %w", err)
		}
	}
	return nil
}

func (b *bench) promptPath() string { return filepath.Join(b.dir, "prompt", "bench") }

// start starts a platform whose Asterisk has the plain dialplan as well.
func (b *bench) start(ctx context.Context, name, binary string, split bool) (*stack.Stack, func(), error) {
	address, release, err := telephony.Loopback()
	if err != nil {
		return nil, nil, err
	}
	platform, releasePlatform, err := telephony.Loopback()
	if err != nil {
		release()
		return nil, nil, err
	}
	s, err := stack.Start(ctx, stack.Options{
		Dir: filepath.Join(b.dir, name), Binary: binary, Split: split, Addresses: []string{address},
		HTTP: platform + ":8080", NATS: platform + ":4222",
		Storage: stack.Storage{Dir: filepath.Join(b.dir, "storage")},
		Set:     []string{"log.level=warn", fmt.Sprintf("http.pprof=%v", b.profiles != "")},
		Asterisk: func(_ int, o *telephony.Options) {
			o.Binds = append(o.Binds, telephony.Bind{Source: filepath.Join(b.dir, "prompt"), ReadOnly: true})
			o.Conf = func(p *asteriskconf.Params) {
				p.EntryContext = "bench"
				p.ExtraModules = append(p.ExtraModules, "app_playback.so")
				p.ExtraDialplan = "[bench]\nexten => plain,1,Answer()\n same => n,Playback(" + b.promptPath() + ")\n same => n,Hangup()\ninclude => ingress\n"
			}
		},
		Note: func(format string, args ...any) { fmt.Fprintf(os.Stderr, format+"\n", args...) },
	})
	if err != nil {
		release()
		releasePlatform()
		return nil, nil, err
	}
	return s, func() {
		stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
		defer cancel()
		_ = s.Stop(stop)
		release()
		releasePlatform()
	}, nil
}

// split measures the dialplan, the platform as three processes, and the
// skeleton on the same NATS.
func (b *bench) split(ctx context.Context) error {
	s, stop, err := b.start(ctx, "split", "", true)
	if err != nil {
		return err
	}
	defer stop()
	if err := b.warm(ctx, s); err != nil {
		return err
	}
	var other *stack.Stack
	if b.against != "" {
		o, stop, err := b.start(ctx, "other", b.against, true)
		if err != nil {
			return err
		}
		defer stop()
		other = o
		if err := b.warm(ctx, other); err != nil {
			return err
		}
	}
	for _, rate := range b.rates {
		if err := b.measure(ctx, s, plainName+" A", "plain", rate); err != nil {
			return err
		}
		if err := b.measure(ctx, s, splitName, "1000", rate, "gateway-1", "worker-1", "nats-1"); err != nil {
			return err
		}
		if other != nil {
			if err := b.measure(ctx, other, otherName, "1000", rate, "gateway-1", "worker-1", "nats-1"); err != nil {
				return err
			}
		}
		r, err := b.skeleton(ctx, s, rate)
		if err != nil {
			return err
		}
		b.rows = append(b.rows, r)
	}
	return nil
}

// single measures the dialplan and "asterism run".
func (b *bench) single(ctx context.Context) error {
	s, stop, err := b.start(ctx, "single", "", false)
	if err != nil {
		return err
	}
	defer stop()
	if err := b.warm(ctx, s); err != nil {
		return err
	}
	for _, rate := range b.rates {
		if err := b.measure(ctx, s, plainName+" B", "plain", rate); err != nil {
			return err
		}
		if err := b.measure(ctx, s, runName, "1000", rate, "run-1"); err != nil {
			return err
		}
	}
	return nil
}

// warm places a few calls that do not count.
func (b *bench) warm(ctx context.Context, s *stack.Stack) error {
	for _, user := range []string{"plain", "1000"} {
		if r, err := b.sipp(ctx, s.SIP(1), user, 20, 40); err != nil || r.failed > 0 {
			return fmt.Errorf("warming up: %d calls failed: %w", r.failed, err)
		}
	}
	return nil
}

// measure places calls to user and notes what they cost.
func (b *bench) measure(ctx context.Context, s *stack.Stack, what, user string, rate int, processes ...string) error {
	asterisk := s.Asterisk(1).Pid()
	before := make([]time.Duration, len(processes))
	for i, p := range processes {
		before[i] = measure.CPU(s.Process(p).Pid())
	}
	start := measure.CPU(asterisk)
	calls := rate * int(b.length.Seconds())
	wait := b.profile(ctx, s, rate, processes)
	load, err := b.sipp(ctx, s.SIP(1), user, rate, calls)
	wait()
	if err != nil {
		return err
	}
	r := row{
		what: what, rate: rate, calls: calls, failed: load.failed, p50: load.quantile(0.5), p99: load.quantile(0.99),
		asterisk: (measure.CPU(asterisk) - start) / time.Duration(calls),
	}
	for i, p := range processes {
		r.ours = append(r.ours, cpuShare{name: p, cpu: (measure.CPU(s.Process(p).Pid()) - before[i]) / time.Duration(calls)})
	}
	fmt.Fprintf(os.Stderr, "%s at %d/s: p50 %s ms, %d failed, %s ms CPU a call\n", what, rate, measure.Ms(r.p50), r.failed, measure.Ms(r.total()))
	b.rows = append(b.rows, r)
	return nil
}
