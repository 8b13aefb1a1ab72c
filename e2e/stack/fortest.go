package stack

import (
	"context"
	"net"
	"path/filepath"
	"time"

	"asterism/e2e/telephony"
)

// ForTest starts a stack on addresses that nobody else has, in a directory of
// the test, and stops it when the test ends. When the test has failed, the ends
// of all logs are shown.
func ForTest(tb telephony.TB, o Options) *Stack {
	tb.Helper()
	address := func() string {
		a, release, err := telephony.Loopback()
		if err != nil {
			tb.Fatalf("choose an address: %v", err)
		}
		tb.Cleanup(release)
		return a
	}
	for len(o.Addresses) < max(o.Nodes, 1) {
		o.Addresses = append(o.Addresses, address())
	}
	platform := address()
	if o.HTTP == "" {
		o.HTTP = net.JoinHostPort(platform, "8080")
	}
	if o.NATS == "" {
		o.NATS = net.JoinHostPort(platform, "4222")
	}
	if o.Dir == "" {
		o.Dir = filepath.Join(tb.TempDir(), "run")
	}
	if o.Note == nil {
		o.Note = tb.Logf
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	defer cancel()
	s, err := Start(ctx, o)
	if err != nil {
		tb.Fatalf("start the platform: %v", err)
	}
	tb.Cleanup(func() {
		stop, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := s.Stop(stop); err != nil {
			tb.Logf("stop the platform: %v", err)
		}
		if tb.Failed() {
			for _, p := range s.all {
				tb.Logf("end of the log of %s:\n%s", p.name, p.tail())
			}
		}
	})
	return s
}
