// Command telephony prepares the telephone programs that tests and "make run"
// use, and prints their versions. It takes milliseconds when all is there.
package main

import (
	"context"
	"fmt"
	"maps"
	"os"
	"os/signal"
	"slices"
	"syscall"

	"asterism/e2e/telephony"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "telephony:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	root, err := telephony.Prepare(ctx, telephony.Config{})
	if err != nil {
		return err
	}
	versions := root.Versions()
	for _, name := range slices.Sorted(maps.Keys(versions)) {
		if _, err := fmt.Fprintf(os.Stdout, "%-24s %s\n", name, versions[name]); err != nil {
			return fmt.Errorf("print versions: %w", err)
		}
	}
	return nil
}
