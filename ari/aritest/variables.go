package aritest

import (
	"encoding/json"
	"net/http"
	"sort"
	"strings"
)

var (
	errNoVariable   = fail(http.StatusNotFound, "Provided variable was not found")
	errNameRequired = fail(http.StatusBadRequest, "Variable name is required")
)

// varValue is one entry of the body of POST …/variables.
type varValue struct {
	name, value string
	report      bool
}

// channelVariables does /channels/{id}/variable and /variables. Reading is immediate, writing waits in the queue.
func (s *Server) channelVariables(r *request) reply {
	many := r.seg[2] == "variables"
	switch r.method {
	case http.MethodGet:
		return s.locked(func() reply {
			names, bad := wantedNames(r, many)
			if bad != nil {
				return *bad
			}
			ch := s.channels[r.seg[1]]
			if ch == nil {
				return fail(http.StatusNotFound, "Provided channel was not found")
			}
			return readVars(names, many, ch.read)
		})
	case http.MethodPost:
		set, bad := newValues(r, many)
		if bad != nil {
			return *bad
		}
		s.mu.Lock()
		ch, bad := s.inStasis(r.seg[1])
		if bad != nil {
			s.mu.Unlock()
			return *bad
		}
		done := ch.enqueueWait(func() {
			for _, v := range set {
				ch.write(v)
			}
		})
		s.mu.Unlock()
		return s.wait(r.ctx, done, noContent)
	}
	return errMethod
}

func wantedNames(r *request, many bool) ([]string, *reply) {
	if many {
		if names := r.list("variables"); len(names) > 0 {
			return names, nil
		}
		rep := fail(http.StatusBadRequest, "At least one variable name is required")
		return nil, &rep
	}
	if name := r.param("variable"); name != "" {
		return []string{name}, nil
	}
	return nil, &errNameRequired
}

// readVars answers one value or a map; one unknown name makes the whole request fail.
func readVars(names []string, many bool, read func(string) (string, bool)) reply {
	values := make(map[string]string, len(names))
	for _, name := range names {
		v, found := read(name)
		if !found && strings.HasSuffix(name, ")") {
			return fail(http.StatusInternalServerError, "Unable to read provided function")
		}
		if !found {
			return errNoVariable
		}
		values[name] = v
	}
	if !many {
		return ok(append(appendField([]byte{'{'}, "value", values[names[0]]), '}'))
	}
	return ok(append(appendVars(appendKey([]byte{'{'}, "variables"), values), '}'))
}

// newValues reads what is to be set, and complains as Asterisk does.
func newValues(r *request, many bool) ([]varValue, *reply) {
	bad := func(message string) ([]varValue, *reply) {
		rep := fail(http.StatusBadRequest, message)
		return nil, &rep
	}
	if !many {
		name := r.param("variable")
		if name == "" {
			return nil, &errNameRequired
		}
		return []varValue{{name, r.param("value"), r.flag("report_events")}}, nil
	}
	if len(r.raw) == 0 {
		return bad("The 'variables' field is required")
	}
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(r.fields["variables"], &fields); err != nil || fields == nil {
		return bad("The 'variables' field must be a JSON object")
	}
	set := make([]varValue, 0, len(fields))
	for name, raw := range fields {
		v := varValue{name: name}
		if json.Unmarshal(raw, &v.value) != nil {
			var long struct {
				Value  *string `json:"value"`
				Report bool    `json:"report_events"`
			}
			if err := json.Unmarshal(raw, &long); err != nil || long.Value == nil {
				return bad("Each value in 'variables' must be a string or an object with 'value' and optional 'report_events'")
			}
			v.value, v.report = *long.Value, long.Report
		}
		set = append(set, v)
	}
	sort.Slice(set, func(i, j int) bool { return set[i].name < set[j].name })
	return set, nil
}

// read evaluates a variable or one of the few dialplan functions that flows use.
func (ch *channel) read(name string) (string, bool) {
	if v, found := ch.vars[name]; found {
		return v, v != ""
	}
	switch name {
	case "CHANNEL(language)":
		return ch.lang, true
	case "CHANNEL(state)":
		return ch.state, true
	case "CHANNEL(name)":
		return ch.name, true
	case "CALLERID(num)":
		return ch.callerNumber, true
	case "CALLERID(name)":
		return ch.callerName, true
	case "EXTEN":
		return ch.exten, true
	case "CONTEXT":
		return ch.context, true
	case "UNIQUEID":
		return ch.id, true
	case "PJSIP_HEADER(read,Call-ID)", "CHANNEL(pjsip,call-id)":
		return ch.protocolID, true
	}
	if v, found := ch.s.globals[name]; found {
		return v, v != ""
	}
	return "", false
}

// write sets a variable or one of the functions that flows use.
func (ch *channel) write(v varValue) {
	switch {
	case v.name == "CHANNEL(language)":
		ch.lang = v.value
		return
	case v.name == "CALLERID(num)":
		ch.callerNumber = v.value
		return
	case v.name == "CALLERID(name)":
		ch.callerName = v.value
		return
	case strings.HasPrefix(v.name, "TALK_DETECT("):
		ch.talk = v.name == "TALK_DETECT(set)"
		return
	}
	if strings.HasSuffix(v.name, ")") {
		return // an unknown function: Asterisk logs it and answers 204
	}
	if ch.vars == nil {
		ch.vars = map[string]string{}
	}
	ch.vars[v.name] = v.value
	if v.report {
		if ch.reported == nil {
			ch.reported = map[string]string{}
		}
		ch.reported[v.name] = v.value
	} else {
		delete(ch.reported, v.name)
	}
	ch.emitVarset(v.name, v.value)
}

// SetGlobal sets a global variable, as the dialplan's GLOBAL() or the gateway's drain switch would.
func (s *Server) SetGlobal(name, value string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.globals[name] = value
}

// Global reads a global variable.
func (s *Server) Global(name string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.globals[name]
}
