package proxy

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"asterism/ari"
)

// callFacts are what the gateway hears of a call for its record. Guarded by
// the gateway's lock.
type callFacts struct {
	event    []byte // StasisStart
	answered time.Time
	by       EndedBy
	cause    int // Q.850
	sip      int
	rtp      *RTPStats
	ended    time.Time
	refused  *Refusal
}

// The flags of Asterisk that ChannelHangupRequest has in place of a cause when
// the hang-up is "soft": AST_SOFTHANGUP_EXPLICIT is a command, the others are
// Asterisk's own doing, a timeout of RTP for instance.
const softExplicit = 32

// heard takes in an event of the channel, and returns the Q.850 cause that it
// tells of, 0 for none.
func (f *callFacts) heard(typ string, raw []byte) (cause int) {
	switch typ {
	case ari.TypeChannelHangupRequest:
		event, err := ari.DecodeEvent(raw)
		hangup, ok := event.(*ari.ChannelHangupRequest)
		if err != nil || !ok || f.by != "" {
			return 0 // the first one counts
		}
		switch {
		case !hangup.Soft:
			// A BYE without a Reason header has no cause: normal clearing.
			f.by, f.cause, f.sip = ByCaller, hangup.Cause, hangup.TechCause
			if f.cause == 0 {
				f.cause = 16
			}
		case hangup.Cause&softExplicit != 0:
			f.by = ByPlatform
		default:
			f.by = ByNode
		}
	case ari.TypeStasisEnd, ari.TypeChannelDestroyed:
		if f.by == "" {
			f.by = ByPlatform // it left for the dialplan, to be refused
		}
		f.ended = time.Now()
	default:
		return 0
	}
	if stats := rtpStats(raw); stats != nil {
		f.rtp = stats
	}
	return f.cause
}

// answers reports whether a request that succeeded has answered the call.
// Asterisk answers by itself before it records.
func answers(session string, step Step) bool {
	rest, ok := strings.CutPrefix(step.Path, "/channels/"+url.PathEscape(session)+"/")
	name, _, _ := strings.Cut(rest, "?")
	return ok && step.Method == http.MethodPost && (name == "answer" || name == "record")
}

// answered notes that a call was answered just now.
func (g *Gateway) answered(c *call) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !c.facts.answered.IsZero() {
		return
	}
	c.facts.answered = time.Now()
	g.appendLog(ActLog{Session: SessionOf(c.channel), Entries: []LogEntry{LogAnswered{At: c.facts.answered}}})
}

// keepRecord writes the record of a call that has ended, and sees to its
// delivery. The lock is held.
func (g *Gateway) keepRecord(c *call, session string, outcome []byte, e Ending) {
	if g.records == nil {
		g.forgetLog(session)
		return
	}
	r := g.record(c, outcome, e)
	g.records.closed(&r)
}

// flowFacts are the parts of a flow's report that go into the record itself.
type flowFacts struct {
	Action, Caller, Called string
	Result                 CallEnd
	Error                  string
	Status, Cause          int
	Answered               bool
}

// record returns the record of a call that has ended.
func (g *Gateway) record(c *call, outcome []byte, e Ending) CallRecord {
	f := &c.facts
	r := CallRecord{
		Version: RecordVersion, Node: g.opts.Node, Session: c.channel, CallID: c.id,
		ID:      g.opts.Node + "/" + c.channel + "/" + strconv.FormatInt(c.started.UnixMicro(), 36),
		Started: wholeMilliseconds(c.started), Ended: f.ended,
		By: f.by, Cause: f.cause, SIP: f.sip, RTP: f.rtp,
		Workers: slices.Clone(e.History.Workers), Moves: e.History.Moves, Restarts: e.History.Restarts,
	}
	if r.Ended.IsZero() {
		r.Ended = e.Gone
	}
	if r.Ended.IsZero() {
		r.Ended = time.Now()
	}
	r.Ended = wholeMilliseconds(r.Ended)
	r.Seconds = r.Ended.Sub(r.Started).Seconds()
	if !f.answered.IsZero() {
		at := wholeMilliseconds(f.answered)
		r.Answered = &at
	}
	var flow flowFacts
	var compact bytes.Buffer
	if len(outcome) > 0 && json.Unmarshal(outcome, &flow) == nil && json.Compact(&compact, outcome) == nil {
		r.Flow = compact.Bytes()
	}
	r.Action, r.Caller, r.Called = flow.Action, flow.Caller, flow.Called
	if r.Flow == nil {
		p := g.parties(c)
		r.Action, r.Caller, r.Called = p.Action, p.Caller, p.Called
	}
	r.end(f, &flow, &e)
	return r
}

// end says how the call ended.
func (r *CallRecord) end(f *callFacts, flow *flowFacts, e *Ending) {
	r.End = flow.Result
	if r.End != EndDone && r.End != EndHangup {
		r.Reason = flow.Error
	}
	if r.Cause == 0 {
		r.Cause = e.Cause
	}
	switch {
	case f.refused != nil:
		r.End, r.By, r.SIP, r.Reason = EndRefused, ByPlatform, f.refused.Status, f.refused.Reason
	case e.Reason == reasonRestarted || e.Reason == reasonDead:
		r.End, r.By, r.Reason = EndLost, ByNode, e.Reason
	case r.End == "" && len(r.Workers) == 0:
		r.End, r.Reason = EndAbandoned, e.Lost
	case r.End == "":
		r.End, r.Reason = EndLost, e.Lost
	case r.Reason == "":
		r.Reason = e.Reason
	}
	if r.Answered == nil && !flow.Answered && r.SIP == 0 {
		r.SIP = flow.Status
	}
	if r.By == ByPlatform && r.Cause == 0 && r.End == EndDone {
		r.Cause = 16 // what a hang-up without a reason asks for
	}
}

// parties says who a call without a report of its flow is from and for.
func (g *Gateway) parties(c *call) Parties {
	event, err := ari.DecodeEvent(c.facts.event)
	start, ok := event.(*ari.StasisStart)
	if g.opts.Parties == nil || err != nil || !ok {
		return Parties{}
	}
	return g.opts.Parties(Inbound{Args: start.Args, CallID: c.id, Number: start.Channel.Caller.Number})
}

func wholeMilliseconds(t time.Time) time.Time { return t.UTC().Truncate(time.Millisecond) }
