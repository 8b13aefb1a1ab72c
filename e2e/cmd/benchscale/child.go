package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
	"time"
)

// patience is how long a process may take to end.
const patience = 10 * time.Second

// child is a process that was started here and ends with this one.
type child struct {
	name string
	url  string // of its HTTP
	log  string
	cmd  *exec.Cmd
	over chan struct{}
	err  error // valid once over is closed
}

// startChild starts a role of the program with its output in a file.
func (b *bench) startChild(role, http string) (*child, error) {
	c := &child{name: role, url: "http://" + http, log: filepath.Join(b.dir, role+".log"), over: make(chan struct{})}
	out, err := os.Create(c.log)
	if err != nil {
		return nil, err
	}
	c.cmd = exec.Command(b.o.binary, role, "--config", b.config, "--set", "http.listen="+http) //nolint:noctx // it is stopped with the bench, after its context
	c.cmd.Stdout, c.cmd.Stderr = out, out
	// Not in the terminal's group: Ctrl-C is for this process, which then
	// stops the others in order.
	c.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	started := make(chan error, 1)
	go func() {
		// The kernel kills the child when the thread that made it ends.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		defer close(c.over)
		defer func() { _ = out.Close() }()
		err := c.cmd.Start()
		started <- err
		if err == nil {
			c.err = c.cmd.Wait()
		}
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("starting %s %s: %w; make build makes it", b.o.binary, role, err)
	}
	return c, nil
}

func (c *child) pid() int { return c.cmd.Process.Pid }

// stop ends the process, and says how that went.
func (c *child) stop() error {
	_ = c.cmd.Process.Signal(syscall.SIGTERM) // it may have ended by itself
	select {
	case <-c.over:
		return c.failure()
	case <-time.After(patience):
	}
	_ = c.cmd.Process.Kill()
	<-c.over
	return fmt.Errorf("%s did not end within %v and was killed", c.name, patience)
}

// failure is how it ended, if that was not as asked, with the end of its log.
func (c *child) failure() error {
	if c.err == nil {
		return nil
	}
	data, err := os.ReadFile(c.log)
	if err != nil {
		return errors.Join(c.err, err)
	}
	return fmt.Errorf("%s: %w; the end of its log:\n%s", c.name, c.err, data[max(0, len(data)-2000):])
}
