package stack

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"asterism/asterisk-conf"
	"asterism/e2e/telephony"
)

// ErrRunning says that another stack uses the directory.
var ErrRunning = errors.New("the platform is running already")

// Stack is a running platform.
type Stack struct {
	o     Options
	root  *telephony.Root
	lock  *os.File
	all   []*Process   // in the order of their start
	stops [][]*Process // groups, in the order of their end
	http  int          // how many HTTP addresses have been given out

	relays map[string]*Relay

	mu        sync.Mutex
	asterisks map[string]*telephony.Asterisk
}

// Start starts everything and returns when all of it is ready. The context
// bounds the start only; whoever calls it calls Stop. Its error is
// [ErrRunning] when the directory is in use.
func Start(ctx context.Context, o Options) (*Stack, error) {
	if err := o.complete(); err != nil {
		return nil, err
	}
	s := &Stack{o: o, asterisks: make(map[string]*telephony.Asterisk), relays: make(map[string]*Relay)}
	if err := s.start(ctx); err != nil {
		stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
		defer cancel()
		return nil, errors.Join(err, s.Stop(stop))
	}
	return s, nil
}

func (s *Stack) start(ctx context.Context) error {
	if err := os.MkdirAll(filepath.Join(s.o.Dir, "log"), 0o755); err != nil {
		return fmt.Errorf("directory: %w", err)
	}
	if err := s.takeLock(); err != nil {
		return err
	}
	s.removeOldPidFiles()
	if err := s.o.writeConfig(); err != nil {
		return err
	}
	var err error
	if s.root, err = telephony.Prepare(ctx, telephony.Config{}); err != nil {
		return err
	}
	if err := s.plan(); err != nil {
		return err
	}
	if err := s.portsFree(ctx); err != nil {
		return err
	}
	if err := s.openRelays(ctx); err != nil {
		return err
	}
	for _, p := range s.all {
		if err := p.start(ctx); err != nil {
			return err
		}
	}
	return s.Ready(ctx)
}

// plan makes the processes without starting them.
func (s *Stack) plan() error {
	var asterisks, gateways, workers, nats []*Process
	for n := 1; n <= s.o.Nodes; n++ {
		asterisks = append(asterisks, s.asterisk(n))
	}
	if !s.o.Split {
		run, err := s.role("run", 1)
		if err != nil {
			return err
		}
		s.all = append(asterisks, run)
		s.stops = [][]*Process{{run}, asterisks}
		return nil
	}
	for n := 1; n <= s.o.Nodes; n++ {
		p, err := s.role("gateway", n, "--node", nodeName(n))
		if err != nil {
			return err
		}
		gateways = append(gateways, p)
	}
	for n := 1; n <= s.o.Workers; n++ {
		p, err := s.role("worker", n, "--set", fmt.Sprintf("worker.name=worker-%d", n))
		if err != nil {
			return err
		}
		workers = append(workers, p)
	}
	p, err := s.role("nats", 1)
	if err != nil {
		return err
	}
	nats = append(nats, p)
	for _, group := range [][]*Process{nats, asterisks, workers, gateways} {
		s.all = append(s.all, group...)
	}
	// Gateways first, since they take no new calls and wait for the others.
	s.stops = [][]*Process{gateways, workers, nats, asterisks}
	return nil
}

func (s *Stack) process(name string) *Process {
	return &Process{
		name:     name,
		pidFile:  filepath.Join(s.o.Dir, name+".pid"),
		logPath:  filepath.Join(s.o.Dir, "log", name+".log"),
		grace:    s.o.Drain + 5*time.Second,
		restart:  !s.o.NoRestart,
		liveness: s.o.Liveness,
		note:     s.o.Note,
	}
}

// role plans a process of asterism.
func (s *Stack) role(role string, n int, flags ...string) (*Process, error) {
	address, err := s.o.httpAddress(s.http)
	if err != nil {
		return nil, err
	}
	s.http++
	p := s.process(fmt.Sprintf("%s-%d", role, n))
	p.url = "http://" + address
	args := append([]string{role, "--config", s.o.configPath()}, flags...)
	for _, set := range s.o.Set {
		args = append(args, "--set", set)
	}
	env := append(inherited(), "ASTERISM_HTTP_LISTEN="+address)
	if role == "gateway" || role == "worker" {
		env = append(env,
			"ASTERISM_NATS_URLS=nats://"+s.o.NATS,
			"ASTERISM_NATS_PASSWORD_FILE="+s.o.secret("nats-"+role))
	}
	p.launch = func(context.Context) (child, error) {
		return startProgram(p.logPath, append(env, s.relayed(role, n)...), s.o.Binary, args...)
	}
	return p, nil
}

// inherited is the environment without settings of asterism, which would
// change what the tests start.
func inherited() []string {
	var env []string
	for _, kv := range os.Environ() {
		if !strings.HasPrefix(kv, "ASTERISM_") || strings.HasPrefix(kv, "ASTERISM_LEFTOVERS=") {
			env = append(env, kv)
		}
	}
	return env
}

// asterisk plans the n-th Asterisk.
func (s *Stack) asterisk(n int) *Process {
	p := s.process(nodeName(n))
	p.launch = func(ctx context.Context) (child, error) {
		password, err := s.o.keepSecret("ari-" + nodeName(n))
		if err != nil {
			return nil, err
		}
		o := telephony.Options{Dir: s.o.nodeDir(n), Address: s.o.Addresses[n-1], Name: nodeName(n), Root: s.root}
		if s.o.Asterisk != nil {
			s.o.Asterisk(n, &o)
		}
		change := o.Conf
		o.Conf = func(c *asteriskconf.Params) {
			c.ARIPassword = password
			if change != nil {
				change(c)
			}
		}
		a, err := telephony.StartAsterisk(ctx, o)
		if err != nil {
			return nil, err
		}
		s.mu.Lock()
		s.asterisks[p.name] = a
		s.mu.Unlock()
		return a, linkLog(p.logPath, a.LogPath())
	}
	return p
}

// Asterisk returns the n-th Asterisk, from 1, as it runs now.
func (s *Stack) Asterisk(n int) *telephony.Asterisk {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.asterisks[nodeName(n)]
}

// Process returns a process by its name, such as "worker-1"; nil if there is
// none of that name.
func (s *Stack) Process(name string) *Process {
	for _, p := range s.all {
		if p.name == name {
			return p
		}
	}
	return nil
}

// Processes returns all processes in the order in which they were started.
func (s *Stack) Processes() []*Process { return s.all }

// SIP returns the SIP address of the n-th node, from 1: host:port.
func (s *Stack) SIP(n int) string { return net.JoinHostPort(s.o.Addresses[n-1], "5060") }

// NATS is where NATS listens when the roles are split.
func (s *Stack) NATS() string { return s.o.NATS }

// ConfigPath is the configuration that the processes were started with; with
// it, tools such as "asterism media" reach the same storage.
func (s *Stack) ConfigPath() string { return s.o.configPath() }

// Stop ends everything that was started: gateways, then workers, then NATS,
// then Asterisk. It waits for calls as long as Options.Drain; when ctx ends,
// what is left is killed.
func (s *Stack) Stop(ctx context.Context) error {
	var errs []error
	for _, group := range s.stops {
		results := make(chan error, len(group))
		for _, p := range group {
			go func() { results <- p.stop(ctx) }()
		}
		for range group {
			errs = append(errs, <-results)
		}
	}
	for _, r := range s.relays {
		errs = append(errs, r.close())
	}
	clear(s.relays)
	if s.lock != nil {
		errs = append(errs, s.lock.Close())
		s.lock = nil
	}
	return errors.Join(errs...)
}

// takeLock makes sure that nobody else uses the directory. The kernel drops
// the lock with this process, however it ends.
func (s *Stack) takeLock() error {
	f, err := os.OpenFile(filepath.Join(s.o.Dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return fmt.Errorf("lock: %w", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return errors.Join(fmt.Errorf("%w, in %s; end it first", ErrRunning, s.o.Dir), f.Close())
	}
	s.lock = f
	return nil
}

// removeOldPidFiles removes those of processes that were killed with their
// stack.
func (s *Stack) removeOldPidFiles() {
	old, err := filepath.Glob(filepath.Join(s.o.Dir, "*.pid"))
	if err != nil {
		return // the pattern is right
	}
	for _, name := range old {
		_ = os.Remove(name)
	}
}

// portsFree says in one sentence which port another program has.
func (s *Stack) portsFree(ctx context.Context) error {
	want := map[string]string{}
	for _, p := range s.all {
		if p.url != "" {
			want[strings.TrimPrefix(p.url, "http://")] = "HTTP of " + p.name
		}
	}
	if s.o.Split {
		want[s.o.NATS] = "NATS"
	}
	for n, address := range s.o.Addresses[:s.o.Nodes] {
		want[net.JoinHostPort(address, "5060")] = "SIP of " + nodeName(n+1)
		want[net.JoinHostPort(address, "8088")] = "ARI of " + nodeName(n+1)
	}
	var lc net.ListenConfig
	var errs []error
	for address, purpose := range want {
		l, err := lc.Listen(ctx, "tcp", address)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s (%s) cannot be used: %w; expected no other program there", address, purpose, err))
			continue
		}
		errs = append(errs, l.Close())
	}
	return errors.Join(errs...)
}
