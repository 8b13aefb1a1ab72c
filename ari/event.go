package ari

import (
	"errors"
	"fmt"
	"time"
)

// Event is one message of the event stream: a pointer to a generated struct such as *StasisStart, or *UnknownEvent.
type Event interface {
	// Base returns what all events have in common.
	Base() *EventBase
}

// EventBase is the part that all events have in common.
type EventBase struct {
	// Type is the event's name, such as StasisStart.
	Type string `json:"type"`
	// Application is the Stasis application the event was sent to.
	Application string `json:"application,omitempty"`
	// Timestamp is when Asterisk raised the event, by its own clock, in milliseconds.
	Timestamp Time `json:"timestamp,omitzero"`
	// AsteriskID is the entity id of the Asterisk that sent it.
	AsteriskID string `json:"asterisk_id,omitempty"`
	// Raw is the message as it came, with the members this package does not know. It is the slice that was given to
	// DecodeEvent, not a copy.
	Raw []byte `json:"-"`
}

// Base implements Event.
func (b *EventBase) Base() *EventBase { return b }

// Time returns when Asterisk raised the event.
func (b *EventBase) Time() time.Time { return b.Timestamp.Time }

func (b *EventBase) member(s *scanner, key []byte) {
	switch string(key) {
	case "type":
		if s.peek() == '"' {
			if t := s.text(); s.err == nil && string(t) != b.Type {
				b.Type = typeName(t)
			}
			return
		}
		s.string(&b.Type)
	case "application":
		s.string(&b.Application)
	case "timestamp":
		s.time(&b.Timestamp)
	case "asterisk_id":
		s.string(&b.AsteriskID)
	default:
		s.skip()
	}
}

// UnknownEvent is an event of a type that this package was generated without. Raw has all of it.
type UnknownEvent struct{ EventBase }

// decodedEvent is an event while it is being decoded.
type decodedEvent interface {
	Event
	model
}

// ErrNoType is returned for a message without the name of its type.
var ErrNoType = errors.New("event has no type")

// DecodeEvent decodes one message of the event stream. An event of an unknown type is an *UnknownEvent, unknown members
// are in Raw, which keeps raw itself: the caller must not change it afterwards. A message that is not JSON, has no type
// or has a known member of another kind than declared is an error.
func DecodeEvent(raw []byte) (Event, error) {
	name, err := eventType(raw)
	if err != nil {
		return nil, fmt.Errorf("ari: decode event: %w", err)
	}
	ev := newEvent(name)
	if ev == nil {
		ev = &UnknownEvent{}
	}
	s := scanner{data: raw}
	s.object(ev)
	if err := s.finish(); err != nil {
		return nil, fmt.Errorf("ari: decode event %s: %w", name, err)
	}
	ev.Base().Raw = raw
	return ev, nil
}

// eventType returns the name of the type, which Asterisk writes first, without reading on.
func eventType(raw []byte) ([]byte, error) {
	s := scanner{data: raw}
	if !s.open('{', "an object") {
		if s.err == nil {
			s.err = ErrNoType
		}
		return nil, s.err
	}
	for {
		key, ok := s.nextKey()
		if !ok {
			if s.err == nil {
				s.err = ErrNoType
			}
			return nil, s.err
		}
		if string(key) == "type" && s.peek() == '"' {
			name := s.text()
			if s.err == nil && len(name) == 0 {
				s.err = ErrNoType
			}
			return name, s.err
		}
		s.skip()
	}
}
