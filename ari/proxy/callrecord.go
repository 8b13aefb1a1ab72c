package proxy

import (
	"encoding/json"
	"time"
)

// RecordVersion is the version of [CallRecord]. Fields may be added without
// another one.
const RecordVersion = 1

// CallRecord is what remains of a call, as it is delivered on the stream of
// calls. docs/operations.md describes it.
type CallRecord struct {
	Version int    `json:"version"`
	ID      string `json:"id"` // unique; also the id by which deliveries are told apart
	Node    string `json:"node"`
	Session string `json:"session"`
	CallID  string `json:"call_id"` // SIP

	Action string `json:"action,omitempty"`
	Caller string `json:"caller,omitempty"` // not of one who asked for privacy
	Called string `json:"called,omitempty"`

	Started  time.Time  `json:"started"`
	Answered *time.Time `json:"answered,omitempty"`
	Ended    time.Time  `json:"ended"`
	Seconds  float64    `json:"seconds"` // from started to ended

	End    CallEnd   `json:"end"`
	By     EndedBy   `json:"by,omitempty"` // who hung up, where that is known
	Reason string    `json:"reason,omitempty"`
	Cause  int       `json:"cause,omitempty"` // Q.850
	SIP    int       `json:"sip,omitempty"`   // status that an unanswered call ended with, where it is known
	RTP    *RTPStats `json:"rtp,omitempty"`

	Workers  []string `json:"workers,omitempty"`  // name.boot of those that ran it, in order
	Moves    int      `json:"moves,omitempty"`    // how often another worker went on with it
	Restarts int      `json:"restarts,omitempty"` // how often the gateway was restarted meanwhile

	// Flow is what the flow reported: its result, verbs and notes.
	Flow json.RawMessage `json:"flow,omitempty"`
}

// CallEnd says in a word how a call ended.
type CallEnd string

// How calls end. Those of the flow's own report are passed on as they are;
// with these two it says what was meant to happen.
const (
	EndDone   CallEnd = "done"   // the flow came to its end
	EndHangup CallEnd = "hangup" // the caller hung up before

	EndRefused   CallEnd = "refused"   // at the door, or because no worker took it
	EndAbandoned CallEnd = "abandoned" // the caller gave up before a worker took it
	EndLost      CallEnd = "lost"      // Asterisk is gone, or nobody could go on with the flow
)

// EndedBy says who hung up.
type EndedBy string

// Who hangs up.
const (
	ByCaller   EndedBy = "caller"
	ByPlatform EndedBy = "platform" // the flow, or the gateway
	ByNode     EndedBy = "node"     // Asterisk itself, or its loss
)

// Parties are who a call is from and for, as far as they may be told.
type Parties struct{ Action, Caller, Called string }
