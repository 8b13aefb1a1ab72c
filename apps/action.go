package apps

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
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
	// Stages are what Flow, and they themselves, can [Continue] with.
	Stages []Stage
}

// Stage returns the stage of that name.
func (a Action) Stage(name string) (Stage, bool) {
	for _, s := range a.Stages {
		if s.Name == name {
			return s, true
		}
	}
	return Stage{}, false
}

var actions = make(map[string]Action)

// register adds an action; each action's file calls it once from init. It
// panics when [Action.Check] fails or two actions have one name, which only a
// programmer can cause.
func register(a Action) {
	if err := a.Check(); err != nil {
		panic("apps: " + err.Error())
	}
	if _, ok := actions[a.Name]; ok {
		panic(fmt.Sprintf("apps: action %s is registered twice", a.Name))
	}
	actions[a.Name] = a
}

var stageRE = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)

// Check refuses an action whose stages could not be found or run.
func (a Action) Check() error {
	if a.Name == "" {
		return errors.New("an action has no name")
	}
	seen := make(map[string]bool)
	for _, s := range a.Stages {
		switch {
		case !stageRE.MatchString(s.Name):
			return fmt.Errorf("action %s: the name of stage %q must be 1 to 64 letters, digits, '-' or '_'", a.Name, s.Name)
		case s.Run == nil || s.Encode == nil:
			return fmt.Errorf("action %s: stage %s is empty: make it with StageOf", a.Name, s.Name)
		case seen[s.Name]:
			return fmt.Errorf("action %s: there are two stages %s", a.Name, s.Name)
		}
		seen[s.Name] = true
	}
	return nil
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
