package telephony

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
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

// spaceNeeded is what must be free before a root is built, in bytes.
const spaceNeeded = 2 << 30

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

// stamp is what .runtime/stamp.json records of a finished root.
type stamp struct {
	Suite    string            `json:"suite"`
	Packages []string          `json:"packages"`
	Versions map[string]string `json:"versions"`
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

type builder struct {
	Config
	base, root string
}

func (b builder) result(s stamp) *Root {
	return &Root{dir: b.root, mountPoint: filepath.Join(b.base, "mnt"), versions: s.Versions}
}

func (b builder) stampPath() string { return filepath.Join(b.base, "stamp.json") }

// ready says whether the stamp names every package and the root is there.
func (b builder) ready() (stamp, bool) {
	var s stamp
	raw, err := os.ReadFile(b.stampPath())
	if err != nil || json.Unmarshal(raw, &s) != nil || s.Suite != suite {
		return stamp{}, false
	}
	for _, name := range packageNames() {
		if s.Versions[name] == "" {
			return stamp{}, false
		}
	}
	if _, err := os.Stat(filepath.Join(b.root, "usr/sbin/asterisk")); err != nil {
		return stamp{}, false
	}
	return s, true
}

// build brings the root to what the table says, by the shortest way.
func (b builder) build(ctx context.Context) (stamp, error) {
	// A stamp always describes the root beside it.
	if err := os.Remove(b.stampPath()); err != nil && !errors.Is(err, os.ErrNotExist) {
		return stamp{}, err
	}
	have, err := installed(b.root)
	switch {
	case errors.Is(err, os.ErrNotExist):
		err = b.bootstrap(ctx)
	case err != nil:
		return stamp{}, err
	default:
		missing := slices.DeleteFunc(packageNames(), func(n string) bool { return have[n] != "" })
		if len(missing) > 0 {
			err = b.install(ctx, missing)
		}
	}
	if err != nil {
		return stamp{}, err
	}
	have, err = installed(b.root)
	if err != nil {
		return stamp{}, err
	}
	s := stamp{Suite: suite, Packages: packageNames(), Versions: map[string]string{}}
	for _, n := range s.Packages {
		if have[n] == "" {
			return stamp{}, fmt.Errorf("package %s is not installed in %s: remove that directory and try again", n, b.root)
		}
		s.Versions[n] = have[n]
	}
	if err := checkVersion(s.Versions["asterisk"]); err != nil {
		return stamp{}, err
	}
	return s, b.writeStamp(s)
}

func (b builder) writeStamp(s stamp) error {
	raw, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return fmt.Errorf("record versions: %w", err)
	}
	tmp := b.stampPath() + ".partial"
	if err := os.WriteFile(tmp, append(raw, '\n'), 0o644); err != nil {
		return fmt.Errorf("record versions: %w", err)
	}
	return os.Rename(tmp, b.stampPath())
}

func (b builder) say(format string, args ...any) {
	fmt.Fprintf(b.Progress, "telephony: "+format+"\n", args...) //nolint:errcheck // progress only.
}

// bootstrap makes a new root and lets it appear at once, complete.
func (b builder) bootstrap(ctx context.Context) error {
	free, err := b.host.free(b.base)
	if err != nil {
		return err
	}
	if free < spaceNeeded {
		return fmt.Errorf("%w: %s has %d MB free, the telephony root needs %d", ErrNoSpace, b.base, free>>20, spaceNeeded>>20)
	}
	if err := b.needDebootstrap(ctx); err != nil {
		return err
	}
	partial := b.root + ".partial"
	if err := os.RemoveAll(partial); err != nil {
		return fmt.Errorf("remove what an earlier attempt left: %w", err)
	}
	start := time.Now()
	b.say("fetching and unpacking Debian %s with %s (about 2 minutes, once)", suite, strings.Join(packageNames(), ", "))
	// The empty mirror is debootstrap's own default.
	err = b.tool(ctx, "debootstrap", "--variant=minbase", "--include="+strings.Join(packageNames(), ","), suite, partial, "", script)
	if err != nil {
		return err
	}
	if err := os.Rename(partial, b.root); err != nil {
		return fmt.Errorf("put the root in its place: %w", err)
	}
	b.say("root is ready after %s", time.Since(start).Round(time.Second))
	return nil
}

func (b builder) needDebootstrap(ctx context.Context) error {
	if b.host.has("debootstrap") {
		return nil
	}
	b.say("installing debootstrap")
	if !b.host.has("apt-get") {
		return errors.New("neither debootstrap nor apt-get is here: expected Debian or Ubuntu, or an installed debootstrap")
	}
	if err := b.tool(ctx, "apt-get", "-q", "update"); err != nil {
		return err
	}
	return b.tool(ctx, "apt-get", "-q", "-y", "--no-install-recommends", "install", "debootstrap", "debian-archive-keyring")
}

// install adds packages to a root that exists. It works on the root itself, in
// namespaces of its own so that /proc and /dev leave with it.
func (b builder) install(ctx context.Context, missing []string) error {
	b.say("adding %s to the root", strings.Join(missing, ", "))
	steps := `set -e
mount --make-rprivate /
mount --bind "$1" "$1"
mount --rbind /dev "$1/dev"
mount -t proc proc "$1/proc"
if [ -e /etc/resolv.conf ]; then cat /etc/resolv.conf > "$1/etc/resolv.conf"; fi
root=$1; shift
chroot "$root" dpkg --configure -a
chroot "$root" apt-get -q update
exec chroot "$root" env DEBIAN_FRONTEND=noninteractive apt-get -q -y --no-install-recommends install "$@"`
	args := append([]string{"--mount", "--pid", "--fork", "--kill-child", "/bin/sh", "-c", steps, "sh", b.root}, missing...)
	return b.tool(ctx, "unshare", args...)
}

// tool runs a program that needs the repository, its output in a log.
func (b builder) tool(ctx context.Context, name string, args ...string) error {
	log := filepath.Join(b.base, filepath.Base(name)+".log")
	f, err := os.Create(log)
	if err != nil {
		return fmt.Errorf("open log of %s: %w", name, err)
	}
	defer f.Close() //nolint:errcheck // a log.
	tail := &output{max: 64 << 10}
	if err := b.host.run(ctx, io.MultiWriter(f, tail), name, args...); err != nil {
		if cause := context.Cause(ctx); cause != nil {
			return fmt.Errorf("%s: %w", name, cause)
		}
		return fmt.Errorf("%w: %s failed with %q (whole output in %s); check the network and the package sources",
			ErrNoRepository, name, lastError(tail.String()), log)
	}
	return nil
}

// lastError picks the line of apt's or debootstrap's output that says most.
func lastError(out string) string {
	lines := strings.Split(strings.TrimSpace(out), "\n")
	for _, l := range slices.Backward(lines) {
		if strings.HasPrefix(l, "E: ") {
			return l
		}
	}
	return lines[len(lines)-1]
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
			return func() { f.Close() }, nil //nolint:errcheck // closing is unlocking.
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			f.Close() //nolint:errcheck // the other error says more.
			return nil, fmt.Errorf("lock %s: %w", path, err)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			f.Close() //nolint:errcheck // the other error says more.
			return nil, fmt.Errorf("wait for another process that prepares the root: %w", context.Cause(ctx))
		}
	}
}

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
