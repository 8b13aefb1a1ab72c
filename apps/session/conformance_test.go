package session

import (
	"testing"

	"asterism/apps/calltest"
)

// A call on a node keeps the rules that the scripted call of calltest keeps.
func TestConformance(t *testing.T) {
	calltest.Conformance(t, func(t *testing.T) calltest.Bench {
		t.Helper()
		return newPhone(t)
	})
}
