package session

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"asterism/apps"
	"asterism/ari"
	"asterism/ari/proxy"
)

// fate is what happens to the worker that has a call.
type fate uint8

const (
	lives      fate = iota
	dies            // events that it has not acknowledged are sent to the next worker again
	diesHeard       // what it has heard last it has acknowledged
	isReleased      // it lets the call go, with the records that wait
	nodeDies        // with its gateway, before a command that is in the log is carried out
)

// kept is what a gateway keeps of a session.
type kept struct {
	id      string
	start   []byte
	seq     uint64     // the last event
	unacked []numbered // events that no command has acknowledged
	gone    *numbered  // the end of the channel
	journal [][]byte
	digits  []proxy.Digit
	results map[string]keptResult
	running map[string]chan struct{} // commands under way
	done    map[string]bool          // ids that were carried out, of all stages
	lost    map[string]bool          // in the log, and never carried out
	final   bool
	owner   *memoryLink
}

type numbered struct {
	seq uint64
	raw []byte
}

type keptResult struct {
	result proxy.Result
	at     time.Time
}

// start begins a session.
func (n *node) start(id string, raw []byte) {
	k := &kept{id: id, start: raw, seq: 1, journal: n.journal, results: make(map[string]keptResult), running: make(map[string]chan struct{}), done: make(map[string]bool), lost: make(map[string]bool)}
	n.mu.Lock()
	n.calls[id] = k
	n.mu.Unlock()
	n.assign(k, false)
}

// assign gives a session to a fresh worker.
func (n *node) assign(k *kept, again bool) {
	ctx, cancel := context.WithCancelCause(n.context)
	l := &memoryLink{node: n, id: k.id, kept: k, cancel: cancel}
	n.mu.Lock()
	start := proxy.Start{Event: k.start, Journal: slices.Clone(k.journal), Again: again}
	events := slices.Clone(k.unacked)
	if k.gone != nil && !slices.ContainsFunc(events, func(e numbered) bool { return e.seq == k.gone.seq }) {
		events = append(events, *k.gone)
	}
	for _, d := range k.digits {
		if len(events) == 0 || d.Seq < events[0].seq {
			start.Digits = append(start.Digits, d)
		}
	}
	s := n.pool.open(l, start)
	l.session, k.owner = s, l
	n.sessions[k.id] = s
	for _, e := range events {
		s.Event(e.seq, e.raw)
	}
	n.mu.Unlock()
	n.runs.Go(func() {
		defer cancel(nil)
		s.Run(ctx)
		n.mu.Lock()
		pending, reset, _ := s.Pending()
		released := l.released
		if released {
			if reset {
				k.journal = nil
			}
			k.journal = append(k.journal, pending...)
		}
		if n.sessions[k.id] == s {
			delete(n.sessions, k.id)
		}
		n.mu.Unlock()
		if released {
			n.assign(k, true) //nolint:contextcheck // the next worker has a life of its own
		}
	})
}

// number gives out the number of the next event of a session.
func (n *node) number(id string) uint64 {
	n.mu.Lock()
	defer n.mu.Unlock()
	k := n.calls[id]
	k.seq++
	return k.seq
}

// drain tells a session that its node's time is over.
func (n *node) drain(id string) {
	n.deliver(id, ari.Header{Type: eventDraining}, fmt.Appendf(nil, `{"type":%q}`, eventDraining))
}

// deliver numbers an event and hands it to the session's owner.
func (n *node) deliver(id string, h ari.Header, raw []byte) {
	n.mu.Lock()
	k := n.calls[id]
	if k == nil || k.final {
		n.mu.Unlock()
		return
	}
	k.seq++
	e := numbered{k.seq, slices.Clone(raw)}
	k.unacked = append(k.unacked, e)
	switch {
	case h.Type == "ChannelDtmfReceived" && h.ChannelID == id:
		k.digits = append(k.digits, proxy.Digit{Seq: e.seq, Key: h.Digit, At: h.Timestamp})
	case strings.Contains("ChannelHangupRequest StasisEnd", h.Type) && h.ChannelID == id && k.gone == nil:
		k.gone = &e // they come together; a new worker hears of the second at once
	}
	if s := n.sessions[id]; s != nil {
		s.Event(e.seq, e.raw)
	}
	owner := k.owner
	n.mu.Unlock()
	n.point(k, owner, "event "+h.Type)
}

// point is where the worker may die; it reports whether it did.
func (n *node) point(k *kept, l *memoryLink, at string) bool {
	n.mu.Lock()
	f := lives
	if l != nil && l == k.owner && !l.dead && !k.final {
		n.points++
		if n.fate != nil {
			f = n.fate(n.points, at)
		}
		if inLog := strings.HasSuffix(at, " is in the log"); inLog != (f == nodeDies) {
			f = lives // a worker's death does not stop a command that is in the log
		}
	}
	if f == lives {
		n.mu.Unlock()
		return false
	}
	n.deaths = append(n.deaths, fmt.Sprintf("%d %s (%d)", n.points, at, f))
	if f == diesHeard {
		k.unacked = nil
	}
	if id, ok := strings.CutSuffix(strings.TrimPrefix(at, "command "), " is in the log"); ok {
		k.lost[id] = true // it was not carried out, and is not to be forgotten
	}
	n.runs.Add(1) // somebody runs the call at any time
	defer n.runs.Done()
	l.dead, l.released = true, f == isReleased
	died := n.died
	n.mu.Unlock()
	if died != nil {
		died(f == isReleased)
	}
	if f != isReleased {
		n.assign(k, true)
	}
	l.cancel(proxy.ErrMoved)
	return true
}

// memoryLink carries the commands of one worker for a session to its node.
type memoryLink struct {
	node     *node
	id       string
	kept     *kept
	session  *session
	cancel   context.CancelCauseFunc
	dead     bool // guarded by the node's lock
	released bool

	mu sync.Mutex
}

func (l *memoryLink) ID() string   { return l.id }
func (l *memoryLink) Node() string { return "n1" }

func (l *memoryLink) Accept() {
	l.node.mu.Lock()
	defer l.node.mu.Unlock()
	l.node.accepts++
}

// Do does what a gateway does with a command.
func (l *memoryLink) Do(ctx context.Context, c proxy.Command) (proxy.Result, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	n, k := l.node, l.kept
	n.mu.Lock()
	dead, before := l.dead, n.before
	n.mu.Unlock()
	if dead || n.point(k, l, "command "+c.ID+" is not sent") { //nolint:contextcheck // the next worker has a life of its own
		return proxy.Result{}, proxy.ErrMoved
	}
	if before != nil {
		if err := before(c); err != nil {
			n.mu.Lock()
			n.commands = append(n.commands, c)
			n.mu.Unlock()
			return proxy.Result{}, err
		}
	}
	if ctx.Err() != nil {
		return proxy.Result{}, context.Cause(ctx)
	}
	r, again, err := l.take(c)
	if err != nil {
		return proxy.Result{}, err
	}
	if !again && n.point(k, l, "command "+c.ID+" is in the log") { //nolint:contextcheck // the next worker has a life of its own
		n.mu.Lock()
		k.finished(c.ID)
		n.mu.Unlock()
		return proxy.Result{}, proxy.ErrMoved
	}
	if !again {
		n.mu.Lock()
		lost := k.lost[c.ID]
		n.mu.Unlock()
		for _, step := range c.Steps {
			if lost && step.Name == proxy.StepPlay {
				r.Steps = append(r.Steps, proxy.StepResult{Code: http.StatusGone})
				break
			}
			s := l.do(context.WithoutCancel(ctx), step)
			r.Steps = append(r.Steps, s)
			if s.Code >= 400 {
				break
			}
		}
		n.mu.Lock()
		if !onlyLooks(c) {
			k.results[c.ID] = keptResult{r, time.Now()}
		}
		k.finished(c.ID)
		n.mu.Unlock()
	}
	if n.point(k, l, "command "+c.ID+" is not answered") { //nolint:contextcheck // the next worker has a life of its own
		return proxy.Result{}, proxy.ErrMoved
	}
	return r, nil
}

// take takes a command in; again says that it was carried out before.
func (l *memoryLink) take(c proxy.Command) (r proxy.Result, again bool, _ error) {
	n, k := l.node, l.kept
	seq := l.session.lastSeq()
	n.mu.Lock()
	for running := k.running[c.ID]; running != nil; running = k.running[c.ID] {
		n.mu.Unlock()
		<-running
		n.mu.Lock()
	}
	defer n.mu.Unlock()
	if l.dead {
		return r, false, proxy.ErrMoved
	}
	n.commands = append(n.commands, c)
	k.unacked = slices.DeleteFunc(k.unacked, func(e numbered) bool { return e.seq <= seq })
	if stored, ok := k.results[c.ID]; ok {
		r = stored.result
		r.Again, r.Age = true, time.Since(stored.at)
		return r, true, nil
	}
	if k.lost[c.ID] {
		k.running[c.ID] = make(chan struct{})
		return r, false, nil
	}
	if k.done[c.ID] && !onlyLooks(c) {
		n.t.Errorf("command %s is carried out twice", c.ID)
	}
	k.done[c.ID] = true
	if c.Reset {
		k.journal, k.results = nil, make(map[string]keptResult)
		k.digits = slices.DeleteFunc(k.digits, func(d proxy.Digit) bool { return d.Seq <= c.Heard })
	}
	for _, record := range c.Records {
		k.journal = append(k.journal, slices.Clone(record))
	}
	size := 0
	for _, record := range k.journal {
		size += len(record) + recordOverhead
	}
	if size > 64<<10 {
		n.t.Errorf("the log is full: %d bytes", size)
		return r, false, errors.New("the session's log is full")
	}
	k.final = k.final || c.Final
	k.running[c.ID] = make(chan struct{})
	return r, false, nil
}

// finished lets those go on who wait for a command. The node's lock is held.
func (k *kept) finished(id string) {
	close(k.running[id])
	delete(k.running, id)
}

func (s *session) lastSeq() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.seq
}

// onlyLooks reports whether a command's result is not kept.
func onlyLooks(c proxy.Command) bool {
	return len(c.Records) == 0 && !slices.ContainsFunc(c.Steps, func(s proxy.Step) bool { return s.Method != http.MethodGet }) && len(c.Steps) > 0
}

// undone is a call that the flow has handed to the test, and that outlives the
// flow's workers: a new worker's flow does once more what was asked for so
// far, and then goes on.
type undone struct {
	ctx    context.Context //nolint:containedctx // handed to the test
	cancel context.CancelCauseFunc

	mu       sync.Mutex
	requests []*asked
	more     chan struct{} // closed and replaced when there is one more
	done     chan struct{} // the test is over
	effects  map[string]effect
	late     time.Duration
	problems []string
}

type asked struct {
	name     string
	do       func(call apps.Call) (any, error)
	began    time.Time
	answered bool
	result   any
	err      error
	answer   chan struct{}
}

type effect struct {
	raw []byte
	err error
}

func newUndone() *undone {
	ctx, cancel := context.WithCancelCause(context.Background())
	return &undone{ctx: ctx, cancel: cancel, more: make(chan struct{}), done: make(chan struct{}), effects: make(map[string]effect)}
}

// flow does what the test asks for.
func (u *undone) flow(ctx context.Context, _ apps.Env, call apps.Call, _ apps.Request) error {
	stop := context.AfterFunc(ctx, func() {
		if cause := context.Cause(ctx); callEnded(cause) {
			u.cancel(cause)
		}
	})
	defer stop()
	for i := 0; ; i++ {
		a := u.request(call.(*session).owned, i) //nolint:contextcheck // the flow's own may have ended with the call
		if a == nil {
			return nil
		}
		began := time.Now()
		result, err := a.do(call)
		if errors.Is(err, apps.ErrMoved) || isDead(call) {
			return apps.ErrMoved
		}
		u.answer(a, began, result, err)
	}
}

// isDead reports whether the worker of a call is dead, of which it need not
// have heard.
func isDead(call apps.Call) bool {
	l := call.(*session).link.(*memoryLink)
	l.node.mu.Lock()
	defer l.node.mu.Unlock()
	return l.dead
}

// request returns the i-th request, once there is one, nil when the test is
// over.
func (u *undone) request(owned context.Context, i int) *asked {
	for {
		u.mu.Lock()
		more := u.more
		if i < len(u.requests) {
			a := u.requests[i]
			u.mu.Unlock()
			return a
		}
		u.mu.Unlock()
		select {
		case <-more:
		case <-u.done:
			return nil
		case <-owned.Done():
			return nil
		}
	}
}

// answer gives a result to the test, or, if it was given before, wants it to
// be the same.
func (u *undone) answer(a *asked, began time.Time, result any, err error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if !a.answered {
		a.answered, a.result, a.err = true, result, err
		close(a.answer)
		return
	}
	u.late += time.Since(began)
	if !sameResult(a.result, result) || (a.err == nil) != (err == nil) || (err != nil && err.Error() != a.err.Error()) {
		u.problems = append(u.problems, fmt.Sprintf("%s gave %+v, %v, and replayed %+v, %v", a.name, a.result, a.err, result, err))
	}
}

// sameResult compares the results of verbs, of those whose results must not
// change when a worker dies before they are in the journal.
func sameResult(a, b any) bool {
	switch x := a.(type) {
	case apps.Played:
		y, ok := b.(apps.Played)
		near := func(d time.Duration) bool { return d.Abs() <= 300*time.Millisecond }
		return ok && x.Ended == y.Ended && x.Digit == y.Digit && x.Sound == y.Sound && near(x.Heard-y.Heard) && near(x.Offset-y.Offset)
	case string:
		return x == b || len(x) == 26
	case []byte:
		y, ok := b.([]byte)
		return ok && string(x) == string(y)
	}
	return true
}

// died counts the time that a death costs.
func (u *undone) died(bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for _, a := range u.requests {
		switch {
		case a.answered:
		case strings.HasPrefix(a.name, "pause"):
			u.late += time.Since(a.began)
		}
	}
	u.late += goneWithin
}

func ask[R any](u *undone, name string, do func(call apps.Call) (R, error)) (R, error) {
	a := &asked{name: name, began: time.Now(), answer: make(chan struct{}), do: func(call apps.Call) (any, error) { return do(call) }}
	u.mu.Lock()
	u.requests = append(u.requests, a)
	close(u.more)
	u.more = make(chan struct{})
	u.mu.Unlock()
	<-a.answer
	r, _ := a.result.(R)
	return r, a.err
}

func (u *undone) Answer(ctx context.Context) error {
	_, err := ask(u, "answer", func(call apps.Call) (none, error) { return none{}, call.Answer(ctx) })
	return err
}

func (u *undone) Play(ctx context.Context, rule apps.PlayRule) (apps.Played, error) {
	return ask(u, "play", func(call apps.Call) (apps.Played, error) { return call.Play(ctx, rule) })
}

func (u *undone) Pause(ctx context.Context, d time.Duration, stopOn apps.Keys) (string, error) {
	return ask(u, "pause", func(call apps.Call) (string, error) { return call.Pause(ctx, d, stopOn) })
}

func (u *undone) Now(ctx context.Context) (time.Time, error) {
	return ask(u, "now", func(call apps.Call) (time.Time, error) { return call.Now(ctx) })
}

func (u *undone) Random(ctx context.Context, n int) (int, error) {
	return ask(u, "random", func(call apps.Call) (int, error) { return call.Random(ctx, n) })
}

func (u *undone) NewID(ctx context.Context) (string, error) {
	return ask(u, "id", func(call apps.Call) (string, error) { return call.NewID(ctx) })
}

// Do remembers what was done under a key, as storage does.
func (u *undone) Do(ctx context.Context, name string, fn func(ctx context.Context, key string) ([]byte, error)) ([]byte, error) {
	return ask(u, "do", func(call apps.Call) ([]byte, error) {
		return call.Do(ctx, name, func(ctx context.Context, key string) ([]byte, error) {
			u.mu.Lock()
			e, ok := u.effects[key]
			u.mu.Unlock()
			if !ok {
				e.raw, e.err = fn(ctx, key)
				if errors.Is(context.Cause(ctx), apps.ErrMoved) {
					return e.raw, e.err
				}
				u.mu.Lock()
				u.effects[key] = e
				u.mu.Unlock()
			}
			return e.raw, e.err
		})
	})
}
