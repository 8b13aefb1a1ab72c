package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"

	"asterism/e2e/stack"
)

// profile takes CPU profiles of processes while load runs, into the directory
// that -profile names, and returns a function that waits for them.
func (b *bench) profile(ctx context.Context, s *stack.Stack, rate int, processes []string) (wait func()) {
	var all sync.WaitGroup
	if b.profiles == "" {
		return all.Wait
	}
	for _, name := range processes {
		all.Go(func() {
			url := fmt.Sprintf("%s/debug/pprof/profile?seconds=%d", s.Process(name).URL(), int(b.length.Seconds()))
			path := filepath.Join(b.profiles, fmt.Sprintf("%s-%d.pprof", name, rate))
			if err := download(ctx, url, path, b.length+10*time.Second); err != nil {
				fmt.Fprintln(os.Stderr, "bench: profile:", err)
				return
			}
			fmt.Fprintln(os.Stderr, "profile written:", path)
		})
	}
	return all.Wait
}

func download(ctx context.Context, url, path string, limit time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answered %s", url, resp.Status)
	}
	f, err := os.Create(path) //nolint:gosec // the person named it
	if err != nil {
		return err
	}
	if _, err = io.Copy(f, resp.Body); err != nil {
		_ = f.Close()
		return err
	}
	return f.Close()
}
