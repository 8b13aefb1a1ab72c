//go:build e2e

package chaos

import (
	"path/filepath"
	"testing"

	"asterism/e2e/stack"
	"asterism/e2e/telephony"
)

// address is a loopback address that nobody else has.
func address(t *testing.T) string {
	t.Helper()
	a, release, err := telephony.Loopback()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(release)
	return a
}

// quickSeed and quickCalls make the rounds of the quick suite.
const (
	quickSeed  = 7
	quickCalls = 12
)

// TestChaosQuick is one short round of each fault, on one platform. The whole
// suite is "make chaos".
func TestChaosQuick(t *testing.T) {
	platform := address(t)
	dir := filepath.Join(t.TempDir(), "chaos")
	report, err := Run(t.Context(), Options{
		Seed: quickSeed, Rounds: 1, Calls: quickCalls, Brief: true, Dir: dir, S3: address(t), Note: t.Logf,
		Stack: stack.Options{Addresses: []string{address(t)}, HTTP: platform + ":8080", NATS: platform + ":4222"},
	})
	if report != nil {
		t.Logf("seed %d\n%s", report.Seed, report.Markdown())
	}
	if err != nil {
		t.Fatal(err)
	}
	if !report.Good() {
		showFailed(t, dir)
		t.Errorf("not everything was as it must be; make chaos SEED=%d ROUNDS=1 CALLS=%d BRIEF=1 does the same again", quickSeed, quickCalls)
	}
}
