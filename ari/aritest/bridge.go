package aritest

import (
	"net/http"
	"slices"
	"strings"
	"time"
)

const allBridges = "__AST_BRIDGE_ALL_TOPIC"

// bridge joins channels. Everything in it is guarded by the server's lock.
type bridge struct {
	s        *Server
	id, name string
	holding  bool
	dtmf     bool // dtmf_events: keys of members are reported
	moh      bool
	created  time.Time
	channels []*channel
	vars     map[string]string

	technology string

	busy  job // playback that holds the queue of the bridge
	queue []func()
}

// retune chooses the technology for the present members. Asterisk does so after it has said who came or left.
func (br *bridge) retune() {
	switch n := len(br.channels); {
	case br.holding:
		br.technology = "holding_bridge"
	case n > 2:
		br.technology = "softmix"
	case n == 2 && !br.dtmf && br.channels[0].tech == techPJSIP && br.channels[1].tech == techPJSIP:
		br.technology = "native_rtp"
	default:
		br.technology = "simple_bridge"
	}
}

func (br *bridge) appendJSON(b []byte) []byte {
	typ := "mixing"
	if br.holding {
		typ = "holding"
	}
	b = appendField(append(b, '{'), "id", br.id)
	b = appendField(b, "technology", br.technology)
	b = appendField(b, "bridge_type", typ)
	b = appendField(b, "bridge_class", "stasis")
	b = appendField(b, "creator", "Stasis")
	b = appendField(b, "name", br.name)
	b = append(appendKey(b, "channels"), '[')
	for i, ch := range br.channels {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendString(b, ch.id)
	}
	b = append(b, ']')
	b = appendTime(appendKey(b, "creationtime"), br.created)
	return append(appendField(b, "video_mode", "talker"), '}')
}

// emit sends an event about the bridge and, unless nil, a channel.
func (br *bridge) emit(typ string, ch *channel) {
	br.s.publish(ch, br, typ, func(b []byte) []byte {
		b = br.appendJSON(appendKey(b, "bridge"))
		if ch != nil {
			b = ch.appendJSON(appendKey(b, "channel"))
		}
		return b
	})
}

// add is run by the channel's queue.
func (br *bridge) add(ch *channel) {
	if ch.hungUp || ch.app == nil || br.s.bridges[br.id] != br {
		return
	}
	if ch.bridge != nil {
		ch.bridge.leave(ch)
	}
	ch.bridge = br
	ch.app.bridges[br.id]++
	br.channels = append(br.channels, ch)
	br.emit("ChannelEnteredBridge", ch)
	br.retune()
	if len(br.channels) == 2 && !br.holding {
		br.introduce(br.channels[0], ch)
		br.introduce(ch, br.channels[0])
	}
}

// introduce makes other the party that ch is connected to.
func (br *bridge) introduce(ch, other *channel) {
	ch.connName, ch.connNumber = other.callerName, other.callerNumber
	br.s.emit(ch, "ChannelConnectedLine", nil)
}

// leave takes a channel out that stays in its application, which hears no more of the bridge. A channel that hangs up or
// goes on in the dialplan leaves its application subscribed.
func (br *bridge) leave(ch *channel) {
	br.remove(ch)
	if ch.app != nil {
		change(ch.app.bridges, br.id, false, true)
	}
}

func (br *bridge) remove(ch *channel) {
	i := slices.Index(br.channels, ch)
	if i < 0 {
		return
	}
	br.channels = slices.Delete(br.channels, i, i+1)
	ch.bridge = nil
	br.emit("ChannelLeftBridge", ch)
	br.retune()
}

// enqueue runs playbacks on the bridge one after the other.
func (br *bridge) enqueue(run func()) {
	if br.busy == nil && len(br.queue) == 0 {
		run()
		return
	}
	br.queue = append(br.queue, run)
}

func (br *bridge) idle() {
	br.busy = nil
	for br.busy == nil && len(br.queue) > 0 {
		run := br.queue[0]
		br.queue = br.queue[1:]
		run()
	}
}

func (br *bridge) destroy() {
	for len(br.channels) > 0 {
		br.remove(br.channels[0])
	}
	if br.busy != nil {
		br.busy.abort()
	}
	br.queue, br.busy = nil, nil
	for _, rec := range br.s.live {
		if rec.br == br {
			rec.end()
		}
	}
	br.emit("BridgeDestroyed", nil)
	delete(br.s.bridges, br.id)
	for _, a := range br.s.apps {
		delete(a.bridges, br.id)
	}
}

func (s *Server) routeBridges(r *request) reply {
	if len(r.seg) == 1 {
		switch r.method {
		case http.MethodGet:
			return s.locked(s.listBridges)
		case http.MethodPost:
			return s.locked(func() reply { return s.createBridge(r, r.param("bridgeId")) })
		}
		return errMethod
	}
	if len(r.seg) == 2 && r.method == http.MethodPost {
		return s.locked(func() reply { return s.createBridge(r, r.seg[1]) })
	}
	if len(r.seg) > 4 {
		return errNoResource
	}
	if len(r.seg) >= 3 && (r.seg[2] == "addChannel" || r.seg[2] == "removeChannel") {
		return s.moveMembers(r)
	}
	return s.locked(func() reply {
		br := s.bridges[r.seg[1]]
		if br == nil {
			return fail(http.StatusNotFound, "Bridge not found")
		}
		if len(r.seg) > 2 {
			return s.bridgeVerb(br, r)
		}
		switch r.method {
		case http.MethodGet:
			return ok(br.appendJSON(nil))
		case http.MethodDelete:
			br.destroy()
			return noContent
		}
		return errMethod
	})
}

func (s *Server) listBridges() reply {
	ids := make([]string, 0, len(s.bridges))
	for id := range s.bridges {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	b := []byte{'['}
	for i, id := range ids {
		if i > 0 {
			b = append(b, ',')
		}
		b = s.bridges[id].appendJSON(b)
	}
	return ok(append(b, ']'))
}

func (s *Server) createBridge(r *request, id string) reply {
	if id != "" && s.bridges[id] != nil {
		return fail(http.StatusConflict, "Bridge with id '"+id+"' already exists")
	}
	br := &bridge{s: s, id: id, name: r.param("name"), created: time.Now()}
	for _, attribute := range r.list("type") {
		switch strings.TrimSpace(attribute) {
		case "holding":
			br.holding = true
		case "dtmf_events":
			br.dtmf = true
		case "mixing", "proxy_media", "video_sfu", "video_single", "sdp_label":
		default:
			shown := id
			if shown == "" {
				shown = "(null)"
			}
			return fail(http.StatusInternalServerError, "Unable to create bridge. Possible duplicate bridge id '"+shown+"'")
		}
	}
	if br.id == "" {
		br.id = newUUID()
	}
	br.retune()
	s.bridges[br.id] = br
	br.emit("BridgeCreated", nil)
	return ok(br.appendJSON(nil))
}

// moveMembers does addChannel and removeChannel: they wait for their turn in the queue of each channel.
func (s *Server) moveMembers(r *request) reply {
	if r.method != http.MethodPost || len(r.seg) != 3 {
		return errMethod
	}
	add := r.seg[2] == "addChannel"
	s.mu.Lock()
	br := s.bridges[r.seg[1]]
	channels, bad := s.members(br, r, add)
	if bad != nil {
		s.mu.Unlock()
		return *bad
	}
	waits := make([]<-chan struct{}, 0, len(channels))
	for _, ch := range channels {
		waits = append(waits, ch.enqueueWait(func() {
			if add {
				br.add(ch)
			} else {
				br.leave(ch)
			}
		}))
	}
	s.mu.Unlock()
	rep := noContent
	for _, done := range waits {
		rep = s.wait(r.ctx, done, rep)
	}
	return rep
}

// members finds the channels of an addChannel or removeChannel and complains as Asterisk does.
func (s *Server) members(br *bridge, r *request, add bool) ([]*channel, *reply) {
	bad := func(status int, message string) ([]*channel, *reply) {
		rep := fail(status, message)
		return nil, &rep
	}
	if br == nil {
		return bad(http.StatusNotFound, "Bridge not found")
	}
	ids := r.list("channel")
	if len(ids) == 0 {
		return bad(http.StatusBadRequest, "Missing parameter channel")
	}
	list := make([]*channel, 0, len(ids))
	for _, id := range ids {
		ch := s.channels[id]
		if ch == nil {
			return bad(http.StatusBadRequest, "Channel not found")
		}
		if ch.app == nil {
			return bad(http.StatusUnprocessableEntity, notInStasis)
		}
		if _, recording := ch.busy.(*recording); add && recording {
			return bad(http.StatusConflict, "Channel "+id+" currently recording")
		}
		if !add && ch.bridge != br {
			return bad(http.StatusUnprocessableEntity, "Channel not in this bridge")
		}
		list = append(list, ch)
	}
	return list, nil
}

// bridgeVerb does what needs no waiting.
func (s *Server) bridgeVerb(br *bridge, r *request) reply {
	post, del := r.method == http.MethodPost, r.method == http.MethodDelete
	switch r.seg[2] {
	case "play":
		if !post {
			return errMethod
		}
		p, bad := s.newPlayback(r, idAt(r), "en")
		if bad != nil {
			return *bad
		}
		p.br = br
		s.playbacks[p.id] = p
		rep := reply{status: http.StatusCreated, body: p.appendJSON(nil)}
		br.enqueue(p.start)
		return rep
	case "record":
		if !post {
			return errMethod
		}
		rec, bad := s.newRecording(r)
		if bad != nil {
			return *bad
		}
		rec.br = br
		s.live[rec.name] = rec
		rep := reply{status: http.StatusCreated, body: rec.appendJSON(nil)}
		rec.start()
		return rep
	case "moh":
		switch {
		case post:
			br.moh = true
		case del && !br.moh:
			return fail(http.StatusConflict, "Bridge isn't playing music")
		case del:
			br.moh = false
		default:
			return errMethod
		}
		return noContent
	case "videoSource":
		if post || del {
			return noContent
		}
		return errMethod
	case "variable", "variables":
		return br.variables(r)
	}
	return errNoResource
}

func (br *bridge) variables(r *request) reply {
	many := r.seg[2] == "variables"
	switch r.method {
	case http.MethodGet:
		names, bad := wantedNames(r, many)
		if bad != nil {
			return *bad
		}
		return readVars(names, many, func(name string) (string, bool) {
			v, found := br.vars[name]
			return v, found && v != ""
		})
	case http.MethodPost:
		set, bad := newValues(r, many)
		if bad != nil {
			return *bad
		}
		if br.vars == nil {
			br.vars = map[string]string{}
		}
		for _, v := range set {
			br.vars[v.name] = v.value
		}
		return noContent
	}
	return errMethod
}
