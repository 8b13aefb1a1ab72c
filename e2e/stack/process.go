package stack

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

const (
	// restartAfter is how long a process that died stays dead.
	restartAfter = time.Second
	// launchTimeout bounds one start.
	launchTimeout = 30 * time.Second
	// tailBytes is how much of a log an error quotes.
	tailBytes = 2000
)

// Process is one supervised process of a stack.
type Process struct {
	name    string // <role>-<n>
	url     string // of its HTTP, "" for Asterisk
	pidFile string
	logPath string
	grace   time.Duration
	restart bool
	launch  func(context.Context) (child, error)
	note    func(string, ...any)

	liveness time.Duration // 0 is no probing

	quit chan struct{} // closed to end supervision
	over sync.WaitGroup

	mu       sync.Mutex
	child    child
	restarts int
	atOnce   bool // the next start comes without a pause
}

// Name is <role>-<n>: asterisk-1, run-1, gateway-1, worker-2, nats-1.
func (p *Process) Name() string { return p.name }

// URL is the base of its HTTP pages, "" for Asterisk.
func (p *Process) URL() string { return p.url }

// LogPath is where it logs.
func (p *Process) LogPath() string { return p.logPath }

// Pid is the process id of the one that runs now, or did last.
func (p *Process) Pid() int { return p.current().Pid() }

// Restarts is how often it was started again.
func (p *Process) Restarts() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.restarts
}

// Signal sends a signal to the process that runs now. After SIGKILL, or
// SIGTERM, it is started again; SIGSTOP and SIGCONT pause it.
func (p *Process) Signal(sig syscall.Signal) error {
	if err := p.current().Signal(sig); err != nil {
		return fmt.Errorf("%s: %w", p.name, err)
	}
	return nil
}

// Replace sends a signal that ends the process, and has it started again
// without the usual pause, as an upgrade does.
func (p *Process) Replace(sig syscall.Signal) error {
	p.mu.Lock()
	p.atOnce = true
	p.mu.Unlock()
	return p.Signal(sig)
}

// Log returns what it has logged since the stack was started.
func (p *Process) Log() (string, error) {
	data, err := os.ReadFile(p.logPath)
	if err != nil {
		return "", fmt.Errorf("log of %s: %w", p.name, err)
	}
	return string(data), nil
}

func (p *Process) current() child {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.child
}

// start launches the process for the first time and supervises it from then.
func (p *Process) start(ctx context.Context) error {
	if err := os.Remove(p.logPath); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("%s: old log: %w", p.name, err)
	}
	if err := p.run(ctx); err != nil {
		return err
	}
	p.quit = make(chan struct{})
	p.over.Go(p.supervise)
	if p.liveness > 0 && p.url != "" {
		p.over.Go(p.probe)
	}
	return nil
}

func (p *Process) run(ctx context.Context) error {
	c, err := p.launch(ctx)
	if err != nil {
		return fmt.Errorf("start %s: %w", p.name, err)
	}
	p.mu.Lock()
	p.child = c
	p.mu.Unlock()
	return writeFile(p.pidFile, strconv.Itoa(c.Pid())+"\n")
}

// supervise starts the process again whenever it dies, until quit.
func (p *Process) supervise() {
	ctx, cancel := p.untilQuit()
	defer cancel()
	for {
		c := p.current()
		select {
		case <-ctx.Done():
			return
		case <-c.Done():
		}
		p.removePidFile()
		if !p.restart {
			p.note("%s has ended (%v)", p.name, ending(c.Err()))
			return
		}
		p.note("%s has ended (%v); it is started again", p.name, ending(c.Err()))
		if !p.again(ctx) {
			return
		}
	}
}

// untilQuit is a context that ends with supervision.
func (p *Process) untilQuit() (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		select {
		case <-p.quit:
			cancel()
		case <-ctx.Done():
		}
	}()
	return ctx, cancel
}

// pause is how long the process stays dead now.
func (p *Process) pause() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.atOnce {
		p.atOnce = false
		return 0
	}
	return restartAfter
}

// again tries once a second to start the process; false means that ctx ended.
func (p *Process) again(ctx context.Context) bool {
	for {
		select {
		case <-ctx.Done():
			return false
		case <-time.After(p.pause()):
		}
		launch, cancel := context.WithTimeout(ctx, launchTimeout)
		err := p.run(launch)
		cancel()
		if err == nil {
			p.mu.Lock()
			p.restarts++
			p.mu.Unlock()
			return true
		}
		if ctx.Err() == nil {
			p.note("%v", err)
		}
	}
}

// stop ends supervision and the process: SIGTERM, and SIGKILL when it has not
// ended in time.
func (p *Process) stop(ctx context.Context) error {
	if p.quit == nil {
		return nil // never started
	}
	close(p.quit)
	p.over.Wait()
	p.quit = nil
	defer p.removePidFile()
	c := p.current()
	// One that was paused would never see the request.
	if err := errors.Join(c.Signal(syscall.SIGTERM), c.Signal(syscall.SIGCONT)); err != nil {
		return err
	}
	timer := time.NewTimer(p.grace)
	defer timer.Stop()
	select {
	case <-c.Done():
		return nil
	case <-timer.C:
		p.note("%s did not end within %v; killed", p.name, p.grace)
	case <-ctx.Done():
	}
	err := c.Signal(syscall.SIGKILL)
	<-c.Done()
	return err
}

func (p *Process) removePidFile() { _ = os.Remove(p.pidFile) }

// tail is the end of the log, for errors.
func (p *Process) tail() string {
	data, err := os.ReadFile(p.logPath)
	if err != nil {
		return ""
	}
	if len(data) > tailBytes {
		data = data[len(data)-tailBytes:]
	}
	return strings.TrimSpace(string(data))
}

func ending(err error) string {
	if err == nil {
		return "exit status 0"
	}
	return err.Error()
}

// linkLog makes logPath lead to where a program writes its log.
func linkLog(logPath, target string) error {
	rel, err := filepath.Rel(filepath.Dir(logPath), target)
	if err != nil {
		return fmt.Errorf("log: %w", err)
	}
	if err := os.Symlink(rel, logPath); err != nil && !errors.Is(err, os.ErrExist) {
		return fmt.Errorf("log: %w", err)
	}
	return nil
}
