package session

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"asterism/apps"
	"asterism/ari"
	"asterism/ari/aritest"
	"asterism/ari/proxy"
)

// playsAndTells is a flow that plays once and tells how that went.
func playsAndTells(played *apps.Played, err *error, rule apps.PlayRule) apps.Flow {
	return func(ctx context.Context, _ apps.Env, call apps.Call, _ apps.Request) error {
		*played, *err = call.Play(ctx, rule)
		return nil
	}
}

// Events get lost. What they would have told is found out.
func TestLostEvents(t *testing.T) {
	noEvent := func(ari.Header) bool { return true }
	tests := []struct {
		name   string
		sounds []string
		deaf   func(ari.Header) bool
		during func(n *node, c *aritest.Caller)
		ended  apps.PlayEnd
		heard  time.Duration
		took   time.Duration // at most
		err    error
	}{
		{
			name: "the end of a playback", sounds: []string{"welcome"}, deaf: isType("PlaybackFinished"),
			ended: apps.EndedComplete, heard: 3 * time.Second, took: 9 * time.Second,
		},
		{
			name: "the start of a playback", sounds: []string{"welcome"}, deaf: isType("PlaybackStarted"),
			ended: apps.EndedComplete, heard: 3 * time.Second, took: 3100 * time.Millisecond,
		},
		{
			name: "all of a playback", sounds: []string{"welcome", "welcome"}, deaf: noEvent,
			ended: apps.EndedComplete, heard: 6 * time.Second, took: 12 * time.Second,
		},
		{
			name: "a hang-up", sounds: []string{"welcome"}, deaf: noEvent,
			during: func(_ *node, c *aritest.Caller) { time.Sleep(time.Second); c.Hangup() },
			ended:  apps.EndedByHangup, heard: 3 * time.Second, took: 9 * time.Second, err: apps.ErrHangup,
		},
		{
			name: "a hang-up, and that events were lost is told", sounds: []string{"welcome"}, deaf: noEvent,
			during: func(n *node, c *aritest.Caller) {
				time.Sleep(time.Second)
				c.Hangup()
				n.lose(c)
			},
			ended: apps.EndedByHangup, heard: time.Second, took: 1100 * time.Millisecond, err: apps.ErrHangup,
		},
		{
			name: "the end, and that events were lost is told", sounds: []string{"own"}, deaf: isType("PlaybackFinished"),
			during: func(n *node, c *aritest.Caller) { time.Sleep(4 * time.Second); n.lose(c) },
			ended:  apps.EndedComplete, heard: 4 * time.Second, took: 5 * time.Second,
		},
		{
			name: "the end, and the start is told late with that", sounds: []string{"welcome"}, deaf: noEvent,
			during: func(n *node, c *aritest.Caller) {
				zero := time.Now()
				time.Sleep(3500 * time.Millisecond)
				n.raise(c, "PlaybackStarted", zero, playbackPart(c, "playing"))
				n.lose(c)
			},
			ended: apps.EndedComplete, heard: 3 * time.Second, took: 4 * time.Second,
		},
		{
			name: "nothing that matters", sounds: []string{"welcome"},
			during: func(n *node, c *aritest.Caller) { time.Sleep(time.Second); n.lose(c) },
			ended:  apps.EndedComplete, heard: 3 * time.Second, took: 3100 * time.Millisecond,
		},
		{
			name: "a sound of unknown length is looked for now and then", sounds: []string{"long"},
			ended: apps.EndedComplete, heard: time.Hour, took: time.Hour + time.Second,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var played apps.Played
				var err error
				n := newNode(t, playsAndTells(&played, &err, apps.PlayRule{Sounds: tt.sounds, Answer: true}))
				n.media["welcome"] = medium{length: 3 * time.Second}
				n.media["own"] = medium{length: 3 * time.Second, unknown: true}
				n.media["long"] = medium{length: time.Hour, unknown: true}
				if tt.deaf != nil {
					n.deaf = func(h ari.Header) bool { return h.Type != "StasisStart" && tt.deaf(h) }
				}
				began := time.Now()
				c := n.call(aritest.Invite{})
				if tt.during != nil {
					tt.during(n, c)
				}
				n.runs.Wait()
				if !errors.Is(err, tt.err) || played.Ended != tt.ended || (played.Heard-tt.heard).Abs() > 300*time.Millisecond {
					t.Errorf("Play: %+v, %v; want %s after %v, %v", played, err, tt.ended, tt.heard, tt.err)
				}
				if took := time.Since(began); took > tt.took {
					t.Errorf("it took %v", took)
				}
				if sent := n.sent(); len(sent) > 45 {
					t.Errorf("%d commands were sent", len(sent))
				}
			})
		})
	}
}

// lose tells the session of a call that events were lost.
func (n *node) lose(c *aritest.Caller) {
	n.mu.Lock()
	s := n.sessions[c.Channel()]
	n.mu.Unlock()
	s.Lost()
}

func TestPauseLooksAfterLostEvents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var err error
		n := newNode(t, func(ctx context.Context, _ apps.Env, call apps.Call, _ apps.Request) error {
			_, err = call.Pause(ctx, time.Hour, "")
			return err
		})
		n.deaf = func(h ari.Header) bool { return h.Type != "StasisStart" }
		c := n.call(aritest.Invite{})
		n.lose(c) // it is there still
		synctest.Wait()
		c.Hangup()
		n.lose(c)
		n.runs.Wait()
		if !errors.Is(err, apps.ErrHangup) || n.accepts == 0 {
			t.Errorf("Pause: %v, want %v; accepted %d times", err, apps.ErrHangup, n.accepts)
		}
		wantSent(t, n, "0.pause.1.look1 GET channels", "0.pause.1.look2 GET channels", "0.end.2")
	})
}

// Sounds that Asterisk cannot play are found out, though it says "done".
func TestSoundsThatFail(t *testing.T) {
	tests := []struct {
		name   string
		sounds []string
		sound  int
		heard  time.Duration
	}{
		{"the only one", []string{"lies"}, 0, 0},
		{"the last one", []string{"welcome", "lies"}, 1, 3 * time.Second},
		{"one in the middle", []string{"welcome", "lies", "welcome"}, 1, 6 * time.Second},
		{"one that ends early", []string{"stub", "welcome"}, 0, 4 * time.Second},
		{"without a word", []string{"mute"}, 0, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var played apps.Played
				var err error
				n := newNode(t, playsAndTells(&played, &err, apps.PlayRule{Sounds: tt.sounds, Answer: true}))
				n.media["welcome"] = medium{length: 3 * time.Second}
				n.media["lies"] = medium{length: 10 * time.Second}
				n.media["stub"] = medium{length: 10 * time.Second}
				n.media["mute"] = medium{length: 10 * time.Second, unknown: true}
				n.plays = func(uri string) (time.Duration, bool) {
					switch nameOf(uri) {
					case "lies":
						return 0, false
					case "stub":
						return time.Second, true
					}
					return n.lengthOf(uri)
				}
				n.deaf = func(h ari.Header) bool { return tt.sounds[0] == "mute" && h.Type == "PlaybackFinished" }
				n.call(aritest.Invite{})
				n.runs.Wait()
				m, ok := errors.AsType[*apps.MediaError](err)
				if tt.sounds[0] == "mute" {
					tt.heard = played.Heard
				}
				if !ok || m.Problem != apps.MediaBroken || m.Sound != tt.sounds[tt.sound] || played.Ended != apps.EndedFailed ||
					played.Sound != tt.sound || (played.Heard-tt.heard).Abs() > 100*time.Millisecond {
					t.Errorf("Play: %+v, %v; want sound %d to fail after %v", played, err, tt.sound, tt.heard)
				}
			})
		})
	}
}

// Steps that Asterisk refuses: the caller has just hung up, or not.
func TestStepsThatAreRefused(t *testing.T) {
	for _, hungUp := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			var err error
			ready := make(chan struct{})
			n := newNode(t, func(ctx context.Context, _ apps.Env, call apps.Call, _ apps.Request) error {
				<-ready
				if err = call.Answer(ctx); err == nil {
					_, err = call.Play(ctx, apps.PlayRule{Sounds: []string{"welcome"}})
				}
				return err
			})
			n.deaf = func(h ari.Header) bool { return h.Type != "StasisStart" }
			n.media["welcome"] = medium{length: time.Second}
			var c *aritest.Caller
			n.before = func(cmd proxy.Command) error {
				if cmd.ID == "0.play.2" && hungUp {
					c.Hangup()
				}
				return nil
			}
			if !hungUp {
				n.srv.Faults().Fail("POST /channels/*/play/*", 404, 1)
			}
			c = n.call(aritest.Invite{})
			close(ready)
			n.runs.Wait()
			if got := errors.Is(err, apps.ErrHangup); got != hungUp || err == nil {
				t.Errorf("hung up: %v, error %v", hungUp, err)
			}
		})
	}
}

// A gateway that does not answer is our fault, and the call is refused.
func TestGatewayThatDoesNotAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNode(t, plays("welcome"))
		n.before = func(c proxy.Command) error {
			if c.Final {
				return nil
			}
			return errors.New("no answer")
		}
		c := n.call(aritest.Invite{})
		n.runs.Wait()
		synctest.Wait()
		o := n.outcome()
		if o.Result != resultFailed || o.Status != 503 || o.Fault != apps.FaultUs {
			t.Errorf("outcome is %+v", o)
		}
		if !c.State().Ended {
			t.Error("the call goes on")
		}
	})
}
