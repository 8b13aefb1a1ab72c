package sip

import (
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"

	"asterism/apps"
)

// errMalformed says that a value is not what its header takes; the header's
// Expect tells the rest. Other errors of the parsers below tell it themselves.
var errMalformed = errors.New("malformed")

// maxSounds is half of [apps.MaxSounds], so that a round and the pause after
// it always fit into one playback.
const maxSounds = apps.MaxSounds / 2

func boolean(value string) (bool, error) {
	switch strings.ToLower(value) {
	case "yes", "true":
		return true, nil
	case "no", "false":
		return false, nil
	}
	return false, errMalformed
}

func loops(value string) (int, error) {
	if strings.EqualFold(value, "forever") {
		return 0, nil
	}
	return whole(value, 0, 1000)
}

// whole parses a number written in digits only.
func whole(value string, least, most int) (int, error) {
	if value == "" || strings.Trim(value, "0123456789") != "" {
		return 0, errMalformed
	}
	n, err := strconv.Atoi(value)
	if err != nil || n < least || n > most {
		return 0, errMalformed
	}
	return n, nil
}

// duration parses seconds such as "1.5" or "1.5s", or milliseconds such as
// "1500ms". It is exact to a millisecond.
func duration(least, most time.Duration) func(string) (time.Duration, error) {
	return func(value string) (time.Duration, error) {
		d, err := parseDuration(value)
		if err != nil || d < least || d > most {
			return 0, errMalformed
		}
		return d, nil
	}
}

func parseDuration(value string) (time.Duration, error) {
	if ms, ok := strings.CutSuffix(value, "ms"); ok {
		n, err := whole(ms, 0, 1e9)
		return time.Duration(n) * time.Millisecond, err
	}
	seconds, fraction, point := strings.Cut(strings.TrimSuffix(value, "s"), ".")
	n, err := whole(seconds, 0, 1e6)
	if err != nil {
		return 0, err
	}
	d := time.Duration(n) * time.Second
	if point {
		if len(fraction) > 3 {
			return 0, errMalformed
		}
		ms, err := whole((fraction + "000")[:max(3, len(fraction))], 0, 999)
		if err != nil || fraction == "" {
			return 0, errMalformed
		}
		d += time.Duration(ms) * time.Millisecond
	}
	return d, nil
}

// keys parses telephone keys; a to d may be lower case. Each may stand once.
func keys(value string) (apps.Keys, error) {
	k := apps.Keys(strings.ToUpper(value))
	if k == "" {
		return "", errMalformed
	}
	for i := range len(k) {
		if !apps.AllKeys.Has(string(k[i])) || strings.IndexByte(string(k[:i]), k[i]) >= 0 {
			return "", errMalformed
		}
	}
	return k, nil
}

func stopKeys(value string) (apps.Keys, error) {
	if strings.EqualFold(value, "any") {
		return apps.AllKeys, nil
	}
	return keys(value)
}

func controls(value string) (apps.Controls, error) {
	var c apps.Controls
	seen := make(map[string]bool, 5)
	for part := range strings.SplitSeq(value, ",") {
		name, arg, ok := strings.Cut(strings.TrimSpace(part), "=")
		if name = strings.ToLower(name); !ok || seen[name] {
			return c, errMalformed
		}
		seen[name] = true
		var err error
		switch name {
		case "pause":
			c.Pause, err = keys(arg)
		case "restart":
			c.Restart, err = keys(arg)
		case "forward":
			c.Forward, err = keys(arg)
		case "back":
			c.Back, err = keys(arg)
		case "skip":
			var ms int
			ms, err = whole(arg, 100, 600_000)
			c.Skip = time.Duration(ms) * time.Millisecond
		default:
			err = errMalformed
		}
		if err != nil {
			return c, err
		}
	}
	if twice := firstTwice(c.Keys()); twice != "" {
		return c, fmt.Errorf("the key %s has two meanings, expected one", twice)
	}
	return c, nil
}

// firstTwice returns the first key that is there more than once.
func firstTwice(k apps.Keys) string {
	for i := range len(k) {
		if strings.IndexByte(string(k[:i]), k[i]) >= 0 {
			return string(k[i])
		}
	}
	return ""
}

func sounds(value string) ([]string, error) {
	if n := strings.Count(value, "&") + 1; n > maxSounds {
		return nil, fmt.Errorf("%d sounds, expected at most %d", n, maxSounds)
	}
	list := strings.Split(value, "&")
	for i, sound := range list {
		list[i] = strings.TrimSpace(sound)
		if err := apps.CheckSound(list[i]); err != nil {
			return nil, err
		}
	}
	return list, nil
}

// language parses a tag of RFC 5646 (BCP 47), by its form only and without the
// rarities that no prompt can be stored under, and spells it as recommended
// there: it-IT, zh-Hant-TW. Asterisk's it_IT is taken too.
func language(value string) (string, error) {
	tags := strings.Split(strings.ReplaceAll(value, "_", "-"), "-")
	if len(tags) > 4 || len(tags[0]) > 3 || strings.ContainsAny(tags[0], "0123456789") {
		return "", errMalformed
	}
	for i, tag := range tags {
		if len(tag) < 2 || len(tag) > 8 || strings.ContainsFunc(tag, func(r rune) bool { return !isAlphanumeric(r) }) {
			return "", errMalformed
		}
		lower := strings.ToLower(tag)
		switch {
		case i == 0:
			tags[i] = lower
		case len(tag) == 2:
			tags[i] = strings.ToUpper(tag)
		case len(tag) == 4 && tag[0] > '9':
			tags[i] = strings.ToUpper(lower[:1]) + lower[1:]
		default:
			tags[i] = lower
		}
	}
	return strings.Join(tags, "-"), nil
}

func isAlphanumeric(r rune) bool {
	return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9'
}

// variables parses application/x-www-form-urlencoded names and values.
func variables(value string) (map[string]string, error) {
	vars := make(map[string]string)
	for pair := range strings.SplitSeq(value, "&") {
		name, v, _ := strings.Cut(pair, "=")
		if name == "" || strings.ContainsFunc(name, func(r rune) bool {
			return !isAlphanumeric(r) && r != '_' && r != '-' && r != '.'
		}) {
			return nil, errMalformed
		}
		if _, ok := vars[name]; ok {
			return nil, fmt.Errorf("the variable %s is there twice, expected once", shorten(name))
		}
		text, err := url.QueryUnescape(v)
		if err != nil || !isClean(text) {
			return nil, errMalformed
		}
		vars[name] = text
	}
	return vars, nil
}
