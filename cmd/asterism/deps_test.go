package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "asterism/"

// rule says what packages may import, beside the standard library.
type rule struct {
	pkg string   // a package, or "x/..." for it and all below it
	own []string // what of this module
	// libraries are the other modules, by how their paths begin.
	libraries string
	why       string
}

const (
	anyLibrary = ""
	noLibrary  = "none"
)

// rules are looked through from the top; the first that fits a package holds.
// They are the arrows of docs/architecture.md.
var rules = []rule{
	{
		"cmd/...",
		[]string{"cmd/...", "apps/...", "ari/...", "storage/...", "sip/...", "asterisk-conf/...", "e2e/phone/..."},
		anyLibrary, "cmd wires everything together; of e2e it takes the phone only",
	},
	{
		"apps/session/...",
		[]string{"apps", "apps/session/...", "ari", "ari/proxy"},
		anyLibrary, "apps/session runs flows on real nodes over the fabric; it knows neither SIP nor storage",
	},
	{
		"apps/flowlint/...",
		[]string{"apps/flowlint/..."},
		"golang.org/x/tools/", "the linter of flows is a tool for source code, and no part of what runs",
	},
	{
		"apps/...",
		[]string{"apps/..."},
		noLibrary, "flows know telephony, not plumbing: the standard library is all they stand on",
	},
	{
		"ari/aritest/...",
		[]string{"ari/..."},
		anyLibrary, "ari/aritest is an Asterisk in Go; it knows ARI and nothing else of ours",
	},
	{
		"ari/proxy/...",
		[]string{"ari", "ari/proxy/..."},
		anyLibrary, "the fabric carries opaque bytes: no flows, no SIP, no storage",
	},
	{
		"ari/cycore/...",
		[]string{"ari", "ari/proxy", "ari/cycore/..."},
		anyLibrary, "an adapter at the rim; nothing in the core depends on it",
	},
	{
		"ari/...",
		[]string{"ari/internal/..."},
		anyLibrary, "ari is a client of Asterisk that depends on nothing of ours",
	},
	{
		"storage/...",
		[]string{"storage/...", "apps"},
		anyLibrary, "adapters do not import one another; they point inwards to apps",
	},
	{
		"sip/...",
		[]string{"sip/...", "apps"},
		anyLibrary, "adapters do not import one another; they point inwards to apps",
	},
	{
		"asterisk-conf/...",
		[]string{"asterisk-conf/...", "sip"},
		anyLibrary, "the configuration of Asterisk knows the header table and nothing else",
	},
	{
		"e2e/...",
		[]string{"e2e/...", "apps/...", "ari/...", "storage/...", "sip/...", "asterisk-conf/..."},
		anyLibrary, "end-to-end tests may look at everything",
	},
}

func matches(pattern, pkg string) bool {
	below, ok := strings.CutSuffix(pattern, "/...")
	return pkg == below || (ok && strings.HasPrefix(pkg, below+"/"))
}

// violation explains why pkg must not import imp; "" when it may. Packages are
// named without the module.
func violation(pkg, imp string) string {
	i := slices.IndexFunc(rules, func(r rule) bool { return matches(r.pkg, pkg) })
	if i < 0 {
		return fmt.Sprintf("%s: no rule says what this package may import; add one to rules in cmd/asterism/deps_test.go", pkg)
	}
	r := rules[i]
	own, ours := strings.CutPrefix(imp, module)
	first, _, _ := strings.Cut(imp, "/")
	// A library's path begins with a host.
	allowed := !strings.Contains(first, ".") || strings.HasPrefix(imp, r.libraries)
	if ours {
		allowed = slices.ContainsFunc(r.own, func(p string) bool { return matches(p, own) })
	}
	if allowed {
		return ""
	}
	return fmt.Sprintf("%s imports %s, which the architecture forbids: %s", pkg, imp, r.why)
}

func TestImportsPointInwards(t *testing.T) {
	cmd := exec.CommandContext(t.Context(), "go", "list", "-e", "-tags=e2e", "-json=ImportPath,Imports", "./...")
	cmd.Dir = "../.."
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	seen := 0
	for dec := json.NewDecoder(out); ; seen++ {
		var pkg struct {
			ImportPath string
			Imports    []string
		}
		if err := dec.Decode(&pkg); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		for _, imp := range pkg.Imports {
			if v := violation(strings.TrimPrefix(pkg.ImportPath, module), imp); v != "" {
				t.Error(v)
			}
		}
	}
	if err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	if seen < 5 {
		t.Errorf("go list named %d packages; expected the whole module", seen)
	}
}

func TestRules(t *testing.T) {
	for _, tc := range []struct {
		pkg, imp string
		ok       bool
	}{
		{"cmd/asterism", "asterism/storage/media", true},
		{"cmd/asterism", "asterism/e2e/telephony", false},
		{"apps", "context", true},
		{"apps", "github.com/rs/zerolog", false},
		{"apps/ivr", "asterism/apps", true},
		{"apps", "asterism/apps/session", true}, // a cycle; the compiler refuses it
		{"apps", "asterism/ari", false},
		{"apps/flowlint", "golang.org/x/tools/go/analysis", true},
		{"apps/flowlint", "github.com/rs/zerolog", false},
		{"apps/flowlint", "asterism/apps", false},
		{"apps", "golang.org/x/tools/go/analysis", false},
		{"apps/session", "github.com/rs/zerolog", true},
		{"apps/session", "asterism/ari/proxy", true},
		{"apps/session", "asterism/sip", false},
		{"ari", "asterism/ari/internal/gen", true},
		{"ari", "asterism/ari/proxy", false},
		{"ari/proxy", "asterism/ari", true},
		{"ari/proxy", "asterism/apps", false},
		{"ari/proxy", "asterism/storage", false},
		{"sip", "asterism/storage", false},
		{"sip", "asterism/apps", true},
		{"storage/media", "asterism/ari/proxy", false},
		{"attic", "fmt", false},
	} {
		if got := violation(tc.pkg, tc.imp); (got == "") != tc.ok {
			t.Errorf("%s importing %s: %q; want allowed %v", tc.pkg, tc.imp, got, tc.ok)
		}
	}
}

// TestTopLevel holds the module to the directories of the architecture.
func TestTopLevel(t *testing.T) {
	known := []string{"apps", "ari", "asterisk-conf", "bin", "charts", "cmd", "docs", "e2e", "kamailio-conf", "sip", "storage"}
	entries, err := os.ReadDir("../..")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if e.IsDir() && !strings.HasPrefix(e.Name(), ".") && !slices.Contains(known, e.Name()) {
			t.Errorf("directory %s is not in the architecture; expected one of %s", e.Name(), strings.Join(known, ", "))
		}
	}
}
