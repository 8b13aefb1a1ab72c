package session

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"asterism/apps"
	"asterism/ari"
	"asterism/ari/aritest"
	"asterism/ari/proxy"
)

// fabric is a real gateway, a real worker and a real NATS server over an
// imitated Asterisk.
type fabric struct {
	t        *testing.T
	asterisk *aritest.Server
	nats     *proxy.Server
	gateway  *proxy.Gateway
	worker   *proxy.Worker
	registry *prometheus.Registry

	mu       sync.Mutex
	messages []string     // what went over NATS for calls
	runner   proxy.Runner // of the last call
}

// shelf holds the prompts of a fabric.
type shelf struct {
	mu      sync.Mutex
	prompts map[string]medium
	slow    map[string]time.Duration // how long it takes to fetch a prompt
	any     time.Duration            // the length of those that are not named; 0: there are none
}

const promptLength = 300 * time.Millisecond

func (s *shelf) find(name string) medium {
	s.mu.Lock()
	defer s.mu.Unlock()
	if m, ok := s.prompts[name]; ok {
		return m
	}
	if ms, ok := strings.CutPrefix(name, "silence:"); ok {
		if d, err := time.ParseDuration(ms + "ms"); err == nil {
			return medium{length: d}
		}
	}
	if s.any == 0 {
		return medium{problem: apps.MediaNotFound}
	}
	return medium{length: s.any}
}

// Open implements [proxy.Media].
func (s *shelf) Open(_ context.Context, name string, _ bool, _ string) (proxy.MediaFile, error) {
	time.Sleep(s.slow[name])
	m := s.find(name)
	if m.problem != "" {
		return proxy.MediaFile{}, &proxy.MediaTrouble{Problem: string(m.problem), Message: "says the shelf"}
	}
	return proxy.MediaFile{Path: "/media/" + name, Length: m.length}, nil
}

// Silence implements [proxy.Media].
func (s *shelf) Silence(ctx context.Context, d time.Duration) (proxy.MediaFile, error) {
	return s.Open(ctx, fmt.Sprintf("silence:%d", d.Milliseconds()), true, "")
}

// asterisk tells the imitated Asterisk how long a file is.
func (s *shelf) asterisk(uri string) (time.Duration, bool) {
	m := s.find(nameOf(uri))
	return m.length, m.problem == ""
}

// newFabric starts a platform whose calls run flow. Offline, it has no sockets
// and lives in a synctest bubble.
func newFabric(t *testing.T, flow apps.Flow, media *shelf, offline bool) *fabric {
	t.Helper()
	f := &fabric{t: t, registry: prometheus.NewRegistry()}
	host := "127.0.80.1"
	if offline {
		host = ""
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	var err error
	f.asterisk, err = aritest.NewServer(aritest.Options{
		App: proxy.App, Addr: host + ":0", Media: media.asterisk, Offline: offline,
	})
	must(err)
	t.Cleanup(func() { _ = f.asterisk.Close() })
	f.nats, err = proxy.NewServer(t.Context(), proxy.ServerOptions{
		Host: host, Port: -1, Log: zerolog.Nop(),
		Passwords: map[proxy.Role]string{proxy.RoleGateway: "g", proxy.RoleWorker: "w"},
	})
	must(err)
	t.Cleanup(f.nats.Close)
	f.gateway, err = proxy.NewGateway(proxy.GatewayOptions{
		Node: "n1", Boot: 1, Conn: f.connect(proxy.RoleGateway, "g"), Media: media, Log: zerolog.Nop(),
		ARI: f.ari(offline),
	})
	must(err)
	ctx, cancel := context.WithCancel(context.Background())
	var run sync.WaitGroup
	run.Go(func() { _ = f.gateway.Run(ctx) })
	t.Cleanup(func() { cancel(); run.Wait() })
	pool, err := NewPool(Options{
		Worker: "w1", Log: zerolog.Nop(), Registry: f.registry,
		Parse: func(args []string, _ Channel) (apps.Request, []string, error) {
			return apps.Request{Action: "Test", Sounds: args, Loop: 1}, nil, nil
		},
		Lookup: func(name string) (apps.Action, bool) { return apps.Action{Name: name, Flow: flow}, true },
	})
	must(err)
	t.Cleanup(pool.Close)
	f.worker, err = proxy.NewWorker(f.connect(proxy.RoleWorker, "w"), proxy.WorkerOptions{
		Name: "w1", Capacity: 1000, Log: zerolog.Nop(),
		Open: func(s *proxy.Session, start proxy.Start) proxy.Runner {
			r := pool.Open(s, start)
			f.mu.Lock()
			f.runner = r
			f.mu.Unlock()
			return r
		},
	})
	must(err)
	t.Cleanup(f.worker.Close)
	f.eventually("the node is ready", func() bool { return f.gateway.Ready() == nil })
	// A call that finds no worker is refused; the first heartbeats may still be under way.
	f.eventually("the gateway knows the worker", func() bool {
		c := f.call("warm-up")
		return f.ended(c).SIPStatus != 503
	})
	f.closed()
	return f
}

func (f *fabric) ari(offline bool) ari.Options {
	o := ari.Options{BaseURL: f.asterisk.URL(), Username: f.asterisk.Options().User, Password: f.asterisk.Options().Password}
	if offline {
		o.Transport = f.asterisk.Transport()
	}
	return o
}

func (f *fabric) connect(role proxy.Role, password string) *proxy.Conn {
	f.t.Helper()
	o := proxy.ConnOptions{URL: f.nats.URL(), User: string(role), Password: password, Log: zerolog.Nop()}
	if o.URL == "" {
		o.Server = f.nats
	}
	c, err := proxy.Connect(o)
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(c.Close)
	return c
}

func (f *fabric) eventually(what string, ok func() bool) {
	f.t.Helper()
	for end := time.Now().Add(20 * time.Second); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			f.t.Fatalf("it never happened that %s", what)
		}
	}
}

func (f *fabric) call(sounds ...string) *aritest.Caller {
	return f.asterisk.Call(aritest.Invite{Args: sounds})
}

func (f *fabric) ended(c *aritest.Caller) aritest.CallState {
	f.t.Helper()
	select {
	case <-c.Ended():
	case <-time.After(20 * time.Second):
		f.t.Fatalf("the call never ended: %+v", c.State())
	}
	return c.State()
}

// closed waits until nobody has anything to do with any call.
func (f *fabric) closed() {
	f.t.Helper()
	f.eventually("all is closed", func() bool { return f.gateway.Calls() == 0 && f.worker.Sessions() == 0 })
}

// listen collects the messages that calls cost.
func (f *fabric) listen() {
	f.t.Helper()
	for user, subject := range map[string]string{"worker": "w.>", "gateway": "g.>"} {
		nc, err := nats.Connect(f.nats.URL(), nats.UserInfo(user, user[:1]))
		if err != nil {
			f.t.Fatal(err)
		}
		f.t.Cleanup(nc.Close)
		if _, err := nc.Subscribe(subject, f.message); err != nil {
			f.t.Fatal(err)
		}
		if err := nc.Flush(); err != nil {
			f.t.Fatal(err)
		}
	}
}

// message notes a message unless it is a renewal or the answer to one.
func (f *fabric) message(m *nats.Msg) {
	n, used := binary.Uvarint(m.Data)
	var h struct {
		Kind    string `json:"k"`
		Session string `json:"s"`
		Codes   []int  `json:"c"`
	}
	var whole json.RawMessage
	if used <= 0 || json.Unmarshal(m.Data[used:used+int(n)], &whole) != nil {
		f.t.Errorf("message that is no frame: %q", m.Data)
		return
	}
	_ = json.Unmarshal(whole, &h) // "c" of an acceptance is a command
	if h.Kind == "renew" || (h.Kind == "" && h.Session == "" && len(h.Codes) == 0) {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.messages = append(f.messages, m.Subject[:2]+" "+string(whole))
}

func TestPlaybackCallIsSixMessages(t *testing.T) {
	f := newFabric(t, apps.Playback, &shelf{any: promptLength}, false)
	f.listen()
	st := f.ended(f.call("welcome"))
	f.closed()
	if st.SIPStatus != 200 || len(st.Heard) != 1 || !st.Heard[0].Completed {
		t.Errorf("the caller saw %+v", st)
	}
	var messages []string
	f.eventually("six messages were seen", func() bool {
		f.mu.Lock()
		defer f.mu.Unlock()
		messages = f.messages
		return len(messages) >= 6
	})
	if len(messages) > 6 {
		t.Errorf("%d messages, want 6:\n%v", len(messages), messages)
	}
}

func TestCallsOnTheFabric(t *testing.T) {
	f := newFabric(t, apps.Playback, &shelf{
		any: promptLength, prompts: map[string]medium{"nowhere": {problem: apps.MediaNotFound}},
	}, false)
	if st := f.ended(f.call("welcome", "nowhere")); st.SIPStatus != 404 || st.Answered || len(st.Heard) != 0 {
		t.Errorf("a missing sound: the caller saw %+v", st)
	}
	c := f.call("welcome", "welcome", "welcome", "welcome")
	<-c.Answered()
	c.Hangup()
	f.ended(c)
	f.closed()
	before := counted(t, f.registry, "asterism_flows_total")
	var calls []*aritest.Caller
	for range 50 {
		calls = append(calls, f.call("welcome", "welcome"))
	}
	var taken float64
	for _, c := range calls {
		// A worker that is too slow on a busy machine to take a call is no
		// business of this test: such a call is refused, as it should be.
		switch st := f.ended(c); st.SIPStatus {
		case 200:
			taken++
		case 503:
		default:
			t.Errorf("the caller saw %+v", st)
		}
	}
	f.closed()
	if got := counted(t, f.registry, "asterism_flows_total") - before; taken == 0 || got < taken {
		t.Errorf("%v flows are counted, and %v calls were taken", got, taken)
	}
}

func TestKeyStopsOnTheFabric(t *testing.T) {
	played, errs := make(chan apps.Played, 10), make(chan error, 10)
	f := newFabric(t, func(ctx context.Context, _ apps.Env, call apps.Call, req apps.Request) error {
		if req.Sounds[0] == "warm-up" {
			return nil
		}
		p, err := call.Play(ctx, apps.PlayRule{Sounds: []string{"a", "b", "silence:5000"}, Answer: true, StopOn: "#"})
		played <- p
		errs <- err
		_, err = call.Pause(ctx, time.Minute, "5")
		errs <- err
		return err
	}, &shelf{any: promptLength}, false)
	c := f.call("keys")
	if err := c.Await(t.Context(), func(st aritest.CallState) bool { return len(st.Heard) == 2 }); err != nil {
		t.Fatal(err)
	}
	c.Press("1#")
	if p, err := <-played, <-errs; err != nil || p.Ended != apps.EndedByDigit || p.Digit != "#" || p.Sound != 1 {
		t.Errorf("Play: %+v, %v", p, err)
	}
	c.Hangup()
	if err := <-errs; !errors.Is(err, apps.ErrHangup) {
		t.Errorf("Pause: %v", err)
	}
	f.ended(c)
	f.closed()
}
