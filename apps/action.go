package apps

import (
	"fmt"
	"maps"
	"slices"
)

// Action is one value of X-Asterisk-Action: a flow and the parameters it
// takes.
type Action struct {
	// Name is the value of X-Asterisk-Action; it is matched exactly.
	Name string
	// About is one sentence for the reference page.
	About string
	// Required and Optional name the parameters by their header without the
	// prefix "X-Asterisk-", as in the header table of package sip.
	Required, Optional []string
	Flow               Flow
}

var actions = make(map[string]Action)

// register adds an action; each action's file calls it once from init. It
// panics when two actions have one name, which only a programmer can cause.
func register(a Action) {
	if _, ok := actions[a.Name]; ok {
		panic(fmt.Sprintf("apps: action %s is registered twice", a.Name))
	}
	actions[a.Name] = a
}

// Lookup returns the action of that name.
func Lookup(name string) (Action, bool) {
	a, ok := actions[name]
	return a, ok
}

// Actions returns all actions, sorted by name.
func Actions() []Action {
	out := make([]Action, 0, len(actions))
	for _, name := range slices.Sorted(maps.Keys(actions)) {
		out = append(out, actions[name])
	}
	return out
}
