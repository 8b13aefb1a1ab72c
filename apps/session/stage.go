package session

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"

	"github.com/rs/zerolog"

	"asterism/apps"
	"asterism/ari/proxy"
)

// stage is the part of the flow that runs, with what is known and still to be
// told of its journal.
type stage struct {
	n        int    // counts stages and restarts
	name     string // "" is the flow itself
	state    json.RawMessage
	revision string
	restarts int
	run      func(context.Context, apps.Env, apps.Call, apps.Request) error

	verbs   int            // how many were called
	memo    []memo         // what the journal knows of them: of verb k in memo[k-1]
	pending [][]byte       // records that no command has carried
	owes    bool           // there is the result of a Do among them
	effects map[string]int // how many Do there were of each name
	first   *proxy.Command // began the journal anew, and was not answered: it may be in the log
	reset   bool           // the next command begins the journal anew
	heard   uint64         // with reset
	notes   int            // how many notes there were when it began
	size    int            // of the journal, with what is pending
	stuck   error          // every verb returns it until the flow has returned

	quick int // how many stages before it did nothing
	done  int // what the session had done when it began
}

// replaying reports whether the verb after the present one is in the journal:
// then all that the flow does before it was done before.
func (st *stage) replaying() bool { return st.verbs < len(st.memo) }

// add appends a record to the journal.
func (st *stage) add(record []byte) {
	st.pending = append(st.pending, record)
	st.size += sizeOf(record)
}

// carried notes that a command has carried the first n pending records.
func (st *stage) carried(n int) {
	st.pending, st.reset, st.first = st.pending[n:], false, nil
	if len(st.pending) == 0 {
		st.pending, st.owes = nil, false
	}
}

// The reasons why a stage is stuck.
var (
	errMismatch = errors.New("the flow does not do what its journal says")
	errFull     = errors.New("the journal of the stage is full: the flow must Continue more often")
)

// quickStages is how many stages in a row may neither send a command nor wait.
const quickStages = 1000

// play runs the flow, from where its journal ends, to its end.
func (s *session) play(action *apps.Action, req *apps.Request) error {
	if err := s.resume(action); err != nil {
		return err
	}
	for {
		err := s.runStage(req)
		if over, err := s.goOn(action, err); over {
			return err
		}
	}
}

// mostRefused is how many verbs in a row a flow may call that do nothing but
// return the error that it does not heed.
const mostRefused = 500

// errHeedless is what a flow panics with that does not heed the errors of its
// verbs: else it would run for ever, and its call would never end.
var errHeedless = fmt.Errorf("it does not heed the errors of its verbs: %d in a row were refused", mostRefused)

// refuse counts a verb that has not begun.
func (s *session) refuse() {
	if s.refused++; s.refused > mostRefused {
		panic(errHeedless)
	}
}

// runStage runs the flow's function for the present stage. A heedless flow
// whose result does not matter, since the stage is stuck or the call has
// moved, is unwound without another word.
func (s *session) runStage(req *apps.Request) (err error) {
	s.refused = 0
	defer func() {
		if s.stage.stuck == nil && !s.isMoved() {
			return // a panic goes on, with the stack that it came by
		}
		switch r := recover().(type) {
		case nil:
		case error:
			if err = r; !errors.Is(r, errHeedless) {
				panic(r)
			}
		default:
			panic(r)
		}
	}()
	return s.stage.run(s.flow, apps.Env{Log: s.note, Revision: s.stage.revision}, s, *req)
}

// goOn begins the next stage, unless the call is over.
func (s *session) goOn(action *apps.Action, err error) (over bool, _ error) {
	next, err := s.after(action, err)
	if next == nil {
		return true, err
	}
	if s.stage.quick++; s.done != s.stage.done {
		s.stage.quick = 0
	}
	if s.stage.quick > quickStages {
		return true, s.definedEnd("circles", fmt.Errorf("it went through %d stages and did nothing", quickStages))
	}
	next.quick, next.done = s.stage.quick, s.done
	if err := s.enter(*next); err != nil {
		return true, s.definedEnd("state", err)
	}
	return false, nil
}

// resume begins the call, or takes it up where its journal ends.
func (s *session) resume(action *apps.Action) error {
	journal := s.journal
	s.journal = nil
	if len(journal) == 0 {
		s.stage = stage{run: action.Flow, revision: s.pool.revision()}
		raw, err := appendHeader(make([]byte, 0, 48), &header{Format: journalFormat, Action: action.Name, Revision: s.stage.revision})
		s.stage.add(raw)
		return err
	}
	h, memos, size, err := readJournal(journal)
	s.stage.n, s.stage.name = h.N, h.Stage
	if err == nil && h.Action != action.Name {
		err = fmt.Errorf("it is of the action %s: %w", h.Action, errJournal)
	}
	run := action.Flow
	if err == nil && h.Stage != "" {
		run, err = stageOf(action, h.Stage, h.State)
	}
	s.answered, s.unsure = s.answered || h.Answered, h.Unsure
	s.trail.restore(h.Trail, h.Skipped)
	s.notes = h.Notes
	if err != nil {
		// What was done since is not known in full: the call may be answered.
		s.unsure = s.unsure || len(memos) > 0 || len(journal) > 1 || h.Format == 0
		return s.definedEnd("unreadable", err)
	}
	s.pool.metrics.replays.WithLabelValues("resumed").Inc()
	s.stage = stage{
		n: h.N, name: h.Stage, state: h.State, revision: h.Revision, restarts: h.Restarts, run: run, memo: memos, size: size,
	}
	s.stage.notes = len(s.notes)
	s.mu.Lock()
	s.keys.restore(&h)
	s.mu.Unlock()
	return nil
}

// stageOf returns how to run a stage.
func stageOf(action *apps.Action, name string, state []byte) (func(context.Context, apps.Env, apps.Call, apps.Request) error, error) {
	st, ok := action.Stage(name)
	if !ok {
		return nil, fmt.Errorf("the action %s has no stage %q", action.Name, name)
	}
	return func(ctx context.Context, env apps.Env, call apps.Call, req apps.Request) error {
		return st.Run(ctx, env, call, req, state)
	}, nil
}

// after says how it goes on when the flow has returned from a stage: with
// another one, or, when there is none, with the end of the call.
func (s *session) after(action *apps.Action, err error) (next *stage, _ error) {
	st := &s.stage
	if s.isMoved() {
		return nil, apps.ErrMoved
	}
	if st.verbs == 0 && st.stuck == nil && errors.Is(err, apps.ErrState) {
		return nil, s.definedEnd("state", err)
	}
	if st.stuck == nil && st.replaying() {
		st.stuck = fmt.Errorf("%w: it ended after %d verbs, and verb %d was %s", errMismatch, st.verbs, st.verbs+1, st.memo[st.verbs].verb)
	}
	switch {
	case errors.Is(st.stuck, errMismatch) && st.restarts == 0:
		return s.restart(), nil
	case errors.Is(st.stuck, errMismatch):
		return nil, s.definedEnd("mismatch", st.stuck)
	case st.stuck != nil:
		return nil, s.definedEnd("full", st.stuck)
	}
	cont, ok := errors.AsType[*apps.Next](err)
	if !ok {
		return nil, err
	}
	to, ok := action.Stage(cont.Stage)
	if !ok {
		return nil, s.definedEnd("state", fmt.Errorf("it continues with %q, which is none of its stages", cont.Stage))
	}
	state, err := to.Encode(cont.State)
	if err != nil {
		return nil, s.definedEnd("state", err)
	}
	run, err := stageOf(action, to.Name, state)
	if err != nil {
		return nil, s.definedEnd("state", err)
	}
	return &stage{n: st.n + 1, name: to.Name, state: state, revision: s.pool.revision(), run: run}, nil
}

// restart is the present stage from its beginning, without memory and with
// new ids. What the old run left playing is stopped.
func (s *session) restart() *stage {
	st := &s.stage
	s.pool.metrics.replays.WithLabelValues("restarted").Inc()
	s.line(zerolog.WarnLevel).Str("stage", st.name).Err(st.stuck).Msg("the stage begins again, since its flow has changed")
	s.mu.Lock()
	for _, m := range st.memo[min(st.verbs, len(st.memo)):] { // what has happened has happened
		s.answered, s.unsure = s.answered || m.end.Up, s.unsure || m.end.Unsure || (!m.ended && (m.verb == "play" || m.verb == "answer"))
		for _, n := range m.end.Keys {
			s.keys.takeNumber(n, apps.AllKeys)
		}
	}
	s.mu.Unlock()
	s.notes = s.notes[:min(st.notes, len(s.notes))] // the flow writes them once more
	again := &stage{n: st.n + 1, name: st.name, state: st.state, revision: st.revision, run: st.run, restarts: st.restarts + 1}
	if n := len(st.memo); n > 0 && !st.memo[n-1].ended && st.memo[n-1].verb == "play" {
		s.left = playbackID(s.id, st.n, n)
	}
	return again
}

// enter begins a stage: it writes its header, which the next command carries.
func (s *session) enter(st stage) error {
	s.mu.Lock()
	h := header{
		Heard: s.seq, Keys: slices.Clone(s.keys.typed), Received: s.keys.received, Used: s.keys.used,
	}
	s.keys.taken = nil
	s.mu.Unlock()
	h.Format, h.Action, h.N, h.Stage, h.State, h.Revision, h.Restarts = journalFormat, s.action, st.n, st.name, st.state, st.revision, st.restarts
	h.Answered, h.Unsure = s.answered, s.unsure
	h.Trail, h.Skipped = shorter(s.trail.entries())
	h.Skipped += s.trail.skipped
	h.Notes = fewer(s.notes)
	raw, err := appendHeader(nil, &h)
	if err != nil {
		return err
	}
	st.reset, st.heard, st.notes = true, h.Heard, len(s.notes)
	st.add(raw)
	s.stage = st
	if left := s.left; left != "" {
		s.left = ""
		s.sweep(left)
	}
	return nil
}

// sweep stops a playback that the run before the restart has left.
func (s *session) sweep(playback string) {
	v := &verbRun{s: s, id: strconv.Itoa(s.stage.n) + ".restart.0", begun: true}
	ctx, cancel := context.WithTimeout(s.ctx, haltWithin)
	defer cancel()
	id, tag := playback, ""
	for i := 1; ; i++ {
		r, err := v.do(ctx, tag, proxy.ARI(http.MethodDelete, "/playbacks/"+escape(id), nil))
		if err != nil {
			s.line(zerolog.WarnLevel).Err(err).Str("playback", playback).Msg("playback was not stopped")
			return
		}
		if r.Err(1) == nil || i > again {
			return
		}
		id, tag = anotherID(playback, i), "again"+strconv.Itoa(i) // it may have been begun anew
	}
}

// definedEnd is the end of a call whose flow cannot go on.
func (s *session) definedEnd(why string, err error) error {
	stage := s.stage.name
	if stage == "" {
		stage = "the first"
	}
	s.pool.metrics.replays.WithLabelValues(why).Inc()
	s.line(zerolog.ErrorLevel).Str("stage", stage).Err(err).Msg("the flow cannot go on")
	return &apps.Refusal{
		Verdict: apps.Verdict{
			Status: 500, Fault: apps.FaultUs, Reason: fmt.Sprintf("action %s cannot go on in its stage %s", s.action, stage),
		},
		Err: err,
	}
}

// Pending implements [proxy.Runner].
func (s *session) Pending() (records [][]byte, reset bool, heard uint64) {
	return s.stage.pending, s.stage.reset, s.stage.heard
}
