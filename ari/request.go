package ari

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"unicode/utf8"
)

// request is an operation being put together. Parameters of POST and PUT go into a JSON body, because Asterisk takes
// at most 4 kB of query; those of GET and DELETE go into the query, lists separated by commas.
type request struct {
	op      string
	method  string
	path    []byte // escaped
	escaped bool   // path contains a percent sign
	query   []byte
	body    []byte // a JSON object without its closing brace, unless whole
	whole   bool
	err     error
}

func newRequest(op, method string) *request {
	return &request{op: op, method: method, path: make([]byte, 0, 96)}
}

func (r *request) inBody() bool { return r.method == http.MethodPost || r.method == http.MethodPut }

func (r *request) fail(name, problem string) {
	if r.err == nil {
		r.err = fmt.Errorf("ari: %s: %w: %s %s", r.op, ErrInvalidArgument, name, problem)
	}
}

// literal appends fixed text to the path.
func (r *request) literal(s string) { r.path = append(r.path, s...) }

// id appends an escaped path segment, which must not be empty.
func (r *request) id(name, value string) {
	switch value {
	case "":
		r.fail(name, "must not be empty")
	case ".", "..":
		r.fail(name, "must not be "+strconv.Quote(value))
	}
	before := len(r.path)
	r.path = appendEscaped(r.path, value)
	if len(r.path)-before != len(value) {
		r.escaped = true
	}
}

// key starts a parameter.
func (r *request) key(name string) {
	if r.inBody() {
		if r.body == nil {
			r.body = append(make([]byte, 0, 192), '{')
		} else {
			r.body = append(r.body, ',')
		}
		r.body = append(appendString(r.body, name), ':')
		return
	}
	if len(r.query) > 0 {
		r.query = append(r.query, '&')
	}
	r.query = append(append(r.query, name...), '=')
}

func (r *request) setString(name, value string) {
	r.key(name)
	if r.inBody() {
		r.body = appendString(r.body, value)
		return
	}
	r.query = appendEscaped(r.query, value)
}

func (r *request) needString(name, value string) {
	if value == "" {
		r.fail(name, "must not be empty")
		return
	}
	r.setString(name, value)
}

func (r *request) optString(name, value string) {
	if value != "" {
		r.setString(name, value)
	}
}

func (r *request) needList(name string, values []string) {
	if len(values) == 0 {
		r.fail(name, "must not be empty")
		return
	}
	r.setList(name, values)
}

func (r *request) optList(name string, values []string) {
	if len(values) > 0 {
		r.setList(name, values)
	}
}

func (r *request) setList(name string, values []string) {
	r.key(name)
	if r.inBody() {
		r.body = appendStrings(r.body, values)
		return
	}
	for i, v := range values {
		if i > 0 {
			r.query = append(r.query, ',')
		}
		r.query = appendEscaped(r.query, v)
	}
}

func (r *request) setBool(name string, value bool) {
	r.key(name)
	if r.inBody() {
		r.body = strconv.AppendBool(r.body, value)
		return
	}
	r.query = strconv.AppendBool(r.query, value)
}

func (r *request) optBool(name string, value bool) {
	if value {
		r.setBool(name, value)
	}
}

func (r *request) setInt(name string, value int) {
	r.key(name)
	if r.inBody() {
		r.body = strconv.AppendInt(r.body, int64(value), 10)
		return
	}
	r.query = strconv.AppendInt(r.query, int64(value), 10)
}

func (r *request) optInt(name string, value int) {
	if value != 0 {
		r.setInt(name, value)
	}
}

func (r *request) optIntPointer(name string, value *int) {
	if value != nil {
		r.setInt(name, *value)
	}
}

func (r *request) needVars(name string, set VarSet) {
	if len(set) == 0 {
		r.fail(name, "must not be empty")
		return
	}
	r.vars(name, set)
}

// vars writes {"name":"value"}, or {"name":{"value":…,"report_events":true}} where that is wanted.
func (r *request) vars(name string, set VarSet) {
	if len(set) == 0 {
		return
	}
	r.key(name)
	sep := byte('{')
	for _, k := range sortedKeys(set) {
		v := set[k]
		r.body = append(appendString(append(r.body, sep), k), ':')
		sep = ','
		if v.ReportEvents {
			r.body = append(appendString(append(r.body, `{"value":`...), v.Value), `,"report_events":true}`...)
			continue
		}
		r.body = appendString(r.body, v.Value)
	}
	r.body = append(r.body, '}')
}

func (r *request) anyMap(name string, m map[string]any) {
	if len(m) == 0 {
		return
	}
	data, err := json.Marshal(m)
	if err != nil {
		r.fail(name, "cannot be encoded: "+err.Error())
		return
	}
	r.key(name)
	r.body = append(r.body, data...)
}

func (r *request) tuples(name string, fields []ConfigTuple) {
	r.key(name)
	r.body = append(r.body, '[')
	for i, f := range fields {
		if i > 0 {
			r.body = append(r.body, ',')
		}
		r.body = appendString(append(r.body, `{"attribute":`...), f.Attribute)
		r.body = append(appendString(append(r.body, `,"value":`...), f.Value), '}')
	}
	r.body = append(r.body, ']')
}

// filter makes the filter the whole body, as Asterisk wants it.
func (r *request) filter(_ string, f *EventFilter) {
	if f == nil {
		return
	}
	r.whole = true
	r.body = append(r.body, '{')
	for i, list := range []struct {
		name  string
		types []string
	}{{"allowed", f.Allowed}, {"disallowed", f.Disallowed}} {
		if list.types == nil {
			continue
		}
		if i > 0 && len(r.body) > 1 {
			r.body = append(r.body, ',')
		}
		r.body = append(appendString(r.body, list.name), ':', '[')
		for j, t := range list.types {
			if j > 0 {
				r.body = append(r.body, ',')
			}
			r.body = append(appendString(append(r.body, `{"type":`...), t), '}')
		}
		r.body = append(r.body, ']')
	}
	r.body = append(r.body, '}')
}

// finishBody closes the body.
func (r *request) finishBody() []byte {
	if r.body != nil && !r.whole {
		r.body = append(r.body, '}')
		r.whole = true
	}
	return r.body
}

func appendStrings(b []byte, values []string) []byte {
	b = append(b, '[')
	for i, v := range values {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendString(b, v)
	}
	return append(b, ']')
}

// appendString appends a JSON string.
func appendString(b []byte, s string) []byte {
	plain := true
	for i := range len(s) {
		if c := s[i]; c < ' ' || c == '"' || c == '\\' || c >= utf8.RuneSelf {
			plain = false
			break
		}
	}
	if plain {
		return append(append(append(b, '"'), s...), '"')
	}
	quoted, err := json.Marshal(s)
	if err != nil { // a string always encodes
		return append(b, '"', '"')
	}
	return append(b, quoted...)
}

// appendEscaped percent-encodes all but RFC 3986's unreserved characters. url.PathEscape would leave a plus sign, which
// Asterisk reads as a space.
func appendEscaped(b []byte, s string) []byte {
	const hex = "0123456789ABCDEF"
	for i := range len(s) {
		c := s[i]
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("-._~", c) >= 0 {
			b = append(b, c)
			continue
		}
		b = append(b, '%', hex[c>>4], hex[c&15])
	}
	return b
}
