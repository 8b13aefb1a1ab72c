// Command chaos is "make chaos": it breaks the platform under calls, again and
// again, and prints a table of what became of them.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"asterism/e2e/chaos"
	"asterism/e2e/stack"
	"asterism/e2e/telephony"
)

func main() {
	var o chaos.Options
	flag.Uint64Var(&o.Seed, "seed", 0, "the number from which everything follows; 0 takes the time")
	flag.IntVar(&o.Rounds, "rounds", 20, "how often each fault happens")
	flag.IntVar(&o.Round, "round", 0, "run only this round of each fault, counted from 1")
	flag.IntVar(&o.Calls, "calls", 50, "how many calls each fault finds")
	flag.IntVar(&o.Workers, "workers", 3, "how many workers there are")
	flag.BoolVar(&o.Brief, "brief", false, "make long faults short, as the quick suite does")
	minutes := flag.Float64("minutes", 0, "how long all of it may take: rounds that would not be over by then are left out; 0 is without end")
	out := flag.String("out", "", "a file for the report as Markdown, written after each round; beside it, ending in .json, it is kept for programs")
	list := flag.String("faults", "", "which faults, separated by commas (all: "+strings.Join(chaos.FaultNames(), ",")+")")
	flag.Parse()
	if *list != "" {
		o.Faults = strings.Split(*list, ",")
	}
	o.Within = time.Duration(*minutes * float64(time.Minute))
	if o.Seed == 0 {
		o.Seed = uint64(time.Now().UnixMilli())
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	if err := run(ctx, o, *out); err != nil {
		fmt.Fprintln(os.Stderr, "chaos:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, o chaos.Options, out string) error {
	project, err := telephony.ProjectDir()
	if err != nil {
		return err
	}
	began := time.Now()
	o.Note = func(format string, args ...any) {
		fmt.Fprintf(os.Stdout, "%6.1f  "+format+"\n", append([]any{time.Since(began).Seconds()}, args...)...)
	}
	o.Dir = filepath.Join(project, ".run", "chaos")
	var release []func()
	address := func() string {
		a, free, aerr := telephony.Loopback()
		if aerr != nil {
			err = errors.Join(err, aerr)
			return ""
		}
		release = append(release, free)
		return a
	}
	platform := address()
	o.Stack = stack.Options{Addresses: []string{address()}, HTTP: platform + ":8080", NATS: platform + ":4222"}
	o.S3 = address()
	if err != nil {
		return err
	}
	defer func() {
		for _, free := range release {
			free()
		}
	}()
	o.Note("seed %d: make chaos SEED=%d ROUNDS=%d CALLS=%d FAULTS=%s", o.Seed, o.Seed, o.Rounds, o.Calls, strings.Join(o.Faults, ","))
	var writing error
	o.Done = func(r *chaos.Report) { writing = write(r, out) }
	report, err := chaos.Run(ctx, o)
	if report == nil {
		return err
	}
	fmt.Fprintf(os.Stdout, "\n%s", report.Markdown())
	err = errors.Join(err, writing)
	if err == nil && !report.Good() {
		err = fmt.Errorf("not everything was as it must be; what is known of each call is in %s", filepath.Join(o.Dir, "failed"))
	}
	return err
}

// write keeps the report in a file, and beside it for programs.
func write(r *chaos.Report, out string) error {
	if out == "" {
		return nil
	}
	data, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return fmt.Errorf("report: %w", err)
	}
	machine := strings.TrimSuffix(out, filepath.Ext(out)) + ".json"
	return errors.Join(os.WriteFile(out, []byte(r.Markdown()), 0o600), os.WriteFile(machine, append(data, '\n'), 0o600))
}
