// Command up is "make run": it starts the whole platform in the foreground,
// says what to try, and stops all of it on Ctrl-C.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"asterism/e2e/stack"
)

const (
	// startTimeout is for the first start, which downloads the telephone
	// programs.
	startTimeout = 30 * time.Minute
	stopTimeout  = time.Minute
)

func main() {
	var o stack.Options
	flag.IntVar(&o.Nodes, "nodes", 1, "number of Asterisks, each with a gateway")
	flag.BoolVar(&o.Split, "split", false, "run each role as a process of its own")
	flag.IntVar(&o.Workers, "workers", 1, "number of workers, with -split")
	flag.StringVar(&o.Dir, "dir", "", "directory for all that changes (default .run in the project)")
	flag.StringVar(&o.HTTP, "http", "", "where the first process serves HTTP; the others take the next ports (default 127.0.0.1:8080)")
	flag.StringVar(&o.NATS, "nats", "", "where NATS listens, with -split (default 127.0.0.1:4222)")
	flag.Func("sip", "addresses of the Asterisks, separated by commas (default 127.0.0.2,127.0.0.3,…)", func(list string) error {
		o.Addresses = strings.Split(list, ",")
		return nil
	})
	flag.DurationVar(&o.Liveness, "liveness", 10*time.Second, "kill and start again what leaves /healthz unanswered for so long; 0 never does")
	flag.Parse()
	o.Note = func(format string, args ...any) { fmt.Fprintf(os.Stdout, format+"\n", args...) }
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	// With the handler gone, a second signal ends this process at once, and
	// with it all that it has started.
	context.AfterFunc(ctx, stop)
	if err := run(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, "make run:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, o stack.Options) error {
	began := time.Now()
	o.Note("starting; the first time prepares the telephone programs and takes minutes")
	start, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	s, err := stack.Start(start, o)
	if err != nil {
		if ctx.Err() != nil {
			return errors.New("stopped while starting")
		}
		return err
	}
	fmt.Fprint(os.Stdout, welcome(s, &o, time.Since(began)))
	<-ctx.Done()
	fmt.Fprintln(os.Stdout, "\nstopping; a second Ctrl-C ends everything at once")
	stop, cancelStop := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
	defer cancelStop()
	if err := s.Stop(stop); err != nil {
		return fmt.Errorf("stopping: %w", err)
	}
	fmt.Fprintln(os.Stdout, "stopped")
	return nil
}
