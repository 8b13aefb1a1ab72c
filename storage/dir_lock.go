package storage

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"os"
	"path"
	"strconv"
	"sync"
	"syscall"
	"time"
)

const (
	lockStripes = 64
	// lockPoll is the longest pause between two tries at a lock that another
	// process holds. A lock is held for two renames and an fsync.
	lockPoll = 10 * time.Millisecond
)

// keyLocks makes writers of one process queue up before the one of them tries
// the lock between processes.
type keyLocks struct {
	once    sync.Once
	stripes [lockStripes]chan struct{}
}

func (l *keyLocks) stripe(i uint32) chan struct{} {
	l.once.Do(func() {
		for i := range l.stripes {
			l.stripes[i] = make(chan struct{}, 1)
		}
	})
	return l.stripes[i]
}

// lock keeps all other writers of key out, in this and other processes, until
// unlock is called.
func (d *Dir) lock(ctx context.Context, key string) (unlock func(), _ error) {
	hash := fnv.New32a()
	_, _ = hash.Write([]byte(key))
	number := hash.Sum32() % lockStripes
	stripe := d.locks.stripe(number)
	if ctx.Err() != nil { // A select between a free lock and an ended context picks either.
		return nil, context.Cause(ctx)
	}
	select {
	case stripe <- struct{}{}:
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	file, err := d.flock(ctx, path.Join(lockDir, strconv.FormatUint(uint64(number), 16)))
	if err != nil {
		<-stripe
		return nil, err
	}
	return func() {
		_ = file.Close() // Closing releases the lock.
		<-stripe
	}, nil
}

// flock waits by trying: a blocking flock(2) could not be cancelled.
func (d *Dir) flock(ctx context.Context, name string) (*os.File, error) {
	file, err := d.root.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, dirError(err)
	}
	for wait := time.Millisecond / 4; ; wait = min(2*wait, lockPoll) {
		err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		switch {
		case err == nil:
			return file, nil
		case errors.Is(err, syscall.EINTR):
			continue
		case !errors.Is(err, syscall.EWOULDBLOCK):
			return nil, errors.Join(unavailable(fmt.Errorf("lock %s: %w", name, err)), file.Close())
		}
		select {
		case <-time.After(wait/2 + rand.N(wait)):
		case <-ctx.Done():
			return nil, errors.Join(context.Cause(ctx), file.Close())
		}
	}
}
