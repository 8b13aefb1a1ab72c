package flowlint

import (
	"os/exec"
	"strings"
	"testing"

	"golang.org/x/tools/go/analysis/analysistest"
)

func TestRules(t *testing.T) {
	analysistest.Run(t, analysistest.TestData(), New(),
		"flows",         // each rule
		"allowed",       // what no rule forbids
		"helper",        // facts
		"calls",         // helpers, methods, closures, generics, other packages
		"effects",       // Do
		"inside",        // what Do may not do to the flow
		"settings",      // variables that are set elsewhere, addresses, errors thrown away
		"except",        // //flowlint:ignore
		"asterism/apps", // the verbs themselves
	)
}

// TestStandardLibrary: no package of the installed Go is taken for one of
// ours, and none that is called pure has gone.
func TestStandardLibrary(t *testing.T) {
	out, err := exec.CommandContext(t.Context(), "go", "list", "std").Output()
	if err != nil {
		t.Fatal(err)
	}
	std := make(map[string]bool)
	for path := range strings.FieldsSeq(string(out)) {
		std[path] = true
		if !isStd(path) {
			t.Errorf("%s is of the standard library; add its first element to stdRoots", path)
		}
	}
	for _, path := range pure {
		if !std[path] {
			t.Errorf("pure names %s, which the standard library does not have", path)
		}
	}
	for _, path := range []string{"asterism/apps", "example.com/time", "helper"} {
		if isStd(path) {
			t.Errorf("%s is taken for the standard library", path)
		}
	}
}
