// Package settings reads what others set, and prints where things are.
package settings

import (
	"context"
	"fmt"
	"maps"
	"time"

	"asterism/apps"
	"helper"
)

var (
	mode   string
	table  = map[string]int{}
	level  levels
	fixed  = map[string]int{"a": 1}
	filled map[string]int
	once   string
	unread int
)

type levels struct{ n int }

func (l *levels) raise()         { l.n++ }
func (l *levels) String() string { return fmt.Sprint(l.n) }

func init() { filled = map[string]int{"a": 1} }

func Reload(m string) { // want Reload:`here mode is set`
	mode = m         // want `^a package-level variable has another value on the worker that replays the flow, and here mode is set, which a flow reads: keep state in variables of the flow, and between stages in what apps.Continue is given \[flow code: settings.Flow → mode\]$`
	table["a"]++     // want `here table is set, which a flow reads`
	delete(table, m) // want `here table is set, which a flow reads`
	level.raise()    // want `here level is set, which a flow reads`
	unread++
	once = m //flowlint:ignore main sets it before there is a flow
}

func Flow(ctx context.Context, env apps.Env, call apps.Call, req apps.Request) error {
	_ = helper.Level // want `^helper.Level is not fit for a flow: a package-level variable .* \(helper.go:\d+\)$`
	first := mode + once + fmt.Sprint(table["a"]+fixed["a"]+filled["a"], level.n)
	maps.DeleteFunc(req.Vars, func(k, _ string) bool { first = k; return false })             // want `^maps.DeleteFunc goes in another order when the flow is replayed: delete in the order of slices.Sorted\(maps.Keys\(m\)\)$`
	_ = maps.EqualFunc(req.Vars, req.Vars, func(a, b string) bool { first = a; return true }) // want `^maps.EqualFunc goes in another order`
	if _, err := time.LoadLocation("Local"); err != nil {                                     // want `^time.LoadLocation\("Local"\) is the time zone of this machine, and the flow may be replayed on another: name the zone$`
		return err
	}
	n := 1
	first += fmt.Sprintf("%d%%p %s", n, level)
	first += fmt.Sprintf("%-8p", table) // want `^%p writes where something is in memory, and that is elsewhere when the flow is replayed: write what it is$`
	first += fmt.Sprint(&n)             // want `^fmt.Sprint writes where this is in memory`
	first += fmt.Sprintf("%v", hook)    // want `^fmt.Sprintf writes where this is in memory`
	return call.Play(ctx, first)
}

func hook() {}

func Errors(ctx context.Context, call apps.Call) error {
	for {
		_ = call.Play(ctx, "a")                     // want `^the error of Play is thrown away, and without it the flow goes on when the caller is gone or another worker has the call: look at it, and return it$`
		call.Play(ctx, "a")                         // want `^the error of Play is thrown away`
		defer call.Play(ctx, "a")                   // want `^the error of Play is thrown away`
		key, _ := call.Pause(ctx, time.Second, "1") // want `^the error of Pause is thrown away`
		_, _ = apps.Do(ctx, call, "a", nothing)     // want `^the error of Do is thrown away`
		_, err := call.Random(ctx, 1)
		if err != nil || key == "" {
			return err
		}
	}
}

func nothing(context.Context, string) (int, error) { return 0, nil }
