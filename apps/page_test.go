package apps_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestWritingAnActionPage follows docs/writing-an-action.md in a copy of the
// packages that it is about: it writes the files that the page shows, runs its
// commands, and wants to be told what the page says.
func TestWritingAnActionPage(t *testing.T) {
	page, err := os.ReadFile("../docs/writing-an-action.md")
	if err != nil {
		t.Fatal(err)
	}
	root := copyOfPackages(t)
	run := func(command string) (string, error) {
		cmd := exec.CommandContext(t.Context(), "sh", "-c", command)
		cmd.Dir = root
		// Only what is under test may be downloaded or changed.
		cmd.Env = append(os.Environ(), "GOFLAGS=-mod=mod", "GOPROXY=off", "GOWORK=off")
		out, err := cmd.CombinedOutput()
		return string(out), err
	}

	block := regexp.MustCompile("(?ms)^```(\\w+)(?: (\\S+))?\n(.*?)^```$")
	const self = " -skip TestWritingAnActionPage"
	for _, m := range block.FindAllSubmatch(page, -1) {
		kind, file, text := string(m[1]), string(m[2]), string(m[3])
		switch {
		case file != "":
			writeFile(t, filepath.Join(root, filepath.FromSlash(file)), []byte(text))
		case kind == "sh":
			command := strings.TrimSpace(text)
			if strings.HasPrefix(command, "go test ./apps") {
				command += self
			}
			if out, err := run(command); err != nil {
				t.Fatalf("%s: %v\n%s", command, err, out)
			}
		default: // what go test ./apps says
			out, err := run("go test ./apps" + self)
			if err == nil {
				t.Errorf("with the flow alone nothing is missing")
			}
			for line := range strings.Lines(text) {
				if !strings.Contains(out, strings.TrimSpace(line)) {
					t.Errorf("go test ./apps does not say %q:\n%s", line, out)
				}
			}
		}
	}
}

// copyOfPackages copies what the page touches. The scenarios come without the
// packages that they use: here it counts only that they are there.
func copyOfPackages(t *testing.T) string {
	t.Helper()
	root := t.TempDir()
	for _, pattern := range []string{
		"go.mod", "go.sum", "apps/*.go", "apps/calltest/*.go", "sip/*.*", "sip/gen/*.go", "sip/testdata/*/*.txt",
		"docs/*.md", "asterisk-conf/extensions.conf", "e2e/scenarios/*.go",
	} {
		files, err := filepath.Glob(filepath.Join("..", pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			writeFile(t, filepath.Join(root, strings.TrimPrefix(file, "..")), text)
		}
	}
	return root
}

func writeFile(t *testing.T, path string, text []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, text, 0o644); err != nil {
		t.Fatal(err)
	}
}
