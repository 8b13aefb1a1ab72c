package sip

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"asterism/apps"
)

const (
	// MinSecret is the least length of a key's secret in bytes.
	MinSecret = 16
	// DefaultMaxAge is how old a signature may be.
	DefaultMaxAge = 30 * time.Second
	// DefaultSkew is how far in the future a signature may be, for clocks
	// that differ.
	DefaultSkew = 5 * time.Second
	// domain keeps our signatures apart from anything else signed with the
	// same key, and versions the canonical form.
	domain = "asterism-headers-1"
)

// Key is a secret by which headers are signed, with an id that says which.
// It never shows its secret, however it is printed or encoded.
type Key struct {
	id     string
	secret func() []byte // a function, so that no printer can reach it
}

// NewKey returns a key. The id is up to 32 letters, digits, "-" and "_"; the
// secret has at least [MinSecret] bytes. The errors do not show the secret.
func NewKey(id, secret string) (Key, error) {
	if id == "" || len(id) > 32 || strings.ContainsFunc(id, func(r rune) bool {
		return !isAlphanumeric(r) && r != '-' && r != '_'
	}) {
		return Key{}, fmt.Errorf("key id %q: expected 1 to 32 letters, digits, - or _", shorten(id))
	}
	if len(secret) < MinSecret {
		return Key{}, fmt.Errorf("the secret of key %s has %d bytes, expected at least %d", id, len(secret), MinSecret)
	}
	return Key{id: id, secret: func() []byte { return []byte(secret) }}, nil
}

// ID returns the key's id.
func (k Key) ID() string { return k.id }

// String returns "key <id>".
func (k Key) String() string { return "key " + k.id }

// Signer signs parameters with its newest key, which is the first. To rotate
// keys, give the new one to all verifiers, then put it first in the signers,
// then take the old one from the verifiers.
type Signer struct{ key Key }

// NewSigner returns a signer with the first of the keys.
func NewSigner(keys ...Key) (Signer, error) {
	if len(keys) == 0 || keys[0].secret == nil {
		return Signer{}, errors.New("a signer needs a key")
	}
	return Signer{key: keys[0]}, nil
}

// Sign returns the value of X-Asterisk-Signature for a call with this Call-ID
// and these parameters, by header name with or without [Prefix]. A name that
// is not in the header table is an error: the dialplan would not pass it, so
// nobody could verify it.
func (s Signer) Sign(now time.Time, callID string, params map[string]string) (string, error) {
	list := make([]Param, 0, len(params))
	for name, value := range params {
		h, ok := lookUp(strings.TrimPrefix(name, Prefix))
		if !ok {
			return "", fmt.Errorf("sign the headers of call %s: there is no header %s%s", callID, Prefix, strings.TrimPrefix(name, Prefix))
		}
		list = append(list, Param{h.Name, strings.TrimSpace(value)})
	}
	t := strconv.FormatInt(now.Unix(), 10)
	return "t=" + t + ";k=" + s.key.id + ";h=" + hex.EncodeToString(sum(s.key, t, callID, list)), nil
}

// sum is HMAC-SHA256 over the domain, the key's id, the time, the Call-ID and
// each parameter, sorted by name. Before each string stands its length, so
// that no two sets of parameters look alike. Empty values and the signature
// itself do not count, nor does what is not in the header table.
func sum(key Key, t, callID string, params []Param) []byte {
	list := slices.DeleteFunc(slices.Clone(params), func(p Param) bool {
		_, known := lookUp(p.Name)
		return p.Value == "" || p.Name == "Signature" || !known
	})
	slices.SortFunc(list, func(a, b Param) int { return strings.Compare(a.Name, b.Name) })

	text := make([]byte, 0, 512)
	add := func(s string) {
		text = strconv.AppendInt(text, int64(len(s)), 10)
		text = append(text, ':')
		text = append(text, s...)
	}
	add(domain)
	add(key.id)
	add(t)
	add(callID)
	for _, p := range list {
		add(p.Name)
		add(p.Value)
	}
	mac := hmac.New(sha256.New, key.secret())
	mac.Write(text)
	return mac.Sum(nil)
}

// Verifier checks signatures. All its keys are good.
type Verifier struct {
	Keys   []Key
	MaxAge time.Duration // 0 is [DefaultMaxAge]
	Skew   time.Duration // 0 is [DefaultSkew]
}

// Verify checks the signature of a call. The error is an [*apps.Refusal] with
// SIP 403, whose cause says what is wrong with it; the caller is not told.
func (v Verifier) Verify(in Invite, callID string, now time.Time) error {
	value := in.Param("Signature")
	switch {
	case value == "":
		return forbidden(CauseUnsigned)
	case in.Signature2 != "" || count(in.Names, "Signature") > 1:
		return forbidden(CauseTwoSigned)
	case callID == "":
		return forbidden(CauseNoCallID)
	}
	sig, ok := parseSignature(value)
	if !ok {
		return forbidden(CauseGarbled)
	}
	i := slices.IndexFunc(v.Keys, func(k Key) bool { return k.id == sig.key })
	if i < 0 {
		return forbidden(CauseKey)
	}
	if !hmac.Equal(sig.sum, sum(v.Keys[i], sig.t, callID, in.Params)) {
		return forbidden(CauseWrong)
	}
	age := now.Sub(time.Unix(sig.unix, 0))
	if age > orDefault(v.MaxAge, DefaultMaxAge) {
		return forbidden(CauseStale)
	}
	if -age > orDefault(v.Skew, DefaultSkew) {
		return forbidden(CauseFuture)
	}
	return nil
}

func orDefault(d, def time.Duration) time.Duration {
	if d == 0 {
		return def
	}
	return d
}

func count(list []string, s string) (n int) {
	for _, one := range list {
		if one == s {
			n++
		}
	}
	return n
}

// forbidden tells the far end no more than it must know.
func forbidden(cause Cause) *apps.Refusal {
	return refuse(403, cause, "the signature of the %s* headers is not valid", Prefix)
}

type signature struct {
	t    string
	unix int64
	key  string
	sum  []byte
}

// parseSignature takes exactly the form that Sign writes.
func parseSignature(value string) (signature, bool) {
	parts := strings.Split(value, ";")
	if len(parts) != 3 {
		return signature{}, false
	}
	t, okT := strings.CutPrefix(parts[0], "t=")
	k, okK := strings.CutPrefix(parts[1], "k=")
	h, okH := strings.CutPrefix(parts[2], "h=")
	if !okT || !okK || !okH || len(t) > 12 || len(h) != 2*sha256.Size {
		return signature{}, false
	}
	unix, err := strconv.ParseInt(t, 10, 64)
	if err != nil || unix < 0 || strconv.FormatInt(unix, 10) != t {
		return signature{}, false
	}
	sum, err := hex.DecodeString(h)
	return signature{t: t, unix: unix, key: k, sum: sum}, err == nil
}
