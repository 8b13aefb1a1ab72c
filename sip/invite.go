package sip

import (
	"net/url"
	"strings"
	"unicode"
	"unicode/utf8"

	"asterism/apps"
)

// Layout is the version of the arguments of StasisStart that this release
// reads, which is the first of them:
//
//	1, <names>, <Name>=<value>, …, end
//
// names is the comma-separated list of the X-Asterisk-* headers in the INVITE
// as they stand there. A Name that begins with a capital is such a header
// without [Prefix], one in lower case a fact of the SIP message: uri, from,
// to, pai, privacy, diversion, history, src and signature2. names and values
// are URI-encoded, since Asterisk splits arguments at commas. An empty value
// is as good as none. The names are "*" when Asterisk could not read them. A
// header that is there twice is listed twice, and may be passed twice. The
// last argument proves that none was cut off.
const Layout = "1"

// Sentinel is the last argument.
const Sentinel = "end"

// maxNames bounds the list of names that is looked through.
const maxNames = 64

// Param is one X-Asterisk-* header of a call: its name without [Prefix], as
// the header table spells it where it is in there, and its value.
type Param struct{ Name, Value string }

// Invite is what the dialplan passes of an INVITE. Parameters are checked for
// length and encoding only; the facts come from anyone and may hold anything.
type Invite struct {
	Params []Param
	// Names are all X-Asterisk-* headers in the INVITE without [Prefix], also
	// those that the dialplan does not pass.
	Names []string

	URI        string // the request URI
	From, To   string // header values, with display name and parameters
	PAI        string // P-Asserted-Identity, RFC 3325
	Privacy    string // RFC 3323
	Diversion  string // RFC 5806
	History    string // History-Info, RFC 7044
	Source     string // the address that the INVITE came from
	Signature2 string // the second X-Asterisk-Signature, which nobody may send
}

// Param returns the value of a parameter, "" if it is not there.
func (in Invite) Param(name string) string {
	for _, p := range in.Params {
		if p.Name == name {
			return p.Value
		}
	}
	return ""
}

// ParseArgs takes the arguments of StasisStart apart. The error is an
// [*apps.Refusal]: 400 for what the edge sent, 503 for a dialplan that this
// release cannot read, since another node may be able to.
func ParseArgs(args []string) (Invite, error) {
	if len(args) == 0 || args[0] != Layout {
		return Invite{}, layoutError("the dialplan passes layout %q, expected %q", shorten(first(args)), Layout)
	}
	if len(args) < 3 || args[len(args)-1] != Sentinel {
		return Invite{}, refuse(400, CauseCut, "the headers of the call are too long together and were cut: the %s* headers may have %d bytes", Prefix, MaxParams)
	}
	in := Invite{Params: make([]Param, 0, 8)}
	if err := in.addNames(args[1]); err != nil {
		return Invite{}, err
	}
	size := 0
	for _, arg := range args[2 : len(args)-1] {
		name, value, ok := strings.Cut(arg, "=")
		if arg == "" {
			continue
		}
		if !ok || !isToken(name) {
			return Invite{}, layoutError("the dialplan passes %q, expected <name>=<value>", shorten(arg))
		}
		if value == "" {
			continue
		}
		if fact := in.fact(name); fact != nil {
			if *fact != "" {
				return Invite{}, layoutError("the dialplan passes %s twice", name)
			}
			*fact = cleanFact(value)
			continue
		}
		if err := in.addParam(name, value); err != nil {
			return Invite{}, err
		}
		if name != "Signature" {
			size += len(arg)
		}
	}
	if size > MaxParams {
		return Invite{}, refuse(400, CauseTooLong, "the %s* headers have %d bytes together when URI-encoded, %d are allowed", Prefix, size, MaxParams)
	}
	return in, nil
}

// isToken reports whether name can be a header's name (RFC 3261 section 25.1).
func isToken(name string) bool {
	return name != "" && !strings.ContainsFunc(name, func(r rune) bool {
		return !isAlphanumeric(r) && !strings.ContainsRune("-.!%*_+`'~", r)
	})
}

func first(args []string) string {
	if len(args) == 0 {
		return ""
	}
	return args[0]
}

func layoutError(format string, args ...any) *apps.Refusal {
	r := apps.Refuse(503, apps.FaultUs, format, args...)
	r.Err = CauseLayout
	return r
}

// addNames takes the list of names. One that is there twice is refused, since
// nobody could tell which of the two counts; the signature is left to its
// verifier.
func (in *Invite) addNames(encoded string) error {
	list, err := url.PathUnescape(encoded)
	if err != nil {
		return refuse(400, CauseCut, "the names of the %s* headers are too long together and were cut", Prefix)
	}
	if list == "*" {
		return refuse(400, CauseTooLong, "the %s* headers, or one of them, are longer than Asterisk can read: a value may have %d bytes", Prefix, MaxValue)
	}
	if strings.Count(list, ",") >= maxNames {
		return refuse(400, CauseTooLong, "there are more than %d %s* headers", maxNames, Prefix)
	}
	for name := range strings.SplitSeq(list, ",") {
		name = strings.TrimSpace(name)
		if len(name) > len(Prefix) && strings.EqualFold(name[:len(Prefix)], Prefix) {
			name = name[len(Prefix):]
		}
		if h, ok := lookUp(name); ok {
			name = h.Name
		}
		if name == "" {
			continue
		}
		for _, other := range in.Names {
			if name != "Signature" && strings.EqualFold(name, other) {
				return doubled(name)
			}
		}
		in.Names = append(in.Names, name)
	}
	return nil
}

func doubled(name string) *apps.Refusal {
	return refuse(400, CauseDoubled, "%s%s is there twice, expected once", Prefix, shorten(name))
}

// fact returns where the fact of that name goes, nil if it is none.
func (in *Invite) fact(name string) *string {
	switch name {
	case "uri":
		return &in.URI
	case "from":
		return &in.From
	case "to":
		return &in.To
	case "pai":
		return &in.PAI
	case "privacy":
		return &in.Privacy
	case "diversion":
		return &in.Diversion
	case "history":
		return &in.History
	case "src":
		return &in.Source
	case "signature2":
		return &in.Signature2
	}
	return nil
}

func (in *Invite) addParam(name, encoded string) error {
	if h, ok := lookUp(name); ok {
		name = h.Name
	}
	for _, p := range in.Params {
		switch {
		case !strings.EqualFold(p.Name, name):
		case name == "Signature": // for its verifier
			in.Signature2 = cleanFact(encoded)
			return nil
		default:
			return doubled(name)
		}
	}
	if len(encoded) > 3*MaxValue { // Asterisk cuts at 4095
		return tooLong(name)
	}
	value, err := url.PathUnescape(encoded)
	switch {
	case err != nil:
		return refuse(400, CauseEncoding, "%s%s is not URI-encoded by the dialplan", Prefix, shorten(name))
	case len(value) > MaxValue:
		return tooLong(name)
	case !utf8.ValidString(value):
		return refuse(400, CauseEncoding, "%s%s is not UTF-8", Prefix, shorten(name))
	case !isClean(value):
		return refuse(400, CauseEncoding, "%s%s holds control characters", Prefix, shorten(name))
	}
	if value = strings.TrimSpace(value); value != "" {
		in.Params = append(in.Params, Param{name, value})
	}
	return nil
}

func tooLong(name string) *apps.Refusal {
	return refuse(400, CauseTooLong, "%s%s is longer than %d bytes", Prefix, shorten(name), MaxValue)
}

// cleanFact decodes a fact. What cannot be decoded or shown is dropped: it
// comes from outside and must not refuse a call.
func cleanFact(encoded string) string {
	text, err := url.PathUnescape(encoded)
	if err != nil {
		// Cut inside an escape; what is before it is good.
		text, err = url.PathUnescape(encoded[:strings.LastIndexByte(encoded, '%')])
	}
	if err != nil || !isClean(text) {
		return ""
	}
	return strings.TrimSpace(text)
}

// isClean reports whether text is UTF-8 without control characters.
func isClean(text string) bool {
	for i := 0; i < len(text); i++ {
		if c := text[i]; c < ' ' || c == 0x7f || c >= utf8.RuneSelf {
			return isCleanSlow(text)
		}
	}
	return true
}

func isCleanSlow(text string) bool {
	return utf8.ValidString(text) && !strings.ContainsFunc(text, unicode.IsControl)
}

// shorten keeps what callers send short and fit to be shown in messages.
func shorten(s string) string {
	const most = 64
	end := ""
	if len(s) > most {
		s, end = s[:most], "…"
	}
	if !isClean(s) {
		s = strings.Map(func(r rune) rune {
			if unicode.IsControl(r) || r == utf8.RuneError {
				return '?'
			}
			return r
		}, s)
	}
	return s + end
}
