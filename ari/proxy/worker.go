package proxy

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
)

// Errors with which a session's context ends.
var (
	// ErrMoved: another worker owns the session, or it has ended. Whoever
	// runs it must stop and touch nothing more.
	ErrMoved = errors.New("the session is not this worker's any more")
	// ErrClosed: the worker is being closed.
	ErrClosed = errors.New("the worker is closed")
	// ErrRefused is wrapped by the error of a command that its gateway has
	// answered and not carried out, since the session's log is full, for instance.
	ErrRefused = errors.New("refused")
)

// Runner runs one session on a worker.
type Runner interface {
	// Run runs the session to its end. Its context ends with [ErrMoved] or
	// [ErrClosed].
	Run(ctx context.Context)
	// Event takes in the next event as Asterisk sent it, with its number in
	// the session; numbers only ever grow, and gaps are normal. It is called in
	// order, on the goroutine that serves all sessions, and must not block.
	Event(seq uint64, raw []byte)
	// Lost says that events were lost: what the session believes of its
	// channel must be looked up again. Called like Event.
	Lost()
	// Pending returns, after Run has returned, the journal records that no
	// command has carried yet, with Reset and Heard as in a [Command]. They ride
	// on the release of the session.
	Pending() (records [][]byte, reset bool, heard uint64)
}

// Start is what a worker is given with a session.
type Start struct {
	// Event is the first event of the session, always the StasisStart.
	Event []byte
	// Journal holds the journal records of the present stage, oldest first;
	// their meaning is the runner's. Without any the session begins from its
	// first line.
	Journal [][]byte
	// Digits are the keys of the present stage that come before the first of
	// the events that will be delivered.
	Digits []Digit
	// Again says that another worker has had the session before.
	Again bool
}

// Digit is a key that the caller has pressed.
type Digit struct {
	Seq uint64 // the number of its event in the session
	Key string
	At  time.Time // by Asterisk's clock
}

// WorkerOptions configure a [Worker].
type WorkerOptions struct {
	// Name identifies the worker, see [CheckName].
	Name string
	// Capacity is how many sessions it takes at most.
	Capacity int
	// Open returns who runs a new session. It is called on the goroutine that
	// serves all sessions and must not block.
	Open func(*Session, Start) Runner
	Log  zerolog.Logger
	// Registry receives the metrics; nil keeps them private.
	Registry prometheus.Registerer
}

// Worker is the pool's side of the fabric: it takes sessions from gateways,
// one goroutine each, and carries their commands and events.
type Worker struct {
	conn    *Conn
	opts    WorkerOptions
	boot    string
	key     string
	metrics *workerMetrics
	subs    []subscription
	stop    context.CancelFunc
	loop    sync.WaitGroup // the renewal loop
	runs    sync.WaitGroup // the sessions
	nextReq atomic.Uint64
	kick    chan struct{}

	mu       sync.Mutex
	draining bool
	closed   bool
	sessions map[string]*Session
	nodes    map[string]*nodeLink
	requests map[uint64]chan reply
}

// reply is the answer to a request of the worker.
type reply struct {
	none   bool // nobody listens
	header resultHeader
	parts  [][]byte
}

// NewWorker connects a worker to the fabric. It takes sessions until it is
// drained or closed.
func NewWorker(conn *Conn, o WorkerOptions) (*Worker, error) {
	if err := CheckName(o.Name); err != nil {
		return nil, fmt.Errorf("worker name: %w", err)
	}
	if o.Capacity <= 0 {
		return nil, fmt.Errorf("worker %s: capacity is %d, expected at least 1", o.Name, o.Capacity)
	}
	ctx, stop := context.WithCancel(context.Background())
	w := &Worker{
		conn: conn, opts: o, boot: newBoot(), stop: stop,
		kick:     make(chan struct{}, 1),
		sessions: make(map[string]*Session),
		nodes:    make(map[string]*nodeLink),
		requests: make(map[uint64]chan reply),
	}
	w.key = o.Name + "." + w.boot
	w.metrics = newWorkerMetrics(w, o.Registry)
	if err := w.subscribe(); err != nil {
		stop()
		return nil, err
	}
	w.loop.Go(func() { w.beat(ctx) })
	return w, nil
}

func (w *Worker) subscribe() error {
	for subject, handle := range map[string]nats.MsgHandler{
		"w." + w.key + ".>": w.receive,
		"hb.g.*":            w.gatewayBeat,
	} {
		sub, err := w.conn.wire.subscribe(subject, handle)
		if err != nil {
			w.unsubscribe()
			return fmt.Errorf("worker %s: subscribing to %s: %w", w.opts.Name, subject, err)
		}
		w.mu.Lock() // metrics are read already
		w.subs = append(w.subs, sub)
		w.mu.Unlock()
	}
	return nil
}

func (w *Worker) unsubscribe() {
	for _, sub := range w.subs {
		_ = sub.Unsubscribe()
	}
}

// Drain stops the intake and gives all sessions back to their gateways, which
// find other workers for them. It returns when none is left here, mostly within
// milliseconds, or when ctx or ten seconds have ended: what a flow does outside
// may be slow to notice.
func (w *Worker) Drain(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, drainWithin)
	defer cancel()
	w.mu.Lock()
	w.draining = true
	for _, s := range w.sessions {
		s.released.Store(true)
		s.cancel(ErrMoved)
	}
	w.mu.Unlock()
	w.beatNow()
	for w.Sessions() > 0 {
		select {
		case <-ctx.Done():
			return fmt.Errorf("draining worker %s: %d calls could not be given back: %w", w.opts.Name, w.Sessions(), context.Cause(ctx))
		case <-time.After(20 * time.Millisecond):
		}
	}
	return nil
}

// Close ends the contexts of the sessions that are left with [ErrClosed],
// waits for them, and leaves the fabric.
func (w *Worker) Close() {
	w.mu.Lock()
	w.draining, w.closed = true, true
	for _, s := range w.sessions {
		s.cancel(ErrClosed)
	}
	w.mu.Unlock()
	w.runs.Wait()
	w.stop()
	w.loop.Wait()
	w.unsubscribe()
	w.metrics.unregister()
}

// Sessions returns how many sessions the worker runs now.
func (w *Worker) Sessions() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.sessions)
}

// beat sends heartbeats and renewals once a second until ctx ends. The
// renewals are spread over the second: those of all nodes at once would hold
// up the events of every call.
func (w *Worker) beat(ctx context.Context) {
	t := time.NewTicker(time.Second / renewSlots)
	defer t.Stop()
	w.heartbeat()
	for slot := 0; ; {
		select {
		case <-ctx.Done():
			return
		case <-w.kick:
			w.heartbeat()
			w.renewAll(func(*nodeLink) bool { return true })
		case <-t.C:
			if slot = (slot + 1) % renewSlots; slot == 0 {
				w.heartbeat()
			}
			w.renewAll(func(n *nodeLink) bool { return n.slot == slot })
		}
	}
}

// beatNow makes the next heartbeat and renewal happen at once.
func (w *Worker) beatNow() {
	select {
	case w.kick <- struct{}{}:
	default:
	}
}

func (w *Worker) heartbeat() {
	w.mu.Lock()
	hb := Heartbeat{
		Name: w.opts.Name, Boot: w.boot, Load: len(w.sessions),
		Free: max(0, w.opts.Capacity-len(w.sessions)), Draining: w.draining, Formats: LogFormats,
	}
	w.mu.Unlock()
	data, err := json.Marshal(hb)
	if err == nil {
		err = w.conn.send("hb.w."+w.opts.Name, "", data)
	}
	if err != nil && w.conn.Up() {
		w.opts.Log.Warn().Err(err).Msg("heartbeat was not sent")
	}
}

// receive takes in all that gateways send to this worker.
func (w *Worker) receive(m *nats.Msg) {
	tail := m.Subject[len("w.")+len(w.key)+1:]
	if n, ok := strings.CutPrefix(tail, "r."); ok {
		w.receiveReply(n, m)
		return
	}
	var err error
	switch tail {
	case kindAssign:
		err = w.receiveAssign(m)
	case kindEvents:
		err = w.receiveEvents(m)
	case kindClaimed:
		err = w.receiveClaimed(m)
	default:
		err = fmt.Errorf("unknown kind %q: %w", tail, ErrFrame)
	}
	if err != nil {
		w.opts.Log.Error().Err(err).Str("subject", m.Subject).Msg("message ignored")
	}
}

// receiveReply hands an answer to the request that waits for it.
func (w *Worker) receiveReply(number string, m *nats.Msg) {
	n, err := strconv.ParseUint(number, 10, 64)
	if err != nil {
		return
	}
	var r reply
	if noResponders(m) {
		r.none = true
	} else if r.parts, err = decodeFrame(m.Data, &r.header); err != nil {
		w.opts.Log.Error().Err(err).Msg("reply ignored")
		return
	}
	w.mu.Lock()
	ch := w.requests[n]
	delete(w.requests, n)
	w.mu.Unlock()
	if ch != nil {
		ch <- r // has room for one, and only one is ever sent
	}
}

// request reserves a reply subject.
func (w *Worker) request() (subject string, n uint64, ch chan reply) {
	n = w.nextReq.Add(1)
	ch = make(chan reply, 1)
	w.mu.Lock()
	w.requests[n] = ch
	w.mu.Unlock()
	return "w." + w.key + ".r." + strconv.FormatUint(n, 10), n, ch
}

// giveUp forgets a request whose answer nobody waits for any more.
func (w *Worker) giveUp(n uint64) {
	w.mu.Lock()
	delete(w.requests, n)
	w.mu.Unlock()
}

// receiveAssign takes a session, or says that it cannot.
func (w *Worker) receiveAssign(m *nats.Msg) error {
	var h assignHeader
	parts, err := decodeFrame(m.Data, &h)
	if err != nil {
		return err
	}
	if len(parts) < 1+h.Records || h.Records < 0 || h.First == 0 {
		return fmt.Errorf("assignment of %s has %d parts, expected %d at least: %w", h.Session, len(parts), 1+h.Records, ErrFrame)
	}
	w.assigned(h, parts, m.Reply)
	return nil
}

func (w *Worker) assigned(h assignHeader, parts [][]byte, replyTo string) {
	w.mu.Lock()
	old := w.sessions[h.Session]
	if old != nil && !h.Token.after(old.at.Load().token) {
		w.mu.Unlock() // an offer that came twice, or after a later one
		return
	}
	if w.draining || (old == nil && len(w.sessions) >= w.opts.Capacity) {
		w.mu.Unlock()
		w.metrics.refused.Inc()
		_ = w.conn.publish(replyTo, "", acceptHeader{Session: h.Session, Token: h.Token, Busy: true})
		return
	}
	s := w.newSession(h, replyTo)
	w.sessions[h.Session] = s
	w.runs.Add(1)
	w.mu.Unlock()
	if old != nil {
		old.cancel(ErrMoved)
	}
	w.metrics.assigned.Inc()
	start := Start{
		Event: parts[0], Journal: parts[1 : 1+h.Records], Digits: digitsOf(h.Digits), Again: h.Again,
	}
	events := parts[1+h.Records:]
	if len(start.Event) == 0 && len(events) > 0 {
		start.Event, events = events[0], events[1:]
		s.seq.Add(1)
	}
	s.open(start, events)
}

// receiveEvents hands events to their session.
func (w *Worker) receiveEvents(m *nats.Msg) error {
	var h eventsHeader
	parts, err := decodeFrame(m.Data, &h)
	if err != nil {
		return err
	}
	w.mu.Lock()
	s := w.sessions[h.Session]
	w.mu.Unlock()
	if s != nil && s.at.Load().token == h.Token {
		s.take(h, parts)
	}
	return nil
}

// remove forgets a session that has ended.
func (w *Worker) remove(s *Session) {
	w.mu.Lock()
	if w.sessions[s.id] == s {
		delete(w.sessions, s.id)
	}
	w.leave(s, s.at.Load().node)
	w.mu.Unlock()
	w.runs.Done()
}
