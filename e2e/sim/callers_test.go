package sim

import (
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"time"

	"asterism/apps"
	"asterism/ari/aritest"
)

// caller is one telephone and what it is about to do.
type caller struct {
	w       *world
	i       int
	kind    string
	source  string // of his dice
	req     apps.Request
	phone   *aritest.Caller
	session string
	keys    []pressed
	left    time.Time // when he hung up, or was cut off
	crashed bool      // by the end of Asterisk, or shortly before

	// guarded by the world's lock
	booked   map[string]string // outside the node, by name: the key and the value
	records  []json.RawMessage
	refusals int
}

// pressed is a key that a caller has pressed.
type pressed struct {
	key string
	at  time.Time
}

// kinds are the kinds of callers, each with what it asks for and does.
var kinds = []struct {
	name string
	plan func(c *caller)
}{
	{"once", (*caller).planOnce},
	{"leaves", (*caller).planLeaving},
	{"loop", (*caller).planLoop},
	{"early", (*caller).planEarly},
	{"stop", (*caller).planStop},
	{"control", (*caller).planControl},
	{"missing", (*caller).planMissing},
	{"collect", (*caller).planCollect},
	{"tour", (*caller).planTour},
}

// invite plans a world's calls.
func (w *world) invite(n int) {
	for i := range n {
		c := &caller{w: w, i: i, source: fmt.Sprintf("caller %d", i)}
		w.callers = append(w.callers, c)
		w.after(w.between(c.source, 500*time.Millisecond, arrivals), c.dial)
	}
}

// dial places the call.
func (c *caller) dial() {
	w := c.w
	kind := kinds[w.roll(c.source, len(kinds))]
	c.kind, c.req = kind.name, apps.Request{Action: "Playback", Caller: apps.Party{Number: fmt.Sprint(c.i)}}
	kind.plan(c)
	args, err := json.Marshal(c.req)
	if err != nil {
		w.t.Fatal(err)
	}
	c.phone = w.srv.Call(aritest.Invite{Args: []string{url.QueryEscape(string(args))}, CallID: fmt.Sprintf("call-%d", c.i), Number: fmt.Sprint(c.i)})
	c.session = c.phone.Channel()
	w.note("» %s %s calls: %s", c.session, c.kind, describe(c.req))
	w.after(patience-w.since(time.Now()), c.leave)
}

func describe(r apps.Request) string {
	return fmt.Sprintf("%s %v × %d, pause %v, early %v, stop on %q", r.Action, r.Sounds, r.Loop, r.Pause, r.EarlyMedia, r.StopOn)
}

// leave hangs up, unless the call is over.
func (c *caller) leave() {
	if !c.left.IsZero() || c.phone.State().Ended {
		return
	}
	c.left = time.Now()
	c.w.note("» %s HANGS UP", c.session)
	c.phone.Hangup()
}

// press presses a key.
func (c *caller) press(key string) {
	if c.phone.State().Ended {
		return
	}
	c.keys = append(c.keys, pressed{key: key, at: time.Now()})
	c.w.note("» %s presses %s", c.session, key)
	c.phone.Press(key)
}

// prompts chooses sounds; each has a name of its own.
func (c *caller) prompts(n int, from, to time.Duration) []string {
	var out []string
	for i := range n {
		out = append(out, fmt.Sprintf("s%d%c-%d", c.i, 'a'+i, c.w.between(c.source, from, to).Milliseconds()))
	}
	return out
}

func (c *caller) planOnce() {
	w := c.w
	c.req.Sounds = c.prompts(1+w.roll(c.source, 3), 300*time.Millisecond, 4*time.Second)
	c.req.Loop = 1 + w.roll(c.source, 12)
	if len(c.req.Sounds) > 1 {
		c.req.Loop = 1 + w.roll(c.source, 2)
	}
	if w.chance(c.source, 400) {
		c.req.Pause = time.Duration(1+w.roll(c.source, 19)) * 100 * time.Millisecond
	}
}

func (c *caller) planLeaving() {
	c.planOnce()
	c.w.after(c.w.between(c.source, 0, 12*time.Second), c.leave)
}

func (c *caller) planLoop() {
	c.planOnce()
	c.req.Loop = 0
	c.w.after(c.w.between(c.source, time.Second, 25*time.Second), c.leave)
}

func (c *caller) planEarly() {
	c.planOnce()
	c.req.EarlyMedia = true
}

func (c *caller) planStop() {
	w := c.w
	c.planOnce()
	c.req.Loop = 0
	c.req.StopOn = "*#"
	at := w.between(c.source, 0, 15*time.Second)
	for range w.roll(c.source, 3) {
		w.after(w.between(c.source, 0, at+1), func() { c.press("1") })
	}
	for i := range 20 { // he tries again until he is obeyed
		w.after(at+time.Duration(i)*6*time.Second, func() { c.press("#") })
	}
}

func (c *caller) planControl() {
	w := c.w
	c.req.Sounds = c.prompts(1, 18*time.Second, 28*time.Second)
	c.req.Loop = 1
	c.req.Controls = apps.Controls{Pause: "5", Restart: "0", Forward: "6", Back: "4", Skip: 2 * time.Second}
	at := time.Duration(0)
	for range 1 + w.roll(c.source, 6) {
		at += w.between(c.source, 100*time.Millisecond, 4*time.Second)
		key := string("550646"[w.roll(c.source, 6)])
		w.after(at, func() { c.press(key) })
	}
}

func (c *caller) planMissing() { c.req.Sounds, c.req.Loop = []string{"scratched"}, 1 }

func (c *caller) planCollect() {
	w := c.w
	c.req.Action = "Collect"
	c.req.Sounds = c.prompts(1, 500*time.Millisecond, 3*time.Second)
	at := time.Duration(0)
	for range 2 + w.roll(c.source, 6) {
		at += w.between(c.source, 10*time.Millisecond, 3*time.Second)
		key := string("0123456789*"[w.roll(c.source, 11)])
		w.after(at, func() { c.press(key) })
	}
	for i := range 20 {
		w.after(at+200*time.Millisecond+time.Duration(i)*6*time.Second, func() { c.press("#") })
	}
}

// stops is how many stages a tour has.
const stops = 4

func (c *caller) planTour() {
	w := c.w
	c.req.Action = "Tour"
	c.req.Sounds = c.prompts(stops, 300*time.Millisecond, 3*time.Second)
	c.req.Loop = 1 // what is to be heard: each once
	at := time.Duration(0)
	for range w.roll(c.source, 5) {
		at += w.between(c.source, 10*time.Millisecond, 3*time.Second)
		key := string("0123456789"[w.roll(c.source, 10)])
		w.after(at, func() { c.press(key) })
	}
	if w.chance(c.source, 300) {
		w.after(w.between(c.source, 0, 12*time.Second), c.leave)
	}
}

// recorded takes in a call record.
func (w *world) recorded(session string, outcome json.RawMessage) {
	w.note("» %s ended: %s", session, outcome)
	w.mu.Lock()
	defer w.mu.Unlock()
	if c := w.callerOf(session); c != nil {
		c.records = append(c.records, slices.Clone(outcome))
	}
}

func (w *world) isRecorded(c *caller) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(c.records)+c.refusals > 0
}

// refused takes in that a call was refused.
func (w *world) refused(session string) {
	w.note("» %s refused", session)
	w.mu.Lock()
	defer w.mu.Unlock()
	if c := w.callerOf(session); c != nil {
		c.refusals++
	}
}

func (w *world) callerOf(session string) *caller {
	for _, c := range w.callers {
		if c.session == session {
			return c
		}
	}
	return nil
}
