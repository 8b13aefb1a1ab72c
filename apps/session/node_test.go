package session

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"asterism/apps"
	"asterism/ari"
	"asterism/ari/aritest"
	"asterism/ari/proxy"
)

// node is a node in memory: an imitated Asterisk, and a gateway that does
// the steps of commands on it at once. It works in virtual time.
type node struct {
	t    *testing.T
	srv  *aritest.Server
	pool *Pool
	log  bytes.Buffer

	registry *prometheus.Registry
	runs     sync.WaitGroup

	stages  []apps.Stage // of the action
	journal [][]byte     // that calls come with

	mu       sync.Mutex
	media    map[string]medium
	sessions map[string]*session
	calls    map[string]*kept
	points   int                             // where a worker could have died
	fate     func(point int, at string) fate // whether it does
	deaths   []string
	died     func(released bool) // is told of each death
	commands []proxy.Command
	accepts  int
	deaf     func(h ari.Header) bool // events that get lost
	before   func(c proxy.Command) error
	plays    func(uri string) (time.Duration, bool) // what Asterisk really plays; nil: what is declared
	context  context.Context                        //nolint:containedctx // of the sessions, which a test may end
}

type medium struct {
	length  time.Duration
	problem apps.MediaProblem
	unknown bool // its length is not told
}

// newNode starts a node whose calls run flow, as the action "Test".
func newNode(t *testing.T, flow apps.Flow) *node {
	t.Helper()
	n := &node{t: t, context: context.Background(), registry: prometheus.NewPedanticRegistry(), media: make(map[string]medium), sessions: make(map[string]*session), calls: make(map[string]*kept)}
	srv, err := aritest.NewServer(aritest.Options{Offline: true, Media: n.reallyPlays})
	if err != nil {
		t.Fatal(err)
	}
	n.srv = srv
	n.pool, err = NewPool(Options{
		Worker: "w1", Log: zerolog.New(zerolog.SyncWriter(&n.log)), Registry: n.registry,
		Parse: func(args []string, ch Channel) (apps.Request, []string, error) {
			return apps.Request{Action: "Test", Sounds: args, Called: ch.Called, Caller: apps.Party{Number: ch.CallerNumber}}, nil, nil
		},
		Lookup: func(name string) (apps.Action, bool) {
			return apps.Action{Name: name, Flow: flow, Stages: n.stages}, name == "Test"
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	stop := srv.Subscribe(proxy.App, n.event)
	t.Cleanup(func() {
		stop()
		n.mu.Lock()
		for _, s := range n.sessions {
			s.cancel(apps.ErrHangup)
		}
		n.mu.Unlock()
		n.runs.Wait()
		_ = srv.Close()
	})
	return n
}

// reallyPlays is called by the server, with its lock held.
func (n *node) reallyPlays(uri string) (time.Duration, bool) {
	if n.plays != nil {
		return n.plays(uri)
	}
	return n.lengthOf(uri)
}

func (n *node) lengthOf(uri string) (time.Duration, bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	name := nameOf(uri)
	if m, ok := n.media[name]; ok {
		return m.length, m.problem == ""
	}
	if ms, ok := strings.CutPrefix(name, "silence:"); ok {
		l, err := strconv.Atoi(ms)
		return time.Duration(l) * time.Millisecond, err == nil
	}
	return 0, false
}

const mediaDir = "sound:/media/"

func nameOf(uri string) string { return strings.TrimPrefix(uri, mediaDir) }

// event routes an event as a gateway and a worker do.
func (n *node) event(raw []byte) {
	h, err := ari.Peek(raw)
	if err != nil {
		n.t.Errorf("event %s: %v", raw, err)
		return
	}
	id := h.ChannelID
	if h.PlaybackID != "" {
		id = proxy.SessionOf(h.PlaybackID)
	}
	n.mu.Lock()
	deaf := n.deaf != nil && n.deaf(h)
	n.mu.Unlock()
	switch {
	case deaf:
	case h.Type == "StasisStart":
		n.start(id, raw)
	default:
		n.deliver(id, h, raw)
	}
}

// call places a call and waits until its flow waits for something.
func (n *node) call(inv aritest.Invite) *aritest.Caller {
	c := n.srv.Call(inv)
	synctest.Wait()
	return c
}

// sent returns the commands in short: the ids and the steps.
func (n *node) sent() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.short()
}

// short is sent with the lock held.
func (n *node) short() []string {
	var out []string
	for _, c := range n.commands {
		line := c.ID
		for _, s := range c.Steps {
			line += " " + stepName(s)
		}
		out = append(out, line)
	}
	return out
}

func stepName(s proxy.Step) string {
	if s.Name != "" {
		return s.Name
	}
	path, query, _ := strings.Cut(s.Path, "?")
	parts := strings.Split(path, "/")
	name := s.Method + " " + parts[1]
	if len(parts) > 3 {
		name += "/" + parts[3]
	}
	if query != "" {
		name += "?" + query
	}
	return name
}

// outcome decodes the outcome of the last command.
func (n *node) outcome() outcome {
	n.t.Helper()
	n.mu.Lock()
	defer n.mu.Unlock()
	var o outcome
	last := n.commands[len(n.commands)-1]
	if err := json.Unmarshal(last.Outcome, &o); err != nil || !last.Final {
		n.t.Fatalf("last command %+v: outcome %s: %v", last, last.Outcome, err)
	}
	return o
}

func (l *memoryLink) do(ctx context.Context, step proxy.Step) proxy.StepResult {
	switch step.Name {
	case proxy.StepResolve, proxy.StepPlay:
		var args proxy.MediaArgs
		if err := json.Unmarshal(step.Body, &args); err != nil {
			l.node.t.Errorf("step %s: %v", step.Name, err)
		}
		return l.play(ctx, args, step.Name == proxy.StepPlay)
	case proxy.StepRefuse:
		var args proxy.RefuseArgs
		if err := json.Unmarshal(step.Body, &args); err != nil {
			l.node.t.Errorf("step %s: %v", step.Name, err)
		}
		return l.ari(ctx, "POST", fmt.Sprintf("/channels/%s/continue?context=refuse&extension=%d&priority=1", l.id, args.Status), nil)
	}
	return l.ari(ctx, step.Method, step.Path, step.Body)
}

func (l *memoryLink) play(ctx context.Context, args proxy.MediaArgs, play bool) proxy.StepResult {
	var answer proxy.MediaAnswer
	request := map[string]any{"skipms": args.SkipMs}
	var uris []string
	for _, sound := range args.Sounds {
		l.node.mu.Lock()
		m, ok := l.node.media[sound]
		l.node.mu.Unlock()
		if ms, silent := strings.CutPrefix(sound, "silence:"); silent && !ok {
			n, err := strconv.Atoi(ms)
			m, ok = medium{length: time.Duration(n) * time.Millisecond}, err == nil
		}
		if !ok {
			m.problem = apps.MediaNotFound
		}
		if m.problem != "" {
			body, _ := json.Marshal(proxy.MediaTrouble{Sound: sound, Problem: string(m.problem), Message: "no"})
			return proxy.StepResult{Code: 404, Body: body}
		}
		if m.unknown {
			m.length = -time.Millisecond
		}
		answer.Ms = append(answer.Ms, m.length.Milliseconds())
		uris = append(uris, mediaDir+sound)
	}
	body, _ := json.Marshal(answer)
	if !play {
		return proxy.StepResult{Code: 200, Body: body}
	}
	request["media"] = uris
	raw, _ := json.Marshal(request)
	r := l.ari(ctx, "POST", "/channels/"+l.id+"/play/"+args.ID, raw)
	if r.OK() {
		r.Body = body
	}
	return r
}

func (l *memoryLink) ari(ctx context.Context, method, path string, body []byte) proxy.StepResult {
	srv := l.node.srv
	req, err := http.NewRequestWithContext(ctx, method, srv.URL()+path, bytes.NewReader(body))
	if err != nil {
		l.node.t.Errorf("%s %s: %v", method, path, err)
		return proxy.StepResult{Code: 500}
	}
	req.SetBasicAuth(srv.Options().User, srv.Options().Password)
	resp, err := srv.Transport().RoundTrip(req)
	if err != nil {
		return proxy.StepResult{Code: 500}
	}
	defer func() { _ = resp.Body.Close() }()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		l.node.t.Errorf("%s %s: %v", method, path, err)
	}
	return proxy.StepResult{Code: resp.StatusCode, Body: answer}
}

// phone is the caller's end of a call, as calltest wants it.
type phone struct {
	n      *node
	caller *aritest.Caller
	ctx    context.Context //nolint:containedctx // the call's, to be handed out
	call   apps.Call
}

func (p *phone) Call() apps.Call          { return p.call }
func (p *phone) Context() context.Context { return p.ctx }
func (p *phone) Press(key string)         { p.caller.Press(key) }
func (p *phone) Hangup()                  { p.caller.Hangup() }
func (p *phone) Drain()                   { p.n.drain(p.caller.Channel()) }
func (p *phone) Answered() bool           { return p.caller.State().Answered }

func (p *phone) Media(sound string, length time.Duration, problem apps.MediaProblem) {
	p.n.mu.Lock()
	defer p.n.mu.Unlock()
	p.n.media[sound] = medium{length: length, problem: problem}
}

func (p *phone) Heard() []string {
	var out []string
	for _, h := range p.caller.Heard() {
		if h.Until.IsZero() || h.Until.After(h.From) {
			out = append(out, nameOf(h.Media))
		}
	}
	return slices.Clip(out)
}

// handed is a call that its flow has handed to the test.
type handed struct {
	ctx  context.Context //nolint:containedctx // handed from the flow to the test
	call apps.Call
}

// handOver returns a flow that hands its call to the test and waits until the
// test lets it go. The call belongs to the test meanwhile.
func handOver() (flow apps.Flow, hand <-chan handed, release func()) {
	over, done := make(chan handed), make(chan struct{})
	return func(ctx context.Context, _ apps.Env, call apps.Call, _ apps.Request) error {
		over <- handed{ctx, call}
		<-done
		return nil
	}, over, func() { close(done) }
}

// newPhone places a call that the test has in its hand.
func newPhone(t *testing.T) *phone {
	t.Helper()
	flow, hand, release := handOver()
	n := newNode(t, flow)
	t.Cleanup(release)
	p := &phone{n: n, caller: n.srv.Call(aritest.Invite{})}
	h := <-hand
	p.ctx, p.call = h.ctx, h.call
	return p
}
