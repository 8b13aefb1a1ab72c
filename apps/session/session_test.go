package session

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"asterism/apps"
	"asterism/ari"
	"asterism/ari/aritest"
	"asterism/ari/proxy"
)

// inBubble runs a flow on one call in virtual time; during is what happens
// meanwhile, and may be nil. It returns when the call has ended on the node.
func inBubble(t *testing.T, flow apps.Flow, during func(n *node, c *aritest.Caller), check func(n *node, c *aritest.Caller)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		n := newNode(t, flow)
		n.media["welcome"] = medium{length: 3 * time.Second}
		n.media["own"] = medium{length: 3 * time.Second, unknown: true}
		c := n.call(aritest.Invite{Args: []string{"welcome"}, Exten: "1000"})
		if during != nil {
			during(n, c)
		}
		n.runs.Wait()
		synctest.Wait()
		check(n, c)
	})
}

func plays(sounds ...string) apps.Flow {
	return func(ctx context.Context, _ apps.Env, call apps.Call, _ apps.Request) error {
		_, err := call.Play(ctx, apps.PlayRule{Sounds: sounds, Answer: true})
		return err
	}
}

func wantSent(t *testing.T, n *node, want ...string) {
	t.Helper()
	if got := n.sent(); !slices.Equal(got, want) {
		t.Errorf("commands:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// A playback call costs two commands: with the assignment, the answers and
// the one event, six messages.
func TestPlaybackCosts(t *testing.T) {
	playback := func(early bool) apps.Flow {
		return func(ctx context.Context, env apps.Env, call apps.Call, req apps.Request) error {
			req.Loop, req.EarlyMedia = 1, early
			return apps.Playback(ctx, env, call, req)
		}
	}
	inBubble(t, playback(false), nil, func(n *node, c *aritest.Caller) {
		wantSent(t, n, "0.play.1 resolve POST channels/answer play", "0.end.2 DELETE channels")
		if st := c.State(); st.SIPStatus != 200 || !st.Ended || len(st.Heard) != 1 || !st.Heard[0].Completed {
			t.Errorf("the caller saw %+v", st)
		}
		o := n.outcome()
		if o.Action != "Test" || o.Result != resultDone || !o.Answered || o.Caller != "5551" || o.Called != "1000" || len(o.Notes) != 1 {
			t.Errorf("outcome is %+v", o)
		}
		if len(o.Verbs) != 1 || o.Verbs[0] != (entry{Verb: "play", About: "welcome", Heard: 3, Ended: apps.EndedComplete, Offset: 3}) {
			t.Errorf("verbs are %+v", o.Verbs)
		}
	})
	inBubble(t, playback(true), nil, func(n *node, c *aritest.Caller) {
		wantSent(t, n, "0.play.1 resolve play", "0.end.2 refuse")
		if st := c.State(); st.SIPStatus != 480 || !st.EarlyMedia || st.Answered {
			t.Errorf("the caller saw %+v", st)
		}
		if o := n.outcome(); o.Result != resultDone || o.Status != 480 || o.Fault != apps.FaultNobody {
			t.Errorf("outcome is %+v", o)
		}
	})
}

func TestVerbsOnAnsweredCall(t *testing.T) {
	flow := func(ctx context.Context, _ apps.Env, call apps.Call, _ apps.Request) error {
		for range 2 {
			if err := call.Answer(ctx); err != nil {
				return err
			}
		}
		if _, err := call.Pause(ctx, time.Second, ""); err != nil {
			return err
		}
		_, err := call.Play(ctx, apps.PlayRule{Sounds: []string{"welcome"}, Answer: true})
		return err
	}
	inBubble(t, flow, nil, func(n *node, _ *aritest.Caller) {
		wantSent(t, n, "0.answer.1 POST channels/answer", "0.play.4 play", "0.end.5 DELETE channels")
	})
}

// How a flow ends decides how the call ends.
func TestEnds(t *testing.T) {
	fails := func(err error) apps.Flow {
		return func(context.Context, apps.Env, apps.Call, apps.Request) error { return err }
	}
	answersThen := func(err error) apps.Flow {
		return func(ctx context.Context, _ apps.Env, call apps.Call, _ apps.Request) error {
			return errors.Join(call.Answer(ctx), err)
		}
	}
	tests := []struct {
		name   string
		flow   apps.Flow
		status int // SIP
		last   string
		result result
	}{
		{"nothing to do", fails(nil), 603, "0.end.1 DELETE channels", resultDone},
		{"a refusal", fails(apps.Refuse(486, apps.FaultCaller, "busy")), 486, "0.end.1 refuse", resultRefused},
		{"a defect", fails(errors.New("oops")), 500, "0.end.1 refuse", resultFailed},
		{"out of service", fails(apps.ErrDraining), 503, "0.end.1 refuse", resultDrained},
		{"a panic", func(context.Context, apps.Env, apps.Call, apps.Request) error { panic("oops") }, 500, "0.end.1 refuse", resultPanic},
		{"a missing sound", plays("welcome", "nowhere"), 404, "0.end.2 refuse", resultRefused},
		{"an invalid sound", plays("../etc/passwd"), 400, "0.end.2 refuse", resultRefused},
		{"no sound", plays(), 500, "0.end.2 refuse", resultFailed},
		{"a refusal after the answer", answersThen(apps.Refuse(486, apps.FaultCaller, "busy")), 200, "0.end.2 DELETE channels?reason=normal", resultRefused},
		{"a defect after the answer", answersThen(errors.New("oops")), 200, "0.end.2 DELETE channels?reason=failure", resultFailed},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			inBubble(t, tt.flow, nil, func(n *node, c *aritest.Caller) {
				st := c.State()
				if !st.Ended || st.SIPStatus != tt.status {
					t.Errorf("the caller saw %+v, want it ended with %d", st, tt.status)
				}
				if sent := n.sent(); sent[len(sent)-1] != tt.last {
					t.Errorf("commands are %q, want the last to be %s", sent, tt.last)
				}
				if o := n.outcome(); o.Result != tt.result || (tt.result != resultDone && (o.Error == "" || o.Status == 0 || o.Fault == "")) {
					t.Errorf("outcome is %+v, want %s", o, tt.result)
				}
			})
		})
	}
}

func TestHangup(t *testing.T) {
	inBubble(t, plays("welcome"), func(_ *node, c *aritest.Caller) {
		time.Sleep(time.Second)
		c.Hangup()
	}, func(n *node, _ *aritest.Caller) {
		wantSent(t, n, "0.play.1 resolve POST channels/answer play", "0.end.2")
		o := n.outcome()
		if o.Result != resultHangup || len(o.Verbs) != 1 || o.Verbs[0].Ended != apps.EndedByHangup || o.Verbs[0].Heard != 1 {
			t.Errorf("outcome is %+v", o)
		}
	})
}

// A call that another worker has taken over is not touched any more.
func TestMoved(t *testing.T) {
	for _, tt := range []struct {
		name string
		take func(ctx context.CancelCauseFunc, n *node)
	}{
		{"found out while waiting", func(cancel context.CancelCauseFunc, _ *node) { cancel(proxy.ErrMoved) }},
		{"found out by a command", func(_ context.CancelCauseFunc, n *node) {
			n.mu.Lock()
			n.before = func(proxy.Command) error { return fmt.Errorf("told: %w", proxy.ErrMoved) }
			n.mu.Unlock()
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var err error
				n := newNode(t, func(ctx context.Context, _ apps.Env, call apps.Call, _ apps.Request) error {
					if _, err = call.Pause(ctx, time.Second, ""); err != nil {
						return err
					}
					err = call.Answer(ctx)
					return err
				})
				ctx, cancel := context.WithCancelCause(t.Context())
				defer cancel(nil)
				n.context = ctx
				c := n.call(aritest.Invite{})
				synctest.Wait()
				tt.take(cancel, n)
				n.runs.Wait()
				if !errors.Is(err, apps.ErrMoved) {
					t.Errorf("the verb returned %v, want %v", err, apps.ErrMoved)
				}
				if st := c.State(); st.Ended {
					t.Errorf("the call was ended: %+v", st)
				}
				if sent := n.sent(); slices.ContainsFunc(sent, func(line string) bool { return strings.Contains(line, ".end.") }) {
					t.Errorf("commands are %q, want no last one", sent)
				}
			})
		})
	}
}

// A worker that closes leaves its calls to the others.
func TestWorkerCloses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNode(t, plays("welcome"))
		n.media["welcome"] = medium{length: time.Minute}
		ctx, cancel := context.WithCancelCause(t.Context())
		n.context = ctx
		c := n.call(aritest.Invite{})
		time.Sleep(time.Second)
		cancel(proxy.ErrClosed)
		n.runs.Wait()
		wantSent(t, n, "0.play.1 resolve POST channels/answer play")
		if c.State().Ended {
			t.Error("the call was ended")
		}
	})
}

func TestRequestsThatCannotBeServed(t *testing.T) {
	tests := []struct {
		name   string
		parse  func([]string, Channel) (apps.Request, []string, error)
		status int
	}{
		{"an unknown action", func([]string, Channel) (apps.Request, []string, error) {
			return apps.Request{Action: "Teleport"}, nil, nil
		}, 404},
		{"a malformed request", func([]string, Channel) (apps.Request, []string, error) {
			return apps.Request{}, []string{"a warning"}, apps.Refuse(400, apps.FaultCaller, "X-Asterisk-Sound is missing")
		}, 400},
		{"a defect in the parser", func([]string, Channel) (apps.Request, []string, error) { panic("oops") }, 500},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := newNode(t, plays("welcome"))
				n.pool.opts.Parse = tt.parse
				c := n.call(aritest.Invite{})
				n.runs.Wait()
				synctest.Wait()
				if st := c.State(); !st.Ended || st.SIPStatus != tt.status {
					t.Errorf("the caller saw %+v, want %d", st, tt.status)
				}
				if o := n.outcome(); o.Action != "none" || o.Error == "" {
					t.Errorf("outcome is %+v", o)
				}
			})
		})
	}
}

func TestFirstEventThatIsNone(t *testing.T) {
	for _, raw := range []string{"", "{}", `{"type":"StasisEnd","channel":{"id":"c"}}`} {
		synctest.Test(t, func(t *testing.T) {
			n := newNode(t, plays("welcome"))
			n.start("c", []byte(raw))
			n.runs.Wait()
			wantSent(t, n, "0.end.1 refuse")
		})
	}
}

// A panic is counted, logged with its stack, and no other call's business.
func TestPanicDisturbsNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNode(t, func(ctx context.Context, _ apps.Env, call apps.Call, req apps.Request) error {
			if _, err := call.Play(ctx, apps.PlayRule{Sounds: req.Sounds, Answer: true}); err != nil {
				return err
			}
			if req.Sounds[0] == "welcome" {
				return nil
			}
			return errors.New(req.Sounds[len(req.Sounds)])
		})
		n.media["welcome"] = medium{length: 3 * time.Second}
		n.media["bad"] = medium{length: time.Second}
		good := n.srv.Call(aritest.Invite{Args: []string{"welcome"}})
		bad := n.call(aritest.Invite{Args: []string{"bad"}})
		n.runs.Wait()
		synctest.Wait()
		if h := good.Heard(); len(h) != 1 || !h[0].Completed {
			t.Errorf("the other call heard %+v", h)
		}
		if !bad.State().Ended {
			t.Error("the call goes on")
		}
		if got := counted(t, n.registry, "asterism_flow_panics_total"); got != 1 {
			t.Errorf("%v panics were counted", got)
		}
		if log := n.log.String(); !strings.Contains(log, "session_test.go") || !strings.Contains(log, `"call":`) {
			t.Errorf("log is %s", log)
		}
	})
}

func TestPool(t *testing.T) {
	if _, err := NewPool(Options{}); err == nil {
		t.Error("a pool was made that cannot read requests")
	}
	reg := prometheus.NewPedanticRegistry()
	parse := func([]string, Channel) (apps.Request, []string, error) { return apps.Request{}, nil, nil }
	for range 2 { // Close takes back what NewPool registers
		p, err := NewPool(Options{Parse: parse, Registry: reg, Worker: "w1"})
		if err != nil {
			t.Fatal(err)
		}
		p.metrics.ended("Playback", resultDone, time.Second)
		if n := counted(t, reg, "asterism_flows_total"); n != 1 {
			t.Errorf("%v flows were counted", n)
		}
		p.Close()
	}
}

func isType(name string) func(ari.Header) bool {
	return func(h ari.Header) bool { return h.Type == name }
}

// counted is the sum of a counter.
func counted(t *testing.T, reg *prometheus.Registry, name string) (sum float64) {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if f.GetName() == name {
				sum += m.GetCounter().GetValue()
			}
		}
	}
	return sum
}
