package telephony

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// spaceNeeded is what must be free before a root is built, in bytes.
const spaceNeeded = 2 << 30

// stamp is what .runtime/stamp.json records of a finished root.
type stamp struct {
	Suite    string            `json:"suite"`
	Packages []string          `json:"packages"`
	Versions map[string]string `json:"versions"`
}

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
			if err = b.install(ctx, missing); err != nil && ctx.Err() == nil {
				// For instance because the root's package lists have expired.
				b.say("that failed (%v), so the root is built anew", err)
				err = b.bootstrap(ctx)
			}
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
	fmt.Fprintf(b.Progress, "telephony: "+format+"\n", args...)
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
	// What a running program has of an older root stays with it.
	if err := os.RemoveAll(b.root); err != nil {
		return fmt.Errorf("remove the older root: %w", err)
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
	defer f.Close()
	tail := &output{max: 64 << 10}
	phases := &phases{say: b.say, seen: map[string]bool{}}
	if err := b.host.run(ctx, io.MultiWriter(f, tail, phases), name, args...); err != nil {
		if cause := context.Cause(ctx); cause != nil {
			return fmt.Errorf("%s: %w", name, cause)
		}
		return fmt.Errorf("%w: %s failed with %q (whole output in %s); check the network and the package sources",
			ErrNoRepository, name, lastError(tail.String()), log)
	}
	return nil
}

// phases reads debootstrap's output and says the first line of each kind of
// work ("I: Retrieving …", "I: Configuring …"), so that minutes do not pass in
// silence.
type phases struct {
	say  func(format string, args ...any)
	seen map[string]bool
	rest string
}

func (p *phases) Write(b []byte) (int, error) {
	p.rest += string(b)
	for {
		line, rest, whole := strings.Cut(p.rest, "\n")
		if !whole {
			return len(b), nil
		}
		p.rest = rest
		text, ok := strings.CutPrefix(line, "I: ")
		verb, _, _ := strings.Cut(text, " ")
		if ok && !p.seen[verb] {
			p.seen[verb] = true
			p.say("%s", text)
		}
	}
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
