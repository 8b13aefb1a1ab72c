// Package calls reaches flow code in all the ways there are.
package calls

import (
	"context"
	"errors"
	"slices"
	"time"

	"asterism/apps"
	"helper"
)

type Menu struct {
	call apps.Call
	step func() int
}

func Flow(ctx context.Context, env apps.Env, call apps.Call, req apps.Request) error {
	_ = helper.Double(time.Second)
	_ = helper.Jitter(time.Second) // want `^helper.Jitter is not fit for a flow: rand.N gives another value when the flow is replayed: use call.Random\(ctx, n\) \(helper.go:15\)$`
	_ = helper.Host                // want `^helper.Host is not fit for a flow: os.Hostname`
	_ = helper.First(req.Vars)     // want `^helper.First is not fit for a flow: ranging over a map`
	var box helper.Box[int]
	_ = box.Get()
	_ = box.Age(time.Time{}) // want `^helper.Box.Age is not fit for a flow: time.Since`
	_ = helper.Zone()
	_ = helper.Greet(ctx, call) // want `^the error of Greet is thrown away, and without it the flow goes on when the caller is gone or another worker has the call: look at it, and return it$`
	_ = helper.Greeter{Call: call}.Run(ctx)
	_ = helper.Sum(nil)
	m := &Menu{call: call}
	if err := m.run(ctx); err != nil {
		return err
	}
	words := []string{"b", "a"}
	slices.SortFunc(words, byChance)
	_ = keysOf(req.Vars)
	_ = table["now"]()
	_ = hours(helper.Fixed(1))
	func() { _ = time.Now() }()                     // want `^time.Now gives another time when the flow is replayed: use call.Now\(ctx\)$`
	later := func() time.Time { return time.Now() } // want `^time.Now gives`
	_ = later()
	defer time.Now() // want `^time.Now gives`
	return env2(env)
}

func (m *Menu) run(ctx context.Context) error { // want run:`time.Now gives`
	m.step = tick
	return deeper(3)
}

func tick() int { return time.Now().Second() } // want `^time.Now gives another time when the flow is replayed: use call.Now\(ctx\) \[flow code: calls.Flow → calls.Menu.run → calls.tick\]$`

func deeper(n int) error {
	if n == 0 {
		time.Sleep(1) // want `^time.Sleep .* \[flow code: calls.Flow → calls.Menu.run → calls.deeper\]$`
		return errors.New("bottom")
	}
	return deeper(n - 1)
}

func byChance(a, b string) int { return int(time.Now().Unix()) } // want `\[flow code: calls.Flow → calls.byChance\]$`

func keysOf[M ~map[K]V, K comparable, V any](m M) (keys []K) {
	for k := range m { // want `^ranging over a map`
		keys = append(keys, k)
	}
	return keys
}

var table = map[string]func() time.Time{
	"now": func() time.Time { return time.Now() }, // want `\[flow code: calls.Flow → table\]$`
}

type hourly interface{ Hour() int }

type local struct{}

func (local) Hour() int { return time.Now().Hour() } // want Hour:`time.Now` `\[flow code: calls.Flow → calls.hours → calls.local.Hour\]$`

func hours(h hourly) int { return h.Hour() } // want `^helper.Clock.Hour is not fit for a flow: time.Now`

func env2(env apps.Env) error {
	env.Note("fine")
	return nil
}

// A stage takes a call as well, and so does a literal in a table.
type stage struct {
	name string
	run  func(context.Context, apps.Call) error
}

func stages() []stage {
	_ = time.Now() // no flow
	return []stage{{"a", func(ctx context.Context, call apps.Call) error {
		_ = time.Now() // want `^time.Now gives`
		return nil
	}}}
}

var more = []stage{{"b", func(ctx context.Context, call apps.Call) error {
	_ = time.Now() // want `^time.Now gives`
	return nil
}}}

// Richer is a call too.
type Richer interface {
	apps.Call
	Sing()
}

func Sing(call Richer) { _ = time.Now() } // want `^time.Now gives`

// Alias is one as well.
type Alias = apps.Call

func Aliased(call Alias) { _ = time.Now() } // want `^time.Now gives`

// beside is not reached by any flow.
func beside() {
	go tock()
	time.Sleep(time.Second)
}

func tock() {}

// run is what runs flows: its Call is its own type.
type session struct{ apps.Call }

func (s *session) run(ctx context.Context) error { // want run:`a goroutine`
	beside()
	return Flow(ctx, apps.Env{}, s, apps.Request{})
}
