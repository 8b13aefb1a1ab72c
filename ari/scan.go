package ari

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"unicode/utf8"
)

// maxDepth is how deeply arrays and objects may nest, as in encoding/json.
const maxDepth = 10000

// errSyntax is wrapped by every complaint about JSON that is not well formed or not what the declarations say.
var errSyntax = errors.New("unexpected JSON")

// scanner reads one JSON document from start to end, once, and validates all of it. The first error sticks, so that
// decoders need not check each step. It exists because ARI events are read on every hop of every call: with
// reflection they cost several times as much.
type scanner struct {
	data  []byte
	pos   int
	depth int
	first bool // just after '{' or '[': no comma is expected
	err   error
}

// object decodes an object into v; null leaves v alone.
func (s *scanner) object(v model) {
	if !s.open('{', "an object") {
		return
	}
	for {
		key, ok := s.nextKey()
		if !ok {
			return
		}
		v.member(s, key)
	}
}

// model is implemented by all generated structs: it decodes the member named key, whose value is next in s.
type model interface{ member(s *scanner, key []byte) }

// modelPointer is a pointer to T that is a model.
type modelPointer[T any] interface {
	*T
	model
}

func decodePointer[T any, P modelPointer[T]](s *scanner, p *P) {
	if s.null() {
		*p = nil
		return
	}
	if *p == nil {
		*p = new(T)
	}
	s.object(*p)
}

func decodeList[T any, P modelPointer[T]](s *scanner, list *[]T) {
	if s.null() {
		*list = nil
		return
	}
	if !s.open('[', "an array") {
		return
	}
	out := (*list)[:0]
	if out == nil {
		out = []T{}
	}
	for s.nextElement() {
		var v T
		s.object(P(&v))
		out = append(out, v)
	}
	*list = out
}

// finish reports the first error, or that something follows the document.
func (s *scanner) finish() error {
	if s.err == nil {
		s.space()
		if s.pos < len(s.data) {
			s.fail("the end")
		}
	}
	return s.err
}

// fail records that something else than what was expected is at the current position.
func (s *scanner) fail(expected string) {
	if s.err != nil {
		return
	}
	found := "the end"
	if s.pos < len(s.data) {
		found = strconv.QuoteRune(rune(s.data[s.pos]))
	}
	s.err = fmt.Errorf("%w at byte %d: expected %s, found %s", errSyntax, s.pos, expected, found)
}

func (s *scanner) space() {
	for s.pos < len(s.data) {
		switch s.data[s.pos] {
		case ' ', '\t', '\n', '\r':
			s.pos++
		default:
			return
		}
	}
}

// peek returns the first byte of the next value, 0 at the end or after an error.
func (s *scanner) peek() byte {
	if s.err != nil {
		return 0
	}
	if s.pos < len(s.data) && s.data[s.pos] > ' ' { // Asterisk writes no space
		return s.data[s.pos]
	}
	s.space()
	if s.pos >= len(s.data) {
		return 0
	}
	return s.data[s.pos]
}

// open consumes the bracket of an object or array. It reports false for null, which it consumes, and for errors.
func (s *scanner) open(bracket byte, what string) bool {
	if s.null() {
		return false
	}
	if s.peek() != bracket {
		s.fail(what)
		return false
	}
	s.pos++
	s.depth++
	if s.depth > maxDepth {
		s.fail("less nesting")
		return false
	}
	s.first = true
	return true
}

// more steps to the next member or element and reports false at the closing bracket, which it consumes.
func (s *scanner) more(closing byte) bool {
	c := s.peek()
	if s.err != nil {
		return false
	}
	if c == closing {
		s.pos++
		s.depth--
		s.first = false
		return false
	}
	if s.first {
		s.first = false
		return true
	}
	if c != ',' {
		s.fail("a comma or " + string(closing))
		return false
	}
	s.pos++
	return true
}

// nextKey returns the next member's name, which is valid until the next call.
func (s *scanner) nextKey() ([]byte, bool) {
	if !s.more('}') {
		return nil, false
	}
	if s.peek() != '"' {
		s.fail("a member name")
		return nil, false
	}
	key := s.text()
	if s.peek() != ':' {
		s.fail("a colon")
		return nil, false
	}
	s.pos++
	return key, true
}

func (s *scanner) nextElement() bool { return s.more(']') }

// null consumes a null and reports whether there was one.
func (s *scanner) null() bool {
	if s.peek() != 'n' {
		return false
	}
	s.word("null")
	return s.err == nil
}

func (s *scanner) word(w string) {
	if len(s.data)-s.pos < len(w) || string(s.data[s.pos:s.pos+len(w)]) != w {
		s.fail(w)
		return
	}
	s.pos += len(w)
}

// text consumes a string, whose opening quote is next, and returns its bytes without escapes. They are part of the
// document where it has no escapes.
func (s *scanner) text() []byte {
	start := s.pos + 1
	clean, end := s.endOfString()
	if s.err != nil {
		return nil
	}
	if clean {
		return s.data[start:end]
	}
	var v string
	if err := json.Unmarshal(s.data[start-1:end+1], &v); err != nil {
		s.err = fmt.Errorf("%w at byte %d: %w", errSyntax, start, err)
		return nil
	}
	return []byte(v)
}

// stringStops are the bytes at which reading a string has to stop and think: all but plain ASCII.
var stringStops = func() (stops [256]bool) {
	for c := range stops {
		stops[c] = c == '"' || c == '\\' || c < ' ' || c >= utf8.RuneSelf
	}
	return stops
}()

// endOfString consumes a string and returns the position of its closing quote, and whether its bytes are its value.
func (s *scanner) endOfString() (clean bool, end int) {
	clean = true
	ascii := true
	start := s.pos + 1
	i := start
	for {
		for i < len(s.data) && !stringStops[s.data[i]] {
			i++
		}
		if i >= len(s.data) {
			s.pos = i
			s.fail("the end of a string")
			return false, i
		}
		switch c := s.data[i]; {
		case c == '"':
			s.pos = i + 1
			return clean && (ascii || utf8.Valid(s.data[start:i])), i
		case c == '\\':
			clean = false
			n := escapeLength(s.data[i:])
			if n == 0 {
				s.pos = i
				s.fail("an escape sequence")
				return false, i
			}
			i += n
		case c < ' ':
			s.pos = i
			s.fail("no control character in a string")
			return false, i
		default:
			ascii = false
			i++
		}
	}
}

// escapeLength returns the length of the escape sequence at the start of b, 0 if it is none.
func escapeLength(b []byte) int {
	if len(b) < 2 {
		return 0
	}
	switch b[1] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return 2
	case 'u':
		if len(b) < 6 {
			return 0
		}
		for _, c := range b[2:6] {
			if (c < '0' || c > '9') && (c|0x20 < 'a' || c|0x20 > 'f') {
				return 0
			}
		}
		return 6
	}
	return 0
}

// number consumes a number and returns its bytes.
func (s *scanner) number() []byte {
	c := s.peek()
	if c != '-' && (c < '0' || c > '9') {
		s.fail("a number")
		return nil
	}
	start := s.pos
	if c == '-' {
		s.pos++
	}
	if s.pos < len(s.data) && s.data[s.pos] == '0' {
		s.pos++
	} else if !s.digits() {
		return nil
	}
	if s.pos < len(s.data) && s.data[s.pos] == '.' {
		s.pos++
		if !s.digits() {
			return nil
		}
	}
	if s.pos < len(s.data) && s.data[s.pos]|0x20 == 'e' {
		s.pos++
		if s.pos < len(s.data) && (s.data[s.pos] == '+' || s.data[s.pos] == '-') {
			s.pos++
		}
		if !s.digits() {
			return nil
		}
	}
	return s.data[start:s.pos]
}

// digits consumes at least one digit.
func (s *scanner) digits() bool {
	start := s.pos
	for s.pos < len(s.data) && s.data[s.pos] >= '0' && s.data[s.pos] <= '9' {
		s.pos++
	}
	if s.pos == start {
		s.fail("a digit")
		return false
	}
	return true
}

// skip consumes any value.
func (s *scanner) skip() {
	switch c := s.peek(); c {
	case '{':
		s.open('{', "an object")
		for {
			if _, ok := s.nextKey(); !ok {
				return
			}
			s.skip()
		}
	case '[':
		s.open('[', "an array")
		for s.nextElement() {
			s.skip()
		}
	case '"':
		s.endOfString()
	case 't':
		s.word("true")
	case 'f':
		s.word("false")
	case 'n':
		s.word("null")
	default:
		if c == '-' || (c >= '0' && c <= '9') {
			s.number()
			return
		}
		s.fail("a value")
	}
}

// raw copies any value as it is written.
func (s *scanner) raw(v *json.RawMessage) {
	s.space()
	start := s.pos
	s.skip()
	if s.err == nil {
		*v = bytes.Clone(s.data[start:s.pos])
	}
}
