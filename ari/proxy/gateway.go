package proxy

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"asterism/ari"
)

// App is the Stasis application, as asterisk-conf/extensions.conf names it.
const App = "asterism"

// drainingVariable is the global variable that the dialplan tests before it
// lets a call in.
const drainingVariable = "ASTERISM_DRAINING"

// ErrReplaced says that another gateway has taken over this node's Asterisk.
var ErrReplaced = errors.New("another program took over the Stasis application " + App + "; two gateways on one Asterisk?")

// tickEvery is the longest time between two ticks of the arbiter.
const tickEvery = 250 * time.Millisecond

// Refusal is why a call is not admitted.
type Refusal struct {
	Status int    // SIP
	Reason string // for the caller's log
	Label  string // for the metric; one of a small set
}

// Inbound is a call at the door.
type Inbound struct {
	Args   []string // of Stasis()
	CallID string   // SIP Call-ID
	Number string   // the caller's, as the channel has it; for Parties only
}

// GatewayOptions configure a [Gateway].
type GatewayOptions struct {
	// Node identifies the gateway, see [CheckName].
	Node string
	// Boot counts its starts, see [NextBoot].
	Boot uint64
	// ARI says how to reach its Asterisk.
	ARI  ari.Options
	Conn *Conn
	// Spool is the directory of the session logs. With none, calls do not
	// survive a restart of the gateway.
	Spool string
	// KeyLog is the file in which Asterisk writes down each key, see
	// asterisk-conf/logger.conf. With none, keys that are pressed while the
	// gateway or its connection to Asterisk is away are lost.
	KeyLog string
	// Media is the node's media cache.
	Media Media
	// Admit looks at a call before a worker does; nil admits all. It must be
	// quick.
	Admit func(Inbound) *Refusal
	// Calls says where call records go.
	Calls CallsOptions
	// Parties names caller and called for the record of a call whose flow
	// could not; nil names nobody. It must leave out who asked for privacy.
	Parties func(Inbound) Parties
	Log     zerolog.Logger
	// OnHang is called when the gateway has done nothing for [HangTime]
	// although its process runs, so that the process can be ended and started
	// anew: its calls survive that, and they do not survive a gateway that does
	// nothing. nil means that nobody looks.
	OnHang func()
	// Registry receives the metrics; nil keeps them private.
	Registry prometheus.Registerer
}

// Gateway is the node's side of the fabric: it connects one Asterisk to NATS
// and decides who runs its calls.
type Gateway struct {
	opts     GatewayOptions
	client   *ari.Client
	requests http.RoundTripper  // carries the requests of sessions
	loopback *loopbackTransport // the same, unless the options brought one
	base     *url.URL
	auth     string
	resolver *resolver
	metrics  *gatewayMetrics
	records  *records // nil when call records go nowhere
	key      string
	subs     []subscription
	logs     *logStore // nil without a spool
	timer    *time.Timer
	alive    atomic.Int64    // when the last tick was done
	work     sync.WaitGroup  // commands and other requests under way
	workCtx  context.Context //nolint:containedctx // its end is the end of all work under way
	stopWork context.CancelFunc

	mu       sync.Mutex
	arbiter  *Arbiter
	calls    map[string]*call
	started  time.Time // when Asterisk was started, as it says
	silent   time.Time // since when nobody listens on Asterisk's address; zero when somebody does
	offers   map[uint64]offer
	offerSeq uint64
	wake     time.Time // when timer fires
	draining bool
	closed   bool
	// awayUntil is a time until which there surely was no connection to Asterisk.
	awayUntil time.Time
	ariErr    error // why ARI is not connected; nil when it is
	cancel    context.CancelCauseFunc
}

// offer is an assignment that waits for its answer.
type offer struct {
	worker string
	at     time.Time
}

// NewGateway returns a gateway; [Gateway.Run] makes it work.
func NewGateway(o GatewayOptions) (*Gateway, error) {
	if err := CheckName(o.Node); err != nil {
		return nil, fmt.Errorf("node name: %w", err)
	}
	g := &Gateway{
		opts:    o,
		key:     fmt.Sprintf("%s.%d", o.Node, o.Boot),
		arbiter: NewArbiter(o.Boot, uint64(time.Now().UnixNano())), //nolint:gosec // a seed
		calls:   make(map[string]*call),
		offers:  make(map[uint64]offer),
		ariErr:  errors.New("not connected to Asterisk yet"),
	}
	g.metrics = newGatewayMetrics(g, o.Registry)
	var err error
	if g.client, err = ari.New(o.ARI); err != nil {
		return nil, fmt.Errorf("node %s: %w", o.Node, err)
	}
	if o.ARI.BaseURL == "" {
		o.ARI.BaseURL = ari.DefaultBaseURL
	}
	if g.base, err = url.Parse(o.ARI.BaseURL); err != nil {
		return nil, fmt.Errorf("node %s: ARI URL: %w", o.Node, err)
	}
	if g.requests = o.ARI.Transport; g.requests == nil {
		if g.base.Scheme != "http" {
			return nil, fmt.Errorf("node %s: ARI URL %s: expected http://, Asterisk is beside its gateway", o.Node, g.base.Redacted())
		}
		port := g.base.Port()
		if port == "" {
			port = "80"
		}
		g.loopback = newLoopbackTransport(net.JoinHostPort(g.base.Hostname(), port))
		g.requests = g.loopback
	}
	if o.ARI.Username != "" {
		r := http.Request{Header: http.Header{}}
		r.SetBasicAuth(o.ARI.Username, o.ARI.Password)
		g.auth = r.Header.Get("Authorization")
	}
	if o.Spool != "" {
		if g.logs, err = openLogStore(o.Spool, o.Log); err != nil {
			return nil, fmt.Errorf("node %s: %w", o.Node, err)
		}
	}
	keeper, err := newRecords(o, g.logs, g.metrics)
	if err != nil {
		return nil, fmt.Errorf("node %s: %w", o.Node, err)
	}
	g.mu.Lock() // metrics are read already
	g.records = keeper
	g.mu.Unlock()
	g.resolver = newResolver(o.Media, g.client)
	g.workCtx, g.stopWork = context.WithCancel(context.Background())
	return g, nil
}

// Run connects to Asterisk and serves its calls until ctx ends, or until
// something happens that a restart by the supervisor is the answer to: an
// Asterisk of the wrong version, or another gateway on the same Asterisk.
// Wrong passwords and an Asterisk that is away are waited out; see
// [Gateway.Ready].
func (g *Gateway) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	g.mu.Lock()
	g.cancel = cancel
	g.timer = time.AfterFunc(tickEvery, g.tick)
	g.wake = time.Now().Add(tickEvery)
	g.awayUntil = keyClock()
	g.mu.Unlock()
	defer g.shutdown()
	// Not linked until NATS has answered: claims are waited for from then on.
	g.handle(MsgLink{Up: false})
	if err := g.restore(); err != nil {
		return err
	}
	if err := g.subscribe(); err != nil {
		return err
	}
	var loops sync.WaitGroup
	defer loops.Wait()
	loops.Go(func() { g.beat(ctx) })
	loops.Go(func() { g.watchLink(ctx) })
	if g.opts.KeyLog != "" {
		loops.Go(func() { g.watchKeyLog(ctx) })
	}
	if g.opts.OnHang != nil {
		loops.Go(func() { g.watch(ctx) })
	}
	if g.records != nil {
		loops.Go(func() { g.records.run(ctx) })
	}
	err := g.client.Listen(ctx, ari.ListenOptions{
		App: App, OnConnect: g.connected, OnDisconnect: g.disconnected, OnEvent: g.event,
		MaxBackoff: time.Second, // Asterisk is near, and what happens meanwhile is not told later
	})
	cancel(err)
	if cause := context.Cause(ctx); errors.Is(cause, errFatal) {
		return cause
	}
	return nil
}

// errFatal marks the errors that end Run.
var errFatal = errors.New("gateway cannot go on")

// fail ends Run with err.
func (g *Gateway) fail(err error) {
	g.cancel(fmt.Errorf("node %s: %w: %w", g.opts.Node, errFatal, err))
}

// shutdown ends everything that Run has started.
func (g *Gateway) shutdown() {
	for _, s := range g.subs {
		_ = s.Unsubscribe()
	}
	g.mu.Lock()
	g.closed = true
	g.timer.Stop()
	g.mu.Unlock()
	g.stopWork()
	g.work.Wait()
	if g.logs != nil {
		if err := g.logs.close(); err != nil {
			g.opts.Log.Warn().Err(err).Msg("session logs were not closed")
		}
	}
	g.metrics.unregister()
	if g.loopback != nil {
		g.loopback.close()
	}
	g.client.Close()
}

func (g *Gateway) subscribe() error {
	for subject, handle := range map[string]nats.MsgHandler{
		"g." + g.key + ".>": g.receive,
		"hb.w.*":            g.workerBeat,
	} {
		sub, err := g.opts.Conn.wire.subscribe(subject, handle)
		if err != nil {
			return fmt.Errorf("node %s: subscribing to %s: %w", g.opts.Node, subject, err)
		}
		g.mu.Lock() // metrics are read already
		g.subs = append(g.subs, sub)
		g.mu.Unlock()
	}
	return nil
}

// Ready returns nil when the node can take calls, else why it cannot.
func (g *Gateway) Ready() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case ari.IsUnauthorized(g.ariErr):
		return fmt.Errorf("asterisk refuses the ARI user or password: %w", g.ariErr)
	case g.ariErr != nil:
		return fmt.Errorf("asterisk: %w", g.ariErr)
	case !g.opts.Conn.Up():
		return errors.New("not connected to NATS")
	case g.draining:
		return errors.New("draining")
	}
	return nil
}

// Calls returns the number of calls and other sessions that have not ended.
func (g *Gateway) Calls() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.arbiter.Len()
}

// Drain makes Asterisk refuse new calls with SIP 503 and waits until those
// that are in progress have ended. The flows of those that are left when ctx
// ends are told, and may say so to their callers; what is left of them after
// [FarewellTime] is hung up. The error says how many calls outlasted ctx.
func (g *Gateway) Drain(ctx context.Context) error {
	g.mu.Lock()
	g.draining = true
	g.mu.Unlock()
	g.heartbeat(false)
	// The dialplan refuses, because it knows which calls must come in all the
	// same: those for a conference room that is here.
	if err := g.setDraining(ctx, true); err != nil {
		g.opts.Log.Warn().Err(err).Msg("Asterisk was not told that the node drains; calls that still come are refused here")
		g.handle(MsgDrain{})
	}
	if !g.awaitNoCalls(ctx) {
		return fmt.Errorf("draining node %s: %d calls were hung up: %w", g.opts.Node, g.endCalls(ctx), context.Cause(ctx))
	}
	return nil
}

const (
	// FarewellTime is how long flows have for a last word when a drain has run
	// out of time.
	FarewellTime = 15 * time.Second
	// endWithin is how long the calls that are then left have to end.
	endWithin = 2 * time.Second
)

// EventDraining is the type of the event, made by the gateway, which tells a
// session that its node goes out of service now.
const EventDraining = "AsterismDraining"

// endCalls tells the flows of all calls that their time is over, hangs up those
// that do not end by themselves, and returns how many they all were.
func (g *Gateway) endCalls(ctx context.Context) int {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), FarewellTime)
	defer cancel()
	count := g.Calls()
	g.handle(MsgAnnounce{Raw: []byte(`{"type":"` + EventDraining + `"}`)})
	if g.awaitNoCalls(ctx) {
		return count
	}
	ctx, cancel = context.WithTimeout(context.WithoutCancel(ctx), endWithin)
	defer cancel()
	g.mu.Lock()
	left := g.arbiter.Sessions()
	g.mu.Unlock()
	var all sync.WaitGroup
	slots := make(chan struct{}, 16)
	for _, session := range left {
		slots <- struct{}{}
		all.Go(func() {
			g.hangup(ctx, session)
			<-slots
		})
	}
	all.Wait()
	g.awaitNoCalls(ctx)
	return count
}

// awaitNoCalls waits until there is no call and no call record that was not
// delivered, and reports false if ctx ends
// before.
func (g *Gateway) awaitNoCalls(ctx context.Context) bool {
	for g.Calls() > 0 || g.records.waiting() > 0 {
		select {
		case <-ctx.Done():
			return false
		case <-time.After(20 * time.Millisecond):
		}
	}
	return true
}

func (g *Gateway) setDraining(ctx context.Context, on bool) error {
	value := "0"
	if on {
		value = "1"
	}
	return g.client.Asterisk().SetVar(ctx, drainingVariable, value)
}

// step lets a message happen and carries out what follows. The lock is held.
func (g *Gateway) step(m Message) {
	if g.closed {
		return
	}
	now := time.Now()
	for _, action := range g.arbiter.Step(now, m) {
		g.carryOut(action)
	}
	if next := g.arbiter.Next(); !next.IsZero() && next.Before(g.wake) {
		g.wake = next
		g.timer.Reset(max(0, next.Sub(now)))
	}
}

// handle is step for callers that do not hold the lock.
func (g *Gateway) handle(m Message) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.step(m)
}

// tick lets time pass.
func (g *Gateway) tick() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		return
	}
	now := time.Now()
	g.alive.Store(now.UnixNano())
	g.wake = now.Add(tickEvery)
	g.timer.Reset(tickEvery)
	for n, o := range g.offers {
		if now.Sub(o.at) > 10*assignTimeout {
			delete(g.offers, n)
		}
	}
	g.step(MsgTick{})
}

// beat sends a heartbeat once a second; the first asks the workers for
// theirs. It also closes the connections that a busier time has left, each of
// which costs Asterisk a thread.
func (g *Gateway) beat(ctx context.Context) {
	t := time.NewTicker(time.Second)
	defer t.Stop()
	g.heartbeat(true)
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-t.C:
			g.heartbeat(false)
			if g.loopback != nil {
				g.loopback.trim(now)
			}
		}
	}
}

func (g *Gateway) heartbeat(hello bool) {
	g.mu.Lock()
	hb := Heartbeat{
		Name: g.opts.Node, Boot: fmt.Sprint(g.opts.Boot), Load: g.arbiter.Len(),
		Draining: g.draining, Formats: LogFormats, Hello: hello,
	}
	g.mu.Unlock()
	data, err := json.Marshal(hb)
	if err == nil {
		err = g.opts.Conn.send("hb.g."+g.opts.Node, "", data)
	}
	if err != nil && g.opts.Conn.Up() {
		g.opts.Log.Warn().Err(err).Msg("heartbeat was not sent")
	}
}

// lookEvery is how often the gateway makes sure that NATS answers.
const lookEvery = 500 * time.Millisecond

// watchLink follows the connection to NATS. A server that is frozen is away
// too: otherwise its silence would be taken for that of the workers, and their
// calls would be ended.
func (g *Gateway) watchLink(ctx context.Context) {
	changes, ignore := g.opts.Conn.wire.statusChanged()
	defer ignore()
	look := time.NewTicker(lookEvery)
	defer look.Stop()
	known := false // whether the arbiter knows of the present state
	for was := false; ; {
		up := g.opts.Conn.answers()
		if !known || up != was {
			g.handle(MsgLink{Up: up})
			if up {
				g.heartbeat(true)
			}
		}
		was, known = up, true
		select {
		case <-ctx.Done():
			return
		case _, ok := <-changes:
			if !ok {
				return
			}
			known = false
		case <-look.C:
		}
	}
}
