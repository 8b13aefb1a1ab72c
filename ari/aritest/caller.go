package aritest

import (
	"context"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

const techPJSIP = "PJSIP"

// stasisPriority is the line of the context "offer" that calls Stasis.
const stasisPriority = 7

// Invite is a call from outside as the dialplan sees it. The zero value is a valid call without arguments.
type Invite struct {
	// Args are the arguments of StasisStart, for example {"1", "Action,Sound", "Action=Playback", "Sound=welcome", "end"}.
	Args []string
	// App is the Stasis application. Default [Options.App].
	App string
	// Name and Number are the caller's identity. Number defaults to "5551".
	Name, Number string
	// Exten is the extension in the channel's dialplan field. Default "s", which is what our dialplan always shows:
	// what was dialled is in the arguments.
	Exten string
	// Pinned calls are taken while the node drains: X-Asterisk-Pinned.
	Pinned bool
	// CallID is the SIP Call-ID, shown as protocol_id. Default a random one.
	CallID string
	// Vars are channel variables and dialplan functions that can be read, for example "PJSIP_HEADER(read,X-Foo)".
	Vars map[string]string
	// Language of the channel. Default "en".
	Language string
}

// Heard is one stretch of media that a caller was played.
type Heard struct {
	Media       string // the media URI
	From, Until time.Time
	Completed   bool // to its end, not stopped
}

// CallState is a moment in a call's life as the telephone sees it.
type CallState struct {
	Channel     string // the channel's id; "" when the call was refused without a channel
	Provisional []int  // SIP statuses 180, 181, 183 in their order, without repetitions in a row
	EarlyMedia  bool   // a 183 was seen before the answer
	Answered    bool
	Ended       bool
	SIPStatus   int    // final status of the INVITE; 0 while there is none
	Cause       int    // Q.850 cause of the end
	Reason      string // that the refusal gave, the variable ASTERISM_REASON
	Contact     string // of a 302
	ReferTo     string // of a REFER received after the answer
	Heard       []Heard
	Digits      string // keys that ARI's sendDTMF pressed towards the caller
}

// Caller is the telephone of one call. Its methods may be called from any goroutine.
type Caller struct {
	s  *Server
	ch *channel

	// guarded by the server's lock
	state      CallState
	heard      []*Heard
	spoken     []span
	done       chan struct{}
	answeredCh chan struct{}
	changed    chan struct{} // made when somebody waits, closed at the next change
}

type span struct{ from, until time.Time }

// Call places a call. When nobody is connected for its application, or the global variable ASTERISM_DRAINING is 1 and
// the call is not pinned, it is refused with 503 at once, as the dialplan does.
func (s *Server) Call(inv Invite) *Caller {
	c := &Caller{s: s, done: make(chan struct{}), answeredCh: make(chan struct{})}
	if inv.App == "" {
		inv.App = s.opt.App
	}
	if inv.Number == "" {
		inv.Number = "5551"
	}
	if inv.Exten == "" {
		inv.Exten = "s"
	}
	if inv.Language == "" {
		inv.Language = "en"
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stats.Calls++
	draining := s.globals["ASTERISM_DRAINING"] == "1" && !inv.Pinned
	if s.down || draining || !s.active(inv.App) {
		s.stats.Refused++
		c.state.SIPStatus = http.StatusServiceUnavailable
		c.finish()
		return c
	}
	if inv.CallID == "" {
		inv.CallID = newUUID()
	}
	ch := &channel{
		s: s, id: s.newID(), name: s.channelName("edge"), tech: techPJSIP, resource: "edge", state: stateRing,
		protocolID: inv.CallID, callerName: inv.Name, callerNumber: inv.Number, context: "offer", exten: inv.Exten,
		priority: stasisPriority, appName: "Stasis", appData: strings.Join(append([]string{inv.App}, inv.Args...), ","),
		created: time.Now(), lang: inv.Language, caller: c, vars: maps.Clone(inv.Vars),
	}
	c.ch = ch
	c.state.Channel = ch.id
	s.channels[ch.id] = ch
	s.publish(ch, nil, "ChannelCreated", func(b []byte) []byte { return ch.appendJSON(appendKey(b, "channel")) })
	ch.enterStasis(inv.App, inv.Args)
	return c
}

func (s *Server) channelName(endpoint string) string {
	n := strconv.FormatUint(s.names, 16)
	s.names++
	return "PJSIP/" + endpoint + "-" + "00000000"[:max(0, 8-len(n))] + n
}

// Channel is the id of the call's channel.
func (c *Caller) Channel() string { return c.State().Channel }

// State returns what the telephone knows now.
func (c *Caller) State() CallState {
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	return c.stateLocked()
}

func (c *Caller) stateLocked() CallState {
	st := c.state
	st.Provisional = slices.Clone(st.Provisional)
	st.Heard = make([]Heard, len(c.heard))
	for i, h := range c.heard {
		st.Heard[i] = *h
	}
	return st
}

// Answered is closed when the call is answered. It stays open when the call ends without an answer.
func (c *Caller) Answered() <-chan struct{} { return c.answeredCh }

// Ended is closed when the call is over.
func (c *Caller) Ended() <-chan struct{} { return c.done }

// SIPStatus is the final status of the INVITE: 200, 302, 486 …; 0 while there is none.
func (c *Caller) SIPStatus() int { return c.State().SIPStatus }

// Heard lists what the caller was played, in order. What is still playing has a zero Until.
func (c *Caller) Heard() []Heard { return c.State().Heard }

// Await waits until the state satisfies ok. Errors: [ErrEnded] when the call ended and ok still says no, or the context's.
func (c *Caller) Await(ctx context.Context, ok func(CallState) bool) error {
	for {
		c.s.mu.Lock()
		st := c.stateLocked()
		if c.changed == nil {
			c.changed = make(chan struct{})
		}
		changed := c.changed
		c.s.mu.Unlock()
		if ok(st) {
			return nil
		}
		if st.Ended {
			return ErrEnded
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// Press presses keys one after the other, at once; each is a ChannelDtmfReceived of 100 ms.
func (c *Caller) Press(digits string) {
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	for _, d := range digits {
		if c.ch == nil || c.ch.hungUp || c.s.down {
			return
		}
		c.ch.receiveDigit(string(d))
	}
}

// Say makes the caller speak from now on for d: recordings are loud there, silence detection and talk detection
// take notice. Speaking again while speaking prolongs.
func (c *Caller) Say(d time.Duration) {
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	if c.ch == nil || c.ch.hungUp || c.s.down {
		return
	}
	c.speak(d)
}

// Hangup ends the call from the telephone's side: CANCEL before the answer (the status becomes 487), BYE after it.
func (c *Caller) Hangup() {
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	if c.ch == nil || c.ch.hungUp || c.s.down {
		return
	}
	if c.state.Answered {
		c.ch.hangUp(nil, causeNormal) // a BYE has no cause in ChannelHangupRequest
		return
	}
	c.state.SIPStatus = 487
	c.ch.techCause = 487
	c.ch.hangUp(c.ch.causes(causeInterworking), causeInterworking)
}

// progress notes a provisional response.
func (c *Caller) progress(status int) {
	if c.state.Answered || c.state.SIPStatus != 0 {
		return
	}
	if n := len(c.state.Provisional); n == 0 || c.state.Provisional[n-1] != status {
		c.state.Provisional = append(c.state.Provisional, status)
	}
	if status == 183 {
		c.state.EarlyMedia = true
	}
	c.notify()
}

func (c *Caller) answered() {
	c.state.Answered = true
	c.state.SIPStatus = http.StatusOK
	close(c.answeredCh)
	c.notify()
}

// over is the end of the call; without a status yet, the cause decides it.
func (c *Caller) over(cause int) {
	if c.state.Ended {
		return
	}
	c.state.Cause = cause
	if c.state.SIPStatus == 0 && cause != 0 {
		c.state.SIPStatus = SIPStatusOf(cause)
	}
	for _, h := range c.heard {
		if h.Until.IsZero() {
			h.Until = time.Now()
		}
	}
	c.finish()
}

func (c *Caller) finish() {
	c.state.Ended = true
	close(c.done)
	c.notify()
}

func (c *Caller) notify() {
	if c.changed != nil {
		close(c.changed)
		c.changed = nil
	}
}

// hears adds to the list, which is bounded.
func (c *Caller) hears(h *Heard) {
	if n := len(c.heard); n >= c.s.opt.HeardLimit {
		c.heard = slices.Delete(c.heard, 0, n-c.s.opt.HeardLimit+1)
	}
	c.heard = append(c.heard, h)
	c.notify()
}

// listen opens an entry in the list of everyone who hears the playback.
func (p *playback) listen(uri string) {
	p.heard = p.heard[:0]
	add := func(ch *channel) {
		if ch.caller == nil {
			return
		}
		h := &Heard{Media: uri, From: time.Now()}
		p.heard = append(p.heard, h)
		ch.caller.hears(h)
	}
	if p.br == nil {
		add(p.ch)
		return
	}
	for _, ch := range p.br.channels {
		add(ch)
	}
}

func (p *playback) unlisten(completed bool) {
	for _, h := range p.heard {
		if h.Until.IsZero() {
			h.Until, h.Completed = time.Now(), completed
		}
	}
	p.heard = p.heard[:0]
	if p.ch != nil && p.ch.caller != nil {
		p.ch.caller.notify()
	}
}
