package proxy

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// LogFormats are the formats of journals that this release can read; it writes
// the newest of them. Heartbeats announce them, so that a session is handed only
// to a worker that understands its journal.
var LogFormats = []int{1}

// Token names one assignment of a session. Boot counts the starts of the
// gateway, Epoch the assignments since; a later assignment has a greater
// token.
type Token struct {
	Boot  uint64
	Epoch uint64
}

// String returns the token as "boot.epoch".
func (t Token) String() string {
	return strconv.FormatUint(t.Boot, 10) + "." + strconv.FormatUint(t.Epoch, 10)
}

// after reports whether t names a later assignment than o.
func (t Token) after(o Token) bool {
	return t.Boot > o.Boot || (t.Boot == o.Boot && t.Epoch > o.Epoch)
}

// MarshalText implements [encoding.TextMarshaler].
func (t Token) MarshalText() ([]byte, error) { return []byte(t.String()), nil }

// UnmarshalText implements [encoding.TextUnmarshaler].
func (t *Token) UnmarshalText(text []byte) error {
	boot, epoch, ok := strings.Cut(string(text), ".")
	var err1, err2 error
	t.Boot, err1 = strconv.ParseUint(boot, 10, 64)
	t.Epoch, err2 = strconv.ParseUint(epoch, 10, 64)
	if !ok || err1 != nil || err2 != nil {
		return fmt.Errorf("token %q: expected boot.epoch", text)
	}
	return nil
}

// Heartbeat is what a worker or a gateway tells everyone once a second.
type Heartbeat struct {
	Name     string `json:"name"`
	Boot     string `json:"boot"`
	Load     int    `json:"load"` // sessions now
	Free     int    `json:"free"` // sessions it would still take; workers only
	Draining bool   `json:"draining,omitempty"`
	// Formats are the log formats it reads, see [LogFormats].
	Formats []int `json:"formats,omitempty"`
	// Hello asks everyone who hears it for a heartbeat at once.
	Hello bool `json:"hello,omitempty"`
}

// key identifies one life of a worker or gateway.
func (h Heartbeat) key() string { return h.Name + "." + h.Boot }

// The kinds of messages: the last part of the subject that they are sent to.
const (
	kindAssign  = "assign"
	kindEvents  = "events"
	kindCommand = "command"
	kindRenew   = "renew"
	kindResync  = "resync"
	kindRelease = "release"
	kindClaim   = "claim"
	kindClaimed = "claimed"
)

// assignHeader offers a session to a worker. Parts: the StasisStart (empty
// when First is 1: then it is the first event), the journal records, then the
// events from First on.
type assignHeader struct {
	Session string        `json:"s"`
	Token   Token         `json:"t"`
	Node    string        `json:"n"` // "node.boot", where commands go
	First   uint64        `json:"f"` // number of the first event
	Again   bool          `json:"ag,omitempty"`
	Records int           `json:"j,omitempty"` // how many parts are journal records
	Digits  []digitHeader `json:"d,omitempty"` // keys before First
}

// digitHeader is a [Digit].
type digitHeader struct {
	Seq uint64 `json:"q"`
	Key string `json:"k"`
	At  int64  `json:"t"` // Unix time in milliseconds
}

func digitHeaders(digits []Digit) []digitHeader {
	if len(digits) == 0 {
		return nil
	}
	out := make([]digitHeader, len(digits))
	for i, d := range digits {
		out[i] = digitHeader{Seq: d.Seq, Key: d.Key, At: d.At.UnixMilli()}
	}
	return out
}

func digitsOf(headers []digitHeader) []Digit {
	if len(headers) == 0 {
		return nil
	}
	out := make([]Digit, len(headers))
	for i, h := range headers {
		out[i] = Digit{Seq: h.Seq, Key: h.Key, At: time.UnixMilli(h.At)}
	}
	return out
}

// acceptHeader answers an assignment. Parts: those of the command, if there
// is one.
type acceptHeader struct {
	Session string         `json:"s"`
	Token   Token          `json:"t"`
	Busy    bool           `json:"busy,omitempty"`
	Command *commandHeader `json:"c,omitempty"`
}

// eventsHeader carries events to the owner. Parts: the events, numbered from
// First. Lost says that events before First are gone for good, but for the
// keys among them.
type eventsHeader struct {
	Session string        `json:"s"`
	Token   Token         `json:"t"`
	First   uint64        `json:"f"`
	Lost    bool          `json:"lost,omitempty"`
	Digits  []digitHeader `json:"d,omitempty"`
}

// commandHeader asks the gateway to do something. Parts: the bodies of the
// steps, one each; then the journal records; then, of a final command, the
// outcome of the flow.
type commandHeader struct {
	Session string `json:"s"`
	Token   Token  `json:"t"`
	ID      string `json:"id"`
	TTL     int64  `json:"ttl"` // milliseconds from arrival
	Ack     uint64 `json:"a"`   // events up to this number have been taken in
	Steps   []Step `json:"st"`
	Records int    `json:"j,omitempty"` // how many parts are journal records
	Final   bool   `json:"fin,omitempty"`
	Reset   bool   `json:"rs,omitempty"` // the records replace the journal
	Heard   uint64 `json:"hd,omitempty"` // with Reset
}

// resultHeader answers a command, a renewal or a resync. Parts: the bodies of
// the results of a command's steps.
type resultHeader struct {
	Status resultStatus `json:"st"`
	Codes  []int        `json:"c,omitempty"`     // HTTP status of each step done
	Error  string       `json:"e,omitempty"`     // with statusFailed
	Again  bool         `json:"ag,omitempty"`    // from the store
	Age    int64        `json:"age,omitempty"`   // milliseconds since it was executed
	Stale  []string     `json:"stale,omitempty"` // sessions, answering a renewal
}

// resultStatus says what became of a request.
type resultStatus string

const (
	statusDone   resultStatus = "done"   // executed; look at the codes
	statusStale  resultStatus = "stale"  // the token is not the current one
	statusFailed resultStatus = "failed" // could not be executed at all
)

// renewHeader keeps a worker's sessions alive. Part says that the worker has
// more of them than fit into one message.
type renewHeader struct {
	Worker   string       `json:"w"` // "name.boot"
	Sessions []renewEntry `json:"s"`
	Part     bool         `json:"p,omitempty"`
}

// renewEntry is one session of a renewal. Seq acknowledges its events.
type renewEntry struct {
	Session string `json:"s"`
	Token   Token  `json:"t"`
	Seq     uint64 `json:"q"`
}

// resyncHeader asks for the events after Seq once more.
type resyncHeader struct {
	Session string `json:"s"`
	Token   Token  `json:"t"`
	Seq     uint64 `json:"q"`
}

// releaseHeader gives a session back. Parts: journal records.
type releaseHeader struct {
	Session string `json:"s"`
	Token   Token  `json:"t"`
	Reset   bool   `json:"rs,omitempty"` // the records replace the journal
	Heard   uint64 `json:"hd,omitempty"` // with Reset
}

// claimHeader asks a gateway that has started anew for the sessions that a
// worker had from its earlier life. Only the last token of each counts.
type claimHeader struct {
	Worker   string       `json:"w"` // "name.boot"
	Sessions []renewEntry `json:"s"`
}

// claimedHeader answers a claim. Granted has the new tokens.
type claimedHeader struct {
	Node    string       `json:"n"` // "node.boot"
	Granted []renewEntry `json:"g,omitempty"`
	Stale   []string     `json:"stale,omitempty"`
}

// Step is one thing that a command does. The steps of a command are done in
// order; the first that fails (status ≥ 400) ends it.
type Step struct {
	// Method and Path are an ARI request, the path relative to /ari and with
	// its query.
	Method string `json:"m,omitempty"`
	Path   string `json:"p,omitempty"`
	// Name is a gateway step instead, one of the Step… constants.
	Name string `json:"n,omitempty"`
	// Body is the JSON body of the request, or the arguments of the gateway
	// step. It travels as a part of the frame.
	Body []byte `json:"-"`
}

// ARI returns an ARI request as a step. A nil body sends none.
func ARI(method, path string, body []byte) Step {
	return Step{Method: method, Path: path, Body: body}
}

// Command is what a session asks its gateway to do.
type Command struct {
	// ID is unique in the session; a command that is sent again with the same
	// ID is not executed again but answered with the first one's result.
	ID    string
	Steps []Step
	// Records are appended to the session's log before the steps are done. A
	// command without steps only carries records, and proves the token.
	Records [][]byte
	// Reset begins a new stage: Records replace the journal, and what is kept
	// for the stages before is dropped: results of earlier commands, and keys
	// up to the event of number Heard. Keys among those that nobody has used
	// yet must be in the records.
	Reset bool
	Heard uint64
	// TTL is how long the gateway may work on it, counted from its arrival.
	// Zero means [DefaultTTL].
	TTL time.Duration
	// Final says that the flow has ended; Outcome is what goes into the call
	// record, as JSON.
	Final   bool
	Outcome []byte
}

// DefaultTTL is how long a gateway works on a command that names no TTL.
const DefaultTTL = 10 * time.Second

// Result is what became of a command. Steps has an entry for each step that
// was tried.
type Result struct {
	Steps []StepResult
	// Again says that the command had been executed before, for an earlier
	// send or an earlier owner; Age is how long ago, 0 when that is not known
	// since the gateway has started anew meanwhile.
	//
	// A step that creates something, sent before the gateway restarted and
	// without a stored result, is answered with the Code 410 when Asterisk does
	// not know what it was to create: it must be done again under a new id.
	Again bool
	Age   time.Duration
}

// StepResult is the answer to one step: an HTTP status and a body.
type StepResult struct {
	Code int
	Body []byte
}

// OK reports whether the step succeeded.
func (r StepResult) OK() bool { return r.Code >= 200 && r.Code < 300 }

// Err returns nil if all want steps were done, else an error about the one
// that failed.
func (r Result) Err(want int) error {
	for i, s := range r.Steps {
		if !s.OK() {
			return &StepError{Index: i, Code: s.Code, Body: s.Body}
		}
	}
	if len(r.Steps) < want {
		return fmt.Errorf("%d of %d steps were answered", len(r.Steps), want)
	}
	return nil
}

// StepError says which step of a command failed, and how.
type StepError struct {
	Index int
	Code  int
	Body  []byte
}

func (e *StepError) Error() string {
	var m struct{ Message, Error string }
	_ = json.Unmarshal(e.Body, &m)
	if m.Message == "" {
		m.Message = m.Error
	}
	return fmt.Sprintf("step %d answered %d: %s", e.Index, e.Code, m.Message)
}

// reads reports whether the command changes nothing: its result need not be
// kept, since asking again does no harm.
func (c *Command) reads() bool {
	if c.Final || len(c.Steps) == 0 || len(c.Records) > 0 {
		return false
	}
	for _, s := range c.Steps {
		if s.Name != "" || s.Method != http.MethodGet {
			return false
		}
	}
	return true
}

// commandFrame encodes a command; it is a part of an accept frame or a frame
// of its own.
func (c *Command) header(session string, token Token, ack uint64) commandHeader {
	ttl := c.TTL
	if ttl <= 0 {
		ttl = DefaultTTL
	}
	return commandHeader{
		Session: session, Token: token, ID: c.ID, TTL: ttl.Milliseconds(),
		Ack: ack, Steps: c.Steps, Records: len(c.Records), Final: c.Final, Reset: c.Reset, Heard: c.Heard,
	}
}

// parts returns the parts of the command's frame.
func (c *Command) parts() [][]byte {
	parts := make([][]byte, 0, len(c.Steps)+len(c.Records)+1)
	for _, s := range c.Steps {
		parts = append(parts, s.Body)
	}
	parts = append(parts, c.Records...)
	if c.Final {
		parts = append(parts, c.Outcome)
	}
	return parts
}

// command puts a received command together again.
func (h commandHeader) command(parts [][]byte) (Command, error) {
	want := len(h.Steps) + h.Records
	if h.Final {
		want++
	}
	if h.Records < 0 || len(parts) != want || h.ID == "" {
		return Command{}, fmt.Errorf("command %q has %d parts, expected %d: %w", h.ID, len(parts), want, ErrFrame)
	}
	c := Command{
		ID: h.ID, Steps: h.Steps, TTL: time.Duration(h.TTL) * time.Millisecond,
		Final: h.Final, Reset: h.Reset, Heard: h.Heard,
	}
	for i := range c.Steps {
		c.Steps[i].Body = parts[i]
	}
	c.Records = parts[len(h.Steps) : len(h.Steps)+h.Records]
	if h.Final {
		c.Outcome = parts[want-1]
	}
	return c, nil
}

// result puts the answer to a command together again.
func (h resultHeader) result(parts [][]byte) (Result, error) {
	if len(parts) != len(h.Codes) {
		return Result{}, fmt.Errorf("a result has %d parts for %d steps: %w", len(parts), len(h.Codes), ErrFrame)
	}
	r := Result{
		Steps: make([]StepResult, len(parts)),
		Again: h.Again, Age: time.Duration(h.Age) * time.Millisecond,
	}
	for i := range parts {
		r.Steps[i] = StepResult{Code: h.Codes[i], Body: parts[i]}
	}
	return r, nil
}

var nameRE = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)

// ErrName is wrapped by the error of [CheckName].
var ErrName = errors.New("not a name")

// CheckName refuses names of workers and nodes that cannot stand in a NATS
// subject: 1 to 64 letters, digits, "-" or "_" are allowed.
func CheckName(name string) error {
	if !nameRE.MatchString(name) {
		return fmt.Errorf("%q is %w: expected 1 to 64 letters, digits, '-' or '_'", name, ErrName)
	}
	return nil
}

// SessionOf returns the session that an id belongs to: ids that we choose
// start with "<session>~".
func SessionOf(id string) string {
	session, _, _ := strings.Cut(id, "~")
	return session
}
