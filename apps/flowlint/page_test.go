package flowlint

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"golang.org/x/tools/go/analysis"
	"golang.org/x/tools/go/analysis/checker"
	"golang.org/x/tools/go/packages"
)

// TestReplayPage follows docs/replay.md: what it calls right is compiled, run
// and free of findings, what it calls wrong gets the messages that it shows.
func TestReplayPage(t *testing.T) {
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile(filepath.Join(root, "docs", "replay.md"))
	if err != nil {
		t.Fatal(err)
	}
	right, wrong, says := make(map[string]string), make(map[string]string), make(map[string]string)
	block := regexp.MustCompile("(?ms)^```(\\w+) (\\S+)(?: (\\S+))?\n(.*?)^```$")
	for _, m := range block.FindAllStringSubmatch(string(page), -1) {
		switch kind, name, mark, text := m[1], m[2], m[3], m[4]; {
		case kind == "text":
			says[name] = text
		case mark == "wrong":
			wrong[filepath.Join(root, name)] = text
		default:
			right[filepath.Join(root, name)] = text
		}
	}
	if len(right) != 3 || len(wrong) != 1 || len(says) != 3 {
		t.Fatalf("the page has %d right files, %d wrong ones and %d messages; want 3, 1, 3", len(right), len(wrong), len(says))
	}

	t.Run("the linter", func(t *testing.T) {
		if got := strings.Join(lint(t, root, right), ""); got != "" {
			t.Errorf("of what the page calls right the linter says:\n%s", got)
		}
		if got := strings.Join(lint(t, root, wrong), ""); got != says["lint"] {
			t.Errorf("of what the page calls wrong the linter says:\n%swant:\n%s", got, says["lint"])
		}
	})
	t.Run("right", func(t *testing.T) {
		if out, err := testPickup(t, root, right); err != nil {
			t.Errorf("the test of the page: %v\n%s", err, out)
		}
	})
	t.Run("wrong", func(t *testing.T) {
		wrong[filepath.Join(root, "apps", "pickup_test.go")] = listenToPickup
		out, err := testPickup(t, root, wrong)
		code := regexp.MustCompile(`digits:\d+`)
		want := code.ReplaceAllString(strings.TrimSpace(says["test"]), "digits:N")
		if err == nil || !strings.Contains(code.ReplaceAllString(out, "digits:N"), want) {
			t.Errorf("the test of a wrong flow: %v\n%s\nwant: %s", err, out, want)
		}
	})
}

// listenToPickup tests a flow whose code is not known beforehand.
const listenToPickup = `package apps_test

import (
	"testing"
	"time"

	"asterism/apps"
	"asterism/apps/calltest"
)

func TestPickup(t *testing.T) {
	req := apps.Request{Vars: map[string]string{"shelf": t.TempDir()}}
	calltest.Listen(t, apps.Pickup, req, calltest.Has("your-code-is", time.Second))
}
`

// lint runs the analyzer over package apps with the files in it, and returns
// its lines.
func lint(t *testing.T, root string, files map[string]string) (lines []string) {
	t.Helper()
	overlay := make(map[string][]byte)
	for path, text := range files {
		overlay[path] = []byte(text)
	}
	pkgs, err := packages.Load(&packages.Config{
		Context: t.Context(), Mode: packages.LoadAllSyntax, Dir: root, Overlay: overlay, //nolint:staticcheck // it is what analyzers need
	}, "./apps")
	if err != nil {
		t.Fatal(err)
	}
	if packages.PrintErrors(pkgs) > 0 {
		t.Fatal("package apps with the page's files does not compile")
	}
	graph, err := checker.Analyze([]*analysis.Analyzer{New()}, pkgs, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, action := range graph.Roots {
		if action.Err != nil {
			t.Fatal(action.Err)
		}
		for _, d := range action.Diagnostics {
			at := action.Package.Fset.Position(d.Pos)
			file, err := filepath.Rel(root, at.Filename)
			if err != nil {
				t.Fatal(err)
			}
			lines = append(lines, fmt.Sprintf("%s:%d:%d: %s\n", filepath.ToSlash(file), at.Line, at.Column, d.Message))
		}
	}
	slices.Sort(lines)
	return lines
}

// testPickup runs the test of the page with the files in their places.
func testPickup(t *testing.T, root string, files map[string]string) (string, error) {
	t.Helper()
	dir := t.TempDir()
	replace := make(map[string]string)
	for path, text := range files {
		replace[path] = filepath.Join(dir, filepath.Base(path))
		if err := os.WriteFile(replace[path], []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	raw, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		t.Fatal(err)
	}
	overlay := filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(overlay, raw, 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "go", "test", "-overlay", overlay, "-count=1", "-run", "^TestPickup$", "./apps")
	cmd.Dir = root
	out, err := cmd.CombinedOutput()
	return string(out), err
}
