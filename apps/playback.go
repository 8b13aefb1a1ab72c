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
// cost little, and a sound that was changed is heard at the next batch.
func Playback(ctx context.Context, env Env, call Call, req Request) error {
	loop := newLoop(req)
	for loop.more() {
		played, err := call.Play(ctx, loop.next())
		loop.add(played)
		if err == nil && loop.tooFast(played) {
			_, err = call.Pause(ctx, time.Second, "") // nothing to hear must not become a busy loop
		}
		if err != nil {
			loop.note(env)
			return err
		}
	}
	loop.note(env)
	if req.EarlyMedia {
		return Refuse(480, FaultNobody, "the announcement is over")
	}
	return nil
}

const (
	gaplessRounds = 8 // a loop of up to so many rounds is one playback
	batch         = 10 * time.Second
	leastRound    = 100 * time.Millisecond
)

// playLoop is how far a Playback has come.
type playLoop struct {
	req   Request
	round []string // one round's sounds and the pause after it

	rounds int           // rounds in the batch that is played
	done   int           // rounds before that batch
	took   time.Duration // how long the last batch was heard
	heard  time.Duration // all in all
	last   Played
}

func newLoop(req Request) *playLoop {
	l := &playLoop{req: req, round: append([]string(nil), req.Sounds...)}
	if req.Pause > 0 {
		l.round = append(l.round, fmt.Sprintf("silence:%d", req.Pause.Milliseconds()))
	}
	return l
}

// more reports whether there is something to play still.
func (l *playLoop) more() bool {
	stopped := l.last.Ended != "" && l.last.Ended != EndedComplete
	return !stopped && (l.req.Loop == 0 || l.done < l.req.Loop)
}

// next is what to play in the next batch.
func (l *playLoop) next() PlayRule {
	l.rounds = l.batchRounds()
	rule := PlayRule{
		Answer:   !l.req.EarlyMedia,
		StopOn:   l.req.StopOn,
		Controls: l.req.Controls,
		Language: l.req.Language,
	}
	for range l.rounds {
		rule.Sounds = append(rule.Sounds, l.round...)
	}
	if l.req.Loop > 0 && l.done+l.rounds >= l.req.Loop {
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
	case l.done == 0:
		return 1
	}
	round := max(l.took/time.Duration(l.rounds), leastRound)
	rounds := min(fit, max(1, int(batch/round)))
	if l.req.Loop > 0 {
		rounds = min(rounds, l.req.Loop-l.done)
	}
	return rounds
}

// add counts what was played.
func (l *playLoop) add(played Played) {
	l.last = played
	l.heard += played.Heard
	l.took = played.Heard
	if played.Ended == EndedComplete {
		l.done += l.rounds
	}
}

// tooFast reports whether a batch that another one follows took no time.
func (l *playLoop) tooFast(played Played) bool {
	return l.more() && played.Heard < leastRound
}

// note writes down how the playback went: how long the caller was played to,
// what ended it, and where it was then.
func (l *playLoop) note(env Env) {
	fields := []any{"ended", string(l.last.Ended), "heard", l.heard, "offset", l.last.Offset}
	if n := len(l.round); n > 0 {
		round := l.done + 1 + l.last.Sound/n
		if l.last.Ended == EndedComplete {
			round = l.done
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
	})
}
