package telephony

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"time"
)

// TB is the part of testing.TB that ForTest needs; naming it here keeps
// package testing out of programs.
type TB interface {
	Helper()
	Cleanup(f func())
	Fatalf(format string, args ...any)
	Logf(format string, args ...any)
	Failed() bool
	TempDir() string
}

// ForTest starts an Asterisk on a loopback address that nobody else has, and
// stops it when the test ends, however it ends. The options given change the
// defaults: a temporary directory, any source on loopback.
func ForTest(tb TB, change ...func(*Options)) *Asterisk {
	tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	root, err := Prepare(ctx, Config{})
	if err != nil {
		tb.Fatalf("prepare telephony: %v", err)
	}
	address, release, err := Loopback()
	if err != nil {
		tb.Fatalf("choose an address: %v", err)
	}
	tb.Cleanup(release)
	o := Options{Dir: filepath.Join(tb.TempDir(), "asterisk"), Address: address, Root: root}
	for _, f := range change {
		f(&o)
	}
	start, cancelStart := context.WithTimeout(ctx, time.Minute)
	defer cancelStart()
	a, err := StartAsterisk(start, o)
	if err != nil {
		tb.Fatalf("start asterisk: %v", err)
	}
	tb.Cleanup(func() {
		stop, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := a.Stop(stop); err != nil {
			tb.Logf("stop asterisk: %v", err)
		}
		if tb.Failed() {
			tb.Logf("end of Asterisk's log:\n%s", a.LogTail())
		}
	})
	return a
}

// Loopback reserves an address in 127.64.0.0/10 for as long as release is not
// called and this process lives. Processes of one machine that use this
// function never get the same one.
func Loopback() (address string, release func(), err error) {
	const count = 1 << 12
	first := os.Getpid() % count
	for i := range count {
		n := (first + i) % count
		address := fmt.Sprintf("127.%d.%d.%d", 64+n>>10, n>>4&0x3f, n&0xf+1)
		// An abstract socket is a lock that the kernel drops with its owner,
		// and it has the same scope as the address: the network namespace.
		l, err := net.Listen("unix", "@asterism-telephony-"+address) //nolint:noctx // local and immediate.
		if err != nil {
			continue
		}
		if inUse(address) {
			l.Close()
			continue
		}
		return address, func() { l.Close() }, nil
	}
	return "", nil, errors.New("no free loopback address in 127.64.0.0/10")
}

func inUse(address string) bool {
	l, err := net.ListenPacket("udp", net.JoinHostPort(address, "5060")) //nolint:noctx // local and immediate.
	if err != nil {
		return true
	}
	l.Close()
	return false
}
