package session

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/rs/zerolog"

	"asterism/apps"
)

// outcome is what the call record tells of a flow. Its verbs never hold keys
// that the caller pressed, except one that ended a playback.
type outcome struct {
	Action   string  `json:"action"`
	Result   result  `json:"result"`
	Worker   string  `json:"worker,omitempty"`
	Began    string  `json:"began"`
	Seconds  float64 `json:"seconds"`
	Answered bool    `json:"answered"`
	Stage    string  `json:"stage,omitempty"`  // the last one; "" is the flow itself
	Stages   int     `json:"stages,omitempty"` // how many began, when more than one

	Caller string `json:"caller,omitempty"` // not of one who asked for privacy
	Called string `json:"called,omitempty"`

	Vars map[string]string `json:"vars,omitempty"`

	Error  string     `json:"error,omitempty"`
	Status int        `json:"status,omitempty"` // what the error means in SIP
	Fault  apps.Fault `json:"fault,omitempty"`
	Cause  int        `json:"cause,omitempty"` // Q.850, of the hang-up

	Verbs   []entry `json:"verbs,omitempty"`
	Skipped int     `json:"verbs_skipped,omitempty"`
	Notes   []note  `json:"notes,omitempty"`
	Keys    int     `json:"keys,omitempty"`      // how many were pressed
	Used    int     `json:"keys_used,omitempty"` // how many of them meant something
}

// note is a line that the flow wrote.
type note struct {
	Message string         `json:"message"`
	Fields  map[string]any `json:"fields,omitempty"`
}

// What of notes, and in all, goes into a call record.
const (
	maxNotes     = 8        // how many, the first ones
	maxNoteText  = 512      // bytes of a message
	maxNoteValue = 256      // bytes of a field
	maxNote      = 2 << 10  // bytes of a note as JSON
	maxOutcome   = 64 << 10 // bytes of all
)

// newNote makes a note of a line that a flow writes, and bounds it.
func newNote(message string, fields []any) note {
	n := note{Message: shorten(message, maxNoteText)}
	if len(fields) > 1 {
		n.Fields = make(map[string]any, len(fields)/2)
	}
	for i := 0; i+1 < len(fields); i += 2 {
		n.Fields[shorten(fmt.Sprint(fields[i]), maxNoteText)] = noteValue(fields[i+1])
	}
	if raw, err := json.Marshal(n); err == nil && len(raw) > maxNote {
		n.Fields = map[string]any{"left_out": fmt.Sprintf("%d fields, which are too large", len(n.Fields))}
	}
	return n
}

// noteValue is the value of a field as a note has it.
func noteValue(value any) any {
	switch v := value.(type) {
	case time.Duration:
		return seconds(v)
	case string:
		return shorten(v, maxNoteValue)
	case error:
		return shorten(v.Error(), maxNoteValue)
	}
	if raw, err := json.Marshal(value); err == nil && len(raw) > maxNoteValue {
		return shorten(string(raw), maxNoteValue)
	}
	return value
}

// note implements the Log of [apps.Env].
func (s *session) note(message string, fields ...any) {
	n := newNote(message, fields)
	if !s.stage.replaying() { // else it was logged by whoever had the call before
		s.line(zerolog.InfoLevel).Fields(n.Fields).Msg(n.Message)
	}
	if len(s.notes) < maxNotes {
		s.notes = append(s.notes, n)
	}
}

// outcome returns what goes into the call record.
func (s *session) outcome(res result, v apps.Verdict, err error, took time.Duration) []byte {
	o := outcome{
		Action: s.action, Result: res, Worker: s.pool.opts.Worker,
		Began: s.began.UTC().Format("2006-01-02T15:04:05.000Z"), Seconds: seconds(took), Answered: s.answered,
		Caller: s.caller, Called: s.called, Vars: s.vars, Verbs: s.trail.entries(), Skipped: s.trail.skipped, Notes: s.notes,
	}
	if s.stage.n > 0 {
		o.Stage, o.Stages = s.stage.name, s.stage.n+1
	}
	if err != nil {
		o.Error, o.Status, o.Fault = shorten(err.Error(), 512), v.Status, v.Fault
	}
	s.mu.Lock()
	o.Cause, o.Keys, o.Used = s.cause, s.keys.received, s.keys.used
	s.mu.Unlock()
	raw, jsonErr := json.Marshal(o)
	if jsonErr != nil { // a note of the flow cannot be written as JSON
		s.line(zerolog.ErrorLevel).Err(jsonErr).Msg("the notes are left out of the call record")
		o.Notes = nil
		raw, jsonErr = json.Marshal(o)
	}
	// What the edge has passed, and the flow, must not keep the call from ending.
	for _, drop := range [...]func(){
		func() { o.Notes = nil },
		func() { o.Verbs, o.Skipped = nil, o.Skipped+len(o.Verbs) },
		func() { o.Vars = nil },
	} {
		if jsonErr == nil && len(raw) > maxOutcome {
			s.line(zerolog.WarnLevel).Int("bytes", len(raw)).Msg("the call record is too large: a part of it is left out")
			drop()
			raw, jsonErr = json.Marshal(o)
		}
	}
	if jsonErr != nil {
		return []byte(`{}`)
	}
	return raw
}

// seconds rounds to milliseconds.
func seconds(d time.Duration) float64 { return float64(d.Milliseconds()) / 1000 }

// shorten keeps a text from outside readable and bounded.
func shorten(s string, most int) string {
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "…"
}

// entry is one verb in the trail, or several equal ones in a row.
type entry struct {
	Verb   string       `json:"verb"`
	About  string       `json:"about,omitempty"`
	Times  int          `json:"times,omitempty"` // when more than one
	Heard  float64      `json:"heard,omitempty"` // seconds, of all of them
	Ended  apps.PlayEnd `json:"ended,omitempty"`
	Digit  string       `json:"digit,omitempty"`
	Sound  int          `json:"sound,omitempty"`
	Offset float64      `json:"offset,omitempty"`
	Error  string       `json:"error,omitempty"`
}

const (
	maxAbout   = 160 // bytes, of a verb
	firstVerbs = 8   // kept from the start of the call
	lastVerbs  = 24  // kept from its end
)

// trail holds the first and the last verbs of a call.
type trail struct {
	first, last []entry
	skipped     int
}

// add appends a verb with its result.
func (t *trail) add(verb, about string, result any, err error) {
	e := entry{Verb: verb, About: shorten(about, maxAbout)}
	if played, ok := result.(apps.Played); ok {
		e.Heard, e.Ended, e.Digit = seconds(played.Heard), played.Ended, played.Digit
		e.Sound, e.Offset = played.Sound, seconds(played.Offset)
	}
	if err != nil {
		e.Error = shorten(err.Error(), 256)
	}
	if previous := t.previous(); previous != nil && previous.repeats(e) {
		previous.Times = max(previous.Times, 1) + 1
		previous.Heard += e.Heard
		return
	}
	switch {
	case len(t.first) < firstVerbs:
		t.first = append(t.first, e)
	case len(t.last) < lastVerbs:
		t.last = append(t.last, e)
	default:
		t.skipped++
		copy(t.last, t.last[1:])
		t.last[lastVerbs-1] = e
	}
}

// restore takes up the trail of earlier stages.
func (t *trail) restore(entries []entry, skipped int) {
	n := min(len(entries), firstVerbs)
	t.first = slices.Clone(entries[:n])
	t.last = slices.Clone(entries[n:min(len(entries), firstVerbs+lastVerbs)])
	t.skipped = skipped
}

func (t *trail) previous() *entry {
	if n := len(t.last); n > 0 {
		return &t.last[n-1]
	}
	if n := len(t.first); n > 0 {
		return &t.first[n-1]
	}
	return nil
}

// repeats reports whether a later verb says nothing new, so that a loop that
// goes on for days does not fill the trail.
func (e *entry) repeats(later entry) bool {
	return e.Error == "" && later.Error == "" && e.Verb == later.Verb && e.About == later.About && e.Ended == later.Ended &&
		e.Digit == later.Digit && e.Sound == later.Sound && e.Offset == later.Offset
}

func (t *trail) entries() []entry {
	return append(append([]entry(nil), t.first...), t.last...)
}
