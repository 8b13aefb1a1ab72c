package session

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"asterism/apps"
	"asterism/ari"
	"asterism/ari/aritest"
	"asterism/ari/proxy"
)

// by is the difference between the clocks in these tests.
const by = time.Hour

// raise makes a session hear an event with the time of another clock.
func (n *node) raise(c *aritest.Caller, typ string, at time.Time, more string) {
	n.mu.Lock()
	s := n.sessions[c.Channel()]
	n.mu.Unlock()
	s.Event(n.number(c.Channel()), fmt.Appendf(nil, `{"type":%q,"timestamp":%q,%s}`, typ, at.Add(by).Format(ari.TimeLayout), more))
}

func channelPart(c *aritest.Caller) string { return fmt.Sprintf(`"channel":{"id":%q}`, c.Channel()) }

func playbackPart(c *aritest.Caller, state string) string {
	return fmt.Sprintf(`"playback":{"id":%q,"target_uri":"channel:%s","state":%q}`, c.Channel()+"~0.1", c.Channel(), state)
}

// Times are told by Asterisk's clock, which is another one, and events can be
// late.
func TestClocks(t *testing.T) {
	tests := []struct {
		name   string
		events func(n *node, c *aritest.Caller, zero time.Time, stop context.CancelCauseFunc)
		ended  apps.PlayEnd
		heard  time.Duration
	}{
		{"late news of the end", func(n *node, c *aritest.Caller, zero time.Time, _ context.CancelCauseFunc) {
			n.raise(c, "PlaybackStarted", zero, playbackPart(c, "playing"))
			time.Sleep(7 * time.Second)
			n.raise(c, "PlaybackFinished", zero.Add(3*time.Second), playbackPart(c, "done"))
		}, apps.EndedComplete, 3 * time.Second},
		{"late news of a hang-up", func(n *node, c *aritest.Caller, zero time.Time, _ context.CancelCauseFunc) {
			n.raise(c, "PlaybackStarted", zero, playbackPart(c, "playing"))
			time.Sleep(2 * time.Second)
			n.raise(c, "ChannelHangupRequest", zero.Add(time.Second), channelPart(c))
		}, apps.EndedByHangup, time.Second},
		{"no news of the beginning", func(n *node, c *aritest.Caller, zero time.Time, _ context.CancelCauseFunc) {
			time.Sleep(time.Second)
			n.raise(c, "ChannelHangupRequest", zero.Add(time.Second), channelPart(c))
		}, apps.EndedByHangup, time.Second},
		{"no news of the end", func(n *node, c *aritest.Caller, zero time.Time, stop context.CancelCauseFunc) {
			n.raise(c, "PlaybackStarted", zero, playbackPart(c, "playing"))
			time.Sleep(time.Second)
			stop(proxy.ErrClosed)
		}, apps.EndedByHangup, time.Second},
		{"no news of the end, and each sound of a list says that it started", func(n *node, c *aritest.Caller, zero time.Time, stop context.CancelCauseFunc) {
			n.raise(c, "PlaybackStarted", zero, playbackPart(c, "playing"))
			time.Sleep(500 * time.Millisecond)
			n.raise(c, "PlaybackContinuing", zero.Add(500*time.Millisecond), playbackPart(c, "continuing"))
			n.raise(c, "PlaybackStarted", zero.Add(500*time.Millisecond), playbackPart(c, "playing"))
			time.Sleep(500 * time.Millisecond)
			stop(proxy.ErrClosed)
		}, apps.EndedByHangup, time.Second},
		{"the playback ends before the hang-up is told", func(n *node, c *aritest.Caller, zero time.Time, _ context.CancelCauseFunc) {
			n.raise(c, "PlaybackStarted", zero, playbackPart(c, "playing"))
			time.Sleep(time.Second)
			n.raise(c, "PlaybackFinished", zero.Add(time.Second), playbackPart(c, "failed"))
			time.Sleep(goneWithin / 2)
			n.raise(c, "ChannelHangupRequest", zero.Add(time.Second), channelPart(c))
		}, apps.EndedByHangup, time.Second},
		{"the events of another playback and another channel", func(n *node, c *aritest.Caller, zero time.Time, _ context.CancelCauseFunc) {
			n.raise(c, "PlaybackStarted", zero, playbackPart(c, "playing"))
			n.raise(c, "ChannelHangupRequest", zero, `"channel":{"id":"other"}`)
			n.raise(c, "ChannelDtmfReceived", zero, `"digit":"#","channel":{"id":"other"}`)
			n.raise(c, "PlaybackFinished", zero, `"playback":{"id":"other","state":"done"}`)
			n.raise(c, "SomethingNew", zero, channelPart(c))
			time.Sleep(3 * time.Second)
			n.raise(c, "PlaybackFinished", zero.Add(3*time.Second), playbackPart(c, "done"))
		}, apps.EndedComplete, 3 * time.Second},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var played apps.Played
				var err error
				n := newNode(t, playsAndTells(&played, &err, apps.PlayRule{Sounds: []string{"welcome"}, Answer: true, StopOn: "#"}))
				n.media["welcome"] = medium{length: 3 * time.Second}
				n.deaf = func(h ari.Header) bool { return h.Type != "StasisStart" }
				ctx, stop := context.WithCancelCause(t.Context())
				defer stop(nil)
				n.context = ctx
				c := n.call(aritest.Invite{})
				tt.events(n, c, time.Now(), stop)
				n.runs.Wait()
				if played.Ended != tt.ended || (played.Heard-tt.heard).Abs() > 20*time.Millisecond {
					t.Errorf("Play: %+v, %v; want %s after %v", played, err, tt.ended, tt.heard)
				}
				if sent := n.sent(); slices.ContainsFunc(sent, func(line string) bool { return strings.Contains(line, "GET") }) {
					t.Errorf("commands are %q, and there was no reason to look", sent)
				}
			})
		})
	}
}

// Keys that arrive late, and together, have paused for no time at all: the
// sound is heard whole, and is not taken for a broken one. The news of the
// beginning may have waited with them.
func TestPauseThatComesLate(t *testing.T) {
	for _, told := range []time.Duration{0, 6 * time.Second} {
		t.Run(told.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var played apps.Played
				var err error
				rule := apps.PlayRule{Sounds: []string{"welcome"}, Answer: true, Controls: apps.Controls{Pause: "5"}}
				n := newNode(t, playsAndTells(&played, &err, rule))
				n.media["welcome"] = medium{length: 10 * time.Second}
				n.deaf = func(h ari.Header) bool { return h.Type != "StasisStart" }
				c := n.call(aritest.Invite{})
				zero := time.Now()
				synctest.Wait()
				time.Sleep(told)
				n.raise(c, "PlaybackStarted", zero, playbackPart(c, "playing"))
				time.Sleep(6*time.Second - told)
				for _, pressed := range []time.Duration{time.Second, 4 * time.Second} {
					n.raise(c, "ChannelDtmfReceived", zero.Add(pressed), `"digit":"5",`+channelPart(c))
				}
				time.Sleep(4 * time.Second)
				n.raise(c, "PlaybackFinished", zero.Add(10*time.Second), playbackPart(c, "done"))
				n.runs.Wait()
				if err != nil || played.Ended != apps.EndedComplete || (played.Heard-10*time.Second).Abs() > 20*time.Millisecond {
					t.Errorf("Play: %+v, %v; want all 10 s", played, err)
				}
			})
		})
	}
}

func TestEventThatIsNone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNode(t, plays("welcome"))
		n.media["welcome"] = medium{length: 3 * time.Second}
		c := n.call(aritest.Invite{})
		n.raise(c, "ChannelDtmfReceived", time.Now(), `"digit":`)
		n.runs.Wait()
		if got := counted(t, n.registry, "asterism_session_bad_events_total"); got != 1 {
			t.Errorf("%v bad events were counted", got)
		}
	})
}

func TestInboxIsBounded(t *testing.T) {
	s := &session{}
	for range 2 * maxInbox {
		s.put(signal{})
	}
	if len(s.takeSignals()) != maxInbox || !s.takeLost() || s.takeLost() {
		t.Error("what was too much was not counted as lost, once")
	}
}

// What the call record says of the people, and of the flow's notes.
func TestOutcome(t *testing.T) {
	tests := []struct {
		name    string
		private bool
		value   any // of a note
		notes   int
	}{
		{"plain", false, 1500 * time.Millisecond, maxNotes},
		{"private", true, "x", maxNotes},
		{"a note that JSON cannot hold", false, math.NaN(), 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := newNode(t, func(_ context.Context, env apps.Env, _ apps.Call, _ apps.Request) error {
					for range 3 * maxNotes {
						env.Note("hello", "value", tt.value)
					}
					return errors.New(strings.Repeat("e", 10_000))
				})
				n.pool.opts.Parse = func(_ []string, ch Channel) (apps.Request, []string, error) {
					return apps.Request{
						Action: "Test", Called: ch.Called, Caller: apps.Party{Number: "5551", Private: tt.private},
						Vars: map[string]string{"tenant": "acme"},
					}, nil, nil
				}
				n.call(aritest.Invite{Exten: "s"})
				n.runs.Wait()
				o := n.outcome()
				if o.Called != "" || (o.Caller == "") != tt.private || len(o.Error) > 600 || len(o.Notes) != tt.notes {
					t.Errorf("outcome is %+v, want %d notes", o, tt.notes)
				}
				if o.Vars["tenant"] != "acme" {
					t.Errorf("variables are %v", o.Vars)
				}
				if d, ok := tt.value.(time.Duration); ok && o.Notes[0].Fields["value"] != d.Seconds() {
					t.Errorf("note is %+v", o.Notes[0])
				}
			})
		})
	}
}
