//go:build e2e

package telephony_test

import (
	"strings"
	"testing"

	"asterism/e2e/telephony"
)

func TestStart(t *testing.T) {
	a := telephony.ForTest(t)
	log, err := a.Log()
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(log) {
		if strings.Contains(line, "WARNING") || strings.Contains(line, "ERROR") {
			t.Errorf("at start: %s", line)
		}
	}
	out, err := a.Command(t.Context(), "pjsip show endpoints")
	t.Log(out, err)
	t.Log(log)
}
