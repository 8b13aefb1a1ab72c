//go:build e2e

package stack_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"asterism/e2e/stack"
)

// eventually polls until ok, or fails after half a minute.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	for !ok() {
		select {
		case <-ctx.Done():
			t.Fatalf("waited in vain for %s", what)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// pidFile reads the pid of a process from its file, 0 when there is none.
func pidFile(t *testing.T, dir, name string) int {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(dir, name+".pid"))
	if err != nil {
		return 0
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(data)))
	if err != nil {
		t.Fatal(err)
	}
	return pid
}

func stop(t *testing.T, s *stack.Stack) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := s.Stop(ctx); err != nil {
		t.Error(err)
	}
}

func TestOneProcess(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "run")
	s := stack.ForTest(t, stack.Options{Dir: dir})
	for _, name := range []string{"asterisk-1", "run-1"} {
		p := s.Process(name)
		if p == nil || pidFile(t, dir, name) != p.Pid() || syscall.Kill(p.Pid(), 0) != nil {
			t.Errorf("%s: no live process with that pid file", name)
		}
	}
	_, err := stack.Start(t.Context(), stack.Options{Dir: dir})
	if !errors.Is(err, stack.ErrRunning) {
		t.Errorf("a second start in the same directory: %v; want ErrRunning", err)
	}
	pids := []int{s.Process("asterisk-1").Pid(), s.Process("run-1").Pid()}
	stop(t, s)
	for _, pid := range pids {
		if err := syscall.Kill(pid, 0); !errors.Is(err, syscall.ESRCH) {
			t.Errorf("process %d after stop: %v; want it gone", pid, err)
		}
	}
	if left, err := filepath.Glob(filepath.Join(dir, "*.pid")); err != nil || len(left) > 0 {
		t.Errorf("pid files left: %v %v", left, err)
	}
	info, err := os.Stat(filepath.Join(dir, "secrets", "ari-asterisk-1"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("secret: %v %v; want one that only its owner reads", info, err)
	}
}

func TestSplitRestartsWhatDies(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "run")
	s := stack.ForTest(t, stack.Options{Dir: dir, Split: true, Workers: 2, Nodes: 2})
	for _, name := range []string{"worker-2", "gateway-1", "nats-1", "asterisk-2"} {
		p := s.Process(name)
		before := p.Pid()
		if err := p.Signal(syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		eventually(t, name+" to be started again", func() bool {
			pid := pidFile(t, dir, name)
			return pid != 0 && pid != before && p.Restarts() == 1
		})
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := s.Ready(ctx); err != nil {
		t.Fatal(err)
	}
	paused := s.Process("worker-1")
	if err := paused.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	stop(t, s) // a paused process ends too
	if err := syscall.Kill(paused.Pid(), 0); !errors.Is(err, syscall.ESRCH) {
		t.Errorf("worker-1 after stop: %v; want it gone", err)
	}
}

func TestPortTaken(t *testing.T) {
	s := stack.ForTest(t, stack.Options{})
	taken := strings.TrimPrefix(s.Process("run-1").URL(), "http://")
	_, err := stack.Start(t.Context(), stack.Options{
		Dir: filepath.Join(t.TempDir(), "run"), HTTP: taken, Addresses: []string{"127.0.70.9"},
	})
	if err == nil || !strings.Contains(err.Error(), taken+" (HTTP of run-1) cannot be used") {
		t.Errorf("error %v; want one that names the address", err)
	}
}

func TestWhatEndsWhileStarting(t *testing.T) {
	_, err := stack.Start(t.Context(), stack.Options{
		Dir: filepath.Join(t.TempDir(), "run"), HTTP: "127.0.70.10:8080", Addresses: []string{"127.0.70.10"},
		Set: []string{"worker.capacity=0"},
	})
	if err == nil || !strings.Contains(err.Error(), "worker.capacity: 0 is out of range") {
		t.Errorf("error %v; want the process's own words", err)
	}
}

func TestLiveness(t *testing.T) {
	s := stack.ForTest(t, stack.Options{Split: true, Liveness: 2 * time.Second})
	p := s.Process("worker-1")
	before := p.Pid()
	if err := p.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the paused worker to be killed and started again", func() bool { return p.Restarts() == 1 })
	if p.Pid() == before {
		t.Errorf("process %d is still the worker", before)
	}
	for _, other := range s.Processes() {
		if other != p && other.Restarts() != 0 {
			t.Errorf("%s was started again though it answers", other.Name())
		}
	}
}

func TestReplaceAndRelays(t *testing.T) {
	s := stack.ForTest(t, stack.Options{Split: true, Relays: true})
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for _, kind := range []string{stack.ToNATS, stack.ToARI} {
		s.Relay(1, kind).Reset()
		eventually(t, "the gateway to miss "+kind, func() bool { return s.Process("gateway-1").Ready(ctx) != nil })
		s.Relay(1, kind).Heal()
		if err := s.Ready(ctx); err != nil {
			t.Fatal(err)
		}
	}
	p := s.Process("worker-1")
	if err := p.Replace(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the worker to be started again", func() bool { return p.Restarts() == 1 })
}
