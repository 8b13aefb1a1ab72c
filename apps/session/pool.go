package session

import (
	"context"
	"errors"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"asterism/apps"
	"asterism/ari/proxy"
)

// Channel is what is known of the caller's channel when the call comes in.
type Channel struct {
	ID           string // Asterisk's id, which is the session's, too
	CallID       string // the Call-ID of the SIP dialog
	CallerName   string
	CallerNumber string
	Called       string // the extension that was dialled; "" when the dialplan has gone on to "s"
}

// Options configure a [Pool].
type Options struct {
	// Parse makes a request of the arguments that the dialplan passed to
	// Stasis. Warnings are about values that were put right or ignored. The
	// error refuses the call by its [apps.VerdictOf]. Required. It is called
	// on the goroutine of the call.
	Parse func(args []string, channel Channel) (req apps.Request, warnings []string, err error)
	// Lookup finds an action; nil means [apps.Lookup].
	Lookup func(name string) (apps.Action, bool)
	// Revision names the present configuration; nil means that there is none.
	// A stage keeps the one that it began with, see [apps.Env].
	Revision func() string
	// Worker is the name of the worker, for metrics and call records.
	Worker string
	Log    zerolog.Logger
	// Registry receives the metrics; nil keeps them private.
	Registry prometheus.Registerer
}

// Pool runs the sessions of one worker.
type Pool struct {
	opts    Options
	metrics *metrics
}

// NewPool returns a pool. It fails when Parse is missing.
func NewPool(o Options) (*Pool, error) {
	if o.Parse == nil {
		return nil, errors.New("session pool: Options.Parse is missing")
	}
	if o.Lookup == nil {
		o.Lookup = apps.Lookup
	}
	if o.Revision == nil {
		o.Revision = func() string { return "" }
	}
	return &Pool{opts: o, metrics: newMetrics(o.Worker, o.Registry)}, nil
}

// Open returns who runs a new session; it is the Open of
// [proxy.WorkerOptions].
func (p *Pool) Open(s *proxy.Session, start proxy.Start) proxy.Runner { return p.open(s, start) }

func (p *Pool) revision() string { return p.opts.Revision() }

// Close takes the metrics back. The worker must have been closed.
func (p *Pool) Close() { p.metrics.unregister() }

// link is what a session needs of its [proxy.Session].
type link interface {
	ID() string
	Node() string
	Accept()
	Do(ctx context.Context, c proxy.Command) (proxy.Result, error)
}

var (
	_ link         = (*proxy.Session)(nil)
	_ proxy.Runner = (*session)(nil)
	_ apps.Call    = (*session)(nil)
)

func (p *Pool) open(l link, start proxy.Start) *session {
	ctx, cancel := context.WithCancelCause(context.Background())
	flow, drain := context.WithCancelCause(ctx)
	s := &session{
		pool: p, link: l, id: l.ID(), start: start.Event, journal: start.Journal, ctx: ctx, cancel: cancel, flow: flow, drain: drain,
		wake: make(chan struct{}, 1), again: start.Again || len(start.Journal) > 0, catching: len(start.Journal) > 0,
	}
	s.keys.all = s.catching
	for _, d := range start.Digits {
		s.keys.add(d.Seq, d.Key, d.At.UnixMilli())
		s.seq = max(s.seq, d.Seq)
	}
	return s
}
