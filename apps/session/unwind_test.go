package session

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"asterism/apps"
	"asterism/ari/aritest"
	"asterism/ari/proxy"
)

// A flow that heeds no error is unwound, whatever has ended its call.
func TestHeedlessFlowsEnd(t *testing.T) {
	for _, how := range []string{"hangup", "moved", "full", "mismatch"} {
		t.Run(how, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var rounds, runs atomic.Int64 // a dead worker's flow unwinds beside the next one
				n := newNode(t, func(ctx context.Context, _ apps.Env, call apps.Call, _ apps.Request) error {
					run := runs.Add(1)
					sound := "welcome"
					if how == "mismatch" && run == 2 {
						sound = "menu"
					}
					for rounds.Add(1) < 100_000 {
						if how == "full" {
							_, _ = call.Do(ctx, strings.Repeat("x", 900), func(context.Context, string) ([]byte, error) {
								return []byte(`"` + strings.Repeat("x", 1000) + `"`), nil
							})
						}
						_, _ = call.Play(ctx, apps.PlayRule{Sounds: []string{sound}, Answer: true})
					}
					return nil
				})
				n.media["welcome"] = medium{length: 30 * time.Second}
				c := n.call(aritest.Invite{})
				time.Sleep(12 * time.Second)
				switch how {
				case "hangup":
					c.Hangup()
				case "moved":
					n.mu.Lock()
					s := n.sessions[c.Channel()]
					n.mu.Unlock()
					s.cancel(apps.ErrMoved)
				case "mismatch":
					n.kills(c)
					time.Sleep(12 * time.Second)
					c.Hangup()
				}
				n.runs.Wait()
				if rounds.Load() > 20_000 {
					t.Errorf("%d rounds", rounds.Load())
				}
				log := n.log.String()
				switch how {
				case "hangup", "mismatch":
					if o := n.outcome(); o.Result != resultPanic || !strings.Contains(log, "does not heed") {
						t.Errorf("outcome is %+v, log is %s", o, log)
					}
					if how == "mismatch" && runs.Load() < 3 {
						t.Errorf("the stage did not begin again: %s", log)
					}
				case "full":
					if o := n.outcome(); o.Result != resultFailed || !strings.Contains(o.Error, "must Continue more often") {
						t.Errorf("outcome is %+v", o)
					}
				}
			})
		})
	}
}

// ErrMoved in a flow's own words ends the call, which has not moved.
func TestMovedInTheFlowsOwnWords(t *testing.T) {
	for name, flow := range map[string]apps.Flow{
		"of a Do": func(ctx context.Context, _ apps.Env, call apps.Call, _ apps.Request) error {
			_, err := call.Do(ctx, "x", func(context.Context, string) ([]byte, error) { return nil, apps.ErrMoved })
			return err
		},
		"of a flow": func(context.Context, apps.Env, apps.Call, apps.Request) error { return apps.ErrMoved },
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, flow, nil, func(n *node, c *aritest.Caller) {
				if o := n.outcome(); o.Result != resultFailed || !c.State().Ended {
					t.Errorf("outcome is %+v, ended is %v", o, c.State().Ended)
				}
			})
		})
	}
}

// A busy machine does not hide that a flow goes round in circles, and a flow
// that waits is not going round in them.
func TestCirclesOnABusyMachine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rounds := 0
		n := newNode(t, func(context.Context, apps.Env, apps.Call, apps.Request) error { return apps.Continue("c", 1) })
		n.stages = []apps.Stage{apps.StageOf("c", func(context.Context, apps.Env, apps.Call, apps.Request, int) error {
			if rounds++; rounds%500 == 0 {
				time.Sleep(2 * time.Millisecond) // stands for being descheduled
			}
			if rounds > 20_000 {
				return errors.New("never noticed")
			}
			return apps.Continue("c", 1)
		})}
		n.call(aritest.Invite{})
		n.runs.Wait()
		if o := n.outcome(); !strings.Contains(o.Error, "did nothing") {
			t.Errorf("%d rounds: %+v", rounds, o)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		n := newNode(t, func(context.Context, apps.Env, apps.Call, apps.Request) error { return apps.Continue("c", 5000) })
		n.stages = []apps.Stage{apps.StageOf("c", func(ctx context.Context, _ apps.Env, call apps.Call, _ apps.Request, left int) error {
			if _, err := call.Pause(ctx, time.Second, ""); err != nil || left == 0 {
				return err
			}
			return apps.Continue("c", left-1)
		})}
		n.call(aritest.Invite{})
		n.runs.Wait()
		if o := n.outcome(); o.Result != resultDone {
			t.Errorf("outcome is %+v", o)
		}
	})
}

// Whatever a flow notes and does, its outcome fits into a command.
func TestOutcomeIsBounded(t *testing.T) {
	long := strings.Repeat("<", 600<<10)
	inBubble(t, func(ctx context.Context, env apps.Env, call apps.Call, _ apps.Request) error {
		for range 20 {
			env.Note(long, "body", long, long, []string{long}, "error", errors.New(long))
			_, _ = call.Do(ctx, long, func(context.Context, string) ([]byte, error) { return nil, errors.New(long) })
		}
		return errors.New(long)
	}, nil, func(n *node, _ *aritest.Caller) {
		last := n.commands[len(n.commands)-1]
		if len(last.Outcome) > maxOutcome || maxOutcome > proxy.MaxFrame/4 {
			t.Errorf("the outcome is %d bytes", len(last.Outcome))
		}
		if o := n.outcome(); o.Result != resultFailed || len(o.Verbs) == 0 {
			t.Errorf("outcome is %+v", o)
		}
		if len(n.log.String()) > 256<<10 {
			t.Errorf("the log is %d bytes", len(n.log.String()))
		}
	})
}

// Of a call whose journal cannot be replayed, what is known of it counts: an
// answered one is hung up and not refused, and its verbs are in the record.
func TestJournalsThatCannotBeReplayedKeepTheirFacts(t *testing.T) {
	tests := []struct {
		name     string
		journal  []string
		answered bool
		verbs    int
	}{
		{"the stage is gone", []string{`{"f":1,"a":"Test","n":1,"s":"menu","up":true,"tr":[{"verb":"answer"}],"nt":[{"message":"x"}]}`}, true, 1},
		{"the end of the journal is bad", []string{`{"f":1,"a":"Test","n":1,"s":"count","up":true,"tr":[{"verb":"answer"}],"nt":[{"message":"x"}]}`, `{"e":1`}, true, 1},
		{"it may have been answered", []string{`{"f":1,"a":"Test","nt":[{"message":"x"}]}`, `{"b":1,"v":"play","h":"x"}`, `{"e":3,"v":"play"}`}, false, 0},
		{"a state that does not fit, with verbs", []string{
			`{"f":1,"a":"Test","n":1,"s":"count","st":{"Old":1},"up":true,"tr":[{"verb":"answer"}],"nt":[{"message":"x"}]}`, `{"b":1,"v":"play","h":"x"}`,
		}, true, 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := newNode(t, plays("welcome"))
				n.stages = []apps.Stage{apps.StageOf("count", func(context.Context, apps.Env, apps.Call, apps.Request, shopState) error { return nil })}
				for _, record := range tt.journal {
					n.journal = append(n.journal, []byte(record))
				}
				n.call(aritest.Invite{})
				n.runs.Wait()
				o := n.outcome()
				if o.Answered != tt.answered || len(o.Verbs) != tt.verbs || len(o.Notes) != 1 {
					t.Errorf("outcome is %+v", o)
				}
				if sent := n.sent(); len(sent) != 1 || !strings.Contains(sent[0], "DELETE channels") {
					t.Errorf("commands are %q: it was not hung up", sent)
				}
				if !strings.Contains(n.log.String(), "the flow cannot go on") {
					t.Errorf("log is %s", n.log.String())
				}
			})
		})
	}
}

// A command that the node has answered and not carried out is not taken for
// one that it has not answered.
func TestRefusedCommandIsNoSilence(t *testing.T) {
	for want, err := range map[string]error{
		"the node refused a command: command 0.play.1: refused: the log is full": fmt.Errorf("%w: the log is full", proxy.ErrRefused),
		"the node does not answer: command 0.play.1: no answer":                  errors.New("no answer"),
	} {
		synctest.Test(t, func(t *testing.T) {
			n := newNode(t, plays("welcome"))
			n.before = func(c proxy.Command) error {
				if c.Final {
					return nil
				}
				return err
			}
			n.call(aritest.Invite{})
			n.runs.Wait()
			if o := n.outcome(); o.Status != 503 || !strings.Contains(o.Error, want) {
				t.Errorf("outcome is %+v, want %q", o, want)
			}
		})
	}
}
