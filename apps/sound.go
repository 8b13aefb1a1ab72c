package apps

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// MaxSoundName is the greatest length of a sound's name in bytes.
const MaxSoundName = 512

// maxSilence is the longest "silence:" in milliseconds: ten minutes, as much as
// a node makes.
const maxSilence = 600_000

// soundKinds are the prefixes that a sound's name may have, with what may
// follow each.
var soundKinds = map[string]struct {
	what string
	ok   func(rest string) bool
}{
	"media":      {"the key of an object, such as media:greetings/welcome", isPath},
	"sound":      {"one of Asterisk's own sounds, such as sound:hello-world", isPath},
	"digits":     {"telephone keys, such as digits:1234", isKeys},
	"number":     {"a whole number, such as number:42", isNumber},
	"characters": {"what to spell, such as characters:ab12", isText},
	"tone":       {"a tone of the country's indications, such as tone:busy", isText},
	"silence":    {"milliseconds from 1 to 600000, such as silence:500", isSilence},
}

// CheckSound reports whether sound is a name that [PlayRule] takes. It does
// not look whether the sound exists. The error is a [*MediaError] with
// [MediaInvalid] whose detail says what was expected. Names that would reach
// files outside the sounds, or other servers, are invalid.
func CheckSound(sound string) error {
	invalid := func(format string, args ...any) error {
		return &MediaError{Sound: shorten(sound), Problem: MediaInvalid, Detail: fmt.Sprintf(format, args...)}
	}
	switch {
	case sound == "":
		return invalid("it is empty")
	case len(sound) > MaxSoundName:
		return invalid("it is %d bytes long, %d are allowed", len(sound), MaxSoundName)
	case !utf8.ValidString(sound) || strings.ContainsFunc(sound, unicode.IsControl):
		return invalid("it holds control characters or is not UTF-8")
	}
	prefix, rest, ok := strings.Cut(sound, ":")
	if !ok {
		if !isPath(sound) {
			return invalid("a name has no empty part and no part \"..\" between its slashes")
		}
		return nil
	}
	kind, ok := soundKinds[prefix]
	if !ok {
		return invalid("%q is none of the kinds media, sound, digits, number, characters, tone, silence", shorten(prefix))
	}
	if !kind.ok(rest) {
		return invalid("after %q comes %s", prefix+":", kind.what)
	}
	return nil
}

// shorten keeps messages readable whatever the caller sent.
func shorten(s string) string {
	const most = 64
	if len(s) <= most {
		return s
	}
	cut := most
	for cut > 0 && !utf8.RuneStart(s[cut]) {
		cut--
	}
	return s[:cut] + "…"
}

// isPath is true for a relative path that stays where it is.
func isPath(s string) bool {
	if strings.Contains(s, ":") || strings.Contains(s, `\`) {
		return false
	}
	parts := strings.Split(s, "/")
	return !slices.ContainsFunc(parts, func(part string) bool {
		return part == "" || part == "." || part == ".."
	})
}

func isKeys(s string) bool {
	return s != "" && strings.Trim(s, string(AllKeys)) == ""
}

func isNumber(s string) bool {
	n, err := strconv.ParseInt(s, 10, 32)
	return err == nil && strconv.FormatInt(n, 10) == s
}

func isText(s string) bool { return strings.TrimSpace(s) != "" }

func isSilence(s string) bool {
	n, err := strconv.Atoi(s)
	return err == nil && n >= 1 && n <= maxSilence && s[0] != '+'
}
