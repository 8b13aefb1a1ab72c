package calltest_test

import (
	"testing"

	"asterism/apps/calltest"
)

func TestConformance(t *testing.T) {
	calltest.Conformance(t, func(t *testing.T) calltest.Bench {
		t.Helper()
		return calltest.NewCaller(t.Context())
	})
}
