package calltest

import (
	"context"
	"errors"
	"time"

	"asterism/apps"
)

const (
	second  = time.Second
	welcome = 3 * time.Second // how long the sound "welcome" is in all behaviours
)

func rule(sounds ...string) apps.PlayRule { return apps.PlayRule{Sounds: sounds, Answer: true} }

func stoppable(stopOn apps.Keys, sounds ...string) apps.PlayRule {
	return apps.PlayRule{Sounds: sounds, Answer: true, StopOn: stopOn}
}

var playBehaviours = []behaviour{
	{"a sound is heard to its end, and the call answered", func(b *bench) {
		b.Media("welcome", welcome, "")
		b.wantPlayed(b.plays(rule("welcome")), apps.Played{Heard: welcome, Ended: apps.EndedComplete, Offset: welcome})
		b.wantAge(welcome)
		b.wantHeard("welcome")
		b.wantAnswered(true)
	}},
	{"sounds follow one another without a gap", func(b *bench) {
		b.Media("welcome", welcome, "")
		b.Media("menu", 2*second, "")
		b.wantPlayed(b.plays(rule("welcome", "menu", "welcome")),
			apps.Played{Heard: 8 * second, Ended: apps.EndedComplete, Sound: 2, Offset: welcome})
		b.wantAge(8 * second)
		b.wantHeard("welcome", "menu", "welcome")
	}},
	{"silence takes its time", func(b *bench) {
		b.Media("welcome", welcome, "")
		b.wantPlayed(b.plays(rule("welcome", "silence:1500", "welcome")),
			apps.Played{Heard: 7500 * time.Millisecond, Ended: apps.EndedComplete, Sound: 2, Offset: welcome})
		b.wantAge(7500 * time.Millisecond)
	}},
	{"early media does not answer", func(b *bench) {
		b.Media("welcome", welcome, "")
		b.plays(apps.PlayRule{Sounds: []string{"welcome"}})
		b.wantHeard("welcome")
		b.wantAnswered(false)
	}},
	{"answering twice does nothing", func(b *bench) {
		b.Media("welcome", welcome, "")
		for range 2 {
			if err := b.Call().Answer(b.Context()); err != nil {
				b.t.Fatalf("Answer: %v", err)
			}
		}
		b.wantAnswered(true)
		b.plays(rule("welcome"))
		b.wantHeard("welcome")
		b.wantAge(welcome)
	}},
	{"a missing sound leaves the call unanswered and silent", func(b *bench) {
		b.Media("welcome", welcome, "")
		played, err := b.play(rule("welcome", "nowhere"))
		b.wantMediaError(err, "nowhere", apps.MediaNotFound)
		b.wantPlayed(played, apps.Played{Ended: apps.EndedFailed, Sound: 1})
		b.wantHeard()
		b.wantAnswered(false)
	}},
	{"a broken sound leaves the call unanswered", func(b *bench) {
		b.Media("noise", 0, apps.MediaBroken)
		_, err := b.play(rule("noise"))
		b.wantMediaError(err, "noise", apps.MediaBroken)
		b.wantAnswered(false)
	}},
	{"storage that does not answer leaves the call unanswered", func(b *bench) {
		b.Media("welcome", 0, apps.MediaUnavailable)
		_, err := b.play(rule("welcome"))
		b.wantMediaError(err, "welcome", apps.MediaUnavailable)
		b.wantAnswered(false)
	}},
	{"after a missing sound the call can go on", func(b *bench) {
		b.Media("welcome", welcome, "")
		_, err := b.play(rule("nowhere"))
		b.wantMediaError(err, "nowhere", apps.MediaNotFound)
		b.plays(rule("welcome"))
		b.wantHeard("welcome")
		b.wantAnswered(true)
	}},
}

var keyBehaviours = []behaviour{
	{"a key stops the playback and is used up", func(b *bench) {
		b.Media("welcome", welcome, "")
		b.pressAt(second, "5")
		b.wantPlayed(b.plays(stoppable("59", "welcome")),
			apps.Played{Heard: second, Ended: apps.EndedByDigit, Digit: "5", Offset: second})
		b.wantAge(second)
		b.pauses(second, "5", "")
	}},
	{"a key stops the second sound", func(b *bench) {
		b.Media("welcome", welcome, "")
		b.Media("menu", 2*second, "")
		b.pressAt(4*second, "#")
		b.wantPlayed(b.plays(stoppable("#", "welcome", "menu", "welcome")),
			apps.Played{Heard: 4 * second, Ended: apps.EndedByDigit, Digit: "#", Sound: 1, Offset: second})
		b.wantHeard("welcome", "menu")
	}},
	{"a key typed before stops at once, after the answer", func(b *bench) {
		b.Media("welcome", welcome, "")
		b.typeAhead("5")
		b.wantPlayed(b.plays(stoppable("5", "welcome")), apps.Played{Ended: apps.EndedByDigit, Digit: "5"})
		b.wantAge(0)
		b.wantHeard()
		b.wantAnswered(true)
		b.pauses(second, "5", "")
	}},
	{"a key typed before does not hide a missing sound", func(b *bench) {
		b.typeAhead("5")
		_, err := b.play(stoppable("5", "nowhere"))
		b.wantMediaError(err, "nowhere", apps.MediaNotFound)
		b.wantAnswered(false)
	}},
	{"other keys stay for later verbs, in order", func(b *bench) {
		b.Media("welcome", welcome, "")
		b.typeAhead("1")
		b.pressAt(second, "2", "3")
		b.wantPlayed(b.plays(stoppable("9", "welcome")), apps.Played{Heard: welcome, Ended: apps.EndedComplete, Offset: welcome})
		for _, key := range []string{"1", "2", "3", ""} {
			b.pauses(second, "123", key)
		}
		b.wantAge(welcome + second)
	}},
	{"a key behind other keys stops too, and they stay", func(b *bench) {
		b.Media("welcome", welcome, "")
		b.pressAt(second, "1", "#", "2")
		played := b.plays(stoppable("#", "welcome"))
		b.wantPlayed(played, apps.Played{Heard: second, Ended: apps.EndedByDigit, Digit: "#", Offset: second})
		for _, key := range []string{"1", "2", ""} {
			b.pauses(second, "12#", key)
		}
	}},
	{"a pause lasts", func(b *bench) {
		b.pressAt(second, "5")
		b.pauses(2*second, "", "")
		b.wantAge(2 * second)
		b.pauses(second, "5", "5")
		b.wantAge(2 * second)
	}},
	{"a key ends a pause and is used up", func(b *bench) {
		b.pressAt(second, "1", "5")
		b.pauses(3*second, "5", "5")
		b.wantAge(second)
		b.pauses(second, "5", "")
		b.pauses(second, "1", "1")
	}},
	{"a key typed before ends a pause at once", func(b *bench) {
		b.typeAhead("5")
		b.pauses(3*second, "5", "5")
		b.wantAge(0)
	}},
	{"keys typed between verbs count", func(b *bench) {
		b.Media("welcome", welcome, "")
		b.plays(rule("welcome"))
		b.typeAhead("7")
		b.wantPlayed(b.plays(stoppable("7", "welcome")), apps.Played{Ended: apps.EndedByDigit, Digit: "7"})
	}},
}

func controlled(stopOn apps.Keys) apps.PlayRule {
	r := stoppable(stopOn, "welcome")
	r.Controls = apps.Controls{Pause: "5", Restart: "0", Forward: "6", Back: "4", Skip: second}
	return r
}

var controlBehaviours = []behaviour{
	{"a key pauses, and pressed again goes on", func(b *bench) {
		b.Media("welcome", welcome, "")
		b.pressAt(second, "5")
		b.pressAt(11*second, "5")
		b.wantPlayed(b.plays(controlled("")), apps.Played{Heard: welcome, Ended: apps.EndedComplete, Offset: welcome})
		b.wantAge(10*second + welcome)
		b.pauses(second, "5", "")
	}},
	{"a paused playback can be stopped", func(b *bench) {
		b.Media("welcome", welcome, "")
		b.pressAt(second, "5")
		b.pressAt(4*second, "#")
		b.wantPlayed(b.plays(controlled("#")), apps.Played{Heard: second, Ended: apps.EndedByDigit, Digit: "#", Offset: second})
		b.wantAge(4 * second)
	}},
	{"a key starts the sound again", func(b *bench) {
		b.Media("welcome", welcome, "")
		b.pressAt(2*second, "0")
		b.wantPlayed(b.plays(controlled("")), apps.Played{Heard: 5 * second, Ended: apps.EndedComplete, Offset: welcome})
		b.wantAge(5 * second)
	}},
	{"a key skips ahead", func(b *bench) {
		b.Media("welcome", welcome, "")
		b.pressAt(second, "6")
		b.wantPlayed(b.plays(controlled("")), apps.Played{Heard: 2 * second, Ended: apps.EndedComplete, Offset: welcome})
		b.wantAge(2 * second)
	}},
	{"a key skips back", func(b *bench) {
		b.Media("welcome", welcome, "")
		b.pressAt(2*second, "4")
		b.wantPlayed(b.plays(controlled("")), apps.Played{Heard: 4 * second, Ended: apps.EndedComplete, Offset: welcome})
		b.wantAge(4 * second)
	}},
	{"control keys are used up, others stay", func(b *bench) {
		b.Media("welcome", welcome, "")
		b.pressAt(second, "1", "0", "2")
		b.plays(controlled(""))
		b.pauses(second, "01", "1")
		b.pauses(second, "02", "2")
		b.pauses(second, "0", "")
	}},
	{"a control key typed before does nothing and stays", func(b *bench) {
		b.Media("welcome", welcome, "")
		b.typeAhead("5")
		b.plays(controlled(""))
		b.wantAge(welcome)
		b.pauses(second, "5", "5")
	}},
}

var errEnough = errors.New("enough of it")

var endBehaviours = []behaviour{
	{"a hang-up ends the playback", func(b *bench) {
		b.Media("welcome", welcome, "")
		b.at(2*second, b.Hangup)
		played, err := b.play(rule("welcome", "welcome"))
		if !errors.Is(err, apps.ErrHangup) {
			b.t.Errorf("Play: %v, want %v", err, apps.ErrHangup)
		}
		b.wantPlayed(played, apps.Played{Heard: 2 * second, Ended: apps.EndedByHangup, Offset: 2 * second})
		b.wantAge(2 * second)
		b.wantHeard("welcome")
	}},
	{"a hang-up ends early media", func(b *bench) {
		b.Media("welcome", welcome, "")
		b.at(second, b.Hangup)
		_, err := b.play(apps.PlayRule{Sounds: []string{"welcome"}})
		if !errors.Is(err, apps.ErrHangup) {
			b.t.Errorf("Play: %v, want %v", err, apps.ErrHangup)
		}
		b.wantAnswered(false)
	}},
	{"a hang-up ends a pause", func(b *bench) {
		b.at(2*second, b.Hangup)
		digit, err := b.Call().Pause(b.Context(), time.Minute, apps.AllKeys)
		if !errors.Is(err, apps.ErrHangup) || digit != "" {
			b.t.Errorf("Pause = %q, %v, want %v", digit, err, apps.ErrHangup)
		}
		b.wantAge(2 * second)
	}},
	{"after a hang-up each verb says so", func(b *bench) {
		b.Media("welcome", welcome, "")
		b.plays(rule("welcome"))
		b.Hangup()
		<-b.Context().Done()
		if cause := context.Cause(b.Context()); !errors.Is(cause, apps.ErrHangup) {
			b.t.Errorf("the context ended with %v, want %v", cause, apps.ErrHangup)
		}
		b.everyVerb(b.Context(), apps.ErrHangup)
		b.everyVerb(context.WithoutCancel(b.Context()), apps.ErrHangup)
	}},
	{"a hang-up before the first verb leaves the call unanswered", func(b *bench) {
		b.Media("welcome", welcome, "")
		b.Hangup()
		<-b.Context().Done()
		b.everyVerb(b.Context(), apps.ErrHangup)
		b.wantAnswered(false)
		b.wantHeard()
	}},
	{"a flow's own time limit ends a playback and leaves the call", func(b *bench) {
		b.Media("welcome", welcome, "")
		ctx, cancel := context.WithTimeoutCause(b.Context(), second, errEnough)
		defer cancel()
		played, err := b.Call().Play(ctx, rule("welcome"))
		if !errors.Is(err, errEnough) {
			b.t.Errorf("Play: %v, want %v", err, errEnough)
		}
		b.wantPlayed(played, apps.Played{Heard: second, Ended: apps.EndedByHangup, Offset: second})
		b.plays(rule("welcome"))
		b.wantAge(second + welcome)
		b.wantHeard("welcome", "welcome")
	}},
}
