package storage

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"time"
)

// probePrefix is where [ProbeConditional] writes; "-" keeps it out of the way
// of every prefix that data uses.
const probePrefix = "asterism-probe-"

// ProbeConditional tries out on a small object of its own, which it removes,
// whether the bucket refuses writes whose condition does not hold. Mailboxes
// lose messages on a server that ignores the conditions, so such a server must
// be refused: the error then wraps ErrNoConditionalWrites and says which
// condition was ignored. Every other error says that the probe itself failed.
//
// The probe is sequential: it finds servers that do not know the conditions,
// not those that judge them with a race.
func ProbeConditional(ctx context.Context, b Bucket) (err error) {
	key := probePrefix + rand.Text()
	defer func() {
		clean, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
		defer cancel()
		if e := b.Delete(clean, key); e != nil && err == nil {
			err = fmt.Errorf("probe conditional writes: remove the probe: %w", e)
		}
	}()
	p := probe{bucket: b, key: key}
	first, err := p.allowed(ctx, "If-None-Match: *", PutOptions{IfNoneMatch: "*"})
	if err != nil {
		return err
	}
	if err := p.refused(ctx, "If-None-Match: *", PutOptions{IfNoneMatch: "*"}); err != nil {
		return err
	}
	second, err := p.allowed(ctx, "If-Match", PutOptions{IfMatch: first.ETag})
	if err != nil {
		return err
	}
	if second.ETag == first.ETag {
		return fmt.Errorf("%w: two versions have the ETag %q", ErrNoConditionalWrites, first.ETag)
	}
	return p.refused(ctx, "If-Match", PutOptions{IfMatch: first.ETag})
}

type probe struct {
	bucket Bucket
	key    string
	writes int
}

func (p *probe) put(ctx context.Context, opts PutOptions) (Info, error) {
	p.writes++
	return p.bucket.Put(ctx, p.key, strings.NewReader(fmt.Sprintf("conditional write %d", p.writes)), opts)
}

func (p *probe) allowed(ctx context.Context, condition string, opts PutOptions) (Info, error) {
	info, err := p.put(ctx, opts)
	switch {
	case errors.Is(err, ErrPrecondition):
		return Info{}, fmt.Errorf("%w: a write with a true %s was refused: %w", ErrNoConditionalWrites, condition, err)
	case errors.Is(err, errNotImplemented):
		return Info{}, fmt.Errorf("%w: it does not know %s: %w", ErrNoConditionalWrites, condition, err)
	case err != nil:
		return Info{}, fmt.Errorf("probe conditional writes: %w", err)
	}
	return info, nil
}

func (p *probe) refused(ctx context.Context, condition string, opts PutOptions) error {
	_, err := p.put(ctx, opts)
	switch {
	case errors.Is(err, ErrPrecondition):
		return nil
	case err != nil:
		return fmt.Errorf("probe conditional writes: %w", err)
	}
	return fmt.Errorf("%w: a write with %s replaced an object that it must not touch; "+
		"use a server that supports it (AWS S3, Ceph, Cloudflare R2, MinIO, versitygw)", ErrNoConditionalWrites, condition)
}

// errNotImplemented is a server's word that it does not know a header.
var errNotImplemented = errors.New("not implemented by the server")
