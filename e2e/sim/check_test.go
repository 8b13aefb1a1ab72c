package sim

import (
	"encoding/json"
	"os"
	"path/filepath"
	"time"

	"asterism/ari/aritest"
)

// outcome is what call records say of a flow.
type outcome struct {
	Result string `json:"result"`
	Notes  []struct {
		Message string         `json:"message"`
		Fields  map[string]any `json:"fields"`
	} `json:"notes"`
}

func (o outcome) field(message, name string) string {
	for _, n := range o.Notes {
		if n.Message == message {
			s, _ := n.Fields[name].(string)
			return s
		}
	}
	return ""
}

// quiet reports whether everything has ended.
func (w *world) quiet() bool {
	for _, c := range w.callers {
		if c.phone == nil || !c.phone.State().Ended {
			return false
		}
	}
	if w.gateway.isDead() || w.gateway.gw.Calls() > 0 || w.srv.Stats().Channels > 0 {
		return false
	}
	for _, p := range w.workers {
		if p.life.gone || p.life.wk.Sessions() > 0 {
			return false
		}
	}
	return len(w.logs()) == 0
}

// logs are the session logs in the spool.
func (w *world) logs() []string {
	found, err := filepath.Glob(filepath.Join(w.gateway.spool, "sessions", "*"))
	if err != nil {
		w.t.Fatal(err)
	}
	var logs []string
	for _, path := range found {
		if info, err := os.Stat(path); err == nil && !info.IsDir() {
			logs = append(logs, filepath.Base(path))
		}
	}
	return logs
}

// judge looks at what is left and at each call.
func (w *world) judge() {
	if n := w.gateway.gw.Calls(); n > 0 {
		w.fault("the gateway has %d sessions left", n)
	}
	for _, p := range w.workers {
		if n := p.life.wk.Sessions(); n > 0 {
			w.fault("%s has %d sessions left", p.life.name, n)
		}
	}
	if st := w.srv.Stats(); st.Channels+st.Playbacks+st.Bridges > 0 {
		w.fault("Asterisk has %d channels, %d playbacks and %d bridges left", st.Channels, st.Playbacks, st.Bridges)
	}
	if logs := w.logs(); len(logs) > 0 {
		w.fault("the spool has %v left", logs)
	}
	for _, c := range w.callers {
		c.judge()
	}
}

// fault is that of the world, about this call.
func (c *caller) fault(format string, args ...any) {
	c.w.fault("» %s (%s): "+format, append([]any{c.session, c.kind}, args...)...)
}

// judge says whether the call went as it may.
func (c *caller) judge() {
	if c.phone == nil {
		c.w.fault("caller %d never called", c.i)
		return
	}
	st := c.phone.State()
	if c.session == "" { // nobody was there
		if st.SIPStatus != 503 || !c.w.disturbedIn(time.Time{}, time.Now()) {
			c.fault("was refused at the door with %d", st.SIPStatus)
		}
		return
	}
	if !st.Ended {
		c.fault("never ended")
		return
	}
	o, ok := c.record()
	if !ok {
		return
	}
	if c.kind == "missing" {
		c.judgeMissing(st)
		return
	}
	if o.Result != "done" && o.Result != "hangup" && !c.crashed {
		c.fault("ended as %s", o.Result)
	}
	c.listen(st)
	c.obeyed(o)
}

// record returns the call record; ok is false when there is none, and none is
// due.
func (c *caller) record() (o outcome, ok bool) {
	switch {
	case len(c.records) > 1:
		c.fault("has %d call records", len(c.records))
	case len(c.records)+c.refusals == 0:
		// Its StasisStart was never heard, or its caller left before anybody
		// had taken the call.
		if c.left.IsZero() && !c.w.disturbedIn(time.Time{}, time.Now()) {
			c.fault("has no call record")
		}
		return o, false
	case len(c.records) == 0:
		return o, false
	case len(c.records)+c.refusals > 1 && !c.w.disturbedIn(time.Time{}, time.Now()):
		// A gateway that dies while it refuses lets the call in afterwards.
		c.fault("has a call record and was refused")
	}
	if len(c.records[0]) == 0 {
		if c.left.IsZero() {
			c.fault("was lost by its flow")
		}
		return o, false
	}
	if err := json.Unmarshal(c.records[0], &o); err != nil {
		c.fault("call record %s: %v", c.records[0], err)
	}
	return o, true
}

// disturbedIn reports whether the events of Asterisk were lost at some time.
func (w *world) disturbedIn(from, until time.Time) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, s := range w.deaf {
		if s.from.Before(until) && (s.until.IsZero() || from.Before(s.until)) {
			return true
		}
	}
	return false
}

func (c *caller) judgeMissing(st aritest.CallState) {
	if c.left.IsZero() && (st.SIPStatus < 400 || st.Answered) {
		c.fault("got %d, answered %v, for a sound that cannot be played", st.SIPStatus, st.Answered)
	}
}

// line is what is to be heard, without end when it loops for ever.
func (c *caller) line(i int) (sound string, ok bool) {
	round := append([]string(nil), c.req.Sounds...)
	if c.req.Pause > 0 {
		round = append(round, "silence-"+milliseconds(c.req.Pause))
	}
	last := c.req.Loop*len(round) - (len(round) - len(c.req.Sounds))
	if c.req.Loop > 0 && i >= last {
		return "", false
	}
	return round[i%len(round)], true
}

func milliseconds(d time.Duration) string {
	raw, err := json.Marshal(d.Milliseconds())
	if err != nil {
		return ""
	}
	return string(raw)
}

// listen compares what was heard with what was to be heard.
func (c *caller) listen(st aritest.CallState) {
	if c.kind == "collect" {
		return // how often its prompt is heard depends on how fast he types
	}
	next := 0
	for k, h := range st.Heard {
		sound := soundOf(h.Media)
		want, more := c.line(next)
		again := k > 0 && c.w.disturbedIn(st.Heard[0].From, h.From)
		if (!more || sound != want) && again {
			next = c.rewind(next, sound)
			want, more = c.line(next)
			c.w.did("repeated")
		}
		if !more || sound != want {
			c.fault("heard %s as number %d; to be heard was %q", sound, k, want)
			return
		}
		if h.Completed {
			next++
			continue
		}
		last := k == len(st.Heard)-1
		over := last && (!c.left.IsZero() || c.stopped())
		repeated := !last && c.w.disturbedIn(h.From, st.Heard[k+1].From)
		if !over && !repeated && h.Until.After(h.From) {
			c.fault("%s, number %d, was cut off after %v", sound, k, h.Until.Sub(h.From))
		}
	}
	if want, more := c.line(next); more && c.left.IsZero() && !c.stopped() {
		c.fault("the call ended before %s, number %d, was heard", want, next)
	}
}

// rewind is the latest place before i at which sound is to be heard.
func (c *caller) rewind(i int, sound string) int {
	for i > 0 {
		i--
		if want, ok := c.line(i); ok && want == sound {
			return i
		}
	}
	return 0
}

// stopped reports whether the caller has pressed a key that ends the playback.
func (c *caller) stopped() bool {
	for _, k := range c.keys {
		if c.req.StopOn.Has(k.key) {
			return true
		}
	}
	return false
}

// unsure reports whether a key may not have been heard of: while the events of
// Asterisk get lost it tells nobody, and later not either; and what a gateway
// knows of a call that nobody has taken it loses with its life.
func (c *caller) unsure(k pressed) bool {
	began, ok := c.w.owners.began[c.session]
	if early := !ok || !k.at.After(began); early && c.w.disturbedIn(k.at, time.Now()) {
		return true
	}
	return c.w.disturbedIn(k.at, k.at.Add(time.Millisecond))
}

// obeyed looks at what became of the caller's keys.
func (c *caller) obeyed(o outcome) {
	switch c.kind {
	case "stop":
		if o.field("playback ended", "ended") == "digit" {
			return
		}
		if c.left.IsZero() {
			c.fault("was not ended by a key: %+v", o)
		}
		for _, k := range c.keys {
			if k.key == "#" && !c.unsure(k) && c.left.Sub(k.at) > settled {
				c.fault("the key pressed at %v did not stop the playback", c.w.since(k.at))
			}
		}
	case "control":
		for key, operations := range map[string][]string{"5": {"pause", "unpause"}, "0": {"restart"}, "6": {"forward"}, "4": {"reverse"}} {
			c.controlled(key, operations)
		}
	case "collect":
		if c.left.IsZero() {
			c.collected(o.field("collected", "keys") + "#")
		}
	case "tour":
		c.toured(o)
	}
}

// settled is how long before the end of a call everything must have been well
// for a key to have had its effect: a lost worker is replaced meanwhile.
const settled = 20 * time.Second

// controlled compares how often a control was done with how often its key was
// pressed while there was something to control.
func (c *caller) controlled(key string, operations []string) {
	done, most, least := 0, 0, 0
	for _, op := range operations {
		done += c.w.done(c.session + " " + op)
	}
	heard := c.phone.State().Heard
	for _, k := range c.keys {
		if k.key != key {
			continue
		}
		most++
		if len(heard) > 0 && k.at.After(heard[0].From) && heard[len(heard)-1].Until.Sub(k.at) > settled && !c.unsure(k) {
			least++
		}
	}
	// What a gateway had in hand when it died is taken for done: once too few is
	// better than once too often.
	if done < least-int(c.w.boots-1) || done > most { //nolint:gosec // a few lives
		c.fault("%v was done %d times; its key was pressed %d times, %d of them in time", operations, done, most, least)
	}
}

// collected compares the keys that the flow was given with those pressed: all
// of them, in their order, less those that Asterisk may not have told of.
func (c *caller) collected(got string) {
	if c.explains(got, c.keys) {
		return
	}
	typed := ""
	for _, k := range c.keys {
		typed += k.key
		if c.unsure(k) {
			typed += "?"
		}
	}
	c.fault("the flow was given %q of what was pressed: %s", got, typed)
}

// explains reports whether keys can have made the flow get just this. What was
// pressed after that does not count.
func (c *caller) explains(got string, keys []pressed) bool {
	switch {
	case got == "":
		return true
	case len(keys) == 0:
		return false
	case got[:1] == keys[0].key && c.explains(got[1:], keys[1:]):
		return true
	}
	return c.unsure(keys[0]) && c.explains(got, keys[1:])
}

// toured looks at the end of a tour.
func (c *caller) toured(o outcome) {
	c.w.mu.Lock()
	booked := len(c.booked)
	c.w.mu.Unlock()
	if !c.left.IsZero() {
		return
	}
	if booked != stops+1 {
		c.fault("%d bookings were made, expected %d: %+v", booked, stops+1, o)
	}
	c.collected(o.field("toured", "keys"))
}
