package calltest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"asterism/apps"
)

type tally struct{ Round int }

// counts plays a sound in each of three stages.
func counts(ctx context.Context, _ apps.Env, call apps.Call, _ apps.Request, s tally) error {
	if _, err := call.Play(ctx, apps.PlayRule{Sounds: []string{"welcome"}, Answer: true}); err != nil {
		return err
	}
	if s.Round++; s.Round < 3 {
		return apps.Continue("count", s)
	}
	return nil
}

func TestStagesAreRun(t *testing.T) {
	first := func(ctx context.Context, env apps.Env, call apps.Call, req apps.Request) error {
		return counts(ctx, env, call, req, tally{})
	}
	result := Run(t, first, apps.Request{}, Script{
		Has("welcome", time.Second), Stages(apps.StageOf("count", counts)),
		Answers(), Hears("welcome", time.Second), Hears("welcome", time.Second), Hears("welcome", time.Second), Ends(),
	})
	if fmt.Sprint(result.Stages) != "[count count]" || len(result.Plays) != 3 {
		t.Errorf("it went through %q and played %+v", result.Stages, result.Plays)
	}
}

func TestDoIsScripted(t *testing.T) {
	errDown := errors.New("storage is down")
	flow := func(ctx context.Context, _ apps.Env, call apps.Call, _ apps.Request) error {
		read := func(context.Context, string) (int, error) { return 0, errors.New("not in a test") }
		n, err := apps.Do(ctx, call, "read", read)
		if err != nil {
			return err
		}
		drawn, err := call.Random(ctx, 6)
		if err != nil || n != 42 || drawn != 5 {
			return fmt.Errorf("%d, %d, %w", n, drawn, err)
		}
		if _, err := apps.Do(ctx, call, "read", read); !errors.Is(err, errDown) {
			return fmt.Errorf("read: %w", err)
		}
		return nil
	}
	Run(t, flow, apps.Request{}, Script{
		Gives("read", 42), Breaks("read", errDown), Draws(5), Does("read"), Does("read"), Ends(),
	})
}

// A flow that a replay would take another way fails its test.
func TestFlowsThatCannotBeReplayed(t *testing.T) {
	runs := 0
	other := func(ctx context.Context, _ apps.Env, call apps.Call, _ apps.Request) error {
		if runs++; runs > 1 {
			_, err := call.Play(ctx, apps.PlayRule{Sounds: []string{"menu"}})
			return err
		}
		_, err := call.Pause(ctx, time.Second, "")
		return err
	}
	more := func(ctx context.Context, _ apps.Env, call apps.Call, _ apps.Request) error {
		runs++
		for range runs {
			if _, err := call.Pause(ctx, time.Second, ""); err != nil {
				return err
			}
		}
		return nil
	}
	fewer := func(ctx context.Context, _ apps.Env, call apps.Call, _ apps.Request) error {
		if runs++; runs > 1 {
			return nil
		}
		_, err := call.Pause(ctx, time.Second, "")
		return err
	}
	ends := func(ctx context.Context, _ apps.Env, call apps.Call, _ apps.Request) error {
		_, err := call.Pause(ctx, time.Second, "")
		if runs++; runs > 1 {
			return errors.New("oops")
		}
		return err
	}
	state := func(ctx context.Context, _ apps.Env, call apps.Call, _ apps.Request) error {
		if _, err := call.Pause(ctx, time.Second, ""); err != nil {
			return err
		}
		runs++
		return apps.Continue("over", runs)
	}
	stubborn := func(ctx context.Context, _ apps.Env, call apps.Call, _ apps.Request) error {
		runs++
		for first := true; first || runs > 1; first = false {
			_, _ = call.Pause(ctx, time.Second, "")
		}
		return nil
	}
	over := Stages(apps.StageOf("over", func(context.Context, apps.Env, apps.Call, apps.Request, int) error { return nil }))
	silence := Script{over, Silence(time.Second), Ends()}
	tests := []struct {
		name   string
		flow   apps.Flow
		script Script
		want   string
	}{
		{"another verb", other, silence, `verb 1 was Pause(1s, ""), and then Play(["menu"])`},
		{"more verbs", more, silence, `after 1 verbs it ended, and then verb 2 was Pause(1s, "")`},
		{"fewer verbs", fewer, silence, `verb 1 was Pause(1s, ""), and there was none`},
		{"another end", ends, silence, `it ended with "<nil>", and then with "oops"`},
		{"another state", state, silence, `the flow went another way`},
		{"verbs without end", stubborn, silence, `after 1 verbs it ended, and then verb 2`},
		{"no such stage", func(context.Context, apps.Env, apps.Call, apps.Request) error {
			return apps.Continue("nowhere", 1)
		}, Script{over, Refuses(500)}, "continues with stage nowhere, which the action  does not have"},
		{"no action", func(context.Context, apps.Env, apps.Call, apps.Request) error {
			return apps.Continue("nowhere", 1)
		}, Script{Refuses(500)}, "set Request.Action, or tell the script its Stages"},
		{"unused answers", announce, Script{Gives("x", 1), Refuses(404)}, `gives 1 answers more for Do "x"`},
		{"unused draws", announce, Script{Draws(1), Refuses(404)}, "draws [1], and the flow did not ask for it"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			runs = 0
			var problems []string
			synctest.Test(t, func(t *testing.T) {
				_, problems = run(t.Context(), tt.flow, apps.Request{}, tt.script)
			})
			if got := strings.Join(problems, "\n"); !strings.Contains(got, tt.want) {
				t.Errorf("the message lacks %q:\n%s", tt.want, got)
			}
		})
	}
}
