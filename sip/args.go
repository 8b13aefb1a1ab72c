package sip

import "strings"

// Args returns the arguments of StasisStart that the dialplan makes of such
// an INVITE. [ParseArgs] is its inverse; simulations and tests stand in for
// the dialplan with it. Names need not list the headers in Params.
func (in Invite) Args() []string {
	names := make([]string, 0, len(in.Params))
	for _, p := range in.Params {
		names = append(names, Prefix+p.Name)
	}
	for _, name := range in.Names {
		if in.Param(name) == "" {
			names = append(names, Prefix+name)
		}
	}
	args := []string{Layout, encode(strings.Join(names, ","))}
	for _, p := range in.Params {
		args = append(args, p.Name+"="+encode(p.Value))
	}
	for _, fact := range []struct{ name, value string }{
		{"uri", in.URI},
		{"from", in.From},
		{"to", in.To},
		{"pai", in.PAI},
		{"privacy", in.Privacy},
		{"diversion", in.Diversion},
		{"history", in.History},
		{"src", in.Source},
		{"signature2", in.Signature2},
	} {
		if fact.value != "" {
			args = append(args, fact.name+"="+encode(fact.value))
		}
	}
	return append(args, Sentinel)
}

// encode escapes all but the unreserved characters of RFC 3986, as Asterisk's
// URIENCODE does.
func encode(s string) string {
	const hexDigits = "0123456789ABCDEF"
	var b strings.Builder
	for i := range len(s) {
		if c := s[i]; isAlphanumeric(rune(c)) || strings.IndexByte("-_.~", c) >= 0 {
			b.WriteByte(c)
		} else {
			b.WriteByte('%')
			b.WriteByte(hexDigits[c>>4])
			b.WriteByte(hexDigits[c&15])
		}
	}
	return b.String()
}
