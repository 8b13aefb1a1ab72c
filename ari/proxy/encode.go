package proxy

import (
	"encoding/json"
	"strconv"
)

// The headers that a worker sends most are written by hand: by reflection
// they cost a fifth of its CPU, and went so deep that the stack of every
// session grew to twice the size. What is written is what encoding/json
// writes, field by field; a test compares the two.

// appender is a header that can write itself.
type appender interface {
	appendJSON(b []byte) []byte
}

// marshalHeader encodes a header.
func marshalHeader(header any) ([]byte, error) {
	if a, ok := header.(appender); ok {
		return a.appendJSON(make([]byte, 0, 256)), nil
	}
	return json.Marshal(header)
}

func (h *renewHeader) appendJSON(b []byte) []byte {
	b = appendString(append(b, `{"w":`...), h.Worker)
	b = append(b, `,"s":[`...)
	for i := range h.Sessions {
		e := &h.Sessions[i]
		if i > 0 {
			b = append(b, ',')
		}
		b = appendSession(b, e.Session, e.Token)
		b = append(b, `,"q":`...)
		b = append(strconv.AppendUint(b, e.Seq, 10), '}')
	}
	b = append(b, ']')
	if h.Part {
		b = append(b, `,"p":true`...)
	}
	return append(b, '}')
}

func (h *acceptHeader) appendJSON(b []byte) []byte {
	b = appendSession(b, h.Session, h.Token)
	if h.Busy {
		b = append(b, `,"busy":true`...)
	}
	if h.Command != nil {
		b = h.Command.appendJSON(append(b, `,"c":`...))
	}
	return append(b, '}')
}

func (h *commandHeader) appendJSON(b []byte) []byte {
	b = appendSession(b, h.Session, h.Token)
	b = appendString(append(b, `,"id":`...), h.ID)
	b = strconv.AppendInt(append(b, `,"ttl":`...), h.TTL, 10)
	b = strconv.AppendUint(append(b, `,"a":`...), h.Ack, 10)
	b = append(b, `,"st":`...)
	if h.Steps == nil {
		b = append(b, `null`...)
	} else {
		b = append(b, '[')
		for i := range h.Steps {
			if i > 0 {
				b = append(b, ',')
			}
			b = h.Steps[i].appendJSON(b)
		}
		b = append(b, ']')
	}
	if h.Records != 0 {
		b = strconv.AppendInt(append(b, `,"j":`...), int64(h.Records), 10)
	}
	if h.Final {
		b = append(b, `,"fin":true`...)
	}
	if h.Reset {
		b = append(b, `,"rs":true`...)
	}
	if h.Heard != 0 {
		b = strconv.AppendUint(append(b, `,"hd":`...), h.Heard, 10)
	}
	return append(b, '}')
}

func (s *Step) appendJSON(b []byte) []byte {
	b = append(b, '{')
	for _, f := range [...]struct{ key, value string }{{`"m":`, s.Method}, {`"p":`, s.Path}, {`"n":`, s.Name}} {
		if f.value == "" {
			continue
		}
		if b[len(b)-1] != '{' {
			b = append(b, ',')
		}
		b = appendString(append(b, f.key...), f.value)
	}
	return append(b, '}')
}

// appendSession begins an object with the two fields that all of them have.
func appendSession(b []byte, session string, t Token) []byte {
	b = appendString(append(b, `{"s":`...), session)
	b = strconv.AppendUint(append(b, `,"t":"`...), t.Boot, 10)
	b = strconv.AppendUint(append(b, '.'), t.Epoch, 10)
	return append(b, '"')
}

// appendString writes a string; what needs escaping is left to encoding/json.
func appendString(b []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '"' || c == '\\' || c == '<' || c == '>' || c == '&' {
			quoted, err := json.Marshal(s)
			if err != nil { // it never fails on a string
				return append(b, `""`...)
			}
			return append(b, quoted...)
		}
	}
	b = append(b, '"')
	b = append(b, s...)
	return append(b, '"')
}
