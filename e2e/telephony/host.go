package telephony

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// host is what preparing asks of the machine, so that tests can answer.
type host interface {
	uid() int
	free(dir string) (uint64, error)
	has(program string) bool
	run(ctx context.Context, out io.Writer, name string, args ...string) error
}

type machine struct{}

func (machine) uid() int { return os.Geteuid() }

func (machine) free(dir string) (uint64, error) {
	var st syscall.Statfs_t
	if err := syscall.Statfs(dir, &st); err != nil {
		return 0, fmt.Errorf("ask for free space of %s: %w", dir, err)
	}
	return st.Bavail * uint64(st.Bsize), nil //nolint:gosec // a block size is positive.
}

func (machine) has(program string) bool {
	_, err := exec.LookPath(program)
	return err == nil
}

func (machine) run(ctx context.Context, out io.Writer, name string, args ...string) error {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Stdout, cmd.Stderr = out, out
	cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive", "LC_ALL=C")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) }
	cmd.WaitDelay = 10 * time.Second
	return cmd.Run()
}

// installed reads the package database of a root: name to version of what is
// completely installed.
func installed(root string) (map[string]string, error) {
	raw, err := os.ReadFile(filepath.Join(root, "var/lib/dpkg/status"))
	if err != nil {
		return nil, fmt.Errorf("read packages of the root: %w", err)
	}
	have := map[string]string{}
	for entry := range strings.SplitSeq(string(raw), "\n\n") {
		var name, version string
		var ok bool
		for line := range strings.SplitSeq(entry, "\n") {
			switch key, value, _ := strings.Cut(line, ": "); key {
			case "Package":
				name = value
			case "Version":
				version = value
			case "Status":
				ok = value == "install ok installed"
			}
		}
		if ok {
			have[name] = version
		}
	}
	return have, nil
}

// checkVersion refuses an Asterisk older than asteriskMin. It understands
// Debian's package versions and what "asterisk -V" prints.
func checkVersion(v string) error {
	if _, after, ok := strings.Cut(v, ":"); ok {
		v = after
	}
	v = strings.TrimPrefix(strings.TrimSpace(v), "Asterisk ")
	var have, want [2]int
	if _, err := fmt.Sscanf(v, "%d.%d", &have[0], &have[1]); err != nil {
		return fmt.Errorf("%w: version %q, expected %s or newer", ErrTooOld, v, asteriskMin)
	}
	if _, err := fmt.Sscanf(asteriskMin, "%d.%d", &want[0], &want[1]); err != nil {
		return fmt.Errorf("least version %q: %w", asteriskMin, err)
	}
	if cmp.Or(cmp.Compare(have[0], want[0]), cmp.Compare(have[1], want[1])) < 0 {
		return fmt.Errorf("%w: version %s, expected %s or newer", ErrTooOld, v, asteriskMin)
	}
	return nil
}

// lock takes an exclusive lock that the kernel drops if we die.
func lock(ctx context.Context, path string) (unlock func(), err error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, fmt.Errorf("open lock: %w", err)
	}
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			return func() { f.Close() }, nil
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			f.Close()
			return nil, fmt.Errorf("lock %s: %w", path, err)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			f.Close()
			return nil, fmt.Errorf("wait for another process that prepares the root: %w", context.Cause(ctx))
		}
	}
}
