package proxy

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// acceptWithin is when a session is accepted without a command, so that
	// a flow that thinks before it acts is not taken for dead.
	acceptWithin = 50 * time.Millisecond
	// resendAfter is when a command without an answer is sent once more.
	resendAfter = 2 * time.Second
	// Patience is how long [Session.Do] tries to reach the gateway when its
	// context sets no earlier end: longer than an interruption of NATS that
	// calls are to survive.
	Patience = 60 * time.Second
)

// Session is the worker's side of one session: it carries commands to the
// gateway that owns the call.
type Session struct {
	w      *Worker
	id     string
	at     atomic.Pointer[place]
	runner Runner
	ctx    context.Context //nolint:containedctx // the session is what this context is the life of
	cancel context.CancelCauseFunc

	accept   sync.Mutex // guards acceptTo
	acceptTo string     // where the acceptance goes; "" once it was sent
	late     *time.Timer

	seq      atomic.Uint64 // the last event taken in
	released atomic.Bool   // the worker gives it back
	resync   atomic.Bool   // a resync is under way
	requests atomic.Uint64 // numbers the requests of RoundTrip
}

// place is where a session is owned from: a life of its node, and the token of
// the assignment there.
type place struct {
	token Token
	node  *nodeLink
	left  chan struct{} // closed when the session has another place
}

// newSession returns the session of an assignment. The worker's lock is held.
func (w *Worker) newSession(h assignHeader, replyTo string) *Session {
	ctx, cancel := context.WithCancelCause(context.Background())
	s := &Session{w: w, id: h.Session, ctx: ctx, cancel: cancel, acceptTo: replyTo}
	w.settle(s, h.Node, h.Token)
	s.seq.Store(h.First - 1)
	return s
}

// settle gives a session its place. The worker's lock is held.
func (w *Worker) settle(s *Session, node string, token Token) {
	n := w.nodes[node]
	if n == nil {
		n = newNodeLink(node)
		w.nodes[node] = n
	}
	n.join(s)
	old := s.at.Swap(&place{token: token, node: n, left: make(chan struct{})})
	if old != nil {
		w.leave(s, old.node)
		close(old.left)
	}
}

// leave takes a session off a node. The worker's lock is held.
func (w *Worker) leave(s *Session, n *nodeLink) {
	if n.leave(s); len(n.sessions) == 0 {
		delete(w.nodes, n.key)
	}
}

// open starts running the session.
func (s *Session) open(start Start, more [][]byte) {
	s.runner = s.w.opts.Open(s, start)
	s.late = time.AfterFunc(acceptWithin, s.Accept)
	for _, raw := range more {
		s.runner.Event(s.seq.Add(1), raw)
	}
	go func() {
		defer s.w.remove(s)
		defer s.cancel(ErrMoved)
		defer s.late.Stop()
		s.runner.Run(s.ctx)
		if s.released.Load() {
			s.release(s.runner.Pending())
		}
	}()
}

// ID returns the session's id: of a call, the id of its channel. Ids that the
// session chooses, of playbacks for instance, must start with it and "~".
func (s *Session) ID() string { return s.id }

// Node returns the name of the session's node.
func (s *Session) Node() string {
	name, _, _ := strings.Cut(s.at.Load().node.key, ".")
	return name
}

// take takes in numbered events, and asks again for what is missing.
func (s *Session) take(h eventsHeader, parts [][]byte) {
	next := s.seq.Load() + 1
	switch {
	case h.Lost:
		// Of what is sent again, some may have arrived before.
		for _, d := range digitsOf(h.Digits) {
			if d.Seq >= next {
				s.runner.Event(d.Seq, digitEvent(s.id, d))
			}
		}
		s.seq.Store(max(next, h.First) - 1)
		s.runner.Lost()
		next = max(next, h.First)
	case h.First > next:
		s.askAgain()
		return
	}
	for i, raw := range parts {
		if n := h.First + uint64(i); n >= next {
			s.seq.Store(n)
			s.runner.Event(n, raw)
		}
	}
}

// askAgain asks the gateway for the events after the last one taken in.
func (s *Session) askAgain() {
	if !s.resync.CompareAndSwap(false, true) {
		return
	}
	s.w.metrics.resyncs.Inc()
	s.w.runs.Go(func() {
		defer s.resync.Store(false)
		subject, n, ch := s.w.request()
		defer s.w.giveUp(n)
		at := s.at.Load()
		h := resyncHeader{Session: s.id, Token: at.token, Seq: s.seq.Load()}
		if s.w.conn.publish(at.node.subject(kindResync), subject, h) != nil {
			return // a renewal or the next event will find the gap again
		}
		select {
		case r := <-ch:
			if len(r.header.Stale) > 0 && s.at.Load() == at {
				s.cancel(ErrMoved)
			}
		case <-time.After(resendAfter):
		case <-s.ctx.Done():
		}
	})
}

// Accept tells the gateway that the session is taken, if no command has done
// so. A session that does not send a command at once should call it, so that
// the caller hears that someone is there.
func (s *Session) Accept() {
	s.accept.Lock()
	defer s.accept.Unlock()
	if s.acceptTo == "" {
		return
	}
	_ = s.w.conn.publish(s.acceptTo, "", &acceptHeader{Session: s.id, Token: s.at.Load().token})
	s.acceptTo = ""
}

// send sends a command once: with the acceptance, if that is still to be
// sent, else by itself. The frame is encoded here and not further down: the
// stack of a session's goroutine is most of an idle session's memory, and
// encoding is where it is deepest.
func (s *Session) send(c *Command, at *place, replyTo string) error {
	s.accept.Lock()
	defer s.accept.Unlock()
	to := s.acceptTo
	frame, err := s.encode(c, at.token, to != "")
	if err != nil {
		return err
	}
	if to == "" {
		to = at.node.subject(kindCommand)
	}
	if err := s.w.conn.send(to, replyTo, frame); err != nil {
		return err
	}
	s.acceptTo = ""
	return nil
}

// encode returns the frame of a command, or of the acceptance with it.
func (s *Session) encode(c *Command, token Token, accept bool) ([]byte, error) {
	h := c.header(s.id, token, s.seq.Load())
	if accept {
		return encodeFrame(&acceptHeader{Session: s.id, Token: token, Command: &h}, c.parts()...)
	}
	return encodeFrame(&h, c.parts()...)
}

// Do has the gateway carry out a command and returns its result. It sends the
// command again until it is answered, ctx ends (then it returns its cause), or
// [Patience] has passed. [ErrMoved] says that the session belongs to somebody
// else; its context has ended then, too. While the gateway has not confirmed
// for two seconds that the session is still this worker's, Do waits.
func (s *Session) Do(ctx context.Context, c Command) (Result, error) {
	ctx, stop := context.WithTimeoutCause(ctx, Patience, fmt.Errorf("gateway of %s did not answer for %v", s.Node(), Patience))
	defer stop()
	for {
		if err := s.confirmed(ctx); err != nil {
			return Result{}, s.why(err)
		}
		r, again, err := s.try(ctx, &c)
		if err != nil {
			return Result{}, s.why(err)
		}
		if !again {
			return r, nil
		}
	}
}

// over returns why the session has ended here, nil when it has not.
func (s *Session) over() error { return context.Cause(s.ctx) }

// why prefers the end of the session over other errors.
func (s *Session) why(err error) error {
	if errors.Is(s.over(), ErrMoved) {
		return ErrMoved
	}
	return err
}

// try sends a command once and waits for its answer; again means that there
// was none and it is to be sent again.
func (s *Session) try(ctx context.Context, c *Command) (r Result, again bool, err error) {
	subject, n, ch := s.w.request()
	defer s.w.giveUp(n)
	at := s.at.Load()
	if err := s.send(c, at, subject); err != nil {
		if isGone(err) {
			return Result{}, false, err
		}
		return Result{}, true, s.pause(ctx)
	}
	resend := time.NewTimer(resendAfter)
	defer resend.Stop()
	select {
	case rep := <-ch:
		if rep.none {
			return Result{}, true, s.pause(ctx)
		}
		return s.answered(c, at, rep)
	case <-at.left: // its gateway has started anew
		return Result{}, true, nil
	case <-resend.C:
		s.w.metrics.resends.Inc()
		return Result{}, true, nil
	case <-s.ctx.Done():
		return Result{}, false, s.over()
	case <-ctx.Done():
		return Result{}, false, context.Cause(ctx)
	}
}

// answered reads the answer to a command.
func (s *Session) answered(c *Command, at *place, rep reply) (Result, bool, error) {
	switch rep.header.Status {
	case statusDone:
		r, err := rep.header.result(rep.parts)
		return r, false, err
	case statusStale:
		if s.at.Load() != at {
			return Result{}, true, nil // claimed meanwhile
		}
		s.cancel(ErrMoved)
		return Result{}, false, ErrMoved
	case statusFailed:
		return Result{}, false, fmt.Errorf("command %s: gateway %s: %w: %s", c.ID, at.node.key, ErrRefused, rep.header.Error)
	}
	return Result{}, false, fmt.Errorf("command %s: answered with the unknown status %q", c.ID, rep.header.Status)
}

// pause waits a moment before another try.
func (s *Session) pause(ctx context.Context) error {
	t := time.NewTimer(50*time.Millisecond + s.jitter(50*time.Millisecond))
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-s.ctx.Done():
		return s.over()
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// jitter returns a duration below limit that differs between sessions and
// moments, and is the same whenever a run in virtual time is repeated.
func (s *Session) jitter(limit time.Duration) time.Duration {
	h := fnv.New64a()
	_, _ = h.Write(strconv.AppendInt([]byte(s.id), time.Now().UnixNano(), 10)) // never fails
	return time.Duration(h.Sum64() % uint64(limit))                            //nolint:gosec // below limit
}

type idKey struct{}

// WithID names the command that carries the next ARI request made with the
// returned context. A request that is repeated with the same id is answered
// with the first one's result.
func WithID(ctx context.Context, id string) context.Context {
	return context.WithValue(ctx, idKey{}, id)
}

// RoundTrip implements [http.RoundTripper]: it carries an ARI request to the
// session's Asterisk. Paths start with /ari.
func (s *Session) RoundTrip(req *http.Request) (*http.Response, error) {
	path, ok := strings.CutPrefix(req.URL.RequestURI(), "/ari")
	if !ok {
		return nil, fmt.Errorf("%s is not an ARI path", req.URL.Path)
	}
	var body []byte
	if req.Body != nil {
		var err error
		body, err = io.ReadAll(io.LimitReader(req.Body, MaxFrame))
		_ = req.Body.Close()
		if err != nil {
			return nil, fmt.Errorf("reading the body of %s %s: %w", req.Method, path, err)
		}
	}
	id, ok := req.Context().Value(idKey{}).(string)
	if !ok {
		// The next owner counts from one again, and means other requests.
		id = "r." + s.at.Load().token.String() + "." + strconv.FormatUint(s.requests.Add(1), 10)
	}
	r, err := s.Do(req.Context(), Command{ID: id, Steps: []Step{ARI(req.Method, path, body)}})
	if err != nil {
		return nil, err
	}
	if len(r.Steps) != 1 {
		return nil, fmt.Errorf("%s %s: %d answers to one request", req.Method, path, len(r.Steps))
	}
	return &http.Response{
		Status: http.StatusText(r.Steps[0].Code), StatusCode: r.Steps[0].Code,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header:        http.Header{"Content-Type": {"application/json"}},
		Body:          io.NopCloser(bytes.NewReader(r.Steps[0].Body)),
		ContentLength: int64(len(r.Steps[0].Body)), Request: req,
	}, nil
}
