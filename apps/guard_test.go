package apps_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"asterism/apps"
)

// TestActionsAreComplete tells what an action owes besides its own file. The
// steps are in docs/writing-an-action.md.
func TestActionsAreComplete(t *testing.T) {
	for _, action := range apps.Actions() {
		for _, lack := range lacks("..", action) {
			t.Errorf("action %s: %s", action.Name, lack)
		}
	}
}

// lacks lists what an action has not got yet, each as what to do about it.
func lacks(root string, action apps.Action) []string {
	var list []string
	lack := func(format string, args ...any) { list = append(list, fmt.Sprintf(format, args...)) }
	name, file := action.Name, strings.ToLower(action.Name)

	if action.About == "" || action.Flow == nil {
		lack("register it in apps/%s.go with About and Flow", file)
	}
	if source := filepath.Join("apps", file+".go"); !exists(root, source) {
		lack("its flow belongs into %s", source)
	}
	if test := filepath.Join("apps", file+"_test.go"); !hasTest(root, test, name) {
		lack("add %s with a func Test%s… that runs the flow with calltest.Run", test, name)
	}
	if golden := filepath.Join("sip", "testdata", "headers", name+"*.txt"); !matches(root, golden) {
		lack("add sip/testdata/headers/%s.txt with the headers of a call, and let go test ./sip -run TestHeaders -update write what they make", name)
	}
	scenarios := filepath.Join("e2e", "scenarios", file)
	if !hasTest(root, scenarios+"_test.go", name) && !hasTest(root, scenarios+".go", name) {
		lack("add %s_test.go with a func Test%s… that places a real call and listens", scenarios, name)
	}
	page, _ := os.ReadFile(filepath.Join(root, "docs", "actions.md"))
	if !strings.Contains(string(page), "\n## "+name+"\n") {
		lack("run go generate ./sip, which gives it a section in docs/actions.md")
	}
	return list
}

func exists(root, file string) bool {
	_, err := os.Stat(filepath.Join(root, file))
	return err == nil
}

func matches(root, pattern string) bool {
	files, err := filepath.Glob(filepath.Join(root, pattern))
	return err == nil && len(files) > 0
}

// hasTest reports whether the file has a test whose name begins with the
// action's.
func hasTest(root, file, action string) bool {
	parsed, err := parser.ParseFile(token.NewFileSet(), filepath.Join(root, file), nil, parser.SkipObjectResolution)
	if err != nil {
		return false
	}
	for _, decl := range parsed.Decls {
		if f, ok := decl.(*ast.FuncDecl); ok && f.Recv == nil && strings.HasPrefix(f.Name.Name, "Test"+action) {
			return true
		}
	}
	return false
}

// TestLacks: the guard itself notices each thing that is missing.
func TestLacks(t *testing.T) {
	root := t.TempDir()
	action := apps.Action{Name: "Remind", About: "Reminds.", Flow: apps.Playback}
	files := []struct{ path, text, want string }{
		{"apps/remind.go", "package apps\n", "its flow belongs into apps/remind.go"},
		{"apps/remind_test.go", "package apps_test\n\nfunc TestReminding() {}\n", "add apps/remind_test.go with a func TestRemind"},
		{"sip/testdata/headers/Remind-twice.txt", "", "add sip/testdata/headers/Remind.txt"},
		{"e2e/scenarios/remind_test.go", "package scenarios\n\nfunc TestRemind() {}\n", "add e2e/scenarios/remind_test.go with a func TestRemind"},
		{"docs/actions.md", "\n## Remind\n", "run go generate ./sip"},
	}
	for i, file := range files {
		list := lacks(root, action)
		if len(list) != len(files)-i || !strings.HasPrefix(list[0], file.want) {
			t.Errorf("before %s: %q, want %d and first %q", file.path, list, len(files)-i, file.want)
		}
		path := filepath.Join(root, filepath.FromSlash(file.path))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(file.text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if list := lacks(root, action); len(list) != 0 {
		t.Errorf("nothing is missing, and it says %q", list)
	}
	if list := lacks(root, apps.Action{Name: "Remind"}); len(list) != 1 {
		t.Errorf("without About and Flow: %q", list)
	}
}
