//go:build e2e

package scenarios

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"asterism/e2e/phone"
	"asterism/e2e/telephony"
)

// foreground is "make run" on addresses of its own.
type foreground struct {
	cmd  *exec.Cmd
	done chan struct{}
	dir  string
	sip  []string

	mu  sync.Mutex
	out bytes.Buffer
}

func (f *foreground) Write(b []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.out.Write(b)
}

func (f *foreground) said() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.out.String()
}

// up starts the program that "make run" starts and waits until it says what
// to try.
func up(t *testing.T, program, dir string, sip []string, http string) *foreground {
	t.Helper()
	f := &foreground{dir: dir, sip: sip, done: make(chan struct{})}
	f.cmd = exec.CommandContext(t.Context(), program, "-nodes", "2", "-split=1", "-workers", "2",
		"-dir", dir, "-sip", strings.Join(sip, ","), "-http", http+":8080", "-nats", http+":4222")
	f.cmd.Stdout, f.cmd.Stderr, f.cmd.Env = f, f, environment()
	f.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := f.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(f.done)
		_ = f.cmd.Wait() // How it ended shows in its state.
	}()
	t.Cleanup(func() {
		_ = f.cmd.Process.Kill()
		<-f.done
	})
	if !within(t, 2*time.Minute, func() bool { return strings.Contains(f.said(), "Asterism is running") }) {
		t.Fatalf("make run did not become ready:\n%s", f.said())
	}
	return f
}

// roles are the processes of two nodes and two workers.
var roles = []string{"asterisk-1", "asterisk-2", "gateway-1", "gateway-2", "worker-1", "worker-2", "nats-1"}

// pid reads a pid file; 0 when there is none.
func (f *foreground) pid(t *testing.T, role string) int {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(f.dir, role+".pid"))
	if errors.Is(err, os.ErrNotExist) {
		return 0
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(data)))
	if err != nil {
		t.Fatalf("pid file of %s: %v", role, err)
	}
	return pid
}

func (f *foreground) pids(t *testing.T) map[string]int {
	t.Helper()
	all := map[string]int{}
	for _, role := range roles {
		pid := f.pid(t, role)
		if pid == 0 || !alive(pid) {
			t.Errorf("%s has no pid file with a live process: %d", role, pid)
		}
		all[role] = pid
	}
	return all
}

func alive(pid int) bool { return syscall.Kill(pid, 0) == nil }

// gone waits until none of the processes is there.
func gone(t *testing.T, pids map[string]int) {
	t.Helper()
	for role, pid := range pids {
		eventually(t, role+" to be gone", func() bool { return !alive(pid) })
	}
}

// answers places a call to each node.
func (f *foreground) answers(t *testing.T) {
	t.Helper()
	for _, host := range f.sip {
		c, err := dialWith(t, phone.DialOptions{Target: "sip:1000@" + host + ":5060", Headers: playback("sound:hello-world")})
		if err != nil {
			t.Errorf("call to %s: %v", host, err)
			continue
		}
		endedByFarEnd(t, c)
	}
}

// TestMakeRun starts the platform as a person does, lets a part die, ends all
// with Ctrl-C, and starts it again.
func TestMakeRun(t *testing.T) {
	t.Parallel()
	project, err := telephony.ProjectDir()
	if err != nil {
		t.Fatal(err)
	}
	out, err := run(t, "make", "-n", "-C", project, "run", "NODES=2", "SPLIT=1", "WORKERS=2")
	if want := "/up' -nodes '2' -split='1' -workers '2'"; err != nil || !strings.Contains(out, want) {
		t.Fatalf("make run would do %q, %v; want it to start %q", out, err, want)
	}
	program := filepath.Join(t.TempDir(), "up")
	if out, err := run(t, "go", "build", "-C", project, "-o", program, "./e2e/cmd/up"); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	var hosts []string
	for range 3 {
		host, release, err := telephony.Loopback()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(release)
		hosts = append(hosts, host)
	}
	dir, sip, http := filepath.Join(t.TempDir(), "run"), hosts[:2], hosts[2]
	bystander := exec.CommandContext(t.Context(), "sleep", "600")
	bystander.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := bystander.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = bystander.Process.Kill()
		_ = bystander.Wait()
	})

	f := up(t, program, dir, sip, http)
	for _, text := range []string{"Ctrl-C", "media put welcome.wav", "--action Playback", "sip:1000@" + sip[0]} {
		if !strings.Contains(f.said(), text) {
			t.Errorf("make run does not say %q:\n%s", text, f.said())
		}
	}
	pids := f.pids(t)
	f.answers(t)
	again, err := run(t, program, "-dir", dir)
	if err == nil || !strings.Contains(again, "running already") {
		t.Errorf("a second make run says %q, %v; want that one is running", again, err)
	}
	if err := syscall.Kill(pids["worker-2"], syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	eventually(t, "worker-2 to be started again", func() bool {
		pid := f.pid(t, "worker-2")
		return pid != 0 && pid != pids["worker-2"]
	})
	pids["worker-2"] = f.pid(t, "worker-2")
	f.answers(t)

	if err := f.cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	<-f.done
	if !f.cmd.ProcessState.Success() || !strings.Contains(f.said(), "stopped") {
		t.Errorf("after Ctrl-C make run ended with %v and said:\n%s", f.cmd.ProcessState, f.said())
	}
	gone(t, pids)
	if left, err := filepath.Glob(filepath.Join(dir, "*.pid")); err != nil || len(left) > 0 {
		t.Errorf("pid files left: %v, %v", left, err)
	}
	if !alive(bystander.Process.Pid) {
		t.Error("a process of somebody else was ended too")
	}

	f = up(t, program, dir, sip, http)
	pids = f.pids(t)
	f.answers(t)
	// Even when it cannot clean up, nothing stays.
	if err := f.cmd.Process.Kill(); err != nil {
		t.Fatal(fmt.Errorf("kill make run: %w", err))
	}
	<-f.done
	gone(t, pids)
}
