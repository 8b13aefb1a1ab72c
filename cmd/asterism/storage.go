package main

import (
	"context"
	"errors"
	"fmt"

	"asterism/cmd/asterism/internal/config"
	"asterism/storage"
)

// probeKey is looked for to see whether the storage answers; it need not be
// there.
const probeKey = "asterism/probe"

// openBucket opens the object storage that is configured.
func openBucket(c config.Storage) (storage.Bucket, error) {
	switch c.Kind {
	case "memory":
		return storage.NewMemory(), nil
	case "s3":
		b, err := storage.OpenS3(storage.S3Config{
			Endpoint: c.S3.Endpoint, Insecure: !c.S3.TLS, Region: c.S3.Region,
			Bucket: c.S3.Bucket, Prefix: c.S3.Prefix, VirtualHost: c.S3.VirtualHost, RootCAs: c.S3.CAFile,
			AccessKey: c.S3.AccessKey, SecretKey: c.S3.SecretKey.Reveal(),
		})
		if err != nil {
			return nil, fmt.Errorf("opening the storage: %w", err)
		}
		return b, nil
	default:
		b, err := storage.OpenDir(c.Dir.Path)
		if err != nil {
			return nil, fmt.Errorf("opening the storage: %w", err)
		}
		return b, nil
	}
}

// openStorage is openBucket for a process, which reports readiness.
func (a *app) openStorage() (storage.Bucket, error) {
	b, err := openBucket(a.cfg.Storage)
	if err != nil {
		return nil, err
	}
	a.onClose("storage", func(context.Context) error { return b.Close() })
	// Readiness does not depend on it: with the storage down, every node would
	// vanish at once, and what is cached or Asterisk's own can be played.
	a.checks.inform("storage", func(ctx context.Context) error {
		if _, err := b.Stat(ctx, probeKey); err != nil && !errors.Is(err, storage.ErrNotFound) {
			return err
		}
		return nil
	})
	return b, nil
}
