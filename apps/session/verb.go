package session

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"

	"asterism/apps"
	"asterism/ari/proxy"
)

// verb is what a flow has asked for. The hash of its arguments tells a replay
// whether it is the same that the journal knows.
type verb[R any] struct {
	name    string
	about   string // for the call record
	hash    string
	offline bool // needs no caller
	// adopts says that the verb must run although the call is over, or its
	// context is, when another worker has begun it: something is under way.
	adopts bool
	codec  *codec[R]
}

// verbRun is one verb under way: it gives out the ids of its commands.
type verbRun struct {
	s       *session
	id      string // of its first command
	k       int    // which verb of its stage it is
	name    string
	hash    string
	offline bool
	begun   bool   // that it has begun is in the journal, or on its way there
	replay  bool   // another worker has begun it
	heard   uint64 // the last event taken in when it began
	looks   int
	up      bool // the call was answered when it began,
	unsure  bool // or perhaps
}

// runVerb runs a verb of the flow. Everything that a replay must repeat goes
// through here: numbers, ids, and the result. What the journal knows is looked
// up before the end of the call is, since a recorded end is a result like any
// other.
//
// What stands on the stack while a verb waits is most of an idle session's
// memory, so that all else is in functions of its own.
func runVerb[R any](ctx context.Context, s *session, w *verb[R], live func(context.Context, *verbRun) (R, error)) (r R, err error) {
	v, m := s.next(w.name, w.about, w.hash)
	switch {
	case v == nil:
		s.refuse()
		return r, s.stage.stuck
	case m != nil && m.ended:
		return recall(s, w, m)
	}
	v.offline = w.offline
	if err = v.ended(ctx); err == nil || (v.replay && w.adopts && !s.isMoved()) {
		s.refused = 0
		r, err = live(ctx, v)
	} else {
		s.refuse()
	}
	return finish(v, w, r, err)
}

// next counts a verb of the flow and looks it up in the journal. It returns
// no verb when the stage is stuck.
func (s *session) next(name, about, hash string) (*verbRun, *memo) {
	st := &s.stage
	if st.stuck == nil && !st.replaying() && st.size > journalBudget {
		st.stuck = errFull
	}
	if st.stuck != nil {
		return nil, nil
	}
	k := st.verbs + 1
	v := &verbRun{s: s, k: k, name: name, hash: hash, up: s.answered, unsure: s.unsure}
	var m *memo
	if k <= len(st.memo) {
		switch m = &st.memo[k-1]; {
		case m.verb != name:
			st.stuck = fmt.Errorf("%w: its verb %d is %s %s, and was %s", errMismatch, k, name, about, m.verb)
			return nil, nil
		case m.hash != hash:
			st.stuck = fmt.Errorf("%w: its verb %d, %s %s, had other arguments", errMismatch, k, name, about)
			return nil, nil
		}
		v.begun, v.replay, v.heard = m.begun, m.begun, m.heard
	}
	st.verbs = k
	v.id = strconv.Itoa(st.n) + "." + name + "." + strconv.Itoa(k)
	return v, m
}

// finish writes down how a verb has ended.
//
//go:noinline
func finish[R any](v *verbRun, w *verb[R], r R, err error) (R, error) {
	s := v.s
	s.caughtUp()
	r = w.codec.round(r)
	if errors.Is(err, apps.ErrMoved) && s.isMoved() {
		s.trail.add(w.name, w.about, r, err)
		return r, err // whoever has the call now finds out for himself
	}
	failure := apps.FailureOf(err)
	err = failure.Err() // what a replay will get, and nothing more
	s.trail.add(w.name, w.about, r, err)
	s.mu.Lock()
	taken := s.keys.takeTaken()
	s.mu.Unlock()
	end := record{
		End: v.k, Verb: w.name, Hash: w.hash, Failure: failure, Keys: taken,
		Up: s.answered && !v.up, Unsure: s.unsure && !v.unsure,
	}
	var buf [96]byte
	s.stage.owes = s.stage.owes || w.name == "do"
	s.stage.add(appendEnd(make([]byte, 0, 128), &end, w.codec.put(buf[:0], r)))
	return r, err
}

// recall returns what the journal knows of a verb that has ended.
func recall[R any](s *session, w *verb[R], m *memo) (R, error) {
	var r R
	if len(m.end.Result) > 0 {
		var err error
		if r, err = w.codec.get(m.end.Result); err != nil {
			s.stage.stuck = fmt.Errorf("%w: the result of verb %d, %s: %w", errMismatch, s.stage.verbs, w.name, err)
			s.stage.verbs--
			return r, s.stage.stuck
		}
	}
	err := m.end.Failure.Err()
	s.answered, s.unsure = s.answered || m.end.Up, s.unsure || m.end.Unsure
	s.mu.Lock()
	for _, n := range m.end.Keys {
		s.keys.takeNumber(n, apps.AllKeys)
	}
	s.keys.taken = nil
	s.mu.Unlock()
	if !w.offline { // the call is over for what comes next, too
		switch {
		case errors.Is(err, apps.ErrHangup):
			s.cancel(apps.ErrHangup)
		case errors.Is(err, apps.ErrDraining):
			s.drain(apps.ErrDraining)
		}
	}
	s.trail.add(w.name, w.about, r, err)
	return r, err
}

// ended returns why the verb must not begin or go on.
func (v *verbRun) ended(ctx context.Context) error {
	if v.offline {
		return v.s.mayWork(ctx)
	}
	return v.s.ended(ctx)
}

// ended returns why a verb for the caller must not begin.
func (s *session) ended(ctx context.Context) error {
	if err := s.over(); err != nil {
		return err
	}
	if ctx.Err() != nil {
		return translate(context.Cause(ctx))
	}
	return nil
}

// mayWork returns why a verb that needs no caller must not begin.
func (s *session) mayWork(ctx context.Context) error {
	if s.isMoved() {
		return apps.ErrMoved
	}
	if cause := translate(context.Cause(ctx)); cause != nil && !callEnded(cause) {
		return cause
	}
	return nil
}

// callEnded reports whether a context has ended with its call, and not by a
// limit that the flow has set.
func callEnded(cause error) bool {
	return errors.Is(cause, apps.ErrHangup) || errors.Is(cause, apps.ErrDraining)
}

// over returns why the call is over for this worker, nil when it is not.
func (s *session) over() error { return context.Cause(s.ctx) }

// isMoved reports whether the call is not this worker's any more.
func (s *session) isMoved() bool {
	return s.moved || (s.owned != nil && s.owned.Err() != nil) || errors.Is(s.over(), apps.ErrMoved)
}

// do sends a command of the verb: the first with an empty tag, others with one
// that says what they are for, so that a replay gives the same thing the same
// id. It carries the journal records that wait. Of the steps that were
// answered all results come back; the error is about the command as a whole.
func (v *verbRun) do(ctx context.Context, tag string, steps ...proxy.Step) (proxy.Result, error) {
	s, st := v.s, &v.s.stage
	id := v.id
	if tag != "" {
		id += "." + tag
	}
	if !v.begun {
		v.begun = true
		st.add(appendBegin(make([]byte, 0, 64), v.k, v.name, v.hash, v.heard))
	}
	s.done++
	if st.first != nil && st.first.ID != id && tag != tagHalt {
		// The beginning of the stage must not be told twice: the second time it
		// would make void what has come of the first.
		if _, err := v.send(ctx, *st.first); err != nil {
			return proxy.Result{}, err
		}
	}
	c := proxy.Command{ID: id, Steps: steps}
	if st.first == nil || st.first.ID == id {
		c.Records, c.Reset = st.pending, st.reset
	}
	if c.Reset {
		c.Heard = st.heard
	}
	return v.send(ctx, c)
}

// tagHalt is the tag of the command that stops a playback in a hurry: it does
// not wait for the one that has begun it.
const tagHalt = "halt"

// send sends a command, and makes an error of none being answered.
func (v *verbRun) send(ctx context.Context, c proxy.Command) (proxy.Result, error) {
	s, st := v.s, &v.s.stage
	r, err := s.link.Do(ctx, c)
	if err == nil {
		if st.first == nil || st.first.ID == c.ID {
			st.carried(len(c.Records))
		}
		return r, nil
	}
	if translate(err) == apps.ErrMoved { //nolint:errorlint // that is what translate returns
		s.moved = true
		s.cancel(apps.ErrMoved)
		return r, apps.ErrMoved
	}
	if c.Reset && st.first == nil {
		st.first = &c
	}
	if ended := v.ended(ctx); ended != nil {
		return r, ended
	}
	reason := "the node does not answer"
	if errors.Is(err, proxy.ErrRefused) {
		reason = "the node refused a command"
	}
	return r, &apps.Refusal{
		Verdict: apps.Verdict{Status: 503, Reason: reason, Fault: apps.FaultUs},
		Err:     fmt.Errorf("command %s: %w", c.ID, err),
	}
}

// Answer implements [apps.Call].
func (s *session) Answer(ctx context.Context) error {
	_, err := runVerb(ctx, s, &verb[none]{name: "answer", codec: noneCodec}, func(ctx context.Context, v *verbRun) (none, error) {
		return none{}, v.answer(ctx)
	})
	return err
}

func (v *verbRun) answer(ctx context.Context) error {
	s := v.s
	if s.answered {
		return nil
	}
	r, err := v.do(ctx, "", s.answerStep())
	if err != nil {
		s.unsure = true
		return err
	}
	if err := r.Err(1); err != nil {
		return v.refused(ctx, "answering", err)
	}
	s.answered = true
	return nil
}

func (s *session) answerStep() proxy.Step {
	return proxy.ARI(http.MethodPost, "/channels/"+escape(s.id)+"/answer", nil)
}

// refused makes an error of a step that Asterisk refused: mostly the caller
// has just hung up, and that is looked up.
func (v *verbRun) refused(ctx context.Context, doing string, err error) error {
	if step, ok := errors.AsType[*proxy.StepError](err); ok {
		switch step.Code {
		case http.StatusNotFound, http.StatusConflict, http.StatusPreconditionFailed:
			if ended := v.lookForChannel(ctx, "refused"); ended != nil {
				return ended
			}
		}
	}
	return fmt.Errorf("%s: %w", doing, err)
}

// lookForChannel asks whether the channel is there still. It returns
// [apps.ErrHangup] when it is not, other errors when that cannot be known.
func (v *verbRun) lookForChannel(ctx context.Context, why string) error {
	r, err := v.look(ctx, why, proxy.ARI(http.MethodGet, "/channels/"+escape(v.s.id), nil))
	if err != nil {
		return err
	}
	if len(r.Steps) == 1 && r.Steps[0].Code == http.StatusNotFound {
		v.s.cancel(apps.ErrHangup)
		return v.s.ended(ctx)
	}
	return nil
}

// look asks how things are. The gateway keeps the result only when journal
// records came with the question; the answer to that of an earlier worker is
// out of date, and it is asked again.
func (v *verbRun) look(ctx context.Context, why string, steps ...proxy.Step) (proxy.Result, error) {
	v.s.pool.metrics.looks.WithLabelValues(why).Inc()
	for {
		v.looks++
		r, err := v.do(ctx, "look"+strconv.Itoa(v.looks), steps...)
		if err != nil || !r.Again || v.looks > maxLooks {
			return r, err
		}
	}
}

// maxLooks bounds the looks of earlier workers whose answers are out of date.
const maxLooks = 10_000

// escape makes an id fit for a path.
func escape(id string) string { return url.PathEscape(id) }
