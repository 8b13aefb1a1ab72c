package storage

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"io"
	"iter"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Memory is a [Bucket] that lives as long as the process: for tests. The zero
// value is not usable; see [NewMemory].
type Memory struct {
	mu      sync.RWMutex
	objects map[string]memoryObject
	version uint64
}

type memoryObject struct {
	info Info
	data []byte
}

var _ Bucket = (*Memory)(nil)

// NewMemory returns an empty bucket.
func NewMemory() *Memory { return &Memory{objects: map[string]memoryObject{}} }

// Get implements [Bucket].
func (m *Memory) Get(ctx context.Context, key string, opts GetOptions) (io.ReadCloser, Info, error) {
	if err := opts.validate(key); err != nil {
		return nil, Info{}, opError("get", key, err)
	}
	object, err := m.find(ctx, key)
	if err != nil {
		return nil, Info{}, opError("get", key, err)
	}
	if opts.IfMatch != "" && opts.IfMatch != object.info.ETag {
		return nil, Info{}, opError("get", key, ErrPrecondition)
	}
	data := object.data[min(opts.Offset, object.info.Size):]
	if opts.Length > 0 {
		data = data[:min(opts.Length, int64(len(data)))]
	}
	return &contextReader{ctx: ctx, Reader: bytes.NewReader(data)}, object.copyInfo(), nil
}

// Stat implements [Bucket].
func (m *Memory) Stat(ctx context.Context, key string) (Info, error) {
	if err := ValidateKey(key); err != nil {
		return Info{}, opError("stat", key, err)
	}
	object, err := m.find(ctx, key)
	if err != nil {
		return Info{}, opError("stat", key, err)
	}
	return object.copyInfo(), nil
}

func (m *Memory) find(ctx context.Context, key string) (memoryObject, error) {
	if err := ctx.Err(); err != nil {
		return memoryObject{}, context.Cause(ctx)
	}
	m.mu.RLock()
	defer m.mu.RUnlock()
	object, ok := m.objects[key]
	if !ok {
		return memoryObject{}, ErrNotFound
	}
	return object, nil
}

func (o memoryObject) copyInfo() Info {
	info := o.info
	info.Metadata = maps.Clone(info.Metadata)
	return info
}

// Put implements [Bucket].
func (m *Memory) Put(ctx context.Context, key string, body io.Reader, opts PutOptions) (Info, error) {
	opts, err := opts.validate(key)
	if err != nil {
		return Info{}, opError("put", key, err)
	}
	data, err := io.ReadAll(&contextReader{ctx: ctx, Reader: body})
	if err != nil {
		return Info{}, opError("put", key, err)
	}
	if err := checkSize(opts.Size, int64(len(data))); err != nil {
		return Info{}, opError("put", key, err)
	}

	m.mu.Lock()
	defer m.mu.Unlock()
	if err := opts.check(m.objects[key].info.ETag); err != nil {
		return Info{}, opError("put", key, err)
	}
	m.version++
	object := memoryObject{data: data, info: Info{
		Key: key, ETag: "m" + strconv.FormatUint(m.version, 10), Size: int64(len(data)), Modified: time.Now(),
		ContentType: opts.ContentType, Metadata: maps.Clone(opts.Metadata),
	}}
	m.objects[key] = object
	return object.copyInfo(), nil
}

// Delete implements [Bucket].
func (m *Memory) Delete(ctx context.Context, key string) error {
	if err := ValidateKey(key); err != nil {
		return opError("delete", key, err)
	}
	if ctx.Err() != nil {
		return opError("delete", key, context.Cause(ctx))
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.objects, key)
	return nil
}

// List implements [Bucket]. It yields what was there when the iteration began.
func (m *Memory) List(ctx context.Context, prefix string, opts ListOptions) iter.Seq2[Info, error] {
	return func(yield func(Info, error) bool) {
		if err := validatePrefix(prefix); err != nil {
			yield(Info{}, opError("list", prefix, err))
			return
		}
		for i, info := range m.snapshot(prefix, opts.After) {
			if ctx.Err() != nil {
				yield(Info{}, opError("list", prefix, context.Cause(ctx)))
				return
			}
			if opts.Limit > 0 && i == opts.Limit {
				return
			}
			if !yield(info, nil) {
				return
			}
		}
	}
}

func (m *Memory) snapshot(prefix, after string) []Info {
	m.mu.RLock()
	defer m.mu.RUnlock()
	var infos []Info
	for key, object := range m.objects {
		if strings.HasPrefix(key, prefix) && key > after {
			info := object.info
			info.ContentType, info.Metadata = "", nil
			infos = append(infos, info)
		}
	}
	slices.SortFunc(infos, func(a, b Info) int { return cmp.Compare(a.Key, b.Key) })
	return infos
}

// Close implements [Bucket].
func (m *Memory) Close() error { return nil }

// check judges the conditions of a write against the ETag of the version that
// is there, which is empty when there is none.
func (o PutOptions) check(current string) error {
	if o.IfNoneMatch != "" && current != "" || o.IfMatch != "" && o.IfMatch != current {
		return ErrPrecondition
	}
	return nil
}

func checkSize(want, got int64) error {
	if want > 0 && want != got {
		return fmt.Errorf("the body has %d bytes, %d were announced", got, want)
	}
	return nil
}

// contextReader ends a stream when its context ends.
type contextReader struct {
	ctx context.Context //nolint:containedctx // A stream outlives the call that opens it; io.Reader has no context.
	io.Reader
}

func (r *contextReader) Read(p []byte) (int, error) {
	if r.ctx.Err() != nil {
		return 0, context.Cause(r.ctx)
	}
	return r.Reader.Read(p)
}

func (r *contextReader) Close() error { return nil }
