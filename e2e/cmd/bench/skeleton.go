package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"asterism/e2e/measure"
	"asterism/e2e/stack"
)

// The sizes of a playback call's six messages, in bytes.
const (
	assignSize = 1900
	acceptSize = 700
	resultSize = 60
	eventSize  = 1500
	finalSize  = 900
)

// skeleton measures the same messages between processes that do nothing else.
// Asterism's own processes are idle meanwhile.
func (b *bench) skeleton(ctx context.Context, s *stack.Stack, rate int) (row, error) {
	calls := rate * int(b.length.Seconds())
	r := row{what: skeletonName, rate: rate, calls: calls}
	self, err := os.Executable()
	if err != nil {
		return r, err
	}
	url, secrets := natsOf(s)
	role := func(name string, args ...string) *exec.Cmd {
		args = append([]string{"skeleton", name, "-url", url, "-password-file", filepath.Join(secrets, "nats-"+name)}, args...)
		cmd := exec.CommandContext(ctx, self, args...) //nolint:gosec // ourselves
		cmd.Stderr = os.Stderr
		return cmd
	}
	worker := role("worker")
	if err := worker.Start(); err != nil {
		return r, err
	}
	defer func() { _ = worker.Process.Kill(); _ = worker.Wait() }()
	natsPid := s.Process("nats-1").Pid()
	gateway := role("gateway", "-rate", strconv.Itoa(rate), "-calls", strconv.Itoa(calls))
	before := measure.CPU(natsPid)
	if err := gateway.Run(); err != nil {
		return r, fmt.Errorf("skeleton: %w", err)
	}
	used := gateway.ProcessState.UserTime() + gateway.ProcessState.SystemTime()
	r.ours = []cpuShare{
		{"gateway", used / time.Duration(calls)},
		{"worker", measure.CPU(worker.Process.Pid) / time.Duration(calls)},
		{"nats", (measure.CPU(natsPid) - before) / time.Duration(calls)},
	}
	fmt.Fprintf(os.Stderr, "%s at %d/s: %s ms CPU a call\n", skeletonName, rate, measure.Ms(r.total()))
	return r, nil
}

// natsOf returns where a stack's NATS listens, and the directory of its
// passwords.
func natsOf(s *stack.Stack) (url, secrets string) {
	dir := filepath.Dir(s.ConfigPath())
	host, _, _ := net.SplitHostPort(strings.TrimPrefix(s.Process("gateway-1").URL(), "http://"))
	return "nats://" + net.JoinHostPort(host, "4222"), filepath.Join(dir, "secrets")
}

// skeletonRole runs one of the two processes.
func skeletonRole(args []string) error {
	flags := flag.NewFlagSet("skeleton", flag.ContinueOnError)
	url := flags.String("url", "", "of NATS")
	passwordFile := flags.String("password-file", "", "of the role")
	rate := flags.Int("rate", 1, "calls a second")
	calls := flags.Int("calls", 1, "calls")
	if err := flags.Parse(args[1:]); err != nil {
		return err
	}
	password, err := os.ReadFile(*passwordFile)
	if err != nil {
		return err
	}
	nc, err := nats.Connect(*url, nats.UserInfo(args[0], strings.TrimSpace(string(password))))
	if err != nil {
		return err
	}
	defer nc.Close()
	if args[0] == "worker" {
		return skeletonWorker(nc)
	}
	return skeletonGateway(nc, *rate, *calls)
}

// skeletonWorker answers for ever: an assignment with an acceptance, an event
// with the last command.
func skeletonWorker(nc *nats.Conn) error {
	accept, final := make([]byte, acceptSize), make([]byte, finalSize)
	_, err := nc.Subscribe("w.skeleton.1.>", func(m *nats.Msg) {
		switch {
		case strings.HasSuffix(m.Subject, ".assign"):
			_ = nc.PublishMsg(&nats.Msg{Subject: m.Reply, Reply: "w.skeleton.1.r.1", Data: accept})
		case strings.HasSuffix(m.Subject, ".events"):
			_ = nc.PublishMsg(&nats.Msg{Subject: "g.skeleton.1.command", Reply: "w.skeleton.1.r.2", Data: final})
		}
	})
	if err != nil {
		return err
	}
	select {}
}

// awaitWorker waits until the worker answers.
func awaitWorker(nc *nats.Conn) error {
	hello, err := nc.SubscribeSync("g.skeleton.1.r.hello")
	if err != nil {
		return err
	}
	defer func() { _ = hello.Unsubscribe() }()
	for range 100 {
		if err := nc.PublishMsg(&nats.Msg{Subject: "w.skeleton.1.assign", Reply: "g.skeleton.1.r.hello"}); err != nil {
			return err
		}
		// Without a subscriber the answer is empty: nobody is there yet.
		if m, err := hello.NextMsg(100 * time.Millisecond); err == nil && len(m.Data) > 0 {
			return nil
		}
	}
	return errors.New("the worker does not answer")
}

// skeletonGateway places calls and ends when the last has ended.
func skeletonGateway(nc *nats.Conn, rate, calls int) error {
	assign, result, event := make([]byte, assignSize), make([]byte, resultSize), make([]byte, eventSize)
	var ended sync.WaitGroup
	ended.Add(calls)
	_, err := nc.Subscribe("g.skeleton.1.>", func(m *nats.Msg) {
		if strings.HasPrefix(m.Subject, "g.skeleton.1.r.hello") {
			return
		}
		_ = nc.Publish(m.Reply, result)
		if strings.HasSuffix(m.Subject, ".command") {
			ended.Done()
			return
		}
		time.AfterFunc(promptLength, func() { _ = nc.Publish("w.skeleton.1.events", event) })
	})
	if err != nil {
		return err
	}
	if err := nc.FlushTimeout(time.Second); err != nil {
		return err
	}
	if err := awaitWorker(nc); err != nil {
		return err
	}
	t := time.NewTicker(time.Second / time.Duration(rate))
	defer t.Stop()
	for range calls {
		<-t.C
		if err := nc.PublishMsg(&nats.Msg{Subject: "w.skeleton.1.assign", Reply: "g.skeleton.1.r.1", Data: assign}); err != nil {
			return err
		}
	}
	done := make(chan struct{})
	go func() { ended.Wait(); close(done) }()
	select {
	case <-done:
		return nil
	case <-time.After(30 * time.Second):
		return errors.New("some calls never ended; was a message lost?")
	}
}
