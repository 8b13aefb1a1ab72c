//go:build e2e

package storage_test

import (
	"errors"
	"strings"
	"testing"

	"asterism/e2e/s3server"
	"asterism/storage"
	"asterism/storage/storagetest"
)

const serverAddress = "127.0.30.1"

func TestS3(t *testing.T) {
	server := s3server.Start(t, serverAddress)
	t.Run("bucket", func(t *testing.T) {
		storagetest.Conformance(t, func(t *testing.T) storage.Bucket {
			t.Helper()
			return openS3(t, server, server.MakeBucket(t), "")
		})
	})
}

// TestS3Prefix: two users of one bucket do not see each other.
func TestS3Prefix(t *testing.T) {
	server := s3server.Start(t, serverAddress)
	name := server.MakeBucket(t)
	one, two := openS3(t, server, name, "one"), openS3(t, server, name, "one-more/deep/")
	for _, b := range []*storage.S3{one, two} {
		if _, err := b.Put(t.Context(), "a/x", strings.NewReader("x"), storage.PutOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	if err := two.Delete(t.Context(), "a/x"); err != nil {
		t.Fatal(err)
	}
	if _, err := one.Stat(t.Context(), "a/x"); err != nil {
		t.Error(err)
	}
	for info, err := range one.List(t.Context(), "", storage.ListOptions{}) {
		if err != nil || info.Key != "a/x" {
			t.Errorf("listed %+v, %v", info, err)
		}
	}
	for info, err := range two.List(t.Context(), "", storage.ListOptions{}) {
		t.Errorf("listed %+v, %v", info, err)
	}
}

func TestS3Faults(t *testing.T) {
	server := s3server.Start(t, serverAddress)
	name := server.MakeBucket(t)
	b := openS3(t, server, name, "")
	if _, err := b.Stat(t.Context(), "x"); !errors.Is(err, storage.ErrNotFound) {
		t.Errorf("before the outage: %v", err)
	}

	missing := openS3(t, server, "no-such-bucket", "")
	if _, err := missing.Put(t.Context(), "x", strings.NewReader(""), storage.PutOptions{}); err == nil ||
		errors.Is(err, storage.ErrNotFound) || !strings.Contains(err.Error(), "no-such-bucket") {
		t.Errorf("missing bucket: %v", err)
	}
	stranger := *server
	stranger.SecretKey = "wrong-secret-key"
	if _, err := openS3(t, &stranger, name, "").Stat(t.Context(), "x"); err == nil ||
		errors.Is(err, storage.ErrNotFound) || errors.Is(err, storage.ErrUnavailable) || !strings.Contains(err.Error(), "credentials") {
		t.Errorf("wrong secret: %v", err)
	}

	server.Stop()
	if _, err := b.Stat(t.Context(), "x"); !errors.Is(err, storage.ErrUnavailable) {
		t.Errorf("during the outage: %v", err)
	}
	if err := server.Restart(t.Context(), ""); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Stat(t.Context(), "x"); !errors.Is(err, storage.ErrNotFound) {
		t.Errorf("after the outage: %v", err)
	}
}

func openS3(t *testing.T, server *s3server.Server, name, prefix string) *storage.S3 {
	t.Helper()
	b, err := storage.OpenS3(storage.S3Config{
		Endpoint: server.Endpoint, Insecure: true, Bucket: name, Prefix: prefix,
		AccessKey: server.AccessKey, SecretKey: server.SecretKey, PartSize: 5 << 20,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.Close() })
	return b
}
