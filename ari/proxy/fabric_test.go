package proxy

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"asterism/ari"
	"asterism/ari/aritest"
)

// fabric is a whole platform in one process: an Asterisk made of Go, a NATS
// server, a gateway and workers.
type fabric struct {
	t        *testing.T
	asterisk *aritest.Server
	nats     *Server
	gateway  *Gateway
	stop     func() // ends the gateway and waits for it
	options  GatewayOptions
	registry *prometheus.Registry
	media    *fakeMedia
}

const testPassword = "secret of the test"

// newFabric starts a platform without workers.
func newFabric(t *testing.T, adjust ...func(*GatewayOptions)) *fabric {
	t.Helper()
	return newFabricOn(t, "", adjust...)
}

// newFabricOn starts a platform whose NATS listens on host, if there is one.
func newFabricOn(t *testing.T, host string, adjust ...func(*GatewayOptions)) *fabric {
	t.Helper()
	f := &fabric{t: t, registry: prometheus.NewRegistry(), media: &fakeMedia{}}
	keyLog := filepath.Join(t.TempDir(), "keys.log")
	var err error
	f.asterisk, err = aritest.NewServer(aritest.Options{
		KeyLog: keyLog, App: App, User: "asterism", Password: testPassword,
		Media: func(string) (time.Duration, bool) { return 200 * time.Millisecond, true },
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.asterisk.Close() })
	f.startNATS(host, -1)
	t.Cleanup(func() { f.nats.Close() })
	o := GatewayOptions{
		KeyLog: keyLog, Node: "node", Boot: 1, Conn: f.connect(RoleGateway, "g"), Media: f.media, Log: zerolog.Nop(), Registry: f.registry,
		ARI: ari.Options{BaseURL: f.asterisk.URL(), Username: "asterism", Password: testPassword},
	}
	for _, a := range adjust {
		a(&o)
	}
	f.options = o
	f.startGateway()
	return f
}

// startGateway starts the gateway, for the first time or anew.
func (f *fabric) startGateway() {
	f.t.Helper()
	var err error
	if f.gateway, err = NewGateway(f.options); err != nil {
		f.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var run sync.WaitGroup
	run.Go(func() { _ = f.gateway.Run(ctx) })
	f.stop = func() { cancel(); run.Wait() }
	f.t.Cleanup(f.stop)
}

// startNATS starts the platform's NATS server.
func (f *fabric) startNATS(host string, port int) {
	f.t.Helper()
	var err error
	f.nats, err = NewServer(f.t.Context(), ServerOptions{
		Host: host, Port: port, Log: zerolog.Nop(),
		Passwords: map[Role]string{RoleGateway: "g", RoleWorker: "w", RoleReader: "r"},
	})
	if err != nil {
		f.t.Fatal(err)
	}
}

// connect connects to the platform's NATS.
func (f *fabric) connect(role Role, password string) *Conn {
	f.t.Helper()
	o := ConnOptions{Server: f.nats, User: string(role), Password: password, Log: zerolog.Nop()}
	if url := f.nats.URL(); url != "" {
		o.Server, o.URL = nil, url
	}
	c, err := Connect(o)
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(c.Close)
	return c
}

// worker starts a worker that runs flow for each call.
func (f *fabric) worker(name string, flow func(ctx context.Context, r *testRunner)) *Worker {
	f.t.Helper()
	w, err := NewWorker(f.connect(RoleWorker, "w"), WorkerOptions{
		Name: name, Capacity: 100, Log: zerolog.Nop(),
		Open: func(s *Session, start Start) Runner {
			return &testRunner{Session: s, start: start, flow: flow, events: make(chan []byte, 100), lost: make(chan struct{}, 10)}
		},
	})
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(w.Close)
	f.eventually("the gateway knows the worker", func() bool {
		f.gateway.mu.Lock()
		defer f.gateway.mu.Unlock()
		return f.gateway.arbiter.workers[w.key] != nil && f.gateway.ariErr == nil
	})
	return w
}

func (f *fabric) eventually(what string, ok func() bool) {
	f.t.Helper()
	for end := time.Now().Add(10 * time.Second); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			f.t.Fatalf("it never happened that %s", what)
		}
	}
}

// call places a call and waits until it is over.
func (f *fabric) call(args ...string) *aritest.Caller {
	return f.asterisk.Call(aritest.Invite{Args: args, Number: "100"})
}

func (f *fabric) ended(c *aritest.Caller) aritest.CallState {
	f.t.Helper()
	select {
	case <-c.Ended():
	case <-time.After(10 * time.Second):
		f.t.Fatalf("the call never ended: %+v", c.State())
	}
	return c.State()
}

// metric returns the value of a counter or gauge.
func (f *fabric) metric(name string) float64 {
	f.t.Helper()
	families, err := f.registry.Gather()
	if err != nil {
		f.t.Fatal(err)
	}
	var sum float64
	for _, fam := range families {
		if fam.GetName() == name {
			for _, m := range fam.GetMetric() {
				sum += m.GetCounter().GetValue() + m.GetGauge().GetValue()
			}
		}
	}
	return sum
}

// testRunner is a session whose flow is a function of the test.
type testRunner struct {
	*Session
	start  Start
	flow   func(ctx context.Context, r *testRunner)
	events chan []byte
	lost   chan struct{}
}

func (r *testRunner) Run(ctx context.Context)           { r.flow(ctx, r) }
func (r *testRunner) Event(_ uint64, raw []byte)        { r.events <- raw }
func (r *testRunner) Lost()                             { r.lost <- struct{}{} }
func (r *testRunner) Pending() ([][]byte, bool, uint64) { return nil, false, 0 }

// await returns the next event of a type.
func (r *testRunner) await(ctx context.Context, typ string) error {
	for {
		select {
		case raw := <-r.events:
			if h, err := ari.Peek(raw); err == nil && h.Type == typ {
				return nil
			}
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// end is the last command of a flow.
func (r *testRunner) end(ctx context.Context, steps ...Step) error {
	_, err := r.Do(ctx, Command{ID: "end", Steps: steps, Final: true, Outcome: []byte(`{"result":"ok"}`)})
	return err
}

func (r *testRunner) hangup() Step {
	return ARI(http.MethodDelete, "/channels/"+url.PathEscape(r.ID()), nil)
}

// playback is the flow of a playback call in three commands.
func playback(sounds ...string) func(context.Context, *testRunner) {
	return func(ctx context.Context, r *testRunner) {
		args := MediaArgs{ID: r.ID() + "~1", Sounds: sounds}
		res, err := r.Do(ctx, Command{ID: "0.play.1", Steps: []Step{
			Resolve(args), ARI(http.MethodPost, "/channels/"+url.PathEscape(r.ID())+"/answer", nil), Play(args),
		}})
		if err != nil {
			return
		}
		if err := res.Err(3); err != nil {
			_ = r.end(ctx, RefuseCall(RefuseArgs{Status: 404, Reason: "no such sound"}))
			return
		}
		if r.await(ctx, "PlaybackFinished") == nil {
			_ = r.end(ctx, r.hangup())
		}
	}
}

// fakeMedia has every prompt but those named "missing" and "down".
type fakeMedia struct {
	slow time.Duration
}

func (m *fakeMedia) Open(ctx context.Context, name string, _ bool, _ string) (MediaFile, error) {
	select {
	case <-time.After(m.slow):
	case <-ctx.Done():
		return MediaFile{}, ctx.Err()
	}
	switch name {
	case "missing":
		return MediaFile{}, &MediaTrouble{Problem: ProblemNotFound, Message: "media/missing.wav"}
	case "down":
		return MediaFile{}, errors.New("connection refused")
	}
	return MediaFile{Path: "/cache/" + name, Length: time.Second}, nil
}

func (m *fakeMedia) Silence(_ context.Context, d time.Duration) (MediaFile, error) {
	return MediaFile{Path: fmt.Sprintf("/cache/silence-%d", d.Milliseconds()), Length: d}, nil
}

func TestPlaybackCall(t *testing.T) {
	f := newFabric(t)
	f.worker("one", playback("welcome"))
	c := f.call("1", "", "Action=Playback", "end")
	s := f.ended(c)
	if s.SIPStatus != 200 || len(s.Heard) != 1 || s.Heard[0].Media != "sound:/cache/welcome" || !s.Heard[0].Completed {
		t.Fatalf("%+v", s)
	}
	f.eventually("all is closed", func() bool { return f.gateway.Calls() == 0 })
	if n := f.metric("asterism_calls_accepted_total"); n != 1 {
		t.Errorf("%v calls accepted", n)
	}
}

func TestPlaybackCallIsSixMessages(t *testing.T) {
	f := newFabric(t)
	w := f.worker("one", playback("welcome"))
	var onWire int
	sub, err := natsOf(f.connect(RoleWorker, "w")).SubscribeSync("w.>")
	if err != nil {
		t.Fatal(err)
	}
	f.ended(f.call("1", "", "Action=Playback", "end"))
	f.eventually("all is closed", func() bool { return f.gateway.Calls() == 0 && w.Sessions() == 0 })
	for {
		m, err := sub.NextMsg(50 * time.Millisecond)
		if err != nil {
			break
		}
		var h resultHeader
		if _, err := decodeFrame(m.Data, &h); err == nil && len(h.Codes) == 0 && h.Stale == nil && len(m.Data) < 20 {
			continue // the answer to a renewal
		}
		onWire++
	}
	// assign, result, event, result; the acceptance and the last command go the other way.
	if onWire > 4 {
		t.Errorf("%d messages to the worker, expected 4", onWire)
	}
}

func TestMissingSoundIsRefused(t *testing.T) {
	f := newFabric(t)
	f.worker("one", playback("missing"))
	s := f.ended(f.call("1", "", "Action=Playback", "end"))
	if s.SIPStatus != 404 || s.Answered {
		t.Fatalf("%+v", s)
	}
	f.eventually("all is closed", func() bool { return f.gateway.Calls() == 0 })
}

func TestNoWorkerIs503(t *testing.T) {
	f := newFabric(t)
	f.eventually("Asterisk is connected", func() bool { return f.gateway.Ready() == nil })
	start := time.Now()
	s := f.ended(f.call("1", "", "end"))
	if s.SIPStatus != 503 {
		t.Fatalf("%+v", s)
	}
	t.Logf("refused after %v", time.Since(start))
	f.eventually("all is closed", func() bool { return f.gateway.Calls() == 0 })
}

func TestCallIsShownAsRingingWhenTheFlowThinks(t *testing.T) {
	f := newFabric(t)
	think := make(chan struct{})
	f.worker("one", func(ctx context.Context, r *testRunner) {
		<-think
		_ = r.end(ctx, r.hangup())
	})
	c := f.call("1", "", "end")
	if err := c.Await(t.Context(), func(s aritest.CallState) bool { return slices.Contains(s.Provisional, 180) }); err != nil {
		t.Fatal(err)
	}
	close(think)
	f.ended(c)
}

func TestCallIsShownAsRingingWhileMediaIsFetched(t *testing.T) {
	f := newFabric(t)
	f.media.slow = 300 * time.Millisecond
	f.worker("one", playback("welcome"))
	c := f.call("1", "", "end")
	if err := c.Await(t.Context(), func(s aritest.CallState) bool { return slices.Contains(s.Provisional, 180) && !s.Answered }); err != nil {
		t.Fatal(err)
	}
	if s := f.ended(c); s.SIPStatus != 200 {
		t.Fatalf("%+v", s)
	}
}

func TestCommandsOfOthersAreRefused(t *testing.T) {
	f := newFabric(t)
	codes := make(chan int, 10)
	var other *aritest.Caller
	f.worker("one", func(ctx context.Context, r *testRunner) {
		for i, step := range []Step{
			ARI("GET", "/asterisk/info", nil),
			ARI("DELETE", "/channels/"+other.Channel(), nil),
			{Name: StepPlay, Body: []byte(`{"id":"` + other.Channel() + `~1","sounds":["x"]}`)},
			{Name: "shutdown"},
		} {
			res, err := r.Do(ctx, Command{ID: fmt.Sprint(i), Steps: []Step{step}})
			if err != nil || len(res.Steps) != 1 {
				t.Errorf("%+v: %v %v", step, res, err)
				break
			}
			codes <- res.Steps[0].Code
		}
		close(codes)
		_ = r.end(ctx, r.hangup())
	})
	other = f.asterisk.Call(aritest.Invite{App: "other"})
	f.ended(f.call("1", "", "end"))
	var got []int
	for c := range codes {
		got = append(got, c)
	}
	if fmt.Sprint(got) != "[403 403 403 501]" {
		t.Errorf("answers %v", got)
	}
}

func TestARIClientOverTheFabric(t *testing.T) {
	f := newFabric(t)
	f.worker("one", func(ctx context.Context, r *testRunner) {
		client, err := ari.New(ari.Options{Transport: r.Session})
		if err != nil {
			t.Error(err)
			return
		}
		if ch, err := client.Channels().Get(ctx, r.ID()); err != nil || ch.ID != r.ID() {
			t.Errorf("channel %+v: %v", ch, err)
		}
		if _, err := client.Playbacks().Get(ctx, r.ID()+"~7"); !ari.IsNotFound(err) {
			t.Errorf("unknown playback: %v", err)
		}
		_ = r.end(ctx, r.hangup())
	})
	f.ended(f.call("1", "", "end"))
	f.eventually("all is closed", func() bool { return f.gateway.Calls() == 0 })
}

func TestSecondWorkerTakesOverNewCalls(t *testing.T) {
	f := newFabric(t)
	w := f.worker("one", playback("a"))
	f.worker("two", playback("b"))
	w.Close()
	for range 10 {
		if s := f.ended(f.call("1", "", "end")); s.SIPStatus != 200 || s.Heard[0].Media != "sound:/cache/b" {
			t.Fatalf("%+v", s)
		}
	}
}

func TestAdmission(t *testing.T) {
	f := newFabric(t, func(o *GatewayOptions) {
		o.Admit = func(in Inbound) *Refusal {
			if len(in.Args) == 0 || in.Args[len(in.Args)-1] != "end" {
				return &Refusal{Status: 400, Reason: "the parameters were cut", Label: "cut"}
			}
			return nil
		}
	})
	f.worker("one", playback("welcome"))
	if s := f.ended(f.call("1", "", "cu")); s.SIPStatus != 400 {
		t.Fatalf("%+v", s)
	}
	if s := f.ended(f.call("1", "", "end")); s.SIPStatus != 200 {
		t.Fatalf("%+v", s)
	}
	if n := f.metric("asterism_calls_refused_total"); n != 1 {
		t.Errorf("%v calls refused", n)
	}
}

func TestDrainWaitsForCallsAndRefusesNewOnes(t *testing.T) {
	f := newFabric(t)
	hold := make(chan struct{})
	f.worker("one", func(ctx context.Context, r *testRunner) {
		select {
		case <-hold:
			_ = r.end(ctx, r.hangup())
		case <-ctx.Done():
		}
	})
	c := f.call("1", "", "end")
	f.eventually("the call runs", func() bool { return f.gateway.Calls() == 1 })
	drained := make(chan error, 1)
	go func() { drained <- f.gateway.Drain(context.Background()) }()
	f.eventually("the node drains", func() bool {
		v, err := f.gateway.client.Asterisk().GetVar(t.Context(), drainingVariable)
		return err == nil && v == "1" && f.gateway.Ready() != nil
	})
	if s := f.ended(f.call("1", "", "end")); s.SIPStatus != 503 {
		t.Fatalf("new call: %+v", s)
	}
	select {
	case err := <-drained:
		t.Fatalf("drained with a call in progress: %v", err)
	default:
	}
	pinned := f.asterisk.Call(aritest.Invite{Args: []string{"1", "", "end"}, Pinned: true})
	f.eventually("the call for a room on this node is in", func() bool { return f.gateway.Calls() == 2 })
	close(hold)
	f.ended(c)
	f.ended(pinned)
	if err := <-drained; err != nil {
		t.Fatal(err)
	}
}

func TestCallsGoOnWhileTheWebsocketIsAway(t *testing.T) {
	f := newFabric(t)
	f.worker("one", func(ctx context.Context, r *testRunner) {
		select {
		case <-r.lost:
		case <-ctx.Done():
			return
		}
		_ = r.end(ctx, r.hangup())
	})
	stays, leaves := f.call("1", "", "end"), f.call("1", "", "end")
	f.eventually("both run", func() bool { return f.metric("asterism_calls_accepted_total") == 2 })
	f.asterisk.Faults().DropSockets(1)
	leaves.Hangup()
	f.ended(stays)
	f.eventually("all is closed", func() bool { return f.gateway.Calls() == 0 })
}

func TestWrongPasswordIsSaidAndWaitedOut(t *testing.T) {
	f := newFabric(t, func(o *GatewayOptions) { o.ARI.Password = "wrong" })
	f.eventually("readiness says why", func() bool { return ari.IsUnauthorized(f.gateway.Ready()) })
}

func TestWrongVersionEndsTheGateway(t *testing.T) {
	old, err := aritest.NewServer(aritest.Options{User: "asterism", Password: testPassword, Version: "20.9.3"})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = old.Close() }()
	f := newFabric(t)
	g, err := NewGateway(GatewayOptions{
		Node: "old", Boot: 1, Conn: f.connect(RoleGateway, "g"), Media: f.media, Log: zerolog.Nop(),
		ARI: ari.Options{BaseURL: old.URL(), Username: "asterism", Password: testPassword},
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := g.Run(t.Context()); !errors.Is(err, ari.ErrUnsupportedVersion) {
		t.Fatalf("Run returned %v", err)
	}
}

func TestSecondGatewayOnOneAsteriskEndsTheFirst(t *testing.T) {
	f := newFabric(t)
	f.eventually("the first is there", func() bool { return f.gateway.Ready() == nil })
	g, err := NewGateway(GatewayOptions{
		Node: "second", Boot: 1, Conn: f.connect(RoleGateway, "g"), Media: f.media, Log: zerolog.Nop(), ARI: f.gateway.opts.ARI,
	})
	if err != nil {
		t.Fatal(err)
	}
	first := make(chan error, 1)
	go func() { first <- g.Run(context.Background()) }()
	f.eventually("the second is there", func() bool { return g.Ready() == nil })
	again, err := NewGateway(GatewayOptions{
		Node: "third", Boot: 1, Conn: f.connect(RoleGateway, "g"), Media: f.media, Log: zerolog.Nop(), ARI: f.gateway.opts.ARI,
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	third := make(chan error, 1)
	go func() { third <- again.Run(ctx) }()
	if err := <-first; !errors.Is(err, ErrReplaced) {
		t.Fatalf("the second gateway ended with %v", err)
	}
	cancel()
	<-third
}

func TestRolesMayDoTheirPartOnly(t *testing.T) {
	f := newFabric(t)
	for _, role := range Roles() {
		pub, sub := role.Permissions(CallsStream)
		if len(pub) == 0 || len(sub) == 0 {
			t.Fatalf("%s has no permissions", role)
		}
	}
	c := f.connect(RoleWorker, "w")
	if _, err := natsOf(c).SubscribeSync("g.>"); err != nil {
		t.Fatal(err)
	}
	f.eventually("the server refuses a worker that listens to commands", func() bool { return natsOf(c).LastError() != nil })
	bad, err := Connect(ConnOptions{Server: f.nats, User: "worker", Password: "guess", Log: zerolog.Nop()})
	if err != nil {
		t.Fatal(err)
	}
	defer bad.Close()
	time.Sleep(50 * time.Millisecond)
	if bad.Up() {
		t.Fatal("connected with a wrong password")
	}
}
