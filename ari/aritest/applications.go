package aritest

import (
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"strings"
)

var errNoApplication = fail(http.StatusNotFound, "Application not found")

func (s *Server) routeApplications(r *request) reply {
	return s.locked(func() reply {
		if len(r.seg) == 1 {
			if r.method != http.MethodGet {
				return errMethod
			}
			b := []byte{'['}
			for i, name := range slices.Sorted(maps.Keys(s.apps)) {
				if i > 0 {
					b = append(b, ',')
				}
				b = s.apps[name].appendJSON(b)
			}
			return ok(append(b, ']'))
		}
		a := s.apps[r.seg[1]]
		switch {
		case len(r.seg) == 2 && r.method != http.MethodGet:
			return errMethod
		case len(r.seg) == 2 && a != nil:
			return ok(a.appendJSON(nil))
		case len(r.seg) == 3 && r.seg[2] == "subscription":
			return s.subscription(a, r)
		case len(r.seg) == 3 && r.seg[2] == "eventFilter":
			if r.method != http.MethodPut {
				return errMethod
			}
			return a.filter(r)
		case len(r.seg) > 2:
			return errNoResource
		}
		return errNoApplication
	})
}

func (a *app) appendJSON(b []byte) []byte {
	ids := maps.Clone(a.members)
	for id := range a.channels {
		ids[id] = true
	}
	b = appendField(append(b, '{'), "name", a.name)
	b = appendStrings(b, "channel_ids", slices.Sorted(maps.Keys(ids)))
	b = appendStrings(b, "bridge_ids", slices.Sorted(maps.Keys(a.bridges)))
	b = appendStrings(b, "endpoint_ids", slices.Sorted(maps.Keys(a.endpoints)))
	b = appendStrings(b, "device_names", slices.Sorted(maps.Keys(a.devices)))
	b = appendTypes(b, "events_allowed", a.allowed)
	return append(appendTypes(b, "events_disallowed", a.disallowed), '}')
}

func appendTypes(b []byte, key string, types []string) []byte {
	b = append(appendKey(b, key), '[')
	for i, t := range types {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(appendField(append(b, '{'), "type", t), '}')
	}
	return append(b, ']')
}

// filter does PUT eventFilter. An empty object or no body removes the filter; a list that is not given stays.
func (a *app) filter(r *request) reply {
	if a == nil {
		return errNoApplication
	}
	type list []struct {
		Type *string `json:"type"`
	}
	read := func(key string, present []string) ([]string, bool) {
		raw, given := r.fields[key]
		if len(r.fields) == 0 {
			return nil, true
		}
		if !given {
			return present, true
		}
		var l list
		if json.Unmarshal(raw, &l) != nil {
			return nil, false
		}
		types := make([]string, 0, len(l))
		for _, e := range l {
			if e.Type == nil {
				return nil, false
			}
			types = append(types, *e.Type)
		}
		return types, true
	}
	allowed, good := read("allowed", a.allowed)
	disallowed, fine := read("disallowed", a.disallowed)
	if !good || !fine {
		return fail(http.StatusBadRequest, "Invalid format definition")
	}
	a.allowed, a.disallowed = allowed, disallowed
	return ok(a.appendJSON(nil))
}

// subscription subscribes or unsubscribes all named event sources.
func (s *Server) subscription(a *app, r *request) reply {
	if r.method != http.MethodPost && r.method != http.MethodDelete {
		return errMethod
	}
	sources := r.list("eventSource")
	if len(sources) == 0 {
		return fail(http.StatusBadRequest, "Missing parameter eventSource")
	}
	if a == nil {
		return errNoApplication
	}
	add := r.method == http.MethodPost
	for _, source := range sources {
		scheme, id, _ := strings.Cut(source, ":")
		var good bool
		switch scheme {
		case "channel":
			good = change(a.channels, id, add, add && s.channels[id] != nil)
		case "bridge":
			if id == "" && !add {
				return fail(http.StatusNotImplemented, "Method not implemented") // the wildcard cannot be taken back
			}
			if id == "" {
				id = allBridges
			}
			good = change(a.bridges, id, add, add && (id == allBridges || s.bridges[id] != nil))
		case "endpoint":
			good = toggle(a.endpoints, id, add, strings.HasPrefix(id, techPJSIP) || strings.HasPrefix(id, "Local"))
		case "deviceState":
			good = toggle(a.devices, id, add, true)
		default:
			return fail(http.StatusBadRequest, "Invalid event source URI scheme")
		}
		if !good && add {
			return fail(http.StatusUnprocessableEntity, "Event source does not exist")
		}
		if !good {
			return fail(http.StatusUnprocessableEntity, "Event source was not subscribed to")
		}
	}
	return ok(a.appendJSON(nil))
}

// change counts subscriptions to an id up or down.
func change(m map[string]int, id string, add, exists bool) bool {
	if add {
		if exists {
			m[id]++
		}
		return exists
	}
	if m[id] == 0 {
		return false
	}
	if m[id]--; m[id] == 0 {
		delete(m, id)
	}
	return true
}

func toggle(m map[string]bool, id string, add, exists bool) bool {
	if add {
		if exists {
			m[id] = true
		}
		return exists
	}
	if !m[id] {
		return false
	}
	delete(m, id)
	return true
}

// routeEvents does /events without an upgrade, and /events/user.
func (s *Server) routeEvents(r *request) reply {
	switch {
	case len(r.seg) == 1:
		return reply{status: http.StatusUpgradeRequired, kind: "text/html", body: []byte("<html><body><h1>Upgrade Required</h1></body></html>")}
	case len(r.seg) == 3 && r.seg[1] == "user" && r.method == http.MethodPost:
		return s.locked(func() reply { return s.userEvent(r) })
	case len(r.seg) == 3 && r.seg[1] == "user":
		return errMethod
	}
	return errNoResource
}

func (s *Server) userEvent(r *request) reply {
	name := r.param("application")
	if name == "" {
		return fail(http.StatusBadRequest, "Missing parameter application")
	}
	a := s.apps[name]
	if a == nil {
		return errNoApplication
	}
	var ch *channel
	var br *bridge
	for _, source := range r.list("source") {
		scheme, id, _ := strings.Cut(source, ":")
		switch scheme {
		case "channel":
			ch = s.channels[id]
		case "bridge":
			br = s.bridges[id]
		case "endpoint":
			continue
		default:
			return fail(http.StatusBadRequest, "Invalid event source URI scheme")
		}
		if ch == nil && br == nil {
			return fail(http.StatusUnprocessableEntity, "Event source was not found")
		}
	}
	b := s.begin("ChannelUserevent")
	b = appendField(b, "eventname", r.seg[2])
	b = append(appendKey(b, "userevent"), '{')
	var vars map[string]json.RawMessage
	if raw, given := r.fields["variables"]; given {
		if json.Unmarshal(raw, &vars) != nil {
			return fail(http.StatusBadRequest, "Invalid userevent data")
		}
	}
	for _, key := range slices.Sorted(maps.Keys(vars)) {
		b = append(appendKey(b, key), vars[key]...)
	}
	b = append(appendField(b, "eventname", r.seg[2]), '}')
	if ch != nil {
		b = ch.appendJSON(appendKey(b, "channel"))
	}
	if br != nil {
		b = br.appendJSON(appendKey(b, "bridge"))
	}
	s.deliver(a, "ChannelUserevent", b)
	return noContent
}
