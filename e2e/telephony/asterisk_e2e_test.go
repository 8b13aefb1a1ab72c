//go:build e2e

package telephony_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	asteriskconf "asterism/asterisk-conf"
	"asterism/e2e/telephony"
)

// complaints lists the warnings and errors of Asterisk's log and console.
func complaints(t testing.TB, a *telephony.Asterisk) []string {
	t.Helper()
	log, err := a.Log()
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for line := range strings.Lines(log + a.Output()) {
		if strings.Contains(line, "WARNING") || strings.Contains(line, "ERROR") {
			found = append(found, strings.TrimSpace(line))
		}
	}
	return found
}

// eventually polls until the condition holds.
func eventually(t testing.TB, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !holds(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within 10 s: %s", what)
		}
	}
}

func alive(pid int) bool {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err == nil && !strings.Contains(string(raw), ") Z ")
}

func TestStartIsSilentAndComplete(t *testing.T) {
	a := telephony.ForTest(t)
	if found := complaints(t, a); len(found) > 0 {
		t.Errorf("complaints at start:\n%s", strings.Join(found, "\n"))
	}
	out, err := a.Command(t.Context(), "module show")
	if err != nil {
		t.Fatal(err)
	}
	conf, err := os.ReadFile(filepath.Join(a.Dir(), "etc/modules.conf"))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(conf)) {
		name, ok := strings.CutPrefix(strings.TrimSpace(line), "load = ")
		if ok && !strings.Contains(out, name) {
			t.Errorf("%s is not loaded", name)
		}
	}
	// The console's table cuts names at its width, so ask for a count as well.
	if strings.Contains(out, "Not Running") {
		t.Errorf("a module does not run:\n%s", out)
	}
	settings, err := a.Command(t.Context(), "core show settings")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{a.Name(), a.EntityID(), "65536", "Transmit silence during rec: Enabled"} {
		if !strings.Contains(settings, want) {
			t.Errorf("settings lack %q:\n%s", want, settings)
		}
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, strings.TrimSuffix(a.ARIURL(), "/ari")+"/metrics", nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	defer http.DefaultClient.CloseIdleConnections()
	found := false
	for s := bufio.NewScanner(res.Body); s.Scan(); {
		found = found || strings.HasPrefix(s.Text(), "asterisk_calls_count")
	}
	if !found {
		t.Error("/metrics lacks asterisk_calls_count")
	}
	info, err := os.Stat(filepath.Join(a.Dir(), "etc/ari.conf"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("ari.conf, which holds the password: %v, %v", info.Mode(), err)
	}
}

func TestPidIsAsterisk(t *testing.T) {
	a := telephony.ForTest(t)
	comm, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", a.Pid()))
	if err != nil || strings.TrimSpace(string(comm)) != "asterisk" {
		t.Fatalf("pid %d is %q, %v", a.Pid(), comm, err)
	}
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(mounts), "/.runtime/") || strings.Contains(string(mounts), a.Dir()) {
		t.Errorf("a mount is visible outside:\n%s", mounts)
	}
	if err := a.Pause(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "Asterisk is stopped", func() bool {
		raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", a.Pid()))
		return err == nil && strings.Contains(string(raw), ") T ")
	})
	if err := a.Resume(); err != nil {
		t.Fatal(err)
	}
	if _, err := a.Command(t.Context(), "core show uptime"); err != nil {
		t.Errorf("after Resume: %v", err)
	}
	if err := syscall.Kill(a.Pid(), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	select {
	case <-a.Done():
	case <-time.After(5 * time.Second):
		t.Fatal("SIGKILL of the pid did not end Asterisk")
	}
	if a.Err() == nil {
		t.Error("a killed Asterisk has no error")
	}
}

func TestNothingOutlivesItsStarter(t *testing.T) {
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), exe)
	cmd.Env = append(os.Environ(), "TELEPHONY_TEST_HELPER="+t.TempDir())
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var pid int
	if _, err := fmt.Fscanf(out, "pid %d\n", &pid); err != nil {
		t.Fatalf("the helper did not start its program: %v", err)
	}
	if !alive(pid) {
		t.Fatal("the program does not run")
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err == nil {
		t.Error("the helper ended well although it was killed")
	}
	eventually(t, "the program died with its starter", func() bool { return !alive(pid) })
}

func TestStartSaysWhatIsWrong(t *testing.T) {
	a := telephony.ForTest(t)
	_, err := telephony.StartAsterisk(t.Context(), telephony.Options{Dir: t.TempDir(), Address: a.Address()})
	if err == nil || !strings.Contains(err.Error(), a.SIPAddress()+" is taken") {
		t.Errorf("a taken address: %v", err)
	}
	_, err = telephony.StartAsterisk(t.Context(), telephony.Options{Dir: t.TempDir(), Address: "127.0.20.250", Edge: []string{"nonsense"}})
	if !errors.Is(err, asteriskconf.ErrParams) {
		t.Errorf("a malformed edge: %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
	defer cancel()
	_, err = telephony.StartAsterisk(ctx, telephony.Options{
		Dir: t.TempDir(), Address: "127.0.20.251",
		Conf: func(p *asteriskconf.Params) { p.ModuleDir = "/nowhere" },
	})
	if !errors.Is(err, telephony.ErrNotReady) || !strings.Contains(err.Error(), "/nowhere") {
		t.Errorf("no modules: %v", err)
	}
}

func TestSIPp(t *testing.T) {
	a := telephony.ForTest(t)
	root, err := telephony.Prepare(t.Context(), telephony.Config{})
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	scenario := `<?xml version="1.0"?><scenario name="options"><send><![CDATA[
OPTIONS sip:[remote_ip]:[remote_port] SIP/2.0
Via: SIP/2.0/UDP [local_ip]:[local_port];branch=[branch]
From: <sip:sipp@[local_ip]>;tag=[call_number]
To: <sip:[remote_ip]>
Call-ID: [call_id]
CSeq: 1 OPTIONS
Max-Forwards: 70
Content-Length: 0

]]></send><recv response="200"/></scenario>`
	if err := os.WriteFile(filepath.Join(dir, "options.xml"), []byte(scenario), 0o644); err != nil {
		t.Fatal(err)
	}
	out, err := root.SIPp(t.Context(), dir, "-sf", "options.xml", "-m", "3", "-r", "50", "-i", "127.0.20.9", "-timeout", "10s", a.SIPAddress())
	if err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
