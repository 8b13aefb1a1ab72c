package aritest

import (
	"net/http"
	"strings"
	"time"
)

const defaultDialTimeout = 30 // s

// FarCall is a call that ARI places: by originate, or by create and dial.
type FarCall struct {
	Channel        string // id
	Endpoint       string // as asked for, for example "PJSIP/edge/sip:7@proxy"
	Name, Number   string // caller id shown to the far end
	Extension      string
	Context        string
	Variables      map[string]string
	App            string
	AppArgs        []string
	TimeoutSeconds int
}

// FarAnswer is what the far end does. The zero value answers at once.
type FarAnswer struct {
	Ring  bool          // it rings at once
	After time.Duration // until it answers or refuses
	Cause int           // refuses with this Q.850 cause, for example 17 for busy; 0: answers
	Never bool          // neither answers nor refuses: the time-out ends the call
}

type farCall struct {
	FarCall
	timer   *time.Timer
	limit   *time.Timer
	dialled string // the dial string, the endpoint without its technology
}

// CallerOf returns the telephone at the other end of a channel, also of one that ARI placed; nil for an unknown
// channel or one without a telephone.
func (s *Server) CallerOf(channel string) *Caller {
	s.mu.Lock()
	defer s.mu.Unlock()
	if ch := s.channels[channel]; ch != nil {
		return ch.caller
	}
	return nil
}

// newLeg makes a channel to an endpoint that is not dialled yet.
func (s *Server) newLeg(r *request, id string) (*channel, *reply) {
	bad := func(status int, message string) (*channel, *reply) {
		rep := fail(status, message)
		return nil, &rep
	}
	endpoint := r.param("endpoint")
	if endpoint == "" {
		return bad(http.StatusBadRequest, "Endpoint must be specified")
	}
	tech, resource, found := strings.Cut(endpoint, "/")
	if !found || resource == "" {
		return bad(http.StatusBadRequest, "Invalid endpoint specified")
	}
	if r.param("app") == "" && r.param("extension") == "" {
		return bad(http.StatusBadRequest, "Application or extension must be specified")
	}
	if id == "" {
		id = r.param("channelId")
	}
	if id != "" && s.channels[id] != nil {
		return bad(http.StatusConflict, "Channel with given unique ID already exists")
	}
	if tech != techPJSIP && tech != "Local" {
		return nil, &reply{status: http.StatusInternalServerError, body: []byte(`{"error":"Allocation failed"}`)}
	}
	if id == "" {
		id = s.newID()
	}
	c := &Caller{s: s, done: make(chan struct{}), answeredCh: make(chan struct{})}
	ch := &channel{
		s: s, id: id, tech: tech, resource: resource, state: stateDown, context: "default", exten: "s", priority: 1,
		created: time.Now(), lang: "en", caller: c, appName: "AppDial2", appData: "(Outgoing Line)",
	}
	c.ch, c.state.Channel = ch, id
	ch.callerName, ch.callerNumber = splitCallerID(r.param("callerId"))
	ch.connName, ch.connNumber = ch.callerName, ch.callerNumber
	if tech == techPJSIP {
		host, _, _ := strings.Cut(resource, "/")
		ch.name, ch.protocolID = s.channelName(host), newUUID()
	} else {
		ch.name = strings.Replace(s.channelName(resource), techPJSIP, tech, 1) + ";1"
		ch.exten, ch.context, _ = strings.Cut(resource, "@")
	}
	ch.far = &farCall{dialled: resource, FarCall: FarCall{
		Channel: id, Endpoint: endpoint, Name: ch.callerName, Number: ch.callerNumber, Extension: r.param("extension"),
		Context: r.param("context"), App: r.param("app"), AppArgs: r.list("appArgs"), TimeoutSeconds: r.number("timeout", defaultDialTimeout),
	}}
	if _, given := r.fields["variables"]; given {
		if set, wrong := newValues(r, true); wrong == nil {
			ch.vars = map[string]string{}
			for _, v := range set {
				ch.vars[v.name] = v.value
			}
			ch.far.Variables = ch.vars
		}
	}
	s.channels[id] = ch
	s.emit(ch, "ChannelCreated", nil)
	if name := r.param("app"); name != "" {
		s.appNamed(name).channels[id]++ // originating subscribes
	}
	return ch, nil
}

// splitCallerID reads `"Name" <number>`, `Name <number>` or a number.
func splitCallerID(v string) (name, number string) {
	open := strings.IndexByte(v, '<')
	if open < 0 || !strings.HasSuffix(v, ">") {
		return "", v
	}
	return strings.Trim(v[:open], `" `), v[open+1 : len(v)-1]
}

// originate does POST /channels: the far end is called at once, the application gets the channel when it answers.
func (s *Server) originate(r *request, id string) reply {
	return s.locked(func() reply {
		ch, bad := s.newLeg(r, id)
		if bad != nil {
			return *bad
		}
		rep := ok(ch.appendJSON(nil))
		ch.call(func() {
			f := ch.far
			ch.appName, ch.appData = "Stasis", strings.Join(append([]string{f.App}, f.AppArgs...), ",")
			switch {
			case f.App != "" && s.active(f.App):
				ch.enterStasis(f.App, f.AppArgs)
			case f.App != "":
				ch.hangUp(nil, causeNormal)
			}
		})
		return rep
	})
}

// createChannel does POST /channels/create: the application has the channel before anybody is called.
func (s *Server) createChannel(r *request) reply {
	return s.locked(func() reply {
		if r.param("endpoint") != "" && r.param("app") == "" {
			return fail(http.StatusBadRequest, "Application must be specified")
		}
		ch, bad := s.newLeg(r, "")
		if bad != nil {
			return *bad
		}
		ch.appName, ch.appData = "", ""
		rep := ok(ch.appendJSON(nil))
		f := ch.far
		ch.appName, ch.appData = "Stasis", strings.Join(append([]string{f.App}, f.AppArgs...), ",")
		if s.active(f.App) {
			ch.enterStasis(f.App, f.AppArgs)
		} else {
			ch.hangUp(nil, causeNormal)
		}
		return rep
	})
}

// dial does POST /channels/{id}/dial.
func (s *Server) dial(r *request) reply {
	if r.method != http.MethodPost {
		return errMethod
	}
	ch, bad := s.inStasis(r.seg[1])
	if bad != nil {
		return *bad
	}
	if ch.state != stateDown || ch.far == nil || ch.far.limit != nil {
		return fail(http.StatusConflict, "Channel is not in the 'Down' state")
	}
	ch.far.TimeoutSeconds = r.number("timeout", 0)
	ch.call(func() {})
	return noContent
}

func (ch *channel) emitDial(status, dialled string) {
	ch.s.publish(ch, nil, "Dial", func(b []byte) []byte {
		b = appendField(b, "dialstatus", status)
		b = appendField(b, "forward", "")
		b = appendField(b, "dialstring", dialled)
		return ch.appendJSON(appendKey(b, "peer"))
	})
}

// call rings the far end; then is what follows its answer.
func (ch *channel) call(then func()) {
	s, f := ch.s, ch.far
	ch.emitDial("", f.dialled)
	does := s.opt.Far(f.FarCall)
	if f.TimeoutSeconds > 0 {
		f.limit = s.after(time.Duration(f.TimeoutSeconds)*time.Second, ch.dialTimedOut)
	}
	ch.onGone = append(ch.onGone, f.stop)
	if does.Ring {
		ch.setState(stateRinging)
		ch.emitDial("RINGING", "")
	}
	if does.Never {
		return
	}
	finish := func() {
		if ch.hungUp || ch.state == stateUp {
			return
		}
		f.stop()
		if does.Cause != 0 {
			ch.refused(does.Cause)
			return
		}
		ch.setState(stateUp)
		ch.caller.answered()
		ch.emitDial("ANSWER", "")
		then()
	}
	f.timer = s.after(does.After, finish)
}

func (f *farCall) stop() {
	if f.timer != nil {
		f.timer.Stop()
	}
	if f.limit != nil {
		f.limit.Stop()
	}
}

// refused ends a leg that the far end did not take.
func (ch *channel) refused(cause int) {
	inApp := ch.app != nil
	if ch.tech == techPJSIP {
		ch.techCause = SIPStatusOf(cause)
	}
	status := "CHANUNAVAIL"
	switch cause {
	case 17:
		status = "BUSY"
	case 34, 42:
		status = "CONGESTION"
	case 18, 19:
		status = "NOANSWER"
	}
	if !inApp {
		ch.hungUp = true
		ch.s.emit(ch, "ChannelHangupRequest", ch.causes(cause))
		ch.emitDial(status, "")
		ch.destroy(cause)
		return
	}
	ch.hangUp(ch.causes(cause), cause)
}

func (ch *channel) dialTimedOut() {
	if ch.hungUp || ch.state == stateUp {
		return
	}
	if ch.tech == techPJSIP {
		ch.techCause = SIPStatusOf(causeNoAnswer)
	}
	if ch.app == nil {
		ch.destroy(causeNoAnswer)
		return
	}
	ch.hangUp(softHangup, causeNoAnswer)
}

// externalMedia makes a channel to an RTP peer, which is up at once.
func (s *Server) externalMedia(r *request) reply {
	return s.locked(func() reply {
		name := r.param("app")
		switch {
		case name == "":
			return fail(http.StatusBadRequest, "app cannot be empty")
		case r.param("external_host") == "":
			return fail(http.StatusBadRequest, "external_host cannot be empty")
		case r.param("format") == "":
			return fail(http.StatusBadRequest, "format cannot be empty")
		}
		ch, bad := s.innerChannel("UnicastRTP", r.param("external_host"), r.param("channelId"), name, nil)
		if bad != nil {
			return *bad
		}
		return ok(ch.appendJSON(nil))
	})
}

// innerChannel makes a channel without a telephone that enters its application at once.
func (s *Server) innerChannel(tech, resource, id, application string, args []string) (*channel, *reply) {
	if id == "" {
		id = s.newID()
	}
	if s.channels[id] != nil {
		rep := fail(http.StatusConflict, "Channel with given unique ID already exists")
		return nil, &rep
	}
	ch := &channel{
		s: s, id: id, tech: tech, resource: resource, state: stateUp, context: "default", exten: "s", priority: 1,
		created: time.Now(), lang: "en", appName: "Stasis", appData: strings.Join(append([]string{application}, args...), ","),
		name: strings.Replace(s.channelName(resource), techPJSIP, tech, 1),
	}
	s.channels[id] = ch
	if s.active(application) {
		ch.enterStasis(application, args)
	} else {
		ch.hangUp(nil, causeNormal)
	}
	return ch, nil
}

// snoop makes a channel that listens to another; it ends with it.
func (s *Server) snoop(r *request) reply {
	if r.method != http.MethodPost {
		return errMethod
	}
	return s.locked(func() reply {
		for _, side := range [...]string{"spy", "whisper"} {
			switch r.param(side) {
			case "", "none", "in", "out", "both":
			default:
				return fail(http.StatusBadRequest, "Invalid direction specified for "+side)
			}
		}
		none := func(v string) bool { return v == "" || v == "none" }
		if none(r.param("spy")) && none(r.param("whisper")) {
			return fail(http.StatusBadRequest, "Direction must be specified for at least spy or whisper")
		}
		if r.param("app") == "" {
			return fail(http.StatusBadRequest, "Application name is required")
		}
		id := idAt(r)
		if id == "" {
			id = r.param("snoopId")
		}
		of := s.channels[r.seg[1]]
		if of == nil {
			return fail(http.StatusNotFound, "Provided channel was not found")
		}
		ch, bad := s.innerChannel("Snoop", of.id, id, r.param("app"), r.list("appArgs"))
		if bad != nil {
			return fail(http.StatusInternalServerError, "Snoop channel could not be created")
		}
		of.onGone = append(of.onGone, func() {
			if !ch.hungUp {
				ch.hungUp = true
				ch.leaveStasis()
				ch.destroy(causeNormal)
			}
		})
		return ok(ch.appendJSON(nil))
	})
}
