package ari

import (
	"fmt"
	"strconv"
	"time"
)

// Header is what routing an event needs. Members that an event lacks are zero, as are those of another kind than
// declared.
type Header struct {
	// Type, Application, AsteriskID and Timestamp (UTC) are those of EventBase.
	Type        string
	Application string
	AsteriskID  string
	Timestamp   time.Time

	// ChannelID is channel.id; for BridgeAttendedTransfer the transferer's first leg, for ChannelTransfer the channel that
	// asked for it.
	ChannelID string
	// ReplaceChannelID is replace_channel.id.
	ReplaceChannelID string
	// CallerID and PeerID are the channels caller.id and peer.id of a Dial.
	CallerID, PeerID string
	// BridgeID is bridge.id, and BridgeFromID the bridge that was merged into it.
	BridgeID, BridgeFromID string
	// PlaybackID is playback.id.
	PlaybackID string
	// RecordingName is recording.name.
	RecordingName string
	// TargetURI is the target_uri of the playback or recording: channel:ID or bridge:ID.
	TargetURI string
	// State is the state of the playback or recording.
	State string
	// Digit and DurationMS (milliseconds) are those of ChannelDtmfReceived.
	Digit      string
	DurationMS int
	// Cause is the Q.850 cause of ChannelHangupRequest and ChannelDestroyed.
	Cause int
}

// Peek reads the header of an event in one pass over raw, which it validates and does not keep. It is for programs that
// pass events on: it costs a fraction of DecodeEvent.
func Peek(raw []byte) (Header, error) {
	var h Header
	s := scanner{data: raw}
	if s.open('{', "an object") {
		for {
			key, ok := s.nextKey()
			if !ok {
				break
			}
			h.member(&s, key)
		}
	}
	if err := s.finish(); err != nil {
		return Header{}, fmt.Errorf("ari: peek at event: %w", err)
	}
	if h.Type == "" {
		return Header{}, fmt.Errorf("ari: peek at event: %w", ErrNoType)
	}
	return h, nil
}

// member reads one member of the event itself.
func (h *Header) member(s *scanner, key []byte) {
	switch string(key) {
	case "type":
		h.Type = ""
		if s.peek() == '"' {
			h.Type = typeName(s.text())
			return
		}
		s.skip()
	case "application":
		h.Application = s.looseString()
	case "asterisk_id":
		h.AsteriskID = s.looseString()
	case "timestamp":
		h.Timestamp = s.looseTime()
	case "channel", "transferer_first_leg":
		h.ChannelID = s.idOf()
	case "referred_by":
		h.ChannelID = s.sourceChannelID()
	case "replace_channel":
		h.ReplaceChannelID = s.idOf()
	case "caller":
		h.CallerID = s.idOf()
	case "peer":
		h.PeerID = s.idOf()
	case "bridge":
		h.BridgeID = s.idOf()
	case "bridge_from":
		h.BridgeFromID = s.idOf()
	case "playback":
		h.PlaybackID = s.target(h, "id")
	case "recording":
		h.RecordingName = s.target(h, "name")
	case "digit":
		h.Digit = s.looseString()
	case "duration_ms":
		h.DurationMS = s.looseInt()
	case "cause":
		h.Cause = s.looseInt()
	default:
		s.skip()
	}
}

// idOf reads an object and returns its member id, if both are what they should be.
func (s *scanner) idOf() string {
	id := ""
	if s.peek() != '{' {
		s.skip()
		return id
	}
	s.open('{', "an object")
	for {
		key, ok := s.nextKey()
		if !ok {
			return id
		}
		if string(key) == "id" {
			id = s.looseString()
			continue
		}
		s.skip()
	}
}

// sourceChannelID reads the referred_by of a ChannelTransfer.
func (s *scanner) sourceChannelID() string {
	id := ""
	if s.peek() != '{' {
		s.skip()
		return id
	}
	s.open('{', "an object")
	for {
		key, ok := s.nextKey()
		if !ok {
			return id
		}
		if string(key) == "source_channel" {
			id = s.idOf()
			continue
		}
		s.skip()
	}
}

// target reads a playback or a recording, sets what is common to both and returns the member that identifies it.
func (s *scanner) target(h *Header, idName string) string {
	id := ""
	h.TargetURI, h.State = "", ""
	if s.peek() != '{' {
		s.skip()
		return id
	}
	s.open('{', "an object")
	for {
		key, ok := s.nextKey()
		if !ok {
			return id
		}
		switch string(key) {
		case idName:
			id = s.looseString()
		case "target_uri":
			h.TargetURI = s.looseString()
		case "state":
			h.State = s.looseString()
		default:
			s.skip()
		}
	}
}

// looseString reads a string, or skips anything else.
func (s *scanner) looseString() string {
	if s.peek() == '"' {
		return string(s.text())
	}
	s.skip()
	return ""
}

// looseInt reads a whole number, or skips anything else.
func (s *scanner) looseInt() int {
	if c := s.peek(); c == '-' || (c >= '0' && c <= '9') {
		n, err := strconv.Atoi(string(s.number()))
		if err != nil {
			return 0
		}
		return n
	}
	s.skip()
	return 0
}

// looseTime reads a time, or skips anything else.
func (s *scanner) looseTime() time.Time {
	if s.peek() != '"' {
		s.skip()
		return time.Time{}
	}
	b := s.text()
	if s.err != nil {
		return time.Time{}
	}
	t, ok := parseTime(b)
	if !ok {
		return time.Time{}
	}
	return t
}
