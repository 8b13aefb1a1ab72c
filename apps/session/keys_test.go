package session

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
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

func TestKeyLog(t *testing.T) {
	var l keyLog
	for i, key := range []string{"1", "x", "", "12", "#", "2", "A"} {
		l.add(10*uint64(i+1), key, 0)
	}
	l.add(70, "9", 0)
	if l.received != 4 {
		t.Errorf("%d keys were received, want 4: the others are none, or not new", l.received)
	}
	l.add(80, "1", 0)
	if got := l.take("2#"); got != "#" {
		t.Errorf("took %q, want the first of the set", got)
	}
	if got := l.takeNumber(60, "1"); got != "" {
		t.Errorf("took %q as number 60, which is not in the set", got)
	}
	if got := l.takeNumber(60, "2"); got != "2" {
		t.Errorf("took %q as number 60, want 2", got)
	}
	if l.has("2#", 100) || !l.has("1A", 70) || l.has("A", 69) || !l.has("A", 70) || l.used != 2 {
		t.Errorf("log is %+v", l)
	}
	if got := l.takeTaken(); !slices.Equal(got, []uint64{50, 60}) || l.takeTaken() != nil {
		t.Errorf("used up are %v", got)
	}
}

// A caller who leans on his telephone fills nothing up, and can still stop
// what plays.
func TestKeysAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var played apps.Played
		var err error
		n := newNode(t, playsAndTells(&played, &err, apps.PlayRule{Sounds: []string{"long"}, Answer: true, StopOn: "#"}))
		n.media["long"] = medium{length: time.Hour}
		c := n.call(aritest.Invite{})
		for range 3 {
			c.Press(strings.Repeat("1", maxKeys))
			synctest.Wait()
		}
		time.Sleep(time.Second)
		c.Press("#")
		n.runs.Wait()
		if err != nil || played.Digit != "#" || played.Ended != apps.EndedByDigit {
			t.Errorf("Play: %+v, %v", played, err)
		}
		if got := counted(t, n.registry, "asterism_session_digits_dropped_total"); got != 2*maxKeys+1 {
			t.Errorf("%v keys were dropped", got)
		}
		if o := n.outcome(); o.Keys != 3*maxKeys+1 || o.Used != 1 {
			t.Errorf("outcome is %+v", o)
		}
	})
}

// A key from before the first sound controls nothing, and stays.
func TestControlKeyBeforeTheFirstSound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var played apps.Played
		var key string
		n := newNode(t, func(ctx context.Context, _ apps.Env, call apps.Call, _ apps.Request) (err error) {
			played, err = call.Play(ctx, apps.PlayRule{Sounds: []string{"welcome"}, Controls: apps.Controls{Pause: "5"}})
			if err == nil {
				key, err = call.Pause(ctx, time.Second, "5")
			}
			return err
		})
		n.media["welcome"] = medium{length: 3 * time.Second}
		n.before = func(c proxy.Command) error {
			if c.ID == "0.play.1" {
				for id, s := range n.sessions {
					s.Event(2, fmt.Appendf(nil, `{"type":"ChannelDtmfReceived","timestamp":%q,"digit":"5","channel":{"id":%q}}`,
						time.Now().Format(ari.TimeLayout), id))
				}
			}
			return nil
		}
		c := n.call(aritest.Invite{})
		n.runs.Wait()
		synctest.Wait()
		if played.Ended != apps.EndedComplete || key != "5" || !c.State().Ended {
			t.Errorf("Play: %+v, then the key %q", played, key)
		}
	})
}

// What a caller typed is in no log and no record: it may be a PIN.
func TestKeysAreNotTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var played apps.Played
		var err error
		n := newNode(t, playsAndTells(&played, &err, apps.PlayRule{Sounds: []string{"long"}, Answer: true, StopOn: "#"}))
		n.media["long"] = medium{length: time.Minute}
		c := n.call(aritest.Invite{Number: "5", Exten: "6"})
		c.Press("74183#")
		n.runs.Wait()
		n.mu.Lock()
		told := n.log.String() + string(n.commands[len(n.commands)-1].Outcome)
		n.mu.Unlock()
		for _, secret := range []string{"74183", `"7"`, `"4"`, `"8"`} {
			if strings.Contains(told, secret) {
				t.Errorf("%s is told in %s", secret, told)
			}
		}
		if !strings.Contains(told, `"digit":"#"`) {
			t.Errorf("the key that stopped is not told in %s", told)
		}
	})
}

func TestTrailIsBounded(t *testing.T) {
	var tr trail
	for range 1000 {
		tr.add("play", "music", apps.Played{Heard: 10 * time.Second, Ended: apps.EndedComplete}, nil)
	}
	if e := tr.entries(); len(e) != 1 || e[0].Times != 1000 || e[0].Heard != 10_000 {
		t.Fatalf("equal verbs are kept as %+v", e)
	}
	for i := range 1000 {
		tr.add("play", strings.Repeat("x", i%7), apps.Played{}, errors.New(strings.Repeat("y", 1000)))
	}
	e := tr.entries()
	raw, err := json.Marshal(e)
	if len(e) != firstVerbs+lastVerbs || tr.skipped != 1001-len(e) || e[0].Times != 1000 || err != nil || len(raw) > 32<<10 {
		t.Errorf("%d verbs and %d skipped in %d bytes, %v", len(e), tr.skipped, len(raw), err)
	}
}

func TestDescribe(t *testing.T) {
	if got := describe([]string{"welcome", "menu"}); got != "welcome&menu" {
		t.Errorf("described as %q", got)
	}
	many := make([]string, apps.MaxSounds)
	for i := range many {
		many[i] = "prompt"
	}
	if got := describe(many); len(got) > 150 || !strings.HasSuffix(got, "(128 in all)") {
		t.Errorf("described as %q", got)
	}
}
