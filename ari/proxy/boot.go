package proxy

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// NextBoot counts one more start of the gateway whose spool is dir and
// returns the count. The file is replaced at once or not at all, so that a
// boot is never given out twice.
func NextBoot(dir string) (uint64, error) {
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return 0, fmt.Errorf("spool: %w", err)
	}
	path := filepath.Join(dir, "boot")
	data, err := os.ReadFile(path) //nolint:gosec // the spool is ours
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return 0, fmt.Errorf("spool: %w", err)
	}
	var boot uint64
	if err == nil {
		if boot, err = strconv.ParseUint(strings.TrimSpace(string(data)), 10, 64); err != nil {
			return 0, fmt.Errorf("spool: %s holds %q, expected the number of starts so far", path, data)
		}
	}
	boot++
	if err := writeSynced(path, []byte(strconv.FormatUint(boot, 10)+"\n")); err != nil {
		return 0, fmt.Errorf("spool: %w", err)
	}
	return boot, nil
}

// writeSynced replaces a file by one that has reached the disk.
func writeSynced(path string, data []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".tmp")
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(f.Name()) }() // fails when it was renamed
	_, err = f.Write(data)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}
