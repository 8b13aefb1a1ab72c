package calltest

import (
	"context"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"asterism/apps"
)

// announce answers and plays one sound.
func announce(ctx context.Context, _ apps.Env, call apps.Call, _ apps.Request) error {
	_, err := call.Play(ctx, apps.PlayRule{Sounds: []string{"welcome"}, Answer: true})
	return err
}

// TestRunTellsDifferences: a test tool that cannot fail is worth nothing.
func TestRunTellsDifferences(t *testing.T) {
	welcome := Has("welcome", 3*time.Second)
	twice := func(ctx context.Context, env apps.Env, call apps.Call, req apps.Request) error {
		if err := announce(ctx, env, call, req); err != nil {
			return err
		}
		return announce(ctx, env, call, req)
	}
	tests := []struct {
		name   string
		flow   apps.Flow
		script Script
		want   []string // parts of the message, none for a call as scripted
	}{
		{"as scripted", announce, Script{welcome, Answers(), Hears("welcome", 3*time.Second), Ends()}, nil},
		{
			"a sound that was not expected", twice,
			Script{welcome, Answers(), Hears("welcome", 3*time.Second), Ends()},
			[]string{"✗ 3s      is over              │ 3s      hears welcome for 1s"},
		},
		{
			"a step that never came", announce,
			Script{welcome, Answers(), Hears("welcome", 3*time.Second), Hears("welcome", 3*time.Second), Ends()},
			[]string{"✗ 3s      hears welcome for 3s", "│ 3s      is over", "│ -"},
		},
		{
			"another length", announce,
			Script{welcome, Answers(), Hears("welcome", 2*time.Second), HangsUp(), EndsBy(apps.ErrHangup), Ends()},
			[]string{"✗ 2s      is over", "│ -"},
		},
		{
			"a flow that goes on after its script", announce,
			Script{welcome, Answers(), Hears("welcome", time.Second)},
			[]string{"hangs up: the script is over, and the flow is not"},
		},
		{"a missing answer", func(ctx context.Context, _ apps.Env, call apps.Call, _ apps.Request) error {
			_, err := call.Play(ctx, apps.PlayRule{Sounds: []string{"welcome"}})
			return err
		}, Script{welcome, Answers(), Hears("welcome", 3*time.Second), Ends()}, []string{"✗ 0s      is answered"}},
		{"another ending", announce, Script{Ends()}, []string{"is over", "refused with SIP 404", "\"welcome\" is not found"}},
		{
			"verbs side by side",
			func(ctx context.Context, _ apps.Env, call apps.Call, _ apps.Request) error {
				var group sync.WaitGroup
				group.Go(func() { _, _ = call.Pause(ctx, time.Second, "") })
				time.Sleep(time.Millisecond)
				defer group.Wait()
				return call.Answer(ctx)
			},
			Script{Silence(time.Second), Ends()},
			[]string{"Answer was called while Pause was running"},
		},
		{
			"verbs without end after the hang-up",
			func(ctx context.Context, _ apps.Env, call apps.Call, _ apps.Request) error {
				for {
					_ = call.Answer(ctx)
				}
			},
			Script{HangsUp(), EndsBy(apps.ErrHangup)},
			[]string{"after the call had ended"},
		},
		{
			"going round in circles",
			func(ctx context.Context, _ apps.Env, call apps.Call, _ apps.Request) error {
				for {
					if err := call.Answer(ctx); err != nil {
						return err
					}
				}
			},
			Script{Answers(), Ends()},
			[]string{"round in circles"},
		},
		{"too many sounds", func(ctx context.Context, _ apps.Env, call apps.Call, _ apps.Request) error {
			_, err := call.Play(ctx, apps.PlayRule{Sounds: make([]string, apps.MaxSounds+1)})
			return err
		}, Script{Refuses(500)}, []string{"129 sounds"}},
		{"a key in two sets", func(ctx context.Context, _ apps.Env, call apps.Call, _ apps.Request) error {
			_, err := call.Play(ctx, apps.PlayRule{Sounds: []string{"a"}, StopOn: "1#", Controls: apps.Controls{Pause: "#"}})
			return err
		}, Script{Refuses(500)}, []string{"key # in two sets"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var problems []string
			synctest.Test(t, func(t *testing.T) {
				_, problems = run(t.Context(), tt.flow, apps.Request{}, tt.script)
			})
			got := strings.Join(problems, "\n")
			if len(tt.want) == 0 && got != "" {
				t.Errorf("a call that went as scripted fails:\n%s", got)
			}
			for _, want := range tt.want {
				if !strings.Contains(got, want) {
					t.Errorf("the message lacks %q:\n%s", want, got)
				}
			}
		})
	}
}

// TestScriptOrder: what falls on one instant has one order, the caller last.
func TestScriptOrder(t *testing.T) {
	for range 50 {
		Run(t, announce, apps.Request{}, Script{
			Has("welcome", time.Second), Answers(), Hears("welcome", time.Second), Ends(), Presses("1"),
		})
	}
}
