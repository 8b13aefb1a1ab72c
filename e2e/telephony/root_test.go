package telephony

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// fakeHost answers for the machine.
type fakeHost struct {
	user     int
	freeMB   uint64
	programs []string
	// tool does what a program would; calls records its command lines.
	tool  func(out io.Writer, name string, args []string) error
	calls []string
}

func (h *fakeHost) uid() int                    { return h.user }
func (h *fakeHost) free(string) (uint64, error) { return h.freeMB << 20, nil }
func (h *fakeHost) has(program string) bool     { return slices.Contains(h.programs, program) }

func (h *fakeHost) run(_ context.Context, out io.Writer, name string, args ...string) error {
	h.calls = append(h.calls, name+" "+strings.Join(args, " "))
	if h.tool == nil {
		return nil
	}
	return h.tool(out, name, args)
}

// layRoot writes a file tree that looks like a root with these packages.
func layRoot(t *testing.T, dir string, packages map[string]string) {
	t.Helper()
	var status strings.Builder
	for name, version := range packages {
		status.WriteString("Package: " + name + "\nStatus: install ok installed\nVersion: " + version + "\nDescription: x\n more\n\n")
	}
	for path, content := range map[string]string{"var/lib/dpkg/status": status.String(), "usr/sbin/asterisk": ""} {
		path = filepath.Join(dir, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o755); err != nil {
			t.Fatal(err)
		}
	}
}

func complete() map[string]string {
	have := map[string]string{}
	for _, n := range packageNames() {
		have[n] = "1:22.10.1-1"
	}
	return have
}

func TestPrepareRefusals(t *testing.T) {
	failing := func(out io.Writer, name string, _ []string) error {
		if name == "debootstrap" {
			io.WriteString(out, "I: Retrieving InRelease\nE: Failed getting release file\n")
			return errors.New("exit status 1")
		}
		return nil
	}
	for _, c := range []struct {
		name string
		host fakeHost
		want error
		says string
	}{
		{"not root", fakeHost{user: 1000, freeMB: 9000}, ErrNotRoot, "run this as root"},
		{"no space", fakeHost{freeMB: 1999, programs: []string{"debootstrap"}}, ErrNoSpace, "has 1999 MB free, the telephony root needs 2048"},
		{"no network", fakeHost{freeMB: 9000, programs: []string{"debootstrap"}, tool: failing}, ErrNoRepository, "E: Failed getting release file"},
		{"no package tool", fakeHost{freeMB: 9000}, nil, "expected Debian or Ubuntu"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := Prepare(t.Context(), Config{Dir: t.TempDir(), Progress: io.Discard, host: &c.host})
			if err == nil || c.want != nil && !errors.Is(err, c.want) {
				t.Fatalf("got %v, want %v", err, c.want)
			}
			if !strings.Contains(err.Error(), c.says) || strings.Contains(err.Error(), "\n") {
				t.Errorf("message %q: want one line that says %q", err, c.says)
			}
		})
	}
}

func TestPrepareFromNothing(t *testing.T) {
	dir := t.TempDir()
	var progress strings.Builder
	h := &fakeHost{freeMB: 9000, programs: []string{"apt-get"}}
	h.tool = func(out io.Writer, name string, args []string) error {
		if name == "debootstrap" {
			if _, err := os.Stat(filepath.Join(dir, ".runtime/root")); err == nil {
				t.Error("the root is visible before it is complete")
			}
			for _, line := range []string{"I: Retrieving In", "Release\nI: Retrieving libc6\nW: no\n", "I: Configuring libc6\n"} {
				io.WriteString(out, line)
			}
			layRoot(t, args[slices.Index(args, suite)+1], complete())
		}
		return nil
	}
	root, err := Prepare(t.Context(), Config{Dir: dir, Progress: &progress, host: h})
	if err != nil {
		t.Fatal(err)
	}
	if got := root.Versions()["asterisk"]; got != "1:22.10.1-1" {
		t.Errorf("recorded version %q", got)
	}
	if len(h.calls) != 3 || !strings.HasPrefix(h.calls[1], "apt-get -q -y --no-install-recommends install debootstrap") ||
		!strings.HasPrefix(h.calls[2], "debootstrap --variant=minbase --include="+strings.Join(packageNames(), ",")) {
		t.Errorf("ran %q", h.calls)
	}
	for line, times := range map[string]int{"telephony: installing debootstrap\n": 1, "telephony: Retrieving InRelease\n": 1, "Retrieving": 1, "telephony: Configuring libc6\n": 1} {
		if got := strings.Count(progress.String(), line); got != times {
			t.Errorf("progress says %q %d times, want %d:\n%s", line, got, times, progress.String())
		}
	}
	h.calls = nil
	if _, err := Prepare(t.Context(), Config{Dir: dir, Progress: io.Discard, host: h}); err != nil || len(h.calls) != 0 {
		t.Errorf("second time: %v, ran %q", err, h.calls)
	}
}

func TestPrepareAdoptsAndCompletes(t *testing.T) {
	dir := t.TempDir()
	base := filepath.Join(dir, ".runtime/root")
	have := complete()
	delete(have, "sip-tester")
	layRoot(t, base, have)
	h := &fakeHost{}
	h.tool = func(_ io.Writer, name string, args []string) error {
		if name == "unshare" && args[len(args)-1] == "sip-tester" {
			layRoot(t, base, complete())
		}
		return nil
	}
	if _, err := Prepare(t.Context(), Config{Dir: dir, Progress: io.Discard, host: h}); err != nil {
		t.Fatal(err)
	}
	if len(h.calls) != 1 {
		t.Errorf("ran %q, want one installation", h.calls)
	}
	// The same root without its stamp is adopted as it is.
	if err := os.Remove(filepath.Join(dir, ".runtime/stamp.json")); err != nil {
		t.Fatal(err)
	}
	h.calls = nil
	if _, err := Prepare(t.Context(), Config{Dir: dir, Progress: io.Discard, host: h}); err != nil || len(h.calls) != 0 {
		t.Errorf("adopting: %v, ran %q", err, h.calls)
	}
}

func TestPrepareBuildsAnewWhatCannotBeCompleted(t *testing.T) {
	dir := t.TempDir()
	layRoot(t, filepath.Join(dir, ".runtime/root"), map[string]string{"asterisk": "1:20.0-1"})
	h := &fakeHost{freeMB: 9000, programs: []string{"debootstrap"}}
	h.tool = func(out io.Writer, name string, args []string) error {
		if name == "unshare" {
			io.WriteString(out, "E: Release file is expired\n")
			return errors.New("exit status 100")
		}
		layRoot(t, args[slices.Index(args, suite)+1], complete())
		return nil
	}
	root, err := Prepare(t.Context(), Config{Dir: dir, Progress: io.Discard, host: h})
	if err != nil || root.Versions()["asterisk"] != "1:22.10.1-1" {
		t.Errorf("got %v, %v", root, err)
	}
}

func TestPrepareWaitsForAnother(t *testing.T) {
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, ".runtime"), 0o755); err != nil {
		t.Fatal(err)
	}
	unlock, err := lock(t.Context(), filepath.Join(dir, ".runtime/lock"))
	if err != nil {
		t.Fatal(err)
	}
	defer unlock()
	ctx, cancel := context.WithTimeout(t.Context(), 120*time.Millisecond)
	defer cancel()
	h := &fakeHost{freeMB: 9000, programs: []string{"debootstrap"}}
	_, err = Prepare(ctx, Config{Dir: dir, Progress: io.Discard, host: h})
	if !errors.Is(err, context.DeadlineExceeded) || len(h.calls) != 0 {
		t.Errorf("got %v after running %q, want to have waited in vain", err, h.calls)
	}
}

func TestVersion(t *testing.T) {
	for v, ok := range map[string]bool{
		"1:22.10.1+dfsg+~cs6.17-1": true, "Asterisk 22.10.0": true, "Asterisk 23.0.1": true, "22.11.0-rc1": true,
		"1:20.16.0-1": false, "Asterisk 22.9.3": false, "GIT-master": false, "": false,
	} {
		if err := checkVersion(v); (err == nil) != ok || err != nil && !errors.Is(err, ErrTooOld) {
			t.Errorf("%q: %v", v, err)
		}
	}
}

func TestSystemTooOld(t *testing.T) {
	h := &fakeHost{tool: func(out io.Writer, _ string, _ []string) error {
		_, err := io.WriteString(out, "Asterisk 18.1.0\n")
		return err
	}}
	_, err := Prepare(t.Context(), Config{Dir: t.TempDir(), System: true, Progress: io.Discard, host: h})
	if !errors.Is(err, ErrTooOld) {
		t.Errorf("got %v, want ErrTooOld", err)
	}
}

func TestInstalledAsteriskLacksModules(t *testing.T) {
	conf, modules := t.TempDir(), t.TempDir()
	text := "[modules]\n; load = comment.so\nload = here.so\nload = gone.so\nload = lost.so\n"
	if err := os.WriteFile(filepath.Join(conf, "modules.conf"), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(modules, "here.so"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	err := haveModules(conf, modules)
	if err == nil || !strings.Contains(err.Error(), "lacks gone.so, lost.so in "+modules) {
		t.Errorf("got %v", err)
	}
}

func TestBindRefusals(t *testing.T) {
	dir := t.TempDir()
	for _, b := range []Bind{
		{Source: dir, Target: "/usr/share/x"},
		{Source: dir, Target: "/etc"},
		{Source: dir, Target: "/"},
		{Source: "relative", Target: "/x"},
		{Source: dir, Target: "x"},
		{Source: dir + "/absent", Target: "/x"},
	} {
		if err := bindable(b); err == nil {
			t.Errorf("%+v was accepted", b)
		}
	}
	if err := bindable(Bind{Source: dir, Target: dir}); err != nil {
		t.Error(err)
	}
}

func TestOutputKeepsTheEnd(t *testing.T) {
	o := &output{max: 5}
	io.WriteString(o, "abc")
	io.WriteString(o, "defgh")
	if o.String() != "defgh" {
		t.Errorf("kept %q", o.String())
	}
}
