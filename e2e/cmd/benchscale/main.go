// Command benchscale measures one worker under the calls of a hundred nodes:
// 50,000 at once and 300 more each second. It prints what that takes of
// memory and CPU, and how long events need to reach their flow.
//
// The worker and NATS are processes of their own: the real "asterism worker"
// and "asterism nats" with the Playback flow and ordinary settings. This
// process is the load: simulated Asterisks (package aritest), each behind a
// real gateway with a connection of its own to NATS.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"
	"time"
)

// longest is when the measurement is given up.
const longest = 6 * time.Minute

// options say what is measured.
type options struct {
	binary  string
	nodes   int
	small   int // calls at once, first
	large   int // and then
	rate    int // new calls a second while measuring
	ramp    int // and while going from small to large
	window  time.Duration
	sockets bool
	profile string // directory for profiles of the worker and for logs, "" for none
}

func main() {
	var o options
	flag.StringVar(&o.binary, "asterism", "bin/asterism", "the program to measure")
	flag.IntVar(&o.nodes, "nodes", 100, "simulated Asterisks, each with a gateway")
	flag.IntVar(&o.small, "small", 5_000, "calls at once, first")
	flag.IntVar(&o.large, "calls", 50_000, "calls at once, then")
	flag.IntVar(&o.rate, "rate", 300, "new calls a second while measuring")
	flag.IntVar(&o.ramp, "ramp", 450, "new calls a second while going from the first number to the second")
	flag.DurationVar(&o.window, "window", 20*time.Second, "how long each measurement lasts; the last one half as long again")
	flag.BoolVar(&o.sockets, "sockets", false, "ARI over TCP connections instead of in memory")
	flag.StringVar(&o.profile, "profile", "", "directory to store profiles of the worker and all logs in; profiling costs some CPU")
	flag.Parse()
	// Memory of the load costs nothing here, its CPU does.
	debug.SetGCPercent(600)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	// With the handler gone, a second signal ends this process at once, and
	// with it all that it has started.
	context.AfterFunc(ctx, stop)
	missed, err := run(ctx, o)
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench-scale:", err)
		os.Exit(1)
	}
	if missed {
		os.Exit(3)
	}
}

// check refuses options that make no sense together.
func (o options) check() error {
	switch {
	case o.nodes < 1 || o.nodes > 1000:
		return fmt.Errorf("-nodes %d: expected 1 to 1000", o.nodes)
	case o.rate < 1 || o.ramp < o.rate:
		return fmt.Errorf("-rate %d, -ramp %d: expected whole numbers, the second at least the first", o.rate, o.ramp)
	case o.small < o.rate || o.large <= o.small:
		return fmt.Errorf("-small %d, -calls %d: expected whole numbers, the first at least the rate, the second more", o.small, o.large)
	case o.window < time.Second:
		return fmt.Errorf("-window %v: expected at least 1s", o.window)
	}
	return nil
}

// run measures and prints; missed says that a target was not reached.
func run(ctx context.Context, o options) (missed bool, err error) {
	if err := o.check(); err != nil {
		return false, err
	}
	if err := enoughFiles(o); err != nil {
		return false, err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, longest, fmt.Errorf("not done within %v; is the machine busy?", longest))
	defer cancel()
	b := &bench{o: o, note: func(format string, args ...any) { fmt.Fprintf(os.Stderr, format+"\n", args...) }}
	defer func() { err = errors.Join(err, b.stop()) }()
	if err := b.start(ctx); err != nil {
		return false, because(ctx, err)
	}
	if err := b.measure(ctx); err != nil {
		return false, because(ctx, err)
	}
	return b.print(os.Stdout)
}

// because prefers the reason why a context ended to its consequences.
func because(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		if errors.Is(cause, context.Canceled) {
			return errors.New("stopped")
		}
		return cause
	}
	return err
}

// enoughFiles makes room for the connections of all gateways: each has one to
// NATS and, with sockets, both ends of some to its Asterisk.
func enoughFiles(o options) error {
	want := uint64(o.nodes)*2 + 100
	if o.sockets {
		want += uint64(o.nodes) * 60
	}
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return fmt.Errorf("limit of open files: %w", err)
	}
	if limit.Max < want {
		return fmt.Errorf("%d open files are allowed, and about %d are needed; try: ulimit -Hn %d", limit.Max, want, want)
	}
	if limit.Cur < want {
		limit.Cur = limit.Max
		if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
			return fmt.Errorf("limit of open files: %w", err)
		}
	}
	return nil
}
