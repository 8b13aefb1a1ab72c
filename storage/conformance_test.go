package storage_test

import (
	"testing"

	"go.uber.org/goleak"

	"asterism/storage"
	"asterism/storage/storagetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestMemory(t *testing.T) {
	storagetest.Conformance(t, func(*testing.T) storage.Bucket { return storage.NewMemory() })
}

func TestDir(t *testing.T) {
	storagetest.Conformance(t, func(t *testing.T) storage.Bucket {
		t.Helper()
		return openDir(t, t.TempDir())
	})
}

func openDir(t *testing.T, path string) *storage.Dir {
	t.Helper()
	dir, err := storage.OpenDir(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := dir.Close(); err != nil {
			t.Error(err)
		}
	})
	return dir
}
