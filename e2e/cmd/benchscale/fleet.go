package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"asterism/ari"
	"asterism/ari/aritest"
	"asterism/ari/proxy"
	"asterism/sip"
)

// prompts is a media cache whose prompts are as long as their names say:
// "bench-1500" lasts 1500 milliseconds.
type prompts struct{}

const promptPath = "/bench/"

// Open implements [proxy.Media].
func (prompts) Open(_ context.Context, name string, _ bool, _ string) (proxy.MediaFile, error) {
	_, ms, _ := strings.Cut(name, "-")
	n, err := strconv.ParseInt(ms, 10, 64)
	if err != nil {
		return proxy.MediaFile{}, &proxy.MediaTrouble{Problem: proxy.ProblemNotFound, Message: "no prompt of this bench"}
	}
	return proxy.MediaFile{Path: promptPath + ms, Length: time.Duration(n) * time.Millisecond}, nil
}

// Silence implements [proxy.Media].
func (prompts) Silence(context.Context, time.Duration) (proxy.MediaFile, error) {
	return proxy.MediaFile{}, &proxy.MediaTrouble{Problem: proxy.ProblemNotFound, Message: "no silence in this bench"}
}

// lengthOf is the other side: how long Asterisk plays such a file.
func lengthOf(uri string) (time.Duration, bool) {
	ms, ok := strings.CutPrefix(uri, "sound:"+promptPath)
	n, err := strconv.ParseInt(ms, 10, 64)
	return time.Duration(n) * time.Millisecond, ok && err == nil
}

// call is one call from its caller's view.
type call struct {
	caller *aritest.Caller
	due    time.Time // when its prompt should have ended
}

// node is one Asterisk with its gateway.
type node struct {
	server  *aritest.Server
	gateway *proxy.Gateway
	conn    *proxy.Conn
	over    chan error // of the gateway

	mu    sync.Mutex
	calls map[string]*call // by channel
}

// startNode starts an Asterisk and its gateway.
func (b *bench) startNode(ctx context.Context, n int, log zerolog.Logger) (*node, error) {
	name := fmt.Sprintf("n%d", n)
	server, err := aritest.NewServer(aritest.Options{ //nolint:contextcheck // it lives until it is closed
		Name: name, Offline: !b.o.sockets, Media: lengthOf, RequestLog: -1, HeardLimit: 1,
	})
	if err != nil {
		return nil, err
	}
	out := &node{server: server, over: make(chan error, 1), calls: make(map[string]*call)}
	transport := server.Transport()
	if b.o.sockets {
		transport = ari.NewTransport(ari.TransportOptions{})
	}
	o := server.Options()
	if out.conn, err = proxy.Connect(proxy.ConnOptions{
		URL: b.nats, Name: "gateway " + name, User: string(proxy.RoleGateway), Password: b.gatewayPassword, Log: log,
	}); err != nil {
		return nil, errors.Join(err, server.Close())
	}
	out.gateway, err = proxy.NewGateway(proxy.GatewayOptions{
		Node: name, Boot: 1, Conn: out.conn, Media: prompts{}, Log: log,
		ARI: ari.Options{
			BaseURL: server.URL(), Username: o.User, Password: o.Password,
			Transport: &watch{node: out, inner: transport, bench: b},
		},
	})
	if err != nil {
		out.conn.Close()
		return nil, errors.Join(err, server.Close())
	}
	go func() { out.over <- out.gateway.Run(ctx) }()
	return out, nil
}

// stop ends the node; its gateway's context must have ended.
func (n *node) stop() error {
	err := <-n.over
	n.conn.Close()
	return errors.Join(err, n.server.Close())
}

// watch is a transport that sees how long after the end of a prompt the order
// to hang up arrives: the way of an event to its flow, and of the flow's
// command back.
type watch struct {
	node  *node
	inner http.RoundTripper
	bench *bench
}

// RoundTrip implements [http.RoundTripper].
func (w *watch) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Method == http.MethodDelete {
		now := time.Now()
		id := r.URL.Path[strings.LastIndexByte(r.URL.Path, '/')+1:]
		w.node.mu.Lock()
		c := w.node.calls[id]
		w.node.mu.Unlock()
		if c != nil {
			if heard := c.caller.Heard(); len(heard) == 1 && heard[0].Completed {
				w.bench.tally.returned(now.Sub(heard[0].Until))
			}
		}
	}
	return w.inner.RoundTrip(r)
}

// CloseIdleConnections lets the gateway close what sockets leave behind.
func (w *watch) CloseIdleConnections() {
	if t, ok := w.inner.(*http.Transport); ok {
		t.CloseIdleConnections()
	}
}

// place places a call that hears a prompt of that length.
func (n *node) place(number int, length time.Duration) {
	prompt := "bench-" + strconv.FormatInt(length.Milliseconds(), 10)
	in := sip.Invite{
		Params: []sip.Param{{Name: "Action", Value: "Playback"}, {Name: "Sound", Value: prompt}},
		URI:    "sip:1000@pods.example.net", From: fmt.Sprintf("<sip:+3902%07d@example.net>;tag=%x", number, number),
		To: "<sip:1000@example.net>", Source: "192.0.2.10",
	}
	c := &call{due: time.Now().Add(length)}
	// The channel may not end before it is in the list.
	n.mu.Lock()
	defer n.mu.Unlock()
	c.caller = n.server.Call(aritest.Invite{Args: in.Args(), Number: fmt.Sprintf("+3902%07d", number)})
	id := c.caller.Channel()
	if id == "" { // refused by the dialplan, before there was a channel
		id = "refused-" + strconv.Itoa(number)
	}
	n.calls[id] = c
}

// tally counts calls.
type tally struct {
	mu      sync.Mutex
	good    int            // heard their prompt to its end and were hung up
	failed  map[string]int // by what went wrong
	returns []time.Duration
}

func (t *tally) returned(took time.Duration) {
	t.mu.Lock()
	t.returns = append(t.returns, took)
	t.mu.Unlock()
}

// take returns the times since the last take, sorted.
func (t *tally) take() []time.Duration {
	t.mu.Lock()
	out := t.returns
	t.returns = nil
	t.mu.Unlock()
	slices.Sort(out)
	return out
}

func (t *tally) failures() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := 0
	for _, k := range t.failed {
		n += k
	}
	return n
}

// late is how long after its prompt a call must have ended.
const late = 5 * time.Second

// sweep counts the calls that have ended and returns how many are left.
func (n *node) sweep(t *tally) int {
	n.mu.Lock()
	defer n.mu.Unlock()
	now := time.Now()
	for id, c := range n.calls {
		var verdict string
		select {
		case <-c.caller.Ended():
			verdict = judge(c.caller.State())
		default:
			if now.Sub(c.due) < late {
				continue
			}
			verdict = "had no end"
			c.caller.Hangup()
		}
		delete(n.calls, id)
		t.mu.Lock()
		if verdict == "" {
			t.good++
		} else {
			t.failed[verdict]++
		}
		t.mu.Unlock()
	}
	return len(n.calls)
}

// judge says what went wrong with a call that has ended, "" for nothing.
func judge(s aritest.CallState) string {
	switch {
	case !s.Answered:
		return strings.TrimRight(fmt.Sprintf("refused with %d: %s", s.SIPStatus, s.Reason), ": ")
	case len(s.Heard) == 0:
		return "heard nothing"
	case !s.Heard[0].Completed:
		return "was cut off"
	}
	return ""
}
