package telephony

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Bind makes a directory or file of the machine visible to a program.
type Bind struct {
	// Source is the absolute path outside; it must exist.
	Source string
	// Target is the absolute path inside. Empty means the same as Source.
	Target string
	// ReadOnly keeps the program from changing it.
	ReadOnly bool
}

// Program is something to run in a root.
type Program struct {
	// Name is looked for in the root's usual directories.
	Name string
	Args []string
	// Dir is the working directory inside. Default "/".
	Dir string
	// Binds are the only places outside that the program sees, beside /dev.
	Binds []Bind
	// Files is the limit of open files. 0 leaves it as it is.
	Files          int
	Stdin          io.Reader
	Stdout, Stderr io.Writer
}

// Process is a running program. Its pid is that of the program itself, seen
// from outside: a signal sent to it reaches the program.
type Process struct {
	name string
	pid  int
	done chan struct{}
	err  error // written before done is closed
}

// namespaceScript runs as the first process of the new namespaces: it builds
// the file tree on a tmpfs that only these namespaces have, and then becomes
// the program. Arguments: mount point, root, limit of files, working
// directory, number of binds, then mode, source and target of each, then the
// program and its arguments.
const namespaceScript = `
set -e
new=$1 root=$2 files=$3 dir=$4 binds=$5
shift 5
if [ "$files" != 0 ]; then ulimit -n "$files" 2>/dev/null || ulimit -n "$(ulimit -H -n)"; fi
mount --make-rprivate /
if [ "$root" != / ]; then
  mount -t tmpfs -o mode=755,size=256m tmpfs "$new"
  for d in usr etc bin sbin lib lib32 lib64 libx32; do
    if [ -L "$root/$d" ]; then cp -P "$root/$d" "$new/$d"
    elif [ -d "$root/$d" ]; then
      mkdir "$new/$d"
      mount --bind "$root/$d" "$new/$d"
      mount -o remount,bind,ro "$new/$d"
    fi
  done
  mkdir -p "$new/dev" "$new/proc" "$new/sys" "$new/run" "$new/root" "$new/tmp" "$new/var/lib" "$new/var/log" "$new/var/run" "$new/var/tmp"
  chmod 1777 "$new/tmp" "$new/var/tmp"
  mount --rbind /dev "$new/dev"
else
  new=
fi
mount -t proc proc "$new/proc"
while [ "$binds" -gt 0 ]; do
  mode=$1 source=$2 target=$new$3
  shift 3
  binds=$((binds - 1))
  if [ -d "$source" ]; then mkdir -p "$target"
  else mkdir -p "$(dirname "$target")"; [ -e "$target" ] || : > "$target"; fi
  mount --bind "$source" "$target"
  if [ "$mode" = ro ]; then mount -o remount,bind,ro "$target"; fi
done
exec chroot "${new:-/}" /bin/sh -c 'cd "$1" && shift && exec "$@"' sh "$dir" "$@"
`

// Start runs a program. It ends by itself, by Stop or Kill, or with the process
// that called Start; the context is only for starting. The error matches
// ErrNotRoot when the kernel refuses the namespaces.
func (r *Root) Start(ctx context.Context, p Program) (*Process, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("start %s: %w", p.Name, context.Cause(ctx))
	}
	args, err := r.script(p)
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", p.Name, err)
	}
	cmd := exec.Command("/bin/sh", args...) //nolint:noctx // its life is not the context's; see above.
	cmd.Stdin, cmd.Stdout, cmd.Stderr = p.Stdin, p.Stdout, p.Stderr
	cmd.Env = []string{
		"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
		"HOME=/root", "LANG=C.UTF-8", "TERM=dumb",
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWNS | syscall.CLONE_NEWPID,
		// A group of its own, so that Ctrl-C at a terminal reaches only us.
		Setpgid: true,
		// Nothing outlives us, however we end.
		Pdeathsig: syscall.SIGKILL,
	}
	proc := &Process{name: p.Name, done: make(chan struct{})}
	started := make(chan error, 1)
	go proc.own(cmd, started)
	if err := <-started; err != nil {
		if errors.Is(err, syscall.EPERM) {
			return nil, fmt.Errorf("start %s: %w: a mount namespace was refused; in a container it needs the capability SYS_ADMIN", p.Name, ErrNotRoot)
		}
		return nil, fmt.Errorf("start %s: %w", p.Name, err)
	}
	return proc, nil
}

// own starts the command and waits for it on one thread, because the kernel
// sends the parent-death signal when the thread that forked dies.
func (p *Process) own(cmd *exec.Cmd, started chan<- error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	defer close(p.done)
	if err := cmd.Start(); err != nil {
		started <- err
		return
	}
	p.pid = cmd.Process.Pid
	started <- nil
	if err := cmd.Wait(); err != nil {
		p.err = fmt.Errorf("%s ended: %w", p.name, err)
	}
}

// Pid is the program's process id as seen from outside the root.
func (p *Process) Pid() int { return p.pid }

// Done is closed when the program has ended.
func (p *Process) Done() <-chan struct{} { return p.done }

// Err says how the program ended, nil meaning status 0. It is valid once Done
// is closed.
func (p *Process) Err() error {
	select {
	case <-p.done:
		return p.err
	default:
		return nil
	}
}

// Signal sends a signal to the program. A program that has ended is no error.
func (p *Process) Signal(sig syscall.Signal) error {
	select {
	case <-p.done:
		return nil
	default:
	}
	if err := syscall.Kill(p.pid, sig); err != nil && !errors.Is(err, syscall.ESRCH) {
		return fmt.Errorf("signal %s: %w", p.name, err)
	}
	return nil
}

// Kill ends the program at once and waits until it is gone.
func (p *Process) Kill() error {
	if err := p.Signal(syscall.SIGKILL); err != nil {
		return err
	}
	<-p.done
	return nil
}

// Stop asks the program to end (SIGTERM), and kills it when the grace is over
// or ctx ends. It waits until the program is gone.
func (p *Process) Stop(ctx context.Context, grace time.Duration) error {
	// One that was stopped by SIGSTOP would never see the request.
	if err := errors.Join(p.Signal(syscall.SIGTERM), p.Signal(syscall.SIGCONT)); err != nil {
		return err
	}
	timer := time.NewTimer(grace)
	defer timer.Stop()
	select {
	case <-p.done:
		return nil
	case <-timer.C:
	case <-ctx.Done():
	}
	return p.Kill()
}

// script makes the arguments of /bin/sh for a program.
func (r *Root) script(p Program) ([]string, error) {
	if p.Dir == "" {
		p.Dir = "/"
	}
	args := []string{"-c", namespaceScript, "sh", r.mountPoint, r.dir, strconv.Itoa(p.Files), p.Dir, strconv.Itoa(len(p.Binds))}
	for _, b := range p.Binds {
		if b.Target == "" {
			b.Target = b.Source
		}
		if err := bindable(b); err != nil {
			return nil, err
		}
		mode := "rw"
		if b.ReadOnly {
			mode = "ro"
		}
		args = append(args, mode, b.Source, b.Target)
	}
	return append(append(args, p.Name), p.Args...), nil
}

// bindable refuses binds that would hide or enter the root's own directories.
func bindable(b Bind) error {
	if !filepath.IsAbs(b.Source) || !filepath.IsAbs(b.Target) {
		return fmt.Errorf("bind %s at %s: expected absolute paths", b.Source, b.Target)
	}
	if _, err := os.Stat(b.Source); err != nil {
		return fmt.Errorf("bind: %w", err)
	}
	top, _, _ := strings.Cut(filepath.Clean(b.Target)[1:], "/")
	switch top {
	case "", "usr", "etc", "bin", "sbin", "lib", "lib64", "dev", "proc", "sys":
		return fmt.Errorf("bind at %s: expected a directory outside the system's own (/usr, /etc, /dev, …)", b.Target)
	}
	return nil
}

// run runs a program to its end and kills it when ctx ends first.
func (r *Root) run(ctx context.Context, p Program) error {
	proc, err := r.Start(ctx, p)
	if err != nil {
		return err
	}
	select {
	case <-proc.Done():
		return proc.Err()
	case <-ctx.Done():
		return errors.Join(fmt.Errorf("%s: %w", p.Name, context.Cause(ctx)), proc.Kill())
	}
}

// output is a buffer of bounded size that keeps the end of what is written.
type output struct {
	mu  sync.Mutex
	buf []byte
	max int
}

func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.buf = append(o.buf, b...)
	if over := len(o.buf) - o.max; over > 0 {
		o.buf = append(o.buf[:0], o.buf[over:]...)
	}
	return len(b), nil
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return string(o.buf)
}
