package ari

import "strconv"

// The methods in this file decode one value into a Go variable. A null leaves scalars alone and empties lists and
// maps, as encoding/json does; a value of another kind is an error.

func (s *scanner) string(v *string) {
	switch s.peek() {
	case '"':
		if b := s.text(); s.err == nil {
			*v = string(b)
		}
	case 'n':
		s.word("null")
	default:
		s.fail("a string")
	}
}

func (s *scanner) int64(v *int64) {
	if s.null() || s.err != nil {
		return
	}
	start := s.pos
	b := s.number()
	if s.err != nil {
		return
	}
	n, err := strconv.ParseInt(string(b), 10, 64)
	if err != nil {
		s.pos = start
		s.fail("a whole number of 64 bits")
		return
	}
	*v = n
}

func (s *scanner) int(v *int) {
	n := int64(*v)
	s.int64(&n)
	*v = int(n)
}

func (s *scanner) float64(v *float64) {
	if s.null() || s.err != nil {
		return
	}
	start := s.pos
	b := s.number()
	if s.err != nil {
		return
	}
	f, err := strconv.ParseFloat(string(b), 64)
	if err != nil {
		s.pos = start
		s.fail("a number of 64 bits")
		return
	}
	*v = f
}

func (s *scanner) bool(v *bool) {
	switch s.peek() {
	case 't':
		if s.word("true"); s.err == nil {
			*v = true
		}
	case 'f':
		if s.word("false"); s.err == nil {
			*v = false
		}
	case 'n':
		s.word("null")
	default:
		s.fail("true or false")
	}
}

func (s *scanner) time(v *Time) {
	switch s.peek() {
	case '"':
		start := s.pos
		b := s.text()
		if s.err != nil {
			return
		}
		t, ok := parseTime(b)
		if !ok {
			s.pos = start
			s.fail("a time such as 2006-01-02T15:04:05.000-0700")
			return
		}
		v.Time = t
	case 'n':
		s.word("null")
	default:
		s.fail("a time")
	}
}

func (s *scanner) strings(v *[]string) {
	if s.null() {
		*v = nil
		return
	}
	if !s.open('[', "an array") {
		return
	}
	out := (*v)[:0]
	if out == nil {
		out = []string{}
	}
	for s.nextElement() {
		var e string
		s.string(&e)
		out = append(out, e)
	}
	*v = out
}

func (s *scanner) stringMap(v *map[string]string) {
	if s.null() {
		*v = nil
		return
	}
	if !s.open('{', "an object") {
		return
	}
	if *v == nil {
		*v = map[string]string{}
	}
	for {
		key, ok := s.nextKey()
		if !ok {
			return
		}
		name := string(key)
		var e string
		s.string(&e)
		(*v)[name] = e
	}
}
