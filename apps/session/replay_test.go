package session

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"asterism/apps"
	"asterism/ari/aritest"
)

// shop is a flow with stages that uses every verb, and what it did outside.
type shop struct {
	mu      sync.Mutex
	effects map[string]string // by key
	order   []string
	ran     int
}

type shopState struct {
	ID, Digits string
	Round      int
	At         time.Time
}

func (s *shop) do(ctx context.Context, call apps.Call, name, what string) error {
	got, err := apps.Do(ctx, call, name, func(_ context.Context, key string) (string, error) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.ran++
		if _, ok := s.effects[key]; !ok {
			s.effects[key] = name + " " + what
			s.order = append(s.order, name+" "+what)
		}
		return s.effects[key], nil
	})
	if err == nil && got != name+" "+what {
		return fmt.Errorf("Do gave %q for %q", got, name+" "+what)
	}
	return err
}

func (s *shop) flow(ctx context.Context, env apps.Env, call apps.Call, _ apps.Request) error {
	if err := call.Answer(ctx); err != nil {
		return err
	}
	if _, err := call.Play(ctx, apps.PlayRule{Sounds: []string{"welcome"}}); err != nil {
		return err
	}
	env.Note("welcomed")
	id, err := call.NewID(ctx)
	if err != nil {
		return err
	}
	at, err := call.Now(ctx)
	if err != nil {
		return err
	}
	if err := s.do(ctx, call, "open", id); err != nil {
		return err
	}
	return apps.Continue("menu", shopState{ID: id, At: at})
}

func (s *shop) menu(ctx context.Context, _ apps.Env, call apps.Call, _ apps.Request, st shopState) error {
	played, err := call.Play(ctx, apps.PlayRule{Sounds: []string{"menu"}, StopOn: "123"})
	if err != nil {
		return err
	}
	digit := played.Digit
	if digit == "" {
		if digit, err = call.Pause(ctx, time.Minute, "123"); err != nil {
			return err
		}
	}
	n, err := call.Random(ctx, 1000)
	if err != nil {
		return err
	}
	again, err := call.Random(ctx, 1)
	if err != nil || again != 0 {
		return fmt.Errorf("a number below 1: %d, %w", again, err)
	}
	st.Digits += digit
	st.Round++
	if err := s.do(ctx, call, "choose", fmt.Sprintf("%d %s %t", st.Round, st.Digits, n >= 0)); err != nil {
		return err
	}
	if st.Round < 3 {
		return apps.Continue("menu", st)
	}
	if _, err := call.Play(ctx, apps.PlayRule{Sounds: []string{"bye"}}); err != nil {
		return err
	}
	return s.do(ctx, call, "close", st.ID)
}

// visit is a caller who types a 9 that nobody wants, chooses 1 in the first menu, 2 after the second and 3
// in the third, while the workers die as told.
func visit(t *testing.T, f func(point int, at string) fate, check func(n *node, s *shop, c *aritest.Caller)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := &shop{effects: make(map[string]string)}
		n := newNode(t, s.flow)
		n.stages = []apps.Stage{apps.StageOf("menu", s.menu)}
		n.fate = f
		for name, length := range map[string]time.Duration{"welcome": 3 * time.Second, "menu": 2 * time.Second, "bye": time.Second} {
			n.media[name] = medium{length: length}
		}
		c := n.call(aritest.Invite{})
		for at, key := range map[time.Duration]string{time.Second: "9", 4 * time.Second: "1", 8 * time.Second: "2", 9 * time.Second: "3"} {
			timer := time.AfterFunc(at, func() { c.Press(key) })
			defer timer.Stop()
		}
		n.runs.Wait()
		synctest.Wait()
		check(n, s, c)
		if t.Failed() {
			t.Logf("deaths: %s\ncommands: %s", strings.Join(n.deaths, "\n"), strings.Join(n.sent(), "\n"))
		}
	})
}

// wantVisit checks that the visit went as one without deaths does.
func wantVisit(t *testing.T, n *node, s *shop, c *aritest.Caller) {
	t.Helper()
	var heard []string
	for _, h := range c.Heard() {
		heard = append(heard, nameOf(h.Media))
	}
	if want := []string{"welcome", "menu", "menu", "menu", "bye"}; !slices.Equal(heard, want) {
		t.Errorf("the caller heard %q, want %q", heard, want)
	}
	if len(s.order) != 5 || s.order[1] != "choose 1 1 true" || s.order[2] != "choose 2 12 true" || s.order[3] != "choose 3 123 true" ||
		strings.TrimPrefix(s.order[4], "close ") != strings.TrimPrefix(s.order[0], "open ") {
		t.Errorf("what was done outside is %q", s.order)
	}
	o := n.outcome()
	if o.Result != resultDone || !o.Answered || o.Stage != "menu" || o.Stages != 4 || o.Keys != 4 || o.Used != 3 || len(o.Notes) != 1 {
		t.Errorf("outcome is %+v", o)
	}
	if len(o.Verbs) < 15 || o.Verbs[0].Verb != "answer" || o.Verbs[1].About != "welcome" || o.Verbs[1].Ended != apps.EndedComplete {
		t.Errorf("verbs are %+v", o.Verbs)
	}
	if st := c.State(); !st.Ended || st.SIPStatus != 200 {
		t.Errorf("the caller saw %+v", st)
	}
}

// Whenever a worker dies, and however often: the caller hears each prompt
// once, no key is lost, and everything outside is done once.
func TestVisitSurvives(t *testing.T) {
	points := 0
	visit(t, nil, func(n *node, s *shop, c *aritest.Caller) {
		wantVisit(t, n, s, c)
		points = n.points
		for _, k := range n.calls { // of the last stage alone
			if journal := string(slices.Concat(k.journal...)); strings.Count(journal, `"f":1`) != 1 || !strings.Contains(journal, `"n":3`) {
				t.Errorf("the journal is %s", journal)
			}
		}
		if s.ran != 5 {
			t.Errorf("%d functions were run, want 5", s.ran)
		}
	})
	if points < 40 {
		t.Fatalf("there are only %d points where a worker could die", points)
	}
	for _, f := range []fate{dies, diesHeard, isReleased} {
		for k := 1; k <= points; k++ {
			t.Run(fmt.Sprintf("fate %d at %d", f, k), func(t *testing.T) {
				visit(t, func(point int, _ string) fate {
					if point == k {
						return f
					}
					return lives
				}, func(n *node, s *shop, c *aritest.Caller) { wantVisit(t, n, s, c) })
			})
		}
	}
	for seed := range uint64(100) {
		t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) {
			r := rand.New(rand.NewPCG(seed, 0))
			visit(t, func(int, string) fate {
				if r.IntN(5) == 0 {
					return fate(r.IntN(4))
				}
				return lives
			}, func(n *node, s *shop, c *aritest.Caller) { wantVisit(t, n, s, c) })
		})
	}
}

// A playback that was in the log when the node died, and that Asterisk never
// had, is played under another id.
func TestPlaybackThatWasLostIsPlayed(t *testing.T) {
	visit(t, once(nodeDies, ".play.2 is in", ".play.1 is in", ".play.4 is in"), func(n *node, s *shop, c *aritest.Caller) {
		wantVisit(t, n, s, c)
		if sent := n.sent(); !slices.Contains(sent, "0.play.2.again1 play") {
			t.Errorf("commands are %q", sent)
		}
	})
}

// once gives a worker a fate the first time that it comes to each point.
func once(f fate, points ...string) func(int, string) fate {
	var seen []string
	return func(_ int, at string) fate {
		for _, p := range points {
			if strings.Contains(at, p) && !slices.Contains(seen, at) {
				seen = append(seen, at)
				return f
			}
		}
		return lives
	}
}

// Notes are in the log once, and in the call record.
func TestNotesAreLoggedOnce(t *testing.T) {
	visit(t, once(dies, "0.do.5 is not answered", "1.play.1 is not sent"), func(n *node, s *shop, c *aritest.Caller) {
		wantVisit(t, n, s, c)
		if got := strings.Count(n.log.String(), "welcomed"); got != 1 {
			t.Errorf("the note is in the log %d times:\n%s", got, n.log.String())
		}
	})
}

// changing is a flow that is another one in each release; a release ends with
// each death of a worker.
func changing(t *testing.T, during func(n *node, c *aritest.Caller), check func(n *node, c *aritest.Caller), releases ...apps.Flow) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		release := 0
		n := newNode(t, nil)
		n.media["welcome"] = medium{length: 3 * time.Second}
		n.media["menu"] = medium{length: 2 * time.Second}
		n.pool.opts.Lookup = func(name string) (apps.Action, bool) {
			n.mu.Lock()
			defer n.mu.Unlock()
			return apps.Action{Name: name, Flow: releases[min(release, len(releases)-1)]}, true
		}
		n.died = func(bool) { n.mu.Lock(); release++; n.mu.Unlock() }
		c := n.call(aritest.Invite{})
		during(n, c)
		n.runs.Wait()
		synctest.Wait()
		check(n, c)
	})
}

// kills lets the worker of a call die now.
func (n *node) kills(c *aritest.Caller) {
	n.mu.Lock()
	k := n.calls[c.Channel()]
	old, owner := n.fate, k.owner
	n.fate = once(dies, "by hand")
	n.mu.Unlock()
	n.point(k, owner, "by hand")
	n.mu.Lock()
	n.fate = old
	n.mu.Unlock()
	synctest.Wait()
}

func playsThen(sound, name string, more ...apps.Flow) apps.Flow {
	return func(ctx context.Context, env apps.Env, call apps.Call, req apps.Request) error {
		if _, err := call.Play(ctx, apps.PlayRule{Sounds: []string{sound}, Answer: true}); err != nil {
			return err
		}
		if _, err := call.Do(ctx, name, func(context.Context, string) ([]byte, error) { return nil, nil }); err != nil {
			return err
		}
		if _, err := call.Pause(ctx, 10*time.Second, "1"); err != nil {
			return err
		}
		for _, flow := range more {
			if err := flow(ctx, env, call, req); err != nil {
				return err
			}
		}
		return nil
	}
}

// A release whose flow does something else begins the stage again, with new
// ids; the second time the call ends as defined.
func TestMismatch(t *testing.T) {
	changing(t, func(n *node, c *aritest.Caller) {
		time.Sleep(5 * time.Second)
		n.kills(c)
	}, func(n *node, _ *aritest.Caller) {
		wantSent(t, n, "0.play.1 resolve POST channels/answer play", "0.do.2", "0.pause.3",
			"1.play.1 play", "1.do.2", "1.pause.3", "1.end.4 DELETE channels")
		o := n.outcome()
		if o.Result != resultDone || !o.Answered {
			t.Errorf("outcome is %+v", o)
		}
		if !strings.Contains(n.log.String(), "the stage begins again") {
			t.Errorf("log is %s", n.log.String())
		}
	}, playsThen("welcome", "save"), playsThen("menu", "save"))
	changing(t, func(n *node, c *aritest.Caller) {
		for range 2 {
			time.Sleep(5 * time.Second)
			n.kills(c)
		}
	}, func(n *node, c *aritest.Caller) {
		o := n.outcome()
		if o.Result != resultFailed || o.Status != 500 || !strings.Contains(o.Error, "action Test cannot go on in its stage the first") ||
			!strings.Contains(o.Error, `its verb 2 is do load, and was do`) && !strings.Contains(o.Error, "its verb 2, do load, had other arguments") {
			t.Errorf("outcome is %+v", o)
		}
		if got := counted(t, n.registry, "asterism_session_replays_total"); got != 4 { // resumed, restarted, resumed, mismatch
			t.Errorf("%v replays were counted", got)
		}
		if !c.State().Ended {
			t.Error("the call goes on")
		}
	}, playsThen("welcome", "save"), playsThen("menu", "save"), playsThen("menu", "load"))
}

// A release whose flow does less than its journal says is another one, too,
// and what the other has left playing is stopped.
func TestMismatchOfAFlowThatDoesLess(t *testing.T) {
	changing(t, func(n *node, c *aritest.Caller) {
		time.Sleep(14 * time.Second)
		n.kills(c)
	}, func(n *node, c *aritest.Caller) {
		wantSent(t, n, "0.play.1 resolve POST channels/answer play", "0.do.2", "0.pause.3", "0.play.4 play",
			"1.restart.0 DELETE playbacks", "1.play.1 play", "1.do.2", "1.pause.3", "1.end.4 DELETE channels")
		heard := c.Heard()
		if len(heard) != 3 || heard[1].Completed || !heard[2].Completed {
			t.Errorf("the caller heard %+v", heard)
		}
	}, playsThen("welcome", "save", plays("welcome")), playsThen("welcome", "save"))
}

// A flow that swallows every error unwinds all the same.
func TestMismatchOfAFlowThatDoesNotCare(t *testing.T) {
	stubborn := func(ctx context.Context, _ apps.Env, call apps.Call, _ apps.Request) error {
		for range 100 {
			_, _ = call.Play(ctx, apps.PlayRule{Sounds: []string{"menu"}, Answer: true})
		}
		return nil
	}
	changing(t, func(n *node, c *aritest.Caller) {
		time.Sleep(5 * time.Second)
		n.kills(c)
	}, func(n *node, c *aritest.Caller) {
		if o := n.outcome(); o.Result != resultDone || len(c.Heard()) != 101 {
			t.Errorf("outcome is %+v, and %d sounds were heard", o, len(c.Heard()))
		}
	}, playsThen("welcome", "save"), stubborn)
}

// A stage that writes more than its journal holds ends the call before the
// gateway would refuse it.
func TestFullJournal(t *testing.T) {
	var last error
	flow := func(ctx context.Context, _ apps.Env, call apps.Call, _ apps.Request) error {
		for range 10_000 {
			_, last = call.Do(ctx, "fill", func(context.Context, string) ([]byte, error) {
				return []byte(`"` + strings.Repeat("x", apps.MaxResult-2) + `"`), nil
			})
			if last != nil {
				return errors.New("it is too much")
			}
		}
		return nil
	}
	inBubble(t, flow, nil, func(n *node, c *aritest.Caller) {
		o := n.outcome()
		if !errors.Is(last, errFull) || o.Result != resultFailed || o.Status != 500 || !strings.Contains(o.Error, "must Continue more often") {
			t.Errorf("outcome is %+v, and the last verb returned %v", o, last)
		}
		if !c.State().Ended {
			t.Error("the call goes on")
		}
	})
}

// A flow that continues for ever without doing anything ends as defined.
func TestStagesWithoutEnd(t *testing.T) {
	spin := func(context.Context, apps.Env, apps.Call, apps.Request, int) error { return apps.Continue("spin", 1) }
	tests := []struct {
		name  string
		next  error
		wants string
	}{
		{"in circles", apps.Continue("spin", 1), "1000 stages and did nothing"},
		{"no such stage", apps.Continue("nowhere", 1), `it continues with "nowhere", which is none of its stages`},
		{"another state", apps.Continue("spin", "x"), "stage spin was continued with a string, expected int"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := newNode(t, func(context.Context, apps.Env, apps.Call, apps.Request) error { return tt.next })
				n.stages = []apps.Stage{apps.StageOf("spin", spin)}
				n.call(aritest.Invite{})
				n.runs.Wait()
				if o := n.outcome(); o.Status != 500 || !strings.Contains(o.Error, tt.wants) {
					t.Errorf("outcome is %+v, want %q", o, tt.wants)
				}
			})
		})
	}
}

// Journals that this release cannot replay end the call with a sentence that
// says why.
func TestJournalsThatCannotBeReplayed(t *testing.T) {
	const head = `{"f":1,"a":"Test"}`
	tests := []struct {
		name    string
		journal []string
		wants   string
	}{
		{"a newer format", []string{`{"f":2,"a":"Test"}`}, "its format is 2, and this release reads 1"},
		{"no JSON", []string{head, `{"e":1`}, "record 2 of 2 is no JSON"},
		{"no header", []string{`{"e":1,"v":"play"}`}, "record 1 of 1 comes before the beginning of a stage"},
		{"another action", []string{`{"f":1,"a":"Voicemail"}`}, "it is of the action Voicemail"},
		{"another stage", []string{`{"f":1,"a":"Test","n":1,"s":"menu"}`}, `the action Test has no stage "menu"`},
		{"a gap", []string{head, `{"e":2,"v":"play"}`}, "it is about verb 2, and there are 0 before it"},
		{"a verb twice", []string{head, `{"b":1,"v":"play"}`, `{"e":1,"v":"pause"}`}, "verb 1 is play, and then pause"},
		{"a verb behind one without an end", []string{head, `{"b":1,"v":"play"}`, `{"b":2,"v":"play"}`}, "verb 2 comes after one that has not ended"},
		{"a bad header", []string{`{"f":1,"a":"Test","ks":[[1,"x"]]}`}, `"x" is no key`},
		{"a state that does not fit", []string{`{"f":1,"a":"Test","n":1,"s":"count","st":{"Old":1}}`}, `unknown field "Old"`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := newNode(t, plays("welcome"))
				n.stages = []apps.Stage{apps.StageOf("count", func(context.Context, apps.Env, apps.Call, apps.Request, shopState) error { return nil })}
				n.media["welcome"] = medium{length: time.Second}
				for _, record := range tt.journal {
					n.journal = append(n.journal, []byte(record))
				}
				c := n.call(aritest.Invite{})
				n.runs.Wait()
				synctest.Wait()
				o := n.outcome()
				if o.Status != 500 || !strings.Contains(o.Error, tt.wants) || !c.State().Ended {
					t.Errorf("outcome is %+v, want %q", o, tt.wants)
				}
			})
		})
	}
}

// Work after a hang-up goes on with another worker.
func TestWorkAfterHangupIsReplayed(t *testing.T) {
	for k := range 30 {
		for _, f := range []fate{dies, diesHeard, isReleased} {
			synctest.Test(t, func(t *testing.T) {
				var mu sync.Mutex
				keys := make(map[string]int)
				save := func(_ context.Context, key string) (string, error) {
					mu.Lock()
					defer mu.Unlock()
					keys[key]++
					return key, nil
				}
				n := newNode(t, func(ctx context.Context, _ apps.Env, call apps.Call, _ apps.Request) error {
					_, err := call.Play(ctx, apps.PlayRule{Sounds: []string{"welcome"}, Answer: true})
					if !errors.Is(err, apps.ErrHangup) {
						return fmt.Errorf("play: %w", err)
					}
					for range 3 {
						if _, err := apps.Do(ctx, call, "save", save); err != nil {
							return err
						}
					}
					return err
				})
				n.media["welcome"] = medium{length: 3 * time.Second}
				n.fate = func(point int, _ string) fate {
					if point == k {
						return f
					}
					return lives
				}
				c := n.call(aritest.Invite{})
				time.Sleep(time.Second)
				c.Hangup()
				n.runs.Wait()
				if o := n.outcome(); o.Result != resultHangup || len(keys) != 3 || o.Verbs[0].Heard < 0.9 || o.Verbs[0].Heard > 1.1 {
					t.Errorf("fate %d at %d: outcome is %+v, and was saved by %v; deaths %q", f, k, o, keys, n.deaths)
				}
			})
		}
	}
}

// The revision of the configuration is that with which the stage began.
func TestRevisionIsKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var seen []string
		revision := 0
		n := newNode(t, nil)
		stage := func(ctx context.Context, env apps.Env, call apps.Call, _ apps.Request, left int) error {
			seen = append(seen, env.Revision)
			if _, err := call.Do(ctx, "x", func(context.Context, string) ([]byte, error) { return nil, nil }); err != nil || left == 0 {
				return err
			}
			return apps.Continue("again", left-1)
		}
		again := apps.StageOf("again", stage)
		n.pool.opts.Lookup = func(name string) (apps.Action, bool) {
			return apps.Action{Name: name, Stages: []apps.Stage{again}, Flow: func(ctx context.Context, env apps.Env, call apps.Call, req apps.Request) error {
				return stage(ctx, env, call, req, 1)
			}}, true
		}
		n.pool.opts.Revision = func() string { revision++; return fmt.Sprint("r", revision) }
		n.fate = once(isReleased, "0.do.1 is not answered", "1.do.1 is not answered") // one flow runs at a time
		n.call(aritest.Invite{})
		n.runs.Wait()
		if want := []string{"r1", "r1", "r2", "r2"}; !slices.Equal(seen, want) {
			t.Errorf("revisions were %q, want %q", seen, want)
		}
	})
}

// What comes from earlier stages into a header is bounded.
func TestHeaderIsBounded(t *testing.T) {
	var tr trail
	for i := range 1000 {
		tr.add("play", strings.Repeat("x", 100)+fmt.Sprint(i), apps.Played{}, errors.New(strings.Repeat("y", 200)))
	}
	entries, skipped := shorter(tr.entries())
	raw, err := json.Marshal(entries)
	if err != nil || len(raw) > maxTrailRecord || len(entries) < 5 || skipped != firstVerbs+lastVerbs-len(entries) {
		t.Errorf("%d entries in %d bytes, %d left out, %v", len(entries), len(raw), skipped, err)
	}
	if last := entries[len(entries)-1].About; !strings.HasSuffix(last, "999") {
		t.Errorf("the last entry is %s", last)
	}
	notes := []note{{Message: "short"}, {Message: strings.Repeat("n", 3000)}, {Message: "no room"}}
	if kept := fewer(notes); len(kept) != 1 || kept[0].Message != "short" {
		t.Errorf("kept %+v", kept)
	}
}
