package proxy

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/rs/zerolog"

	"asterism/ari"
)

// call is what the gateway itself keeps of a session that is a call.
type call struct {
	id      string // SIP Call-ID, the call id of all logs
	channel string
	started time.Time
	log     zerolog.Logger
	hungUp  bool // a hang-up was heard of; guarded by the gateway's lock
	facts   callFacts

	name       string    // of the channel, as the key log has it
	lastKey    time.Time // of the newest key that was taken in, as Asterisk says; before the first, when the call came
	ofEvent    bool      // lastKey may be that of an event
	doubtful   string    // the last key that was recovered, whose event may still come
	doubtUntil time.Time // guarded, as those above, by the gateway's lock

	mu       sync.Mutex // held while ringing is signalled
	answered bool
}

// answer notes that the call is being answered.
func (c *call) answer() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.answered = true
}

// lazyEvents wake no worker: they travel with the next event that does.
var lazyEvents = []string{
	"ChannelCallerId", "ChannelConnectedLine", "ChannelCreated",
	"PlaybackContinuing", "PlaybackStarted", "RecordingStarted", "StasisEnd",
}

// event takes in an event of Asterisk. It is called in order.
func (g *Gateway) event(raw []byte) {
	g.metrics.events.Inc()
	h, err := ari.Peek(raw)
	if err != nil {
		g.metrics.malformed.Inc()
		g.opts.Log.Error().Err(err).Msg("event ignored")
		return
	}
	switch h.Type {
	case "ApplicationReplaced":
		g.fail(ErrReplaced)
		return
	case "StasisStart":
		g.stasisStart(h, raw)
		return
	}
	session := sessionOfEvent(h)
	if session == "" {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	lazy := slices.Contains(lazyEvents, h.Type)
	gone := h.ChannelID == session && (h.Type == "StasisEnd" || h.Type == "ChannelDestroyed")
	m := MsgEvent{Session: session, Raw: raw, Gone: gone}
	if c := g.calls[session]; c != nil && h.ChannelID == session {
		c.hungUp = c.hungUp || h.Type == "ChannelHangupRequest"
		lazy = lazy && (!gone || c.hungUp) // a channel that just leaves is news
		m.Keep = h.Type == "ChannelHangupRequest"
		m.Cause = c.facts.heard(h.Type, raw)
		if h.Type == "ChannelDtmfReceived" {
			if !c.keyed(h.Digit, h.Timestamp) {
				return
			}
			m.Digit, m.At = h.Digit, h.Timestamp
		}
	}
	m.Lazy = lazy
	g.step(m)
}

// sessionOfEvent returns the session that an event belongs to, "" for none.
func sessionOfEvent(h ari.Header) string {
	for _, id := range []string{h.ChannelID, h.PlaybackID, h.RecordingName, h.BridgeID, h.CallerID, h.PeerID} {
		if id != "" {
			return SessionOf(id)
		}
	}
	return ""
}

// stasisStart lets a call in.
func (g *Gateway) stasisStart(h ari.Header, raw []byte) {
	session := SessionOf(h.ChannelID)
	event, err := ari.DecodeEvent(raw)
	start, ok := event.(*ari.StasisStart)
	if err != nil || !ok || session == "" {
		g.opts.Log.Error().Err(err).Msg("malformed StasisStart ignored")
		return
	}
	c := g.newCall(start.Channel.ProtocolID, h.ChannelID, time.Now(), start.Channel.State == "Up")
	c.facts.event, c.name, c.lastKey = raw, start.Channel.Name, h.Timestamp
	if c.answered {
		c.facts.answered = c.started
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.arbiter.Known(session) {
		g.step(MsgStart{Session: session, CallID: c.id, Raw: raw})
		return
	}
	g.metrics.calls.Inc()
	g.calls[session] = c
	if g.opts.Admit != nil {
		if refusal := g.opts.Admit(Inbound{Args: start.Args, CallID: c.id}); refusal != nil {
			g.refuseCall(session, *refusal)
			return
		}
	}
	c.log.Debug().Msg("call arrived")
	g.step(MsgStart{Session: session, CallID: c.id, Raw: raw})
}

func (g *Gateway) newCall(id, channel string, started time.Time, answered bool) *call {
	return &call{
		id: id, channel: channel, started: started, answered: answered,
		log: g.opts.Log.With().Str("call", id).Str("session", channel).Logger(),
	}
}

// acceptedBy notes that a worker has taken a call. The lock is held.
func (g *Gateway) acceptedBy(a ActAccepted) {
	if !a.Again {
		g.metrics.accepted.Inc()
		g.metrics.setup.Observe(a.Waited.Seconds())
	}
	c := g.calls[a.Session]
	if c == nil {
		return
	}
	c.log.Debug().Str("worker", a.Worker).Dur("waited_ms", a.Waited).Msg("worker took the call")
	if a.Bare {
		g.spawn(func(ctx context.Context) { g.ring(ctx, c) })
	}
}

// ring makes Asterisk send 180, so that the edge knows that someone is there.
// It does nothing to an answered call, whose caller would hear ringing.
func (g *Gateway) ring(ctx context.Context, c *call) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.answered {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	if err := g.client.Channels().Ring(ctx, c.channel); err != nil && !ari.IsNotFound(err) && !ari.IsConflict(err) {
		c.log.Warn().Err(err).Msg("ringing was not signalled")
	}
}

// refuseCall refuses a call that no worker has. The lock is held.
func (g *Gateway) refuseCall(session string, r Refusal) {
	c := g.calls[session]
	delete(g.calls, session)
	if c == nil {
		g.forgetLog(session)
		return
	}
	c.facts.refused = &r
	g.keepRecord(c, session, nil, Ending{})
	g.metrics.refused.WithLabelValues(r.Label).Inc()
	c.log.Warn().Int("status", r.Status).Str("cause", r.Label).Str("reason", r.Reason).Msg("call refused")
	g.spawn(func(ctx context.Context) {
		ctx, cancel := context.WithTimeout(ctx, DefaultTTL)
		defer cancel()
		if err := g.refuse(ctx, c.channel, RefuseArgs{Status: r.Status, Reason: r.Reason}); err != nil {
			c.log.Warn().Err(err).Msg("call was not refused in form; it is hung up")
			g.hangup(ctx, c.channel)
		}
	})
}

// refuse sends a channel to the dialplan that ends it with an exact status.
func (g *Gateway) refuse(ctx context.Context, channel string, args RefuseArgs) error {
	if args.Status < 400 || args.Status > 699 {
		return fmt.Errorf("SIP status %d: expected 400 to 699", args.Status)
	}
	if args.Reason != "" {
		err := g.client.Channels().SetVar(ctx, channel, "ASTERISM_REASON", reasonText(args.Reason), nil)
		if err != nil {
			return fmt.Errorf("setting the reason: %w", err)
		}
	}
	err := g.client.Channels().Continue(ctx, channel, &ari.ChannelContinueOptions{
		Context: "refuse", Extension: strconv.Itoa(args.Status), Priority: 1,
	})
	if err != nil {
		return fmt.Errorf("refusing: %w", err)
	}
	return nil
}

// maxReason bounds a reason in bytes: it travels in a SIP header.
const maxReason = 200

// reasonText makes a reason fit for a quoted string in a SIP header.
func reasonText(s string) string {
	out := make([]byte, 0, maxReason)
	for _, r := range s {
		switch {
		case unicode.IsControl(r):
			r = ' '
		case r == '"' || r == '\\':
			r = '\''
		}
		if len(out)+utf8.RuneLen(r) > maxReason {
			break
		}
		out = utf8.AppendRune(out, r)
	}
	return string(out)
}

// ourFault hangs up so that a caller who was not answered gets SIP 503, and the
// edge tries another node. Without a reason it would be 603, which ends the
// search.
var ourFault = &ari.ChannelHangupOptions{Reason: "congestion"}

// hangup ends a channel if it is still there.
func (g *Gateway) hangup(ctx context.Context, channel string) {
	err := g.client.Channels().Hangup(ctx, channel, ourFault)
	if err != nil && !ari.IsNotFound(err) {
		g.opts.Log.Warn().Err(err).Str("session", channel).Msg("channel was not hung up")
	}
}

// abandon ends a call whose worker is lost. The lock is held.
func (g *Gateway) abandon(a ActAbandon) {
	g.metrics.abandoned.Inc()
	c := g.calls[a.Session]
	if c == nil {
		return
	}
	c.log.Error().Str("worker", a.Worker).Str("reason", a.Reason).Msg("call lost its worker, no other took it, and it is ended")
	g.spawn(func(ctx context.Context) { g.sweep(ctx, a.Session) })
}

// sweep ends a session's channel, or notes that it is gone already.
func (g *Gateway) sweep(ctx context.Context, session string) {
	ctx, cancel := context.WithTimeout(ctx, DefaultTTL)
	defer cancel()
	err := g.client.Channels().Hangup(ctx, session, ourFault)
	switch {
	case ari.IsNotFound(err):
		g.handle(MsgEvent{Session: session, Raw: goneEvent(session), Gone: true})
	case err != nil && !errors.Is(err, context.Canceled):
		g.opts.Log.Warn().Err(err).Str("session", session).Msg("channel was not hung up")
	}
}

// closeCall writes the call record of a session that has ended. The lock is
// held.
func (g *Gateway) closeCall(a ActClosed) {
	c := g.calls[a.Session]
	delete(g.calls, a.Session)
	if c == nil {
		g.forgetLog(a.Session)
		return
	}
	g.keepRecord(c, a.Session, a.Outcome, a.Ending)
	g.metrics.ended.Inc()
	e := c.log.Info().Dur("lasted_ms", time.Since(c.started))
	var outcome bytes.Buffer
	if len(a.Outcome) > 0 && json.Compact(&outcome, a.Outcome) == nil {
		e = e.RawJSON("outcome", outcome.Bytes())
	}
	for _, f := range [][2]string{{"reason", a.Ending.Reason}, {"lost", a.Ending.Lost}} {
		if f[1] != "" {
			e = e.Str(f[0], f[1])
		}
	}
	e.Msg("call ended")
}

// statusText is for answers that the gateway gives in Asterisk's place.
func statusText(code int, message string) StepResult {
	if message == "" {
		message = http.StatusText(code)
	}
	return StepResult{Code: code, Body: errorBody(message)}
}
