package session

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"strconv"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"asterism/apps"
	"asterism/ari"
	"asterism/ari/proxy"
)

// lastWithin is how long the last command is tried for: longer than an
// interruption of NATS that calls are to survive.
const lastWithin = proxy.Patience

// session runs one call. Run and the verbs belong to the session's goroutine,
// Event and Lost to the worker's.
type session struct {
	pool   *Pool
	link   link
	id     string
	start  []byte          // the first event, until the flow runs
	ctx    context.Context //nolint:containedctx // the call is what this context is the life of
	cancel context.CancelCauseFunc
	flow   context.Context         //nolint:containedctx // the flow's, which a drain ends before the call
	drain  context.CancelCauseFunc // ends flow
	owned  context.Context         //nolint:containedctx // how long the call is this worker's, hang-up or not; set by Run

	journal [][]byte // of the stage that another worker had begun, until it is read
	again   bool     // another worker had the call before

	// Of the flow's goroutine.
	began    time.Time
	action   string // "none" until it is known
	callID   string // of the SIP dialog
	caller   string // "" when it is private
	called   string
	vars     map[string]string // of the request
	answered bool              // for sure
	unsure   bool              // an answer was asked for and its result is not known
	moved    bool              // a command has found out that it is not ours any more
	done     int               // how many commands were sent, and how often a verb has waited
	left     string            // a playback to be stopped when a stage begins again
	refused  int               // verbs in a row that did not begin, since all was over
	stage    stage
	trail    trail
	notes    []note

	wake chan struct{} // has a token when there is something new below

	mu       sync.Mutex
	seq      uint64 // the last event taken in
	keys     keyLog
	listens  string   // the playback whose events go to the inbox
	inbox    []signal // what happened to it, and keys
	catching bool     // the flow is still being replayed,
	early    []early  // and these signals wait for it to listen
	lost     bool     // events were lost
	cause    int      // Q.850, of the hang-up
}

// result is how a flow ended, as metrics and call records name it.
type result string

const (
	resultDone    result = "done"     // as it was meant to
	resultHangup  result = "hangup"   // the caller went first
	resultRefused result = "refused"  // the request could not be served as it stood
	resultFailed  result = "failed"   // our fault, or of what we depend on
	resultPanic   result = "panic"    // a defect in the flow
	resultMoved   result = "moved"    // another worker goes on with it
	resultDrained result = "draining" // the node went out of service
)

// Run implements [proxy.Runner].
func (s *session) Run(ctx context.Context) {
	s.began, s.owned = time.Now(), ctx
	stop := context.AfterFunc(ctx, func() { s.cancel(translate(context.Cause(ctx))) })
	defer stop()
	defer s.cancel(context.Canceled)
	panicked, err := s.run() //nolint:contextcheck // the flow runs with the call's context, which ends with ctx
	s.end(ctx, err, panicked)
}

// translate turns the fabric's errors into those that flows know.
func translate(err error) error {
	switch {
	case errors.Is(err, proxy.ErrMoved), errors.Is(err, proxy.ErrClosed):
		return apps.ErrMoved // a worker that closes leaves its calls to the others
	}
	return err
}

// run finds out what the call is for and runs the flow, or what is left of it.
func (s *session) run() (panicked bool, err error) {
	defer func() {
		if r := recover(); r != nil {
			s.pool.metrics.panics.Inc()
			s.line(zerolog.ErrorLevel).Interface("panic", r).Bytes("stack", debug.Stack()).Msg("the flow has a defect")
			panicked, err = true, fmt.Errorf("the flow panicked: %v", r)
		}
	}()
	action, req, err := s.prepare()
	if err != nil {
		return false, err
	}
	return false, s.play(action, req)
}

// prepare reads the first event and finds the flow.
func (s *session) prepare() (_ *apps.Action, _ *apps.Request, _ error) {
	s.action = "none"
	ev, err := ari.DecodeEvent(s.start)
	if err != nil {
		return nil, nil, fmt.Errorf("reading the first event: %w", err)
	}
	s.start = nil // it is as large as all the rest of an idle session
	in, ok := ev.(*ari.StasisStart)
	if !ok {
		return nil, nil, fmt.Errorf("the first event is %s, expected StasisStart", ev.Base().Type)
	}
	if s.again {
		s.began = in.Timestamp.Time
	} else {
		s.pool.metrics.heard("StasisStart", in.Timestamp.Time)
	}
	s.answered = in.Channel.State == "Up"
	s.callID = in.Channel.ProtocolID
	req, warnings, err := s.pool.opts.Parse(in.Args, channelOf(in))
	s.called, s.vars = req.Called, req.Vars
	if !req.Caller.Private {
		s.caller = req.Caller.Number
	}
	if s.again { // they were told by whoever had the call first
		warnings = nil
	}
	for _, w := range warnings {
		s.pool.metrics.warnings.Inc()
		s.line(zerolog.WarnLevel).Str("warning", w).Msg("the request was put right")
	}
	if err != nil {
		return nil, nil, fmt.Errorf("reading the request: %w", err)
	}
	action, ok := s.pool.opts.Lookup(req.Action)
	if !ok {
		return nil, nil, apps.Refuse(404, apps.FaultCaller, "there is no action %q", req.Action)
	}
	s.action = action.Name
	return &action, &req, nil
}

// channelOf returns what the first event tells of the channel.
func channelOf(in *ari.StasisStart) Channel {
	ch := Channel{
		ID: in.Channel.ID, CallID: in.Channel.ProtocolID,
		CallerName: in.Channel.Caller.Name, CallerNumber: in.Channel.Caller.Number,
	}
	if exten := in.Channel.Dialplan.Exten; exten != "s" {
		ch.Called = exten
	}
	return ch
}

// line begins a log line with what is known of the call. A logger for each
// call would be a tenth of its memory.
func (s *session) line(level zerolog.Level) *zerolog.Event {
	e := s.pool.opts.Log.WithLevel(level) //nolint:zerologlint // the caller sends it
	return e.Str("call", s.callID).Str("session", s.id).Str("node", s.link.Node()).Str("action", s.action)
}

// end ends the call as the flow's error says. Of a call that has moved
// nothing is touched.
func (s *session) end(ctx context.Context, err error, panicked bool) {
	res, verdict := s.judge(err, panicked)
	took := max(0, time.Since(s.began)) // after a takeover it began by Asterisk's clock
	s.pool.metrics.ended(s.action, res, took)
	s.report(res, verdict, err, took)
	if res == resultMoved {
		return
	}
	last := proxy.Command{ID: s.endID(), Final: true, Outcome: s.outcome(res, verdict, err, took)}
	if step, ok := s.lastStep(err, verdict); ok {
		last.Steps = []proxy.Step{step}
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastWithin)
	defer cancel()
	r, err := s.link.Do(ctx, last)
	if err == nil && len(r.Steps) == 1 && r.Steps[0].Code != 404 {
		err = r.Err(1)
	}
	// A worker that closes does not wait for the answer to what it has sent.
	if err != nil && !errors.Is(err, proxy.ErrMoved) && !errors.Is(err, proxy.ErrClosed) {
		s.line(zerolog.ErrorLevel).Err(err).Msg("the end of the call could not be told to its gateway")
	}
}

// judge says how the flow ended and what that means for the caller.
func (s *session) judge(err error, panicked bool) (result, apps.Verdict) {
	ended := context.Cause(s.ctx)
	switch {
	case s.isMoved(): // the error alone says nothing: a flow may have made it up
		return resultMoved, apps.Verdict{}
	case panicked:
		return resultPanic, apps.VerdictOf(err)
	case errors.Is(ended, apps.ErrHangup) || errors.Is(err, apps.ErrHangup):
		return resultHangup, apps.VerdictOf(apps.ErrHangup)
	case err == nil:
		return resultDone, apps.Verdict{}
	}
	v := apps.VerdictOf(err)
	switch {
	case v.Fault == apps.FaultNobody:
		return resultDone, v
	case errors.Is(err, apps.ErrDraining):
		return resultDrained, v
	case v.Fault == apps.FaultUs || v.Fault == apps.FaultUpstream:
		return resultFailed, v
	}
	return resultRefused, v
}

// lastStep is what ends the call; ok is false when the channel is gone.
func (s *session) lastStep(err error, v apps.Verdict) (step proxy.Step, ok bool) {
	hangUp := "/channels/" + escape(s.id)
	switch {
	case errors.Is(context.Cause(s.ctx), apps.ErrHangup):
		return proxy.Step{}, false
	case err == nil:
		return proxy.ARI("DELETE", hangUp, nil), true
	case !s.answered && !s.unsure:
		return proxy.RefuseCall(proxy.RefuseArgs{Status: v.Status, Reason: v.Reason}), true
	case v.Fault == apps.FaultNobody || v.Fault == apps.FaultCaller:
		return proxy.ARI("DELETE", hangUp+"?reason=normal", nil), true
	}
	return proxy.ARI("DELETE", hangUp+"?reason=failure", nil), true
}

// report logs the end. The call record is the gateway's to write, so what
// went as it should is not repeated here.
func (s *session) report(res result, v apps.Verdict, err error, took time.Duration) {
	level := zerolog.DebugLevel
	if res == resultFailed || res == resultRefused || res == resultPanic {
		level = zerolog.WarnLevel
	}
	e := s.line(level).Str("result", string(res)).Dur("took", took)
	if err != nil {
		e = e.Str(zerolog.ErrorFieldName, shorten(err.Error(), 4<<10)).Int("status", v.Status).Str("fault", string(v.Fault))
	}
	e.Msg("the flow has ended")
}

// endID returns the id of the last command. Like those of verbs it is
// "<stage>.<verb>.<k>".
func (s *session) endID() string {
	return strconv.Itoa(s.stage.n) + ".end." + strconv.Itoa(s.stage.verbs+1)
}
