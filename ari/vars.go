package ari

import (
	"maps"
	"slices"
)

// VarSet are variables to set on a channel or bridge.
type VarSet map[string]VarValue

// VarValue is the value of a variable, and whether Asterisk shall include the variable in events from now on.
type VarValue struct {
	Value        string
	ReportEvents bool
}

// Vars turns plain values into a VarSet.
func Vars(values map[string]string) VarSet {
	set := make(VarSet, len(values))
	for k, v := range values {
		set[k] = VarValue{Value: v}
	}
	return set
}

// EventFilter chooses the events an application is sent. A type that is disallowed is never sent; if Allowed is not
// empty, only its types are. A nil list leaves what Asterisk has, an empty one clears it.
type EventFilter struct {
	Allowed, Disallowed []string
}

// EventType names an event type in an application's filter.
type EventType struct {
	Type string `json:"type"`
}

func (v *EventType) member(s *scanner, key []byte) {
	if string(key) == "type" {
		s.string(&v.Type)
		return
	}
	s.skip()
}

// sortedKeys gives maps one order in requests, so that equal requests have equal bytes.
func sortedKeys[V any](m map[string]V) []string {
	return slices.Sorted(maps.Keys(m))
}
