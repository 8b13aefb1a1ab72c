package session

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"asterism/apps"
	"asterism/ari/proxy"
)

// verbRun is one verb under way: it gives out the ids of its commands.
type verbRun struct {
	s        *session
	id       string // of its first command
	k        int
	commands int
}

// runVerb runs a verb of the flow. Everything that a replay must repeat goes
// through here: numbers, ids, and the result. about is what the verb was
// asked for, for the call record.
//
// The result of an earlier run would be looked up before the end of the call
// is, since a recorded end is a result like any other.
func runVerb[R any](ctx context.Context, s *session, name, about string, live func(context.Context, *verbRun) (R, error)) (R, error) {
	v := &verbRun{s: s, id: s.nextID(name), k: s.verbs}
	var r R
	err := s.ended(ctx)
	if err == nil {
		r, err = live(ctx, v)
	}
	s.trail.add(name, about, r, err)
	return r, err
}

// ended returns why a verb must not begin.
func (s *session) ended(ctx context.Context) error {
	if err := s.over(); err != nil {
		return err
	}
	if ctx.Err() != nil {
		return translate(context.Cause(ctx))
	}
	return nil
}

// over returns why the call is over for this worker, nil when it is not.
func (s *session) over() error { return context.Cause(s.ctx) }

// do sends the next command of the verb. Of the steps that were answered all
// results come back; the error is about the command as a whole.
func (v *verbRun) do(ctx context.Context, steps ...proxy.Step) (proxy.Result, error) {
	id := v.id
	if v.commands++; v.commands > 1 {
		id += "." + strconv.Itoa(v.commands)
	}
	r, err := v.s.link.Do(ctx, proxy.Command{ID: id, Steps: steps})
	if err == nil {
		return r, nil
	}
	if ended := v.s.ended(ctx); ended != nil {
		return r, ended
	}
	if err := translate(err); errors.Is(err, apps.ErrMoved) || errors.Is(err, apps.ErrDraining) {
		return r, err
	}
	return r, &apps.Refusal{
		Verdict: apps.Verdict{Status: 503, Reason: "the node does not answer", Fault: apps.FaultUs},
		Err:     fmt.Errorf("command %s: %w", id, err),
	}
}

// Answer implements [apps.Call].
func (s *session) Answer(ctx context.Context) error {
	_, err := runVerb(ctx, s, "answer", "", func(ctx context.Context, v *verbRun) (struct{}, error) {
		return struct{}{}, v.answer(ctx)
	})
	return err
}

func (v *verbRun) answer(ctx context.Context) error {
	s := v.s
	if s.answered {
		return nil
	}
	r, err := v.do(ctx, s.answerStep())
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
	v.s.pool.metrics.looks.WithLabelValues(why).Inc()
	r, err := v.do(ctx, proxy.ARI(http.MethodGet, "/channels/"+escape(v.s.id), nil))
	if err != nil {
		return err
	}
	if len(r.Steps) == 1 && r.Steps[0].Code == http.StatusNotFound {
		v.s.cancel(apps.ErrHangup)
		return v.s.ended(ctx)
	}
	return nil
}

// Pause implements [apps.Call].
func (s *session) Pause(ctx context.Context, d time.Duration, stopOn apps.Keys) (string, error) {
	return runVerb(ctx, s, "pause", "", func(ctx context.Context, v *verbRun) (string, error) {
		s.link.Accept() // a caller who is only waited with must know that someone is there
		return v.pause(ctx, d, stopOn)
	})
}

func (v *verbRun) pause(ctx context.Context, d time.Duration, stopOn apps.Keys) (string, error) {
	s := v.s
	timer := time.NewTimer(d)
	defer timer.Stop()
	for {
		if key := s.takeKey(stopOn); key != "" {
			return key, nil
		}
		if s.takeLost() {
			if err := v.lookForChannel(ctx, "lost"); err != nil {
				return "", err
			}
		}
		select {
		case <-s.wake:
		case <-timer.C:
			return "", s.ended(ctx)
		case <-ctx.Done():
			return "", s.ended(ctx)
		case <-s.ctx.Done():
			return "", s.ended(ctx)
		}
	}
}

// escape makes an id fit for a path.
func escape(id string) string { return url.PathEscape(id) }
