package apps

import (
	"context"
	"fmt"
	"time"
)

// Playback plays the sounds of the request, as often as it asks for, and ends
// the call.
//
// Everything that cannot be played is found out before the call is answered,
// so that the edge gets a status and can try elsewhere. As early media the
// call is never answered and ends with SIP 480 once all was heard.
//
// A few rounds are played in one go and without a gap. Of a longer or endless
// loop a first round is played alone; the next ones are played in batches of
// about ten seconds, at least one round: so short sounds loop without gaps and
// cost little, and a sound that was changed is heard at the next batch. Each
// batch is a stage, so that the log of an endless loop stays small.
func Playback(ctx context.Context, env Env, call Call, req Request) error {
	return newLoop(&req, looped{}).play(ctx, env, call)
}

// playOn plays a further batch.
func playOn(ctx context.Context, env Env, call Call, req Request, state looped) error {
	return newLoop(&req, state).play(ctx, env, call)
}

// play plays one batch, and ends the call after the last.
func (l *playLoop) play(ctx context.Context, env Env, call Call) error {
	played, err := call.Play(ctx, l.next())
	l.add(played)
	if err == nil && l.tooFast(played) {
		_, err = call.Pause(ctx, time.Second, "") // nothing to hear must not become a busy loop
	}
	if err != nil {
		l.note(env)
		return err
	}
	if l.more() {
		return Continue("loop", l.looped)
	}
	l.note(env)
	if l.req.EarlyMedia {
		return Refuse(480, FaultNobody, "the announcement is over")
	}
	return nil
}

const (
	gaplessRounds = 8 // a loop of up to so many rounds is one playback
	batch         = 10 * time.Second
	leastRound    = 100 * time.Millisecond
)

// looped is how far a Playback has come: the state between two batches.
type looped struct {
	Rounds int           // in the batch that is or was played
	Done   int           // rounds before that batch; all, once it was heard
	Took   time.Duration // how long the last batch was heard
	Heard  time.Duration // all in all
}

// playLoop is a batch of a Playback.
type playLoop struct {
	looped
	req   *Request
	round []string // one round's sounds and the pause after it
	last  Played
}

func newLoop(req *Request, state looped) *playLoop {
	l := &playLoop{looped: state, req: req, round: append([]string(nil), req.Sounds...)}
	if req.Pause > 0 {
		l.round = append(l.round, fmt.Sprintf("silence:%d", req.Pause.Milliseconds()))
	}
	return l
}

// more reports whether there is something to play still.
func (l *playLoop) more() bool {
	stopped := l.last.Ended != "" && l.last.Ended != EndedComplete
	return !stopped && (l.req.Loop == 0 || l.Done < l.req.Loop)
}

// next is what to play in the next batch.
func (l *playLoop) next() PlayRule {
	l.Rounds = l.batchRounds()
	rule := PlayRule{
		Answer:   !l.req.EarlyMedia,
		StopOn:   l.req.StopOn,
		Controls: l.req.Controls,
		Language: l.req.Language,
	}
	for range l.Rounds {
		rule.Sounds = append(rule.Sounds, l.round...)
	}
	if l.req.Loop > 0 && l.Done+l.Rounds >= l.req.Loop {
		rule.Sounds = rule.Sounds[:len(rule.Sounds)-len(l.round)+len(l.req.Sounds)] // no pause after the last round
	}
	return rule
}

// batchRounds is how many rounds to play in one go.
func (l *playLoop) batchRounds() int {
	fit := max(1, MaxSounds/max(1, len(l.round)))
	switch {
	case l.req.Loop > 0 && l.req.Loop <= min(gaplessRounds, fit):
		return l.req.Loop
	case l.Done == 0:
		return 1
	}
	round := max(l.Took/time.Duration(l.Rounds), leastRound)
	rounds := min(fit, max(1, int(batch/round)))
	if l.req.Loop > 0 {
		rounds = min(rounds, l.req.Loop-l.Done)
	}
	return rounds
}

// add counts what was played.
func (l *playLoop) add(played Played) {
	l.last = played
	l.Heard += played.Heard
	l.Took = played.Heard
	if played.Ended == EndedComplete {
		l.Done += l.Rounds
	}
}

// tooFast reports whether a batch that another one follows took no time.
func (l *playLoop) tooFast(played Played) bool {
	return l.more() && played.Heard < leastRound
}

// note writes down how the playback went: how long the caller was played to,
// what ended it, and where it was then.
func (l *playLoop) note(env Env) {
	fields := []any{"ended", string(l.last.Ended), "heard", l.Heard, "offset", l.last.Offset}
	if n := len(l.round); n > 0 {
		round := l.Done + 1 + l.last.Sound/n
		if l.last.Ended == EndedComplete {
			round = l.Done
		}
		fields = append(fields, "round", round, "sound", l.round[l.last.Sound%n])
	}
	if l.last.Digit != "" {
		fields = append(fields, "digit", l.last.Digit)
	}
	env.Note("playback ended", fields...)
}

func init() {
	register(Action{
		Name:     "Playback",
		About:    "Answers, plays one or several sounds, as often as asked, and hangs up.",
		Required: []string{"Sound"},
		Optional: []string{"Loop", "Pause", "Early-Media", "Language", "Digits-Stop", "Controls"},
		Flow:     Playback,
		Stages:   []Stage{StageOf("loop", playOn)},
	})
}
