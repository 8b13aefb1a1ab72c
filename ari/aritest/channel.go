package aritest

import (
	"sort"
	"strconv"
	"time"
)

// Channel states, in Asterisk's words.
const (
	stateDown    = "Down"
	stateRing    = "Ring"
	stateRinging = "Ringing"
	stateUp      = "Up"
)

// channel is one leg. Everything in it is guarded by the server's lock.
type channel struct {
	s            *Server
	id, name     string
	tech         string // PJSIP, Local, Snoop …
	resource     string // endpoint
	state        string
	protocolID   string
	callerName   string
	callerNumber string
	connName     string
	connNumber   string
	context      string
	exten        string
	appName      string
	appData      string
	priority     int
	created      time.Time
	lang         string

	app       *app // Stasis application the channel is in, or nil
	bridge    *bridge
	vars      map[string]string
	reported  map[string]string // variables set with report_events: part of the channel's JSON
	talk      bool              // TALK_DETECT is on
	hungUp    bool
	techCause int // SIP status that ended the channel, 0 when none did
	gone      bool

	busy  job // playback or recording that holds the queue
	queue []command

	caller *Caller  // who is at the other end of a call from outside
	far    *farCall // what a call from inside is doing
	onGone []func()
}

// job is what occupies a channel: while it runs, commands wait.
type job interface {
	// abort ends the job because the channel hung up.
	abort()
}

// command is a queued verb. run may set the channel's busy.
type command struct {
	run  func()
	done chan struct{} // closed when it has run; nil when nobody waits
}

// enqueue runs the command when everything before it has ended. sync returns a channel to wait on.
func (ch *channel) enqueue(run func()) { ch.push(command{run: run}) }

func (ch *channel) enqueueWait(run func()) <-chan struct{} {
	done := make(chan struct{})
	ch.push(command{run, done})
	return done
}

func (ch *channel) push(c command) {
	if ch.busy == nil && len(ch.queue) == 0 {
		c.do()
		return
	}
	ch.queue = append(ch.queue, c)
}

func (c command) do() {
	c.run()
	if c.done != nil {
		close(c.done)
	}
}

// idle says that the job has ended; what waited runs.
func (ch *channel) idle() {
	ch.busy = nil
	for ch.busy == nil && len(ch.queue) > 0 {
		c := ch.queue[0]
		ch.queue = ch.queue[1:]
		c.do()
	}
	if len(ch.queue) == 0 {
		ch.queue = nil
	}
}

// appendJSON appends the channel as ARI shows it.
func (ch *channel) appendJSON(b []byte) []byte {
	b = appendField(append(b, '{'), "id", ch.id)
	b = appendField(b, "name", ch.name)
	b = appendField(b, "state", ch.state)
	b = appendField(b, "protocol_id", ch.protocolID)
	b = appendParty(b, "caller", ch.callerName, ch.callerNumber)
	b = appendParty(b, "connected", ch.connName, ch.connNumber)
	b = appendField(b, "accountcode", "")
	b = appendField(append(appendKey(b, "dialplan"), '{'), "context", ch.context)
	b = appendField(b, "exten", ch.exten)
	b = strconv.AppendInt(appendKey(b, "priority"), int64(ch.priority), 10)
	b = appendField(b, "app_name", ch.appName)
	b = appendField(b, "app_data", ch.appData)
	b = append(b, '}')
	b = appendTime(appendKey(b, "creationtime"), ch.created)
	b = appendField(b, "language", ch.lang)
	if len(ch.reported) > 0 {
		b = appendVars(appendKey(b, "channelvars"), ch.reported)
	}
	return append(b, '}')
}

func appendParty(b []byte, key, name, number string) []byte {
	b = appendField(append(appendKey(b, key), '{'), "name", name)
	return append(appendField(b, "number", number), '}')
}

func appendVars(b []byte, vars map[string]string) []byte {
	names := make([]string, 0, len(vars))
	for name := range vars {
		names = append(names, name)
	}
	sort.Strings(names)
	b = append(b, '{')
	for i, name := range names {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(appendString(b, name), ':')
		b = appendString(b, vars[name])
	}
	return append(b, '}')
}

// setState changes the state and says so.
func (ch *channel) setState(state string) {
	if ch.state == state {
		return
	}
	ch.state = state
	ch.s.emit(ch, "ChannelStateChange", nil)
}

// answer is idempotent, as it is in Asterisk.
func (ch *channel) answer() {
	if ch.hungUp || ch.state == stateUp {
		return
	}
	ch.setState(stateUp)
	if ch.caller != nil {
		ch.caller.answered()
	}
}

// enterStasis starts the application. The caller has checked that it is active.
func (ch *channel) enterStasis(name string, args []string) {
	ch.emitVarset("STASISSTATUS", "")
	a := ch.s.appNamed(name)
	ch.app = a
	a.members[ch.id] = true
	ch.s.emit(ch, "StasisStart", func(b []byte) []byte { return appendStrings(b, "args", args) })
}

// leaveStasis ends the application's hold on the channel.
func (ch *channel) leaveStasis() {
	if ch.app == nil {
		return
	}
	if ch.bridge != nil {
		ch.bridge.remove(ch)
	}
	ch.s.emit(ch, "StasisEnd", nil)
	delete(ch.app.members, ch.id)
	ch.app = nil
	ch.emitVarset("STASISSTATUS", "SUCCESS")
}

// hangUp is the end of the channel: reason is appended to ChannelHangupRequest, cause is Q.850.
func (ch *channel) hangUp(reason func([]byte) []byte, cause int) {
	if ch.hungUp {
		return
	}
	ch.hungUp = true
	if ch.s.opt.RTPStats && ch.state == stateUp && ch.tech == techPJSIP {
		ch.emitRTPStats()
	}
	ch.s.emit(ch, "ChannelHangupRequest", reason)
	if ch.busy != nil {
		ch.busy.abort()
	}
	ch.idle() // what was queued still starts, and fails or ends at once
	ch.leaveStasis()
	ch.destroy(cause)
}

// destroy forgets the channel.
func (ch *channel) destroy(cause int) {
	if ch.gone {
		return
	}
	ch.gone = true
	ch.hungUp = true
	s := ch.s
	s.emit(ch, "ChannelDestroyed", func(b []byte) []byte {
		b = strconv.AppendInt(appendKey(b, "cause"), int64(cause), 10)
		return ch.appendTechCause(appendField(b, "cause_txt", causeText(cause)))
	})
	delete(s.channels, ch.id)
	for _, a := range s.apps {
		delete(a.channels, ch.id)
	}
	ended := ch.onGone
	ch.onGone = nil
	for _, fn := range ended {
		fn()
	}
	if ch.caller != nil {
		ch.caller.over(cause)
	}
}

// causes is what ChannelHangupRequest says when the far end ended the call.
func (ch *channel) causes(cause int) func([]byte) []byte {
	return func(b []byte) []byte {
		return ch.appendTechCause(strconv.AppendInt(appendKey(b, "cause"), int64(cause), 10))
	}
}

func (ch *channel) appendTechCause(b []byte) []byte {
	if ch.techCause == 0 {
		return b
	}
	return strconv.AppendInt(appendKey(b, "tech_cause"), int64(ch.techCause), 10)
}

// vanish ends the channel without telling the applications: the process is gone.
func (ch *channel) vanish() {
	ch.hungUp, ch.gone = true, true
	for _, c := range ch.queue {
		if c.done != nil {
			close(c.done)
		}
	}
	ch.queue = nil
	if ch.caller != nil {
		ch.caller.over(0)
	}
}

func (ch *channel) emitRTPStats() {
	for _, v := range [...]string{"RTPAUDIOQOS", "RTPAUDIOQOSJITTER", "RTPAUDIOQOSLOSS", "RTPAUDIOQOSRTT", "RTPAUDIOQOSMES"} {
		ch.emitVarset(v, "lp=0;rlp=0;rtt=0.000000")
	}
}

func (ch *channel) emitVarset(name, value string) {
	ch.s.emit(ch, "ChannelVarset", func(b []byte) []byte {
		return appendField(appendField(b, "variable", name), "value", value)
	})
}
