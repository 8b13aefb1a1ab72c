package stack

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"syscall"
)

// child is a process that runs, or has run.
type child interface {
	Pid() int
	Done() <-chan struct{}
	Err() error
	Signal(sig syscall.Signal) error
}

// program is a child that was started here.
type program struct {
	pid  int
	done chan struct{}
	err  error // written before done is closed
}

// startProgram runs a program in a process group of its own, with its output
// appended to a file. It dies when this process does.
func startProgram(logPath string, env []string, name string, args ...string) (*program, error) {
	out, err := os.OpenFile(logPath, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fmt.Errorf("log: %w", err)
	}
	cmd := exec.Command(name, args...) //nolint:noctx // its life is the stack's, not a context's.
	cmd.Stdout, cmd.Stderr, cmd.Env = out, out, env
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	p := &program{done: make(chan struct{})}
	started := make(chan error, 1)
	go p.own(cmd, out, started)
	if err := <-started; err != nil {
		return nil, err
	}
	return p, nil
}

// own starts the command and waits for it on one thread: the kernel sends the
// parent-death signal when the thread that forked ends.
func (p *program) own(cmd *exec.Cmd, out *os.File, started chan<- error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	defer close(p.done)
	defer out.Close()
	if err := cmd.Start(); err != nil {
		started <- err
		return
	}
	p.pid = cmd.Process.Pid
	started <- nil
	p.err = cmd.Wait()
	// Whatever it has started goes with it.
	_ = syscall.Kill(-p.pid, syscall.SIGKILL)
}

func (p *program) Pid() int              { return p.pid }
func (p *program) Done() <-chan struct{} { return p.done }

// Err says how it ended; it is valid once Done is closed.
func (p *program) Err() error {
	select {
	case <-p.done:
		return p.err
	default:
		return nil
	}
}

// Signal sends a signal; a program that has ended is no error.
func (p *program) Signal(sig syscall.Signal) error {
	select {
	case <-p.done:
		return nil
	default:
	}
	if err := syscall.Kill(p.pid, sig); err != nil && !errors.Is(err, syscall.ESRCH) {
		return fmt.Errorf("signal %d: %w", p.pid, err)
	}
	return nil
}
