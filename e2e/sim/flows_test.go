package sim

import (
	"context"
	"fmt"
	"strings"
	"time"

	"asterism/apps"
)

// lookup finds the flows of a worker: those that there are, and some that only
// the simulation has.
func (w *world) lookup(l *life) func(string) (apps.Action, bool) {
	return func(name string) (apps.Action, bool) {
		switch name {
		case "Collect":
			return apps.Action{Name: name, Flow: collect}, true
		case "Tour":
			t := &tour{w: w, l: l}
			return apps.Action{
				Name: name, Flow: t.begin,
				Stages: []apps.Stage{apps.StageOf("stop", t.stop), apps.StageOf("bye", t.bye)},
			}, true
		}
		return apps.Lookup(name)
	}
}

// collect takes keys until "#", with a prompt after every third, during which
// keys may be typed ahead.
func collect(ctx context.Context, env apps.Env, call apps.Call, req apps.Request) error {
	if err := call.Answer(ctx); err != nil {
		return err
	}
	var got strings.Builder
	for {
		if got.Len()%3 == 0 {
			if _, err := call.Play(ctx, apps.PlayRule{Sounds: req.Sounds}); err != nil {
				return err
			}
		}
		key, err := call.Pause(ctx, 8*time.Second, apps.AllKeys)
		if err != nil {
			return err
		}
		if key == "#" {
			env.Note("collected", "keys", got.String())
			return nil
		}
		got.WriteString(key)
	}
}

// tour is a flow of several stages. In each the caller hears a prompt, may
// type a key, and something is booked outside the node.
type tour struct {
	w *world
	l *life
}

// visited is the state of a tour.
type visited struct {
	Stop int
	Keys string
	ID   string
}

func (t *tour) begin(ctx context.Context, _ apps.Env, call apps.Call, _ apps.Request) error {
	if err := call.Answer(ctx); err != nil {
		return err
	}
	id, err := call.NewID(ctx)
	if err != nil {
		return err
	}
	return apps.Continue("stop", visited{ID: id})
}

func (t *tour) stop(ctx context.Context, _ apps.Env, call apps.Call, req apps.Request, v visited) error {
	if v.Stop == stops {
		return apps.Continue("bye", v)
	}
	n, err := call.Random(ctx, 1000)
	if err != nil {
		return err
	}
	if _, err := call.Play(ctx, apps.PlayRule{Sounds: req.Sounds[v.Stop : v.Stop+1]}); err != nil {
		return err
	}
	if err := t.book(ctx, call, fmt.Sprintf("stop %d", v.Stop), fmt.Sprint(v.ID, n)); err != nil {
		return err
	}
	for {
		key, err := call.Pause(ctx, 200*time.Millisecond, apps.AllKeys)
		if err != nil {
			return err
		}
		if key == "" {
			break
		}
		v.Keys += key
	}
	v.Stop++
	return apps.Continue("stop", v)
}

// bye is for callers who have seen everything. What it books it books also
// when they have just left.
func (t *tour) bye(ctx context.Context, env apps.Env, call apps.Call, _ apps.Request, v visited) error {
	env.Note("toured", "keys", v.Keys)
	return t.book(ctx, call, "bye", v.ID)
}

// book does something outside the node, once.
func (t *tour) book(ctx context.Context, call apps.Call, name, value string) error {
	echo, err := apps.Do(ctx, call, name, func(ctx context.Context, key string) (string, error) {
		// Storage takes a while.
		select {
		case <-time.After(t.w.between("storage/"+key, time.Millisecond, 20*time.Millisecond)):
		case <-ctx.Done():
			return "", context.Cause(ctx)
		}
		if t.l.isDead() {
			return "", errCut
		}
		return value, t.w.book(t.l, key, name, value)
	})
	if err == nil && echo != value {
		t.w.fault("%s was booked with %s, and then with %s", name, echo, value)
	}
	return err
}
