package sip

import (
	"net/url"
	"strings"

	"asterism/apps"
)

// The facts parsed here were written by strangers. Parsing never fails: what
// cannot be understood is not there.

// maxParty bounds names and numbers, in bytes.
const maxParty = 128

// caller returns who calls: the identity that the edge asserts
// (P-Asserted-Identity, RFC 3325), otherwise the From header's claim.
func (in Invite) caller() apps.Party {
	party := apps.Party{Private: wantsPrivacy(in.Privacy)}
	for entry := range entries(in.PAI) {
		// At most one SIP URI and one tel URI (RFC 3325 section 9.1); the
		// name may stand with either.
		if party.Number == "" {
			party.Number = userOf(entry.uri)
		}
		if party.Name == "" {
			party.Name = entry.name
		}
	}
	if party.Number != "" {
		return party
	}
	from := parseNameAddr(in.From)
	if isAnonymous(from.uri) {
		return apps.Party{Private: true}
	}
	party.Name, party.Number = from.name, userOf(from.uri)
	return party
}

// wantsPrivacy reads a Privacy header (RFC 3323 section 4.2, RFC 3325 section
// 9.3). The other values are not about who calls.
func wantsPrivacy(value string) bool {
	for token := range strings.FieldsFuncSeq(value, func(r rune) bool { return r == ';' || r == ',' || r == ' ' }) {
		switch strings.ToLower(token) {
		case "id", "user", "header":
			return true
		}
	}
	return false
}

// isAnonymous recognises the From of an anonymous caller (RFC 3323 section
// 4.1.1.3).
func isAnonymous(uri string) bool {
	host := hostOf(uri)
	return strings.EqualFold(host, "anonymous.invalid") || strings.EqualFold(userOf(uri), "anonymous")
}

// diversion returns whom the call was meant for before it was forwarded here:
// the topmost Diversion (RFC 5806: the last diversion stands first), otherwise
// what History-Info tells.
func (in Invite) diversion() string {
	for entry := range entries(in.Diversion) {
		if user := userOf(entry.uri); user != "" {
			return user
		}
	}
	return lastDiverter(in.History)
}

// lastDiverter finds the last target in a History-Info that sent the call on
// to another user. RFC 7044 marks the entry that this led to with mp=<index>
// of the diverting one; RFC 4244 put the Reason into the URI of the diverting
// entry itself.
func lastDiverter(history string) string {
	type target struct{ index, user string }
	var targets []target
	var diverting, byReason string
	for entry := range entries(history) {
		user := userOf(entry.uri)
		targets = append(targets, target{param(entry.params, "index"), user})
		if mp := param(entry.params, "mp"); mp != "" {
			diverting = mp
		}
		if _, headers, ok := strings.Cut(entry.uri, "?"); ok && strings.Contains(strings.ToLower(headers), "reason=") {
			byReason = user
		}
	}
	for _, t := range targets {
		if diverting != "" && t.index == diverting {
			return t.user
		}
	}
	return byReason
}

// nameAddr is a name-addr or addr-spec with its header parameters (RFC 3261
// section 25.1).
type nameAddr struct{ name, uri, params string }

// maxEntries bounds how many values of one header are looked at.
const maxEntries = 32

// entries yields the comma-separated values of a header.
func entries(value string) func(yield func(nameAddr) bool) {
	return func(yield func(nameAddr) bool) {
		for range maxEntries {
			if value == "" {
				return
			}
			var one string
			one, value = cutEntry(value)
			if entry := parseNameAddr(one); entry.uri != "" && !yield(entry) {
				return
			}
		}
	}
}

// cutEntry cuts at the first comma outside quotes and angle brackets.
func cutEntry(value string) (one, rest string) {
	quoted, inside := false, false
	for i := 0; i < len(value); i++ {
		switch c := value[i]; {
		case c == '\\' && quoted:
			i++
		case c == '"' && !inside:
			quoted = !quoted
		case quoted:
		case c == '<':
			inside = true
		case c == '>':
			inside = false
		case c == ',' && !inside:
			return value[:i], value[i+1:]
		}
	}
	return value, ""
}

func parseNameAddr(value string) nameAddr {
	value = strings.TrimSpace(value)
	name, rest := cutName(value)
	before, inside, ok := strings.Cut(rest, "<")
	if !ok {
		// An addr-spec without brackets: what follows a semicolon belongs to
		// the header (RFC 3261 section 20).
		uri, params, _ := strings.Cut(rest, ";")
		return nameAddr{uri: strings.TrimSpace(uri), params: params}
	}
	uri, params, _ := strings.Cut(inside, ">")
	if name == "" {
		name = strings.TrimSpace(before)
	}
	return nameAddr{name: limit(name), uri: strings.TrimSpace(uri), params: params}
}

// cutName takes a quoted display name off.
func cutName(value string) (name, rest string) {
	if value == "" || value[0] != '"' {
		return "", value
	}
	var b strings.Builder
	for i := 1; i < len(value); i++ {
		switch c := value[i]; {
		case c == '\\' && i+1 < len(value):
			i++
			b.WriteByte(value[i])
		case c == '"':
			return strings.TrimSpace(b.String()), value[i+1:]
		default:
			b.WriteByte(c)
		}
	}
	return "", value[1:] // never closed: no name then
}

// userOf returns the user part of a sip, sips or tel URI without its
// parameters and password; of a tel URI the number without visual separators
// (RFC 3966 section 3).
func userOf(uri string) string {
	scheme, rest, ok := strings.Cut(uri, ":")
	if !ok {
		return ""
	}
	switch strings.ToLower(scheme) {
	case "sip", "sips":
		rest, _, ok = strings.Cut(beforeHeaders(rest), "@")
		if !ok {
			return ""
		}
		rest, _, _ = strings.Cut(rest, ":")
		rest, _, _ = strings.Cut(rest, ";")
	case "tel":
		rest, _, _ = strings.Cut(rest, ";")
		rest = strings.NewReplacer("-", "", ".", "", "(", "", ")", "").Replace(rest)
	default:
		return ""
	}
	user, err := url.PathUnescape(rest)
	if err != nil || !isClean(user) {
		return ""
	}
	return limit(user)
}

// beforeHeaders cuts the headers of a SIP URI off. A question mark may stand
// in the user part too, so it counts behind the at sign only.
func beforeHeaders(uri string) string {
	at := strings.IndexByte(uri, '@')
	if i := strings.IndexByte(uri[max(at, 0):], '?'); i >= 0 {
		return uri[:max(at, 0)+i]
	}
	return uri
}

// hostOf returns the host of a sip or sips URI.
func hostOf(uri string) string {
	_, rest, ok := strings.Cut(uri, ":")
	if !ok {
		return ""
	}
	if _, host, ok := strings.Cut(rest, "@"); ok {
		rest = host
	}
	if i := strings.IndexAny(rest, ":;?"); i >= 0 {
		rest = rest[:i]
	}
	return rest
}

// param returns the value of a header parameter, without quotes.
func param(params, name string) string {
	for p := range strings.SplitSeq(params, ";") {
		k, v, _ := strings.Cut(p, "=")
		if strings.EqualFold(strings.TrimSpace(k), name) {
			return strings.Trim(strings.TrimSpace(v), `"`)
		}
	}
	return ""
}

// limit keeps a stranger's text short, and drops it when it is cut short in
// the middle of a character or was never text.
func limit(s string) string {
	if len(s) > maxParty {
		s = strings.ToValidUTF8(s[:maxParty], "")
	}
	if !isClean(s) {
		return ""
	}
	return s
}
