package aritest

import (
	"crypto/rand"
	"encoding/hex"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"
)

// newUUID returns a random id in the form Asterisk makes when none is given.
func newUUID() string {
	var raw [16]byte
	_, _ = rand.Read(raw[:])
	raw[6], raw[8] = raw[6]&0x0f|0x40, raw[8]&0x3f|0x80
	b := make([]byte, 0, 36)
	for i, cut := range [...][2]int{{0, 4}, {4, 6}, {6, 8}, {8, 10}, {10, 16}} {
		if i > 0 {
			b = append(b, '-')
		}
		b = hex.AppendEncode(b, raw[cut[0]:cut[1]])
	}
	return string(b)
}

// modules are the ones GET /asterisk/modules shows: those an ARI application looks for.
var modules = [...][2]string{
	{"app_stasis.so", "Stasis dialplan application"},
	{"chan_pjsip.so", "PJSIP Channel Driver"},
	{"res_ari.so", "Asterisk RESTful Interface"},
	{"res_stasis.so", "Stasis application support"},
	{"res_stasis_playback.so", "Stasis application playback support"},
	{"res_stasis_recording.so", "Stasis application recording support"},
}

func (s *Server) routeAsterisk(r *request) reply {
	if len(r.seg) < 2 {
		return errNoResource
	}
	get := r.method == http.MethodGet
	switch r.seg[1] {
	case "info":
		if get && len(r.seg) == 2 {
			return s.info(r.list("only"))
		}
	case "ping":
		if get && len(r.seg) == 2 {
			b := appendTime(append([]byte(`{"ping":"pong"`), `,"timestamp":`...), time.Now())
			return ok(append(appendField(b, "asterisk_id", s.opt.EntityID), '}'))
		}
	case "modules":
		return routeModules(r)
	case "logging":
		if get && len(r.seg) == 2 {
			return ok([]byte("[]"))
		}
	case "variable":
		return s.locked(func() reply { return s.globalVariable(r) })
	default:
		return errNoResource
	}
	return errMethod
}

func (s *Server) globalVariable(r *request) reply {
	if r.method != http.MethodGet && r.method != http.MethodPost {
		return errMethod
	}
	name := r.param("variable")
	if name == "" {
		return errNameRequired
	}
	if r.method == http.MethodPost {
		s.globals[name] = r.param("value")
		return noContent
	}
	return ok(append(appendField([]byte{'{'}, "value", s.globals[name]), '}'))
}

// info answers what "only" asks for, everything when it asks for nothing; unknown names are passed over.
func (s *Server) info(only []string) reply {
	b := []byte{'{'}
	for _, part := range [...]string{"build", "system", "config", "status"} {
		if len(only) > 0 && !slices.Contains(only, part) {
			continue
		}
		b = append(appendKey(b, part), '{')
		switch part {
		case "build":
			b = appendField(appendField(b, "os", "Linux"), "kernel", "unknown")
			b = appendField(appendField(b, "machine", "unknown"), "options", "OPTIONAL_API")
			b = appendField(appendField(b, "date", "2026-07-20 21:35:32 UTC"), "user", "aritest")
		case "system":
			b = appendField(appendField(b, "version", s.opt.Version), "entity_id", s.opt.EntityID)
		case "config":
			b = appendField(appendField(b, "name", s.opt.Name), "default_language", "en")
			b = append(b, `,"setid":{"user":"","group":""}`...)
		case "status":
			s.mu.Lock()
			started := s.started
			s.mu.Unlock()
			b = appendTime(appendKey(b, "startup_time"), started)
			b = appendTime(appendKey(b, "last_reload_time"), started)
		}
		b = append(b, '}')
	}
	return ok(append(b, '}'))
}

func routeModules(r *request) reply {
	if r.method != http.MethodGet {
		return noContent // loading and unloading succeed and change nothing
	}
	one := func(b []byte, m [2]string) []byte {
		b = appendField(appendField(append(b, '{'), "name", m[0]), "description", m[1])
		b = append(appendKey(b, "use_count"), '0')
		return append(appendField(appendField(b, "status", "Running"), "support_level", "core"), '}')
	}
	if len(r.seg) == 2 {
		b := []byte{'['}
		for i, m := range modules {
			if i > 0 {
				b = append(b, ',')
			}
			b = one(b, m)
		}
		return ok(append(b, ']'))
	}
	for _, m := range modules {
		if m[0] == r.seg[2] {
			return ok(one(nil, m))
		}
	}
	return fail(http.StatusNotFound, "Module could not be found in running modules")
}

func (s *Server) routeSounds(r *request) reply {
	if r.method != http.MethodGet {
		return errMethod
	}
	sound := func(b []byte, name string) []byte {
		b = appendField(append(b, '{'), "id", name)
		return append(b, `,"formats":[{"language":"en","format":"gsm"}]}`...)
	}
	if len(r.seg) == 1 {
		b := []byte{'['}
		for i, name := range s.opt.Sounds {
			if i > 0 {
				b = append(b, ',')
			}
			b = sound(b, name)
		}
		return ok(append(b, ']'))
	}
	if name := strings.Join(r.seg[1:], "/"); slices.Contains(s.opt.Sounds, name) {
		return ok(sound(nil, name))
	}
	return fail(http.StatusNotFound, "Sound not found")
}

// routeEndpoints knows one endpoint, PJSIP/edge, which the dialplan's calls come from.
func (s *Server) routeEndpoints(r *request) reply {
	if r.method != http.MethodGet {
		return errMethod
	}
	if len(r.seg) > 1 && r.seg[1] != techPJSIP {
		return fail(http.StatusNotFound, "No Endpoints found - invalid tech "+r.seg[1])
	}
	if len(r.seg) > 2 && r.seg[2] != "edge" {
		return fail(http.StatusNotFound, "Endpoint not found")
	}
	return s.locked(func() reply {
		var ids []string
		for id, ch := range s.channels {
			if ch.tech == techPJSIP && ch.resource == "edge" {
				ids = append(ids, id)
			}
		}
		slices.Sort(ids)
		b := appendStrings([]byte(`{"technology":"PJSIP","resource":"edge","state":"offline"`), "channel_ids", ids)
		b = append(b, '}')
		if len(r.seg) <= 2 {
			b = append(append([]byte{'['}, b...), ']')
		}
		return ok(b)
	})
}

func (s *Server) routeDevices(r *request) reply {
	if len(r.seg) > 2 {
		return errNoResource
	}
	return s.locked(func() reply {
		one := func(b []byte, name, state string) []byte {
			return append(appendField(appendField(append(b, '{'), "name", name), "state", state), '}')
		}
		if len(r.seg) == 1 {
			b := []byte{'['}
			for i, name := range slices.Sorted(maps.Keys(s.devices)) {
				if i > 0 {
					b = append(b, ',')
				}
				b = one(b, name, s.devices[name])
			}
			return ok(append(b, ']'))
		}
		name := r.seg[1]
		state, known := s.devices[name]
		if !known {
			state = "UNKNOWN"
		}
		if r.method == http.MethodGet {
			return ok(one(nil, name, state))
		}
		if !strings.HasPrefix(name, "Stasis:") {
			return fail(http.StatusConflict, "Uncontrolled device specified")
		}
		switch r.method {
		case http.MethodDelete:
			delete(s.devices, name)
		case http.MethodPut:
			switch to := r.param("deviceState"); to {
			case "NOT_INUSE", "INUSE", "BUSY", "INVALID", "UNAVAILABLE", "RINGING", "RINGINUSE", "ONHOLD", "UNKNOWN":
				s.devices[name] = to
			default:
				return fail(http.StatusInternalServerError, "Unknown device")
			}
		default:
			return errMethod
		}
		return noContent
	})
}
