//go:build e2e

package main

import (
	"path/filepath"
	"testing"

	"asterism/e2e/telephony"
)

// TestInstalledDeclarations compares the committed facts with the Asterisk that the end-to-end tests run.
func TestInstalledDeclarations(t *testing.T) {
	root, err := telephony.Prepare(t.Context(), telephony.Config{})
	if err != nil {
		t.Fatal(err)
	}
	if err := checkFacts("rest-api", filepath.Join(root.Dir(), "usr/share/asterisk/rest-api")); err != nil {
		t.Error(err)
	}
}
