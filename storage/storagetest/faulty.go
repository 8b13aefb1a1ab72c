package storagetest

import (
	"context"
	"fmt"
	"io"
	"iter"
	"sync"

	"asterism/storage"
)

// Op names a method of storage.Bucket.
type Op string

// The operations that a [Faulty] sees. OpRead is one Read of a body that Get
// returned.
const (
	OpGet    Op = "get"
	OpRead   Op = "read"
	OpStat   Op = "stat"
	OpPut    Op = "put"
	OpDelete Op = "delete"
	OpList   Op = "list"
)

// Hook runs before an operation; it may wait, within ctx, and its error is the
// operation's result.
type Hook func(ctx context.Context, op Op, key string) error

// Faulty is a bucket that misbehaves on demand and counts what is asked of it.
// It is safe for concurrent use.
type Faulty struct {
	storage.Bucket
	mu     sync.Mutex
	hook   Hook
	counts map[Op]int
}

var _ storage.Bucket = (*Faulty)(nil)

// NewFaulty returns a bucket that behaves as b does until it is given a hook.
func NewFaulty(b storage.Bucket) *Faulty { return &Faulty{Bucket: b, counts: map[Op]int{}} }

// SetHook replaces the hook; nil is none.
func (f *Faulty) SetHook(hook Hook) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.hook = hook
}

// Fail makes every operation fail with err; nil heals the bucket. Use an error
// that wraps storage.ErrUnavailable for an outage, see [Outage].
func (f *Faulty) Fail(err error) {
	if err == nil {
		f.SetHook(nil)
		return
	}
	f.SetHook(func(context.Context, Op, string) error { return err })
}

// Outage returns the error of a server that answers with an HTTP status such as 503.
func Outage(status int) error {
	return fmt.Errorf("%w: the server answered %d", storage.ErrUnavailable, status)
}

// Count says how often op has been asked for.
func (f *Faulty) Count(op Op) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.counts[op]
}

func (f *Faulty) before(ctx context.Context, op Op, key string) error {
	f.mu.Lock()
	f.counts[op]++
	hook := f.hook
	f.mu.Unlock()
	if hook == nil {
		return nil
	}
	if err := hook(ctx, op, key); err != nil {
		return fmt.Errorf("%s %q: %w", op, key, err)
	}
	return nil
}

// Get implements storage.Bucket.
func (f *Faulty) Get(ctx context.Context, key string, opts storage.GetOptions) (io.ReadCloser, storage.Info, error) {
	if err := f.before(ctx, OpGet, key); err != nil {
		return nil, storage.Info{}, err
	}
	body, info, err := f.Bucket.Get(ctx, key, opts)
	if err != nil {
		return nil, info, err
	}
	return &faultyBody{ReadCloser: body, before: func() error { return f.before(ctx, OpRead, key) }}, info, nil
}

type faultyBody struct {
	io.ReadCloser
	before func() error
}

func (b *faultyBody) Read(p []byte) (int, error) {
	if err := b.before(); err != nil {
		return 0, err
	}
	return b.ReadCloser.Read(p)
}

// Stat implements storage.Bucket.
func (f *Faulty) Stat(ctx context.Context, key string) (storage.Info, error) {
	if err := f.before(ctx, OpStat, key); err != nil {
		return storage.Info{}, err
	}
	return f.Bucket.Stat(ctx, key)
}

// Put implements storage.Bucket.
func (f *Faulty) Put(ctx context.Context, key string, body io.Reader, opts storage.PutOptions) (storage.Info, error) {
	if err := f.before(ctx, OpPut, key); err != nil {
		return storage.Info{}, err
	}
	return f.Bucket.Put(ctx, key, body, opts)
}

// Delete implements storage.Bucket.
func (f *Faulty) Delete(ctx context.Context, key string) error {
	if err := f.before(ctx, OpDelete, key); err != nil {
		return err
	}
	return f.Bucket.Delete(ctx, key)
}

// List implements storage.Bucket.
func (f *Faulty) List(ctx context.Context, prefix string, opts storage.ListOptions) iter.Seq2[storage.Info, error] {
	if err := f.before(ctx, OpList, prefix); err != nil {
		return func(yield func(storage.Info, error) bool) { yield(storage.Info{}, err) }
	}
	return f.Bucket.List(ctx, prefix, opts)
}
