package proxy

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
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

// ErrSpoolInUse says that another gateway that runs has the spool.
var ErrSpoolInUse = errors.New("the spool is in use")

// LockSpool keeps other gateways out of a spool until the file that it returns
// is closed, or the process has ended. Two gateways on one spool would both go
// on with its calls. Its error wraps [ErrSpoolInUse] when another one has it.
func LockSpool(dir string) (*os.File, error) {
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return nil, fmt.Errorf("spool: %w", err)
	}
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_RDWR|os.O_CREATE, 0o600) //nolint:gosec // the spool is ours
	if err != nil {
		return nil, fmt.Errorf("spool: %w", err)
	}
	switch err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); {
	case errors.Is(err, syscall.EWOULDBLOCK):
		return nil, errors.Join(fmt.Errorf("%s: %w by another gateway; each node needs one of its own", dir, ErrSpoolInUse), f.Close())
	case err != nil:
		return nil, errors.Join(fmt.Errorf("spool: locking %s: %w", dir, err), f.Close())
	}
	return f, nil
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
