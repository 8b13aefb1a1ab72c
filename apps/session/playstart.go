package session

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"time"

	"asterism/apps"
	"asterism/ari/proxy"
)

// named gives the playback its id.
func (p *playing) named(id string) { p.id, p.path = id, "/playbacks/"+escape(id) }

// start sends the first command: it makes sure of all sounds, then answers,
// then plays, unless a key was typed early.
func (p *playing) start(ctx context.Context, early bool) (apps.Played, error) {
	s := p.s
	args := p.args()
	var steps []proxy.Step
	if early || !s.answered {
		steps = append(steps, proxy.Resolve(args))
	}
	answers := p.rule.Answer && !s.answered
	if answers {
		steps = append(steps, s.answerStep())
	}
	if !early {
		steps = append(steps, proxy.Play(args))
	}
	r, err := p.do(ctx, "", steps...)
	if err != nil {
		s.unsure = s.unsure || answers
		return p.abandon(ctx, err, "", steps, !early)
	}
	if answers && len(r.Steps) > 1 && r.Steps[1].OK() {
		s.answered = true
	}
	p.came(r)
	for i := 1; i <= again && isGone(r); i++ {
		if s.signalled() { // it has just ended: its events came, its result did not
			p.adopted = true
			p.pos.lengths = lengths(nil, len(p.rule.Sounds))
			return apps.Played{}, nil
		}
		// It was asked for, and neither the gateway nor Asterisk know it. Its id
		// must not be sent again.
		p.anew(anotherID(playbackID(s.id, s.stage.n, p.k), i))
		args.ID, steps = p.id, steps[:1]
		steps[0] = proxy.Play(args)
		if r, err = p.do(ctx, "again"+strconv.Itoa(i), steps...); err != nil {
			return p.abandon(ctx, err, "again"+strconv.Itoa(i), steps, true)
		}
		p.came(r)
	}
	if err := r.Err(len(steps)); err != nil {
		return p.refused(ctx, err)
	}
	var answer proxy.MediaAnswer
	if err := json.Unmarshal(r.Steps[len(r.Steps)-1].Body, &answer); err == nil || early {
		p.pos.lengths = lengths(answer.Ms, len(p.rule.Sounds))
		return apps.Played{}, nil
	}
	p.pos.lengths = lengths(nil, len(p.rule.Sounds))
	return apps.Played{}, nil
}

// came notes when the command that plays was carried out.
func (p *playing) came(r proxy.Result) {
	unknown := r.Again && r.Age == 0 // it was found playing after its gateway had been away
	p.began, p.timed, p.adopted = time.Now().Add(-r.Age), !unknown, p.replay || unknown
}

// args say what to play.
func (p *playing) args() proxy.MediaArgs {
	args := proxy.MediaArgs{ID: p.id, Sounds: p.rule.Sounds, Language: p.rule.Language}
	if p.rule.Controls.Any() {
		args.SkipMs = int(p.rule.Controls.SkipBy().Milliseconds())
	}
	return args
}

// isGone reports whether what the last step was to begin was lost.
func isGone(r proxy.Result) bool {
	n := len(r.Steps)
	return n > 0 && r.Steps[n-1].Code == http.StatusGone
}

// anew gives the playback another id. Its events go by that, and keys that
// came meanwhile stay in order.
func (p *playing) anew(id string) {
	p.named(id)
	p.s.mu.Lock()
	defer p.s.mu.Unlock()
	p.s.listens = id
}

// lengths makes n lengths of what the gateway said.
func lengths(ms []int64, n int) []time.Duration {
	out := make([]time.Duration, n)
	for i := range out {
		out[i] = -1
		if i < len(ms) && ms[i] >= 0 {
			out[i] = time.Duration(ms[i]) * time.Millisecond
		}
	}
	return out
}

// abandon ends a Play whose command has no result: it may have been carried
// out all the same, or be carried out later.
func (p *playing) abandon(ctx context.Context, err error, tag string, steps []proxy.Step, plays bool) (apps.Played, error) {
	if plays && p.s.over() == nil && ctx.Err() != nil {
		p.open = func(ctx context.Context) (proxy.Result, error) { return p.do(ctx, tag, steps...) }
		p.halt(ctx)
		p.open = nil
	}
	played := apps.Played{Ended: apps.EndedFailed}
	if p.s.ended(ctx) != nil {
		played.Ended = apps.EndedByHangup
	}
	return played, err
}

// joinWithin is how long a command that plays is waited for when the playback
// is not wanted any more: longer than its gateway works on it.
const joinWithin = proxy.DefaultTTL + 2*time.Second

// overtake stops a playback that Asterisk does not have yet, since its prompts
// are slow to come: else the caller would hear it some time later.
func (p *playing) overtake(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), joinWithin)
	defer cancel()
	stop := context.AfterFunc(p.s.ctx, cancel) //nolint:contextcheck // the end of the call ends it, too
	defer stop()
	r, err := p.open(ctx)
	if err != nil {
		return err
	}
	for _, step := range r.Steps {
		if !step.OK() {
			return nil // it never began
		}
	}
	p.open = nil
	p.s.answered = p.s.answered || p.rule.Answer
	return p.stop(ctx, "overtaken")
}

// refused makes the end of a Play of a step that was refused.
func (p *playing) refused(ctx context.Context, err error) (apps.Played, error) {
	failed := apps.Played{Ended: apps.EndedFailed}
	if step, ok := errors.AsType[*proxy.StepError](err); ok {
		var t proxy.MediaTrouble
		if json.Unmarshal(step.Body, &t) == nil && t.Problem != "" {
			failed.Sound = max(0, slices.Index(p.rule.Sounds, t.Sound))
			return failed, &apps.MediaError{Sound: t.Sound, Problem: problem(t.Problem), Detail: t.Message}
		}
	}
	err = p.verbRun.refused(ctx, "playing", err)
	if p.s.ended(ctx) != nil {
		failed.Ended = apps.EndedByHangup
	}
	return failed, err
}

// problem translates the fabric's word for what is wrong with a sound.
func problem(p string) apps.MediaProblem {
	switch p {
	case proxy.ProblemNotFound:
		return apps.MediaNotFound
	case proxy.ProblemInvalid:
		return apps.MediaInvalid
	case proxy.ProblemBroken:
		return apps.MediaBroken
	}
	return apps.MediaUnavailable
}
