package media

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"asterism/storage"
	"asterism/storage/audio"
)

const (
	// maxFetches at once: converting is work for the processor.
	maxFetches = 4
	// maxBroken bounds the memory of objects that cannot be played.
	maxBroken = 1000
)

// fetches are the versions on their way into the cache.
type fetches struct {
	mu      sync.Mutex
	running map[string]*fetch
	broken  map[string]error
	slots   chan struct{}
	closed  bool
}

// fetch is shared by all calls that want the version. It is given up when none
// of them is left.
type fetch struct {
	done    chan struct{}
	cancel  context.CancelFunc
	waiters int
	result  held
	err     error
}

func (f *fetches) init() {
	f.running, f.broken = map[string]*fetch{}, map[string]error{}
	f.slots = make(chan struct{}, maxFetches)
}

func (f *fetches) close() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.closed = true
}

func (f *fetches) brokenReason(name string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.broken[name]
}

func (f *fetches) rememberBroken(name string, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.broken) >= maxBroken {
		for other := range f.broken {
			delete(f.broken, other)
			break
		}
	}
	f.broken[name] = err
}

func (c *Cache) fetch(ctx context.Context, name string, v version) (held, error) {
	f := &c.fetches
	f.mu.Lock()
	if f.closed {
		f.mu.Unlock()
		return held{}, errClosed
	}
	job := f.running[name]
	if job == nil {
		// It may have arrived between the look into the store and this lock.
		if e, ok := c.store.use(name); ok {
			f.mu.Unlock()
			return e, nil
		}
		job = c.startFetch(name, v) //nolint:contextcheck // A fetch outlives the call that asks for it first.
	}
	job.waiters++
	f.mu.Unlock()

	select {
	case <-job.done:
		return job.result, job.err
	case <-ctx.Done():
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if job.waiters--; job.waiters == 0 {
		job.cancel()
		if f.running[name] == job {
			delete(f.running, name) // The next call begins anew.
		}
	}
	return held{}, context.Cause(ctx)
}

// startFetch is called with the lock held.
func (c *Cache) startFetch(name string, v version) *fetch {
	ctx, cancel := context.WithTimeout(c.ctx, c.config.FetchTimeout)
	job := &fetch{done: make(chan struct{}), cancel: cancel}
	c.fetches.running[name] = job
	c.wg.Go(func() {
		defer cancel()
		job.result, job.err = c.fetchNow(ctx, name, v)
		c.counts.fetched(job.err)
		if errors.Is(job.err, ErrBroken) {
			c.fetches.rememberBroken(name, job.err)
		}
		c.fetches.mu.Lock()
		if c.fetches.running[name] == job {
			delete(c.fetches.running, name)
		}
		c.fetches.mu.Unlock()
		close(job.done)
	})
	return job
}

func (c *Cache) fetchNow(ctx context.Context, name string, v version) (held, error) {
	select {
	case c.fetches.slots <- struct{}{}:
		defer func() { <-c.fetches.slots }()
	case <-ctx.Done():
		return held{}, c.fetchError(ctx, context.Cause(ctx))
	}
	body, _, err := c.config.Bucket.Get(ctx, v.key, storage.GetOptions{IfMatch: v.etag})
	if err != nil {
		return held{}, c.fetchError(ctx, err)
	}
	defer func() { _ = body.Close() }()
	files, duration, err := c.convert(ctx, body)
	if err != nil {
		files.remove()
		return held{}, c.fetchError(ctx, err)
	}
	return c.store.publish(name, files, duration)
}

func (c *Cache) fetchError(ctx context.Context, err error) error {
	switch {
	case errors.Is(err, audio.ErrBroken), errors.Is(err, audio.ErrUnsupported), errors.Is(err, audio.ErrTooLarge):
		return fmt.Errorf("%w: %w", ErrBroken, err)
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return fmt.Errorf("%w: the object did not arrive within %v: %w", storage.ErrUnavailable, c.config.FetchTimeout, err)
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return fmt.Errorf("the disk of the media cache %s is full: %w", c.config.Dir, err)
	}
	return err
}

// converted are the temporary files of one version; wide is empty where the
// source has no more than 8 kHz.
type converted struct{ narrow, wide string }

func (f converted) remove() {
	for _, name := range []string{f.narrow, f.wide} {
		if name != "" {
			_ = os.Remove(name)
		}
	}
}

func (c *Cache) convert(ctx context.Context, body io.Reader) (files converted, _ time.Duration, err error) {
	stream, err := audio.Open(body, audio.Limits{Bytes: c.config.MaxObjectBytes, Duration: c.config.MaxDuration})
	if err != nil {
		return files, 0, err
	}
	narrow, err := c.config.openTemp(c.config.Dir)
	if err != nil {
		return files, 0, err
	}
	files.narrow = narrow.Name()
	defer func() { err = errors.Join(err, finish(narrow, err)) }()
	outputs := []audio.Output{{Rate: audio.Narrow, W: narrow}}
	if audio.StoredRate(stream.Format.SampleRate) > audio.Narrow {
		wide, err := c.config.openTemp(c.config.Dir)
		if err != nil {
			return files, 0, err
		}
		files.wide = wide.Name()
		outputs = append(outputs, audio.Output{Rate: audio.Wide, W: wide})
		duration, err := stream.WriteWAV(ctx, outputs...)
		return files, duration, errors.Join(err, finish(wide, err))
	}
	duration, err := stream.WriteWAV(ctx, outputs...)
	return files, duration, err
}

// finish makes a temporary file ready to get its name.
func finish(file *os.File, failed error) error {
	if failed != nil {
		return file.Close()
	}
	// Asterisk runs as another user.
	return errors.Join(file.Chmod(0o644), file.Sync(), file.Close())
}

// leastSilence is what a file must hold at least: Asterisk fails to play one
// that is shorter than a frame.
const leastSilence = 20 * time.Millisecond

// Silence returns a file of that much silence, 1 ms to 10 min; of less than
// 20 ms it makes 20.
func (c *Cache) Silence(ctx context.Context, d time.Duration) (File, error) {
	ms := d.Milliseconds()
	if ms < 1 || d > maxSilence {
		return File{}, fmt.Errorf("silence of %v: expected 1ms to %v", d, maxSilence)
	}
	if ctx.Err() != nil {
		return File{}, context.Cause(ctx)
	}
	ms = max(ms, leastSilence.Milliseconds())
	name := filepath.Join(silenceDir, fmt.Sprint(ms))
	e, ok := c.store.use(name)
	if !ok {
		var err error
		if e, err = c.makeSilence(name, ms); err != nil {
			return File{}, fmt.Errorf("silence of %v: %w", d, c.fetchError(ctx, err))
		}
	}
	return File{Path: filepath.Join(c.config.Dir, e.name), Duration: e.duration}, nil
}
