package media

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"asterism/storage"
)

// maxKnown bounds what is remembered for the time of an outage.
const maxKnown = 20_000

// stats asks the storage for the version of a key: however many calls ask, at
// most one request is under way and one waits behind it. A question is never
// answered by a request that began before it was asked, or a change between the
// two would be missed.
type stats struct {
	cache *Cache
	mu    sync.Mutex
	// queues has an entry for every key with a request under way.
	queues map[string]*statQueue
	closed bool
}

type statQueue struct {
	next *statCall // Begins when the one under way has ended; nil if nobody waits.
}

type statCall struct {
	done chan struct{}
	info storage.Info
	err  error
}

func (s *stats) init(c *Cache) { s.cache, s.queues = c, map[string]*statQueue{} }

func (s *stats) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
}

// stat runs the request itself when none is under way: that one belongs to it
// alone, since everybody else waits for the next.
func (s *stats) stat(ctx context.Context, key string) (storage.Info, error) {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return storage.Info{}, errClosed
	}
	queue, busy := s.queues[key]
	if !busy {
		s.queues[key] = &statQueue{}
		s.mu.Unlock()
		defer s.advance(key)
		return s.request(ctx, key)
	}
	if queue.next == nil {
		queue.next = &statCall{done: make(chan struct{})}
	}
	call := queue.next
	s.mu.Unlock()
	select {
	case <-call.done:
		return call.info, call.err
	case <-ctx.Done():
		return storage.Info{}, context.Cause(ctx)
	}
}

// advance begins the request that waits, if any.
func (s *stats) advance(key string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	queue := s.queues[key]
	call := queue.next
	if call == nil {
		delete(s.queues, key)
		return
	}
	queue.next = nil
	if s.closed {
		delete(s.queues, key)
		call.err = errClosed
		close(call.done)
		return
	}
	s.cache.wg.Go(func() {
		call.info, call.err = s.request(s.cache.ctx, key)
		close(call.done)
		s.advance(key)
	})
}

// goIfOpen runs f in a goroutine that Close waits for.
func (c *Cache) goIfOpen(f func()) bool {
	c.stats.mu.Lock()
	defer c.stats.mu.Unlock()
	if c.stats.closed {
		return false
	}
	c.wg.Go(f)
	return true
}

func (s *stats) request(ctx context.Context, key string) (storage.Info, error) {
	limited, cancel := context.WithTimeout(ctx, s.cache.config.StatTimeout)
	defer cancel()
	info, err := s.cache.config.Bucket.Stat(limited, key)
	if err != nil && limited.Err() != nil && ctx.Err() == nil {
		err = fmt.Errorf("%w: no answer within %v", storage.ErrUnavailable, s.cache.config.StatTimeout)
	}
	return info, err
}

// checker remembers what the last successful check of each key said.
type checker struct {
	mu    sync.Mutex
	known map[string]known
}

type known struct {
	etag string // Empty: there was no object.
	size int64
	at   time.Time
}

func (k *checker) init() { k.known = map[string]known{} }

func (k *checker) remember(key string, now known) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if _, ok := k.known[key]; !ok && len(k.known) >= maxKnown {
		for other := range k.known { // Any: whichever the map yields first.
			delete(k.known, other)
			break
		}
	}
	k.known[key] = now
}

func (k *checker) recall(key string, maxAge time.Duration) (known, bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	last, ok := k.known[key]
	return last, ok && time.Since(last.at) <= maxAge
}

// impatience is how long a check waits for a storage that did not answer the
// last one, if there is a version to play all the same: a caller in the middle
// of his call hears silence meanwhile.
const impatience = 100 * time.Millisecond

// ask asks the storage for the version of a key and remembers what it said.
func (c *Cache) ask(ctx context.Context, key string) (storage.Info, error) {
	if _, ok := c.checker.recall(key, c.config.StaleIfError); !ok || !c.down.Load() {
		return c.askNow(ctx, key)
	}
	type answer struct {
		info storage.Info
		err  error
	}
	answers := make(chan answer, 1)
	if !c.goIfOpen(func() {
		info, err := c.askNow(c.ctx, key) // Also when nobody waits any more: so the end of an outage is seen.
		answers <- answer{info, err}
	}) {
		return storage.Info{}, errClosed
	}
	timer := time.NewTimer(impatience)
	defer timer.Stop()
	select {
	case a := <-answers:
		return a.info, a.err
	case <-timer.C:
		return storage.Info{}, fmt.Errorf("%w: it did not answer before, nor now within %v", storage.ErrUnavailable, impatience)
	case <-ctx.Done():
		return storage.Info{}, context.Cause(ctx)
	}
}

func (c *Cache) askNow(ctx context.Context, key string) (storage.Info, error) {
	asked := time.Now()
	info, err := c.stats.stat(ctx, key)
	switch {
	case err == nil:
		c.checker.remember(key, known{etag: info.ETag, size: info.Size, at: asked})
		c.down.Store(false)
	case errors.Is(err, storage.ErrNotFound):
		c.checker.remember(key, known{at: asked})
		c.down.Store(false)
	case ctx.Err() == nil && errors.Is(err, storage.ErrUnavailable):
		c.down.Store(true)
	}
	return info, err
}

// check returns the version that the storage has now or, while it does not
// answer and the configuration allows it, had when it was last asked.
func (c *Cache) check(ctx context.Context, key string) (version, error) {
	info, err := c.ask(ctx, key)
	switch {
	case err == nil:
		return version{key: key, etag: info.ETag, size: info.Size}, nil
	case ctx.Err() != nil, errors.Is(err, storage.ErrNotFound), errors.Is(err, errClosed), errors.Is(err, storage.ErrInvalidKey):
		return version{}, err
	}
	// Not only outages: refused credentials should not silence a prompt at once.
	last, ok := c.checker.recall(key, c.config.StaleIfError)
	switch {
	case !ok || c.config.StaleIfError <= 0:
		return version{}, err
	case last.etag == "":
		return version{}, fmt.Errorf("%w (when last asked; now: %w)", storage.ErrNotFound, err)
	}
	c.counts.stale.Add(1)
	if c.config.OnStale != nil {
		c.config.OnStale(key, time.Since(last.at), err)
	}
	return version{key: key, etag: last.etag, size: last.size, stale: true}, nil
}
