package apps_test

import (
	"reflect"
	"testing"
	"time"

	"asterism/apps"
	"asterism/apps/calltest"
)

const second = time.Second

// once is a request to play the sounds one time.
func once(sounds ...string) apps.Request {
	return apps.Request{Action: "Playback", Sounds: sounds, Loop: 1}
}

func with(req apps.Request, change func(*apps.Request)) apps.Request {
	change(&req)
	return req
}

func TestPlayback(t *testing.T) {
	welcome, menu := calltest.Has("welcome", 3*second), calltest.Has("menu", 2*second)
	tests := []struct {
		name   string
		req    apps.Request
		script calltest.Script
	}{
		{"one sound", once("welcome"), calltest.Script{
			welcome, calltest.Answers(), calltest.Hears("welcome", 3*second), calltest.Ends(),
		}},
		{"several sounds", once("welcome", "menu", "digits:12"), calltest.Script{
			welcome, menu, calltest.Has("digits:12", second),
			calltest.Answers(), calltest.Hears("welcome", 3*second), calltest.Hears("menu", 2*second), calltest.Hears("digits:12", second), calltest.Ends(),
		}},
		{"early media is not answered, and ends with a status", with(once("welcome"), func(r *apps.Request) { r.EarlyMedia = true }), calltest.Script{
			welcome, calltest.Hears("welcome", 3*second), calltest.Refuses(480),
		}},
		{"a loop with a pause between its rounds", with(once("welcome", "menu"), func(r *apps.Request) { r.Loop, r.Pause = 2, 1500*time.Millisecond }), calltest.Script{
			welcome, menu,
			calltest.Answers(), calltest.Hears("welcome", 3*second), calltest.Hears("menu", 2*second), calltest.Silence(1500 * time.Millisecond),
			calltest.Hears("welcome", 3*second), calltest.Hears("menu", 2*second), calltest.Ends(),
		}},
		{"a loop until the caller hangs up", with(once("welcome"), func(r *apps.Request) { r.Loop = 0 }), calltest.Script{
			welcome, calltest.Answers(), calltest.Hears("welcome", 3*second), calltest.Hears("welcome", 3*second), calltest.Hears("welcome", 3*second),
			calltest.Hears("welcome", 3*second), calltest.Hears("welcome", 3*second), calltest.Hears("welcome", second), calltest.HangsUp(), calltest.EndsBy(apps.ErrHangup),
		}},
		{"a key stops it", with(once("welcome"), func(r *apps.Request) { r.StopOn = "#" }), calltest.Script{
			welcome, calltest.Answers(), calltest.Hears("welcome", second), calltest.Presses("5"), calltest.Hears("welcome", second), calltest.Presses("#"), calltest.Ends(),
		}},
		{"a key stops it in the pause", with(once("welcome"), func(r *apps.Request) { r.Loop, r.Pause, r.StopOn = 0, 5*second, "#" }), calltest.Script{
			welcome, calltest.Answers(), calltest.Hears("welcome", 3*second), calltest.Silence(second), calltest.Presses("#"), calltest.Ends(),
		}},
		{"a key typed before stops it at once", with(once("welcome"), func(r *apps.Request) { r.StopOn = apps.AllKeys }), calltest.Script{
			welcome, calltest.Presses("5"), calltest.Answers(), calltest.Ends(),
		}},
		{"keys move inside it", with(once("welcome"), func(r *apps.Request) {
			r.Controls = apps.Controls{Pause: "5", Restart: "0", Forward: "6", Back: "4", Skip: second}
		}), calltest.Script{
			welcome, calltest.Answers(), calltest.Hears("welcome", second), calltest.Presses("5"), calltest.Silence(9 * second), calltest.Presses("5"), calltest.Hears("welcome", second),
			calltest.Presses("0"), calltest.Hears("welcome", second), calltest.Presses("6"), calltest.Presses("4"), calltest.Hears("welcome", second), calltest.Presses("6"), calltest.Ends(),
		}},
		{"the caller hangs up", once("welcome"), calltest.Script{
			welcome, calltest.Answers(), calltest.Hears("welcome", second), calltest.HangsUp(), calltest.EndsBy(apps.ErrHangup),
		}},
		{"the caller hangs up at once", once("welcome"), calltest.Script{
			welcome, calltest.HangsUp(), calltest.EndsBy(apps.ErrHangup),
		}},
		{"the node has no more time", once("welcome"), calltest.Script{
			welcome, calltest.Answers(), calltest.Hears("welcome", second), calltest.Drains(), calltest.EndsBy(apps.ErrDraining),
		}},
		{"a sound that does not exist refuses the call", once("welcome", "nowhere"), calltest.Script{welcome, calltest.Refuses(404)}},
		{"a broken sound refuses the call", once("noise"), calltest.Script{calltest.Lacks("noise", apps.MediaBroken), calltest.Refuses(488)}},
		{"storage that is down refuses the call", once("welcome"), calltest.Script{calltest.Lacks("welcome", apps.MediaUnavailable), calltest.Refuses(503)}},
		{"early media that does not exist refuses the call", with(once("nowhere"), func(r *apps.Request) { r.EarlyMedia = true }), calltest.Script{calltest.Refuses(404)}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) { calltest.Run(t, apps.Playback, tt.req, tt.script) })
	}
}

func TestPlaybackLongLoops(t *testing.T) {
	tests := []struct {
		name   string
		length time.Duration
		loop   int
		pause  time.Duration
		want   []int // how many sounds each Play was asked for
	}{
		{"a few rounds are one playback", 3 * second, 8, 0, []int{8}},
		{"with the pauses between them", 3 * second, 8, second, []int{15}},
		{"more are played in batches of ten seconds", 4 * second, 9, 0, []int{1, 2, 2, 2, 2}},
		{"but at least one round", 60 * second, 9, 0, []int{1, 1, 1, 1, 1, 1, 1, 1, 1}},
		{"the pause counts, and follows each but the last", 3 * second, 9, second, []int{2, 4, 4, 4, 3}},
		{"a batch never has too many sounds", 10 * time.Millisecond, 1000, 0, []int{1, 100, 100, 100, 100, 100, 100, 100, 100, 100, 99}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var got []int
			total := time.Duration(tt.loop)*tt.length + time.Duration(tt.loop-1)*tt.pause
			req := apps.Request{Action: "Playback", Sounds: []string{"x"}, Loop: tt.loop, Pause: tt.pause}
			result := calltest.Listen(t, apps.Playback, req, calltest.Has("x", tt.length))
			for _, rule := range result.Plays {
				got = append(got, len(rule.Sounds))
			}
			if len(result.Stages) != len(tt.want)-1 {
				t.Errorf("went through the stages %q, want one for each batch but the first", result.Stages)
			}
			if !reflect.DeepEqual(got, tt.want) {
				t.Errorf("played %d sounds at a time, want %d", got, tt.want)
			}
			if heard := result.Notes[0].Fields["heard"]; result.Err != nil || heard != total {
				t.Errorf("heard %v and ended with %v, want %v and nil", heard, result.Err, total)
			}
		})
	}
}

func TestPlaybackLoopOfNothing(t *testing.T) {
	calltest.Run(t, apps.Playback, apps.Request{Action: "Playback", Sounds: []string{"empty"}}, calltest.Script{
		calltest.Has("empty", 0), calltest.Answers(),
		calltest.Silence(second), calltest.Silence(second), calltest.Silence(second), calltest.HangsUp(),
		calltest.EndsBy(apps.ErrHangup),
	})
}

func TestPlaybackChangedSound(t *testing.T) {
	// The second round is gone: what was answered cannot be refused any more,
	// but the record of the call says what happened.
	result := calltest.Run(t, apps.Playback, apps.Request{Action: "Playback", Sounds: []string{"welcome"}}, calltest.Script{
		calltest.Has("welcome", 30*second), calltest.Answers(), calltest.Hears("welcome", 20*second), calltest.Loses("welcome"),
		calltest.Hears("welcome", 10*second), calltest.Refuses(404),
	})
	wantNote(t, result, map[string]any{"ended": "failed", "heard": 30 * second, "offset": 0 * second, "round": 2, "sound": "welcome"})
}

// The detail of the completion belongs into the call's record.
func TestPlaybackDetail(t *testing.T) {
	welcome, menu := calltest.Has("welcome", 3*second), calltest.Has("menu", 2*second)
	req := with(once("welcome", "menu"), func(r *apps.Request) { r.Loop, r.StopOn = 2, "#" })
	tests := []struct {
		name   string
		script calltest.Script
		want   map[string]any
	}{
		{"to the end", calltest.Script{
			welcome, menu, calltest.Answers(), calltest.Hears("welcome", 3*second), calltest.Hears("menu", 2*second),
			calltest.Hears("welcome", 3*second), calltest.Hears("menu", 2*second), calltest.Ends(),
		}, map[string]any{"ended": "complete", "heard": 10 * second, "offset": 2 * second, "round": 2, "sound": "menu"}},
		{"stopped by a key", calltest.Script{
			welcome, menu, calltest.Answers(), calltest.Hears("welcome", 3*second), calltest.Hears("menu", 2*second),
			calltest.Hears("welcome", second), calltest.Presses("#"), calltest.Ends(),
		}, map[string]any{"ended": "digit", "heard": 6 * second, "offset": second, "round": 2, "sound": "welcome", "digit": "#"}},
		{"left by the caller", calltest.Script{
			welcome, menu, calltest.Answers(), calltest.Hears("welcome", 3*second), calltest.Hears("menu", second),
			calltest.HangsUp(), calltest.EndsBy(apps.ErrHangup),
		}, map[string]any{"ended": "hangup", "heard": 4 * second, "offset": second, "round": 1, "sound": "menu"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) { wantNote(t, calltest.Run(t, apps.Playback, req, tt.script), tt.want) })
	}
}

func wantNote(t *testing.T, result calltest.Result, fields map[string]any) {
	t.Helper()
	want := []calltest.Note{{Message: "playback ended", Fields: fields}}
	if !reflect.DeepEqual(result.Notes, want) {
		t.Errorf("the flow noted %v, want %v", result.Notes, want)
	}
}

func TestPlaybackLanguage(t *testing.T) {
	req := once("welcome")
	req.Language = "it-IT"
	result := calltest.Listen(t, apps.Playback, req, calltest.Has("welcome", second))
	if got := result.Plays[0].Language; got != "it-IT" {
		t.Errorf("played in %q, want it-IT", got)
	}
}
