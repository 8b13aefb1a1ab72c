package aritest

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

const notInStasis = "Channel not in Stasis application"

func (s *Server) routeChannels(r *request) reply {
	switch len(r.seg) {
	case 1:
		switch r.method {
		case http.MethodGet:
			return s.locked(s.listChannels)
		case http.MethodPost:
			return s.originate(r, "")
		}
		return errMethod
	case 2:
		switch {
		case r.method == http.MethodPost && r.seg[1] == "create":
			return s.createChannel(r)
		case r.method == http.MethodPost && r.seg[1] == "externalMedia":
			return s.externalMedia(r)
		case r.method == http.MethodPost:
			return s.originate(r, r.seg[1])
		case r.method == http.MethodGet:
			return s.locked(func() reply {
				if ch := s.channels[r.seg[1]]; ch != nil {
					return ok(ch.appendJSON(nil))
				}
				return fail(http.StatusNotFound, "Channel not found")
			})
		case r.method == http.MethodDelete:
			return s.locked(func() reply { return s.deleteChannel(r) })
		}
		return errMethod
	case 3, 4:
		return s.channelVerb(r)
	}
	return errNoResource
}

func (s *Server) listChannels() reply {
	ids := make([]string, 0, len(s.channels))
	for id := range s.channels {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	b := []byte{'['}
	for i, id := range ids {
		if i > 0 {
			b = append(b, ',')
		}
		b = s.channels[id].appendJSON(b)
	}
	return ok(append(b, ']'))
}

func (s *Server) deleteChannel(r *request) reply {
	ch := s.channels[r.seg[1]]
	if ch == nil {
		return fail(http.StatusNotFound, "Channel not found")
	}
	code, reason := r.param("reason_code"), r.param("reason")
	cause := causeNormal
	switch {
	case code != "" && reason != "":
		return fail(http.StatusBadRequest, "The reason and reason_code can't both be specified")
	case code != "":
		n, err := strconv.Atoi(code)
		if err != nil || n < 0 {
			return fail(http.StatusBadRequest, "Invalid reason for hangup reason code provided")
		}
		cause = n
	case reason != "":
		n, known := reasons[reason]
		if !known {
			return fail(http.StatusBadRequest, "Invalid reason for hangup reason provided")
		}
		cause = n
	}
	if ch.caller != nil && !ch.caller.state.Answered && ch.caller.state.SIPStatus == 0 {
		ch.caller.state.SIPStatus = SIPStatusOf(cause)
	}
	ch.hangUp(softHangup, cause)
	return noContent
}

// softHangup is what ChannelHangupRequest says of a hang-up by command: 32 is Asterisk's flag for it, not a Q.850 cause.
func softHangup(b []byte) []byte {
	b = strconv.AppendInt(appendKey(b, "cause"), 32, 10)
	return append(appendKey(b, "soft"), "true"...)
}

// channelVerb does /channels/{id}/{verb}.
func (s *Server) channelVerb(r *request) reply {
	verb := r.seg[2]
	if len(r.seg) == 4 && verb != "play" && verb != "snoop" {
		return errNoResource
	}
	switch verb {
	case "variable", "variables":
		return s.channelVariables(r)
	case "rtp_statistics":
		return s.locked(func() reply { return s.rtpStatistics(r) })
	case "snoop":
		return s.snoop(r)
	case "answer":
		return s.answerChannel(r)
	case "dial":
		return s.locked(func() reply { return s.dial(r) })
	}
	return s.locked(func() reply {
		fn, known := verbOf(verb)
		if !known {
			return errNoResource
		}
		if r.method != http.MethodPost && (r.method != http.MethodDelete || !fn.undo) {
			return errMethod
		}
		ch, bad := s.inStasis(r.seg[1])
		if bad != nil {
			return *bad
		}
		if fn.check != nil {
			if bad := fn.check(r); bad != nil {
				return *bad
			}
		}
		return fn.do(s, ch, r)
	})
}

// inStasis finds a channel that may be commanded.
func (s *Server) inStasis(id string) (*channel, *reply) {
	ch := s.channels[id]
	if ch == nil {
		rep := fail(http.StatusNotFound, "Channel not found")
		return nil, &rep
	}
	if ch.app == nil {
		rep := fail(http.StatusConflict, notInStasis)
		return nil, &rep
	}
	return ch, nil
}

// verb is a command to a channel; check looks at the parameters.
type verb struct {
	undo  bool // DELETE takes it back
	check func(*request) *reply
	do    func(*Server, *channel, *request) reply
}

// queued answers at once; run happens when its turn comes.
func queued(run func(*channel, *request)) func(*Server, *channel, *request) reply {
	return func(_ *Server, ch *channel, r *request) reply {
		ch.enqueue(func() {
			if !ch.hungUp {
				run(ch, r)
			}
		})
		return noContent
	}
}

// verbOf finds the command of that name.
func verbOf(name string) (verb, bool) {
	nothing := queued(func(*channel, *request) {})
	switch name {
	case "ring":
		return verb{undo: true, do: queued(ring)}, true
	case "progress":
		return verb{do: queued(func(ch *channel, _ *request) { ch.provisional(183) })}, true
	case "moh", "silence", "hold":
		return verb{undo: true, do: nothing}, true
	case "mute":
		return verb{undo: true, check: checkDirection, do: nothing}, true
	case "dtmf":
		return verb{check: checkDTMF, do: queued(sendDTMF)}, true
	case "play":
		return verb{do: func(s *Server, ch *channel, r *request) reply { return s.playOn(ch, r, idAt(r)) }}, true
	case "record":
		return verb{do: (*Server).recordChannel}, true
	case "continue":
		return verb{do: (*Server).continueChannel}, true
	case "move":
		return verb{do: (*Server).moveChannel}, true
	case "redirect":
		return verb{check: checkEndpoint, do: (*Server).redirect}, true
	case "transfer_progress":
		return verb{do: nothing}, true
	}
	return verb{}, false
}

func idAt(r *request) string {
	if len(r.seg) == 4 {
		return r.seg[3]
	}
	return ""
}

func checkDirection(r *request) *reply {
	var rep reply
	switch r.param("direction") {
	case "in", "out", "both":
		return nil
	case "":
		rep = fail(http.StatusBadRequest, "Direction is required")
	default:
		rep = fail(http.StatusBadRequest, "Invalid direction specified")
	}
	return &rep
}

func checkDTMF(r *request) *reply {
	if r.param("dtmf") != "" {
		return nil
	}
	rep := fail(http.StatusBadRequest, "DTMF is required")
	return &rep
}

func checkEndpoint(r *request) *reply {
	if r.param("endpoint") != "" {
		return nil
	}
	rep := fail(http.StatusBadRequest, "Required parameter 'endpoint' not provided.")
	return &rep
}

func ring(ch *channel, r *request) {
	if r.method == http.MethodPost {
		ch.provisional(180)
	}
}

func (ch *channel) provisional(status int) {
	if ch.caller != nil {
		ch.caller.progress(status)
	}
}

func sendDTMF(ch *channel, r *request) {
	if ch.caller != nil {
		ch.caller.state.Digits += r.param("dtmf")
		ch.caller.notify()
	}
}

// receiveDigit is a key pressed by the far end.
func (ch *channel) receiveDigit(digit string) {
	ch.s.writeKey(ch.name, digit)
	if br := ch.bridge; br != nil && !br.dtmf && !br.holding && len(br.channels) > 1 {
		return // Asterisk's mixing bridges pass keys on and report none
	}
	ch.s.emit(ch, "ChannelDtmfReceived", func(b []byte) []byte {
		b = appendField(b, "digit", digit)
		return strconv.AppendInt(appendKey(b, "duration_ms"), 100, 10)
	})
	if rec, recording := ch.busy.(*recording); recording {
		rec.digit(digit)
	}
}

// answerChannel waits for its turn, as Asterisk does.
func (s *Server) answerChannel(r *request) reply {
	if r.method != http.MethodPost {
		return errMethod
	}
	s.mu.Lock()
	ch, bad := s.inStasis(r.seg[1])
	if bad != nil {
		s.mu.Unlock()
		return *bad
	}
	done := ch.enqueueWait(ch.answer)
	s.mu.Unlock()
	return s.wait(r.ctx, done, noContent)
}

// continueChannel sends the channel back to the dialplan once the queue before it is empty.
func (s *Server) continueChannel(ch *channel, r *request) reply {
	to, exten := r.param("context"), r.param("extension")
	if to == "" {
		to = ch.context
	}
	ch.enqueue(func() {
		if !ch.hungUp {
			ch.dialplan(to, exten)
		}
	})
	return noContent
}

// dialplan does what our fixed contexts do: "refuse" ends an unanswered call with the SIP status in the extension, "transfer" sends it away and comes back with
// the outcome, and going on where the application was called means 503. Any other context hangs up.
func (ch *channel) dialplan(to, exten string) {
	status, cause := 0, causeNormal
	here := to == ch.context
	ch.leaveStasis()
	ch.context, ch.exten = to, exten
	switch {
	case to == "transfer":
		ch.transfer()
		return
	case to == "refuse":
		cause = 0
		if n, err := strconv.Atoi(exten); err == nil && n >= 400 && n < 700 {
			status = n
		} else {
			status = http.StatusInternalServerError
		}
	case here:
		status = http.StatusServiceUnavailable
	}
	if c := ch.caller; c != nil {
		c.state.Reason = ch.vars["ASTERISM_REASON"]
		if status != 0 && c.state.SIPStatus == 0 {
			c.state.SIPStatus = status
		}
	}
	ch.destroy(cause)
}

// transfer does what the context of that name does: 302 before the answer, REFER after it and then the application again.
func (ch *channel) transfer() {
	s, target := ch.s, ch.vars["ASTERISM_TRANSFER"]
	_, target, _ = strings.Cut(target, "/")
	if c := ch.caller; c != nil && !c.state.Answered {
		c.state.SIPStatus, c.state.Contact = http.StatusFound, target
		ch.destroy(causeNormal)
		return
	}
	if ch.caller != nil {
		ch.caller.state.ReferTo = target
		ch.caller.notify()
	}
	status, protocol := s.opt.Transfer(target)
	if !s.active(s.opt.App) {
		ch.destroy(causeNormal)
		return
	}
	args := []string{"transfer", status, protocol, "end"}
	ch.appName, ch.appData = "Stasis", strings.Join(append([]string{s.opt.App}, args...), ",")
	ch.enterStasis(s.opt.App, args)
}

// moveChannel hands the channel to another application. Without an application's name the
// real Asterisk 22.10.1 dies of a segmentation fault; here it is refused.
func (s *Server) moveChannel(ch *channel, r *request) reply {
	name, args := r.param("app"), r.list("appArgs")
	if name == "" {
		return fail(http.StatusBadRequest, "Missing parameter app")
	}
	ch.enqueue(func() {
		if ch.hungUp {
			return
		}
		if !s.active(name) {
			s.publish(ch, nil, "ApplicationMoveFailed", func(b []byte) []byte {
				b = ch.appendJSON(appendKey(b, "channel"))
				return appendStrings(appendField(b, "destination", name), "args", args)
			})
			return
		}
		s.emit(ch, "StasisEnd", nil)
		delete(ch.app.members, ch.id)
		ch.app = nil
		ch.appData = strings.Join(append([]string{name}, args...), ",")
		ch.enterStasis(name, args)
	})
	return noContent
}

// redirect sends 302 before the answer and REFER after it. Only the form PJSIP/sip:user@host reaches the wire.
func (s *Server) redirect(ch *channel, r *request) reply {
	endpoint := r.param("endpoint")
	tech, resource, found := strings.Cut(endpoint, "/")
	if !found || resource == "" {
		return fail(http.StatusUnprocessableEntity, "Endpoint parameter '"+endpoint+"' does not contain tech/resource")
	}
	if tech != ch.tech {
		return fail(http.StatusUnprocessableEntity, "Endpoint technology '"+tech+"' does not match channel technology '"+ch.tech+"'")
	}
	ch.enqueue(func() {
		c := ch.caller
		if ch.hungUp || c == nil || !strings.HasPrefix(resource, "sip:") {
			return
		}
		if c.state.Answered {
			c.state.ReferTo = resource
			c.notify()
			return
		}
		c.state.SIPStatus, c.state.Contact = http.StatusFound, resource
		ch.techCause = http.StatusFound
		ch.hangUp(ch.causes(causeRedirected), causeRedirected)
	})
	return noContent
}

func (s *Server) rtpStatistics(r *request) reply {
	if r.method != http.MethodGet {
		return errMethod
	}
	ch := s.channels[r.seg[1]]
	if ch == nil {
		return fail(http.StatusNotFound, "Channel not found")
	}
	n := int64(time.Since(ch.created) / (20 * time.Millisecond))
	b := strconv.AppendInt(appendKey([]byte{'{'}, "txcount"), n, 10)
	b = strconv.AppendInt(appendKey(b, "rxcount"), n, 10)
	b = append(b, `,"txploss":0,"rxploss":0,"local_ssrc":1,"remote_ssrc":2`...)
	return ok(append(appendField(b, "channel_uniqueid", ch.id), '}'))
}
