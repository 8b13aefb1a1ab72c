package telephony

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// Errors of Prepare. Each comes with one sentence for the person.
var (
	// ErrNotRoot says that the process lacks root's privileges.
	ErrNotRoot = errors.New("root privileges missing")
	// ErrNoSpace says that the disk is too full.
	ErrNoSpace = errors.New("disk too full")
	// ErrNoRepository says that Debian's packages could not be had.
	ErrNoRepository = errors.New("package repository out of reach")
	// ErrTooOld says that Asterisk is older than what we need.
	ErrTooOld = errors.New("asterisk too old")
)

// Root is a prepared file tree with the telephone programs.
type Root struct {
	dir        string
	mountPoint string
	versions   map[string]string
}

// Config says where the root is. The zero value is right for everybody but
// tests of this package.
type Config struct {
	// Dir is where .runtime/ lies. Default: ProjectDir.
	Dir string
	// Progress receives one line a phase. Default: standard error.
	Progress io.Writer
	// System uses the asterisk and sipp installed on this machine instead.
	// Default: the environment has ASTERISM_ASTERISK=system.
	System bool

	host host
}

// Prepare makes sure that the root exists and holds every package of the
// table, and returns it. It takes milliseconds when all is there. Errors match
// ErrNotRoot, ErrNoSpace, ErrNoRepository or ErrTooOld where that was the cause.
func Prepare(ctx context.Context, c Config) (*Root, error) {
	if c.Dir == "" {
		dir, err := ProjectDir()
		if err != nil {
			return nil, err
		}
		c.Dir = dir
	}
	if c.Progress == nil {
		c.Progress = os.Stderr
	}
	if c.host == nil {
		c.host = machine{}
	}
	if c.host.uid() != 0 {
		return nil, fmt.Errorf("%w: preparing and starting Asterisk needs mounts of its own, so run this as root", ErrNotRoot)
	}
	if c.System || os.Getenv("ASTERISM_ASTERISK") == "system" {
		return system(ctx, c)
	}
	base := filepath.Join(c.Dir, ".runtime")
	b := builder{Config: c, base: base, root: filepath.Join(base, "root")}
	if err := os.MkdirAll(filepath.Join(base, "mnt"), 0o755); err != nil {
		return nil, fmt.Errorf("prepare telephony root: %w", err)
	}
	if s, ok := b.ready(); ok {
		return b.result(s), nil
	}
	unlock, err := lock(ctx, filepath.Join(base, "lock"))
	if err != nil {
		return nil, fmt.Errorf("prepare telephony root: %w", err)
	}
	defer unlock()
	// Whoever held the lock may have done it all.
	if s, ok := b.ready(); ok {
		return b.result(s), nil
	}
	s, err := b.build(ctx)
	if err != nil {
		return nil, fmt.Errorf("prepare telephony root: %w", err)
	}
	return b.result(s), nil
}

// Versions maps each package of the table to its version.
func (r *Root) Versions() map[string]string { return r.versions }

// Dir is the directory of the root; "/" when the machine's own Asterisk is used.
func (r *Root) Dir() string { return r.dir }

// system uses the programs of the machine itself.
func system(ctx context.Context, c Config) (*Root, error) {
	var out output
	out.max = 4 << 10
	if err := c.host.run(ctx, &out, "asterisk", "-V"); err != nil {
		return nil, fmt.Errorf("use the installed asterisk: %w", err)
	}
	v := strings.TrimSpace(out.String())
	if err := checkVersion(v); err != nil {
		return nil, fmt.Errorf("use the installed asterisk: %w", err)
	}
	return &Root{dir: "/", versions: map[string]string{"asterisk": strings.TrimPrefix(v, "Asterisk ")}}, nil
}
