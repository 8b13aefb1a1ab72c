package media

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"asterism/storage"
)

// Defaults of [Config].
const (
	DefaultMaxBytes       = 1 << 30
	DefaultMaxObjectBytes = 64 << 20
	DefaultMaxDuration    = time.Hour
	DefaultStaleIfError   = 10 * time.Minute
	defaultHold           = 10 * time.Minute
	defaultStatTimeout    = 2 * time.Second
	defaultFetchTimeout   = time.Minute
	// changeTries is how often a version may vanish between being seen and
	// being fetched before a call gives up.
	changeTries = 3
)

// Config says what a [Cache] holds and where.
type Config struct {
	// Bucket is where the sounds come from. The cache does not close it.
	Bucket storage.Bucket
	// Dir is the directory of the files, seen by Asterisk under the same path.
	// One cache uses it at a time.
	Dir string
	// MaxBytes is the size that the files together should not exceed. Files in
	// use are never removed, so it may be exceeded for their sake. 0 is 1 GiB.
	MaxBytes int64
	// MaxObjectBytes is the largest object that is fetched; 0 is 64 MiB.
	MaxObjectBytes int64
	// MaxDuration is the longest sound that is played; 0 is an hour.
	MaxDuration time.Duration
	// StaleIfError is how long after its last successful check a version may
	// still be played while the storage does not answer; 0 is not at all. See
	// DefaultStaleIfError.
	StaleIfError time.Duration
	// Hold is how much longer than its own duration a file stays after it has
	// been handed out. Asterisk opens it within that time. 0 is 10 minutes.
	Hold time.Duration
	// StatTimeout and FetchTimeout bound one request each; 0 is 2 s and 1 min.
	StatTimeout, FetchTimeout time.Duration
	// OnStale, if set, is told of every sound that is played unchecked. It must
	// not block.
	OnStale func(key string, age time.Duration, err error)

	openTemp func(dir string) (*os.File, error) // For tests of a full disk.
}

func (c Config) withDefaults() (Config, error) {
	if c.Bucket == nil || c.Dir == "" {
		return c, errors.New("the bucket or the directory is missing")
	}
	dir, err := filepath.Abs(c.Dir)
	if err != nil {
		return c, err
	}
	c.Dir = dir
	def := func(value *time.Duration, otherwise time.Duration) {
		if *value <= 0 {
			*value = otherwise
		}
	}
	def(&c.MaxDuration, DefaultMaxDuration)
	def(&c.Hold, defaultHold)
	def(&c.StatTimeout, defaultStatTimeout)
	def(&c.FetchTimeout, defaultFetchTimeout)
	if c.MaxBytes <= 0 {
		c.MaxBytes = DefaultMaxBytes
	}
	if c.MaxObjectBytes <= 0 {
		c.MaxObjectBytes = DefaultMaxObjectBytes
	}
	if c.openTemp == nil {
		c.openTemp = func(dir string) (*os.File, error) { return os.CreateTemp(dir, tempPrefix+"*") }
	}
	return c, nil
}

// File is a sound that Asterisk can play. It stays for its duration plus
// Config.Hold; ask again for every playback, also of the same sound.
type File struct {
	// Path is absolute and has no extension, as "sound:" in ARI wants it:
	// Asterisk picks the best of the formats that lie there.
	Path     string
	Duration time.Duration
	// Key and ETag name the version; both are empty for silence.
	Key, ETag string
	// Stale says that the storage did not answer and the version is the last
	// one known.
	Stale bool
}

// Cache is the sounds of a node as files. It is safe for concurrent use.
type Cache struct {
	config Config
	lock   *os.File
	store  *store

	ctx    context.Context //nolint:containedctx // The life of the cache; fetches outlive the calls that ask for them.
	cancel context.CancelFunc
	wg     sync.WaitGroup

	stats   stats
	checker checker
	fetches fetches
	counts  counts
	down    atomic.Bool // the storage did not answer when it was last asked
}

// OpenCache opens the directory, which is created when it is not there, adopts
// the files of an earlier run and removes what is incomplete.
func OpenCache(config Config) (*Cache, error) {
	config, err := config.withDefaults()
	if err != nil {
		return nil, fmt.Errorf("open media cache: %w", err)
	}
	if err := os.MkdirAll(filepath.Join(config.Dir, silenceDir), 0o755); err != nil {
		return nil, fmt.Errorf("open media cache: %w", err)
	}
	lock, err := lockDir(config.Dir)
	if err != nil {
		return nil, err
	}
	c := &Cache{config: config, lock: lock}
	c.store = newStore(config, &c.counts)
	if err := c.store.adopt(); err != nil {
		return nil, errors.Join(fmt.Errorf("open media cache: %w", err), lock.Close())
	}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	c.stats.init(c)
	c.checker.init()
	c.fetches.init()
	return c, nil
}

func lockDir(dir string) (*os.File, error) {
	lock, err := os.OpenFile(filepath.Join(dir, ".lock"), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, fmt.Errorf("open media cache: %w", err)
	}
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		_ = lock.Close()
		return nil, fmt.Errorf("open media cache: the directory %s is in use by another gateway: %w", dir, err)
	}
	return lock, nil
}

// Close ends all fetches and waits for them. The files stay.
func (c *Cache) Close() error {
	c.cancel()
	c.fetches.close()
	c.stats.close()
	c.wg.Wait()
	return c.lock.Close()
}

// Resolve finds the sound of a name in the first of the languages that has it,
// each followed by its base ("it-IT" by "it"), and last without a language. It
// asks the storage each time, so that the answer is never older than the
// question. Errors: ErrNotFound, ErrInvalidName, ErrBroken,
// storage.ErrUnavailable, the context's.
func (c *Cache) Resolve(ctx context.Context, name string, languages []string) (File, error) {
	keys, err := candidates(name, languages)
	if err != nil {
		return File{}, err
	}
	file, err := c.resolve(ctx, keys)
	if errors.Is(err, storage.ErrNotFound) {
		return File{}, fmt.Errorf("%w: %q (tried %s): %w", ErrNotFound, name, strings.Join(keys, ", "), err)
	}
	if err != nil {
		return File{}, fmt.Errorf("sound %q: %w", name, err)
	}
	return file, nil
}

// ResolveKey is [Cache.Resolve] for an object of any key, such as a message.
func (c *Cache) ResolveKey(ctx context.Context, key string) (File, error) {
	if err := storage.ValidateKey(key); err != nil {
		return File{}, fmt.Errorf("%w: %w", ErrInvalidName, err)
	}
	file, err := c.resolve(ctx, []string{key})
	if errors.Is(err, storage.ErrNotFound) {
		return File{}, fmt.Errorf("%w: %w", ErrNotFound, err)
	}
	if err != nil {
		return File{}, fmt.Errorf("sound %q: %w", key, err)
	}
	return file, nil
}

func (c *Cache) resolve(ctx context.Context, keys []string) (File, error) {
	for try := 1; ; try++ {
		v, err := c.lookUp(ctx, keys)
		if err != nil {
			return File{}, err
		}
		file, err := c.file(ctx, v)
		gone := errors.Is(err, storage.ErrPrecondition) || errors.Is(err, storage.ErrNotFound)
		if err == nil || !gone || v.stale || try == changeTries {
			return file, err
		}
	}
}

// version is what the storage has, or had, under a key.
type version struct {
	key, etag string
	size      int64
	stale     bool
}

// lookUp asks for all keys at once and takes the first in order that exists.
func (c *Cache) lookUp(ctx context.Context, keys []string) (version, error) {
	if len(keys) == 1 {
		return c.check(ctx, keys[0])
	}
	type answer struct {
		v   version
		err error
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // What comes after the one that is found is not needed.
	answers := make([]chan answer, len(keys))
	for i, key := range keys[1:] {
		answers[i+1] = make(chan answer, 1)
		if !c.goIfOpen(func() {
			v, err := c.check(ctx, key)
			answers[i+1] <- answer{v, err}
		}) {
			return version{}, errClosed
		}
	}
	v, err := c.check(ctx, keys[0])
	for _, a := range answers[1:] {
		if !errors.Is(err, storage.ErrNotFound) {
			break
		}
		next := <-a // Ends with ctx at the latest.
		v, err = next.v, next.err
	}
	return v, err
}

// file returns the files of a version, fetching it if it is not there.
func (c *Cache) file(ctx context.Context, v version) (File, error) {
	name := fileName(v.key, v.etag)
	if e, ok := c.store.use(name); ok {
		c.counts.hits.Add(1)
		return c.made(e, v), nil
	}
	c.counts.misses.Add(1)
	if err := c.fetches.brokenReason(name); err != nil {
		return File{}, err
	}
	if v.size > c.config.MaxObjectBytes {
		return File{}, fmt.Errorf("%w: the object %q has %d bytes, at most %d are allowed", ErrBroken, v.key, v.size, c.config.MaxObjectBytes)
	}
	e, err := c.fetch(ctx, name, v)
	if err != nil {
		return File{}, err
	}
	return c.made(e, v), nil
}

func (c *Cache) made(e held, v version) File {
	return File{Path: filepath.Join(c.config.Dir, e.name), Duration: e.duration, Key: v.key, ETag: v.etag, Stale: v.stale}
}

var errClosed = errors.New("the media cache is closed")
