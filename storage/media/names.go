package media

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"asterism/storage"
)

var (
	// ErrNotFound says that there is no such sound in any of the languages.
	ErrNotFound = errors.New("no such sound")
	// ErrInvalidName says that a sound or a language can never have this name.
	ErrInvalidName = errors.New("invalid name of a sound")
	// ErrBroken says that the object is there and cannot be played; the error
	// that wraps it says why. It stays so until the object is replaced.
	ErrBroken = errors.New("the sound cannot be played")
)

const (
	root      = "media/"
	extension = ".wav"
	// forbidden are characters that mean something in the X-Asterisk-Sound
	// header, in a dialplan or in a URI.
	forbidden = `&,:;?*"<>|@#%`
)

// languageTag is a language with its sub-tags as in "it", "it-IT", "zh-Hant-TW"
// (RFC 5646, without its rarities).
var languageTag = regexp.MustCompile(`^[a-zA-Z]{2,3}(-[a-zA-Z0-9]{2,8}){0,3}$`)

// Key is the object that holds the sound of that name in a language; an empty
// language is the one that serves all. Name may end in ".wav". The error wraps
// ErrInvalidName.
func Key(name, language string) (string, error) {
	short := strings.TrimSuffix(name, extension)
	if i := strings.IndexAny(short, forbidden); i >= 0 {
		return "", fmt.Errorf("%w %q: the character %q is not allowed", ErrInvalidName, name, short[i])
	}
	if short == "" || strings.HasSuffix(short, "/") {
		return "", fmt.Errorf("%w %q: it is empty or ends in \"/\"", ErrInvalidName, name)
	}
	key := root + short + extension
	if language != "" {
		tag, err := ParseLanguage(language)
		if err != nil {
			return "", err
		}
		key = root + tag + "/" + short + extension
	}
	if err := storage.ValidateKey(key); err != nil {
		return "", fmt.Errorf("%w %q: %w", ErrInvalidName, name, err)
	}
	return key, nil
}

// ParseLanguage writes a language tag as keys have it: "it_it" is "it-IT". The
// error wraps ErrInvalidName.
func ParseLanguage(tag string) (string, error) {
	tag = strings.ReplaceAll(tag, "_", "-")
	if !languageTag.MatchString(tag) {
		return "", fmt.Errorf("%w: %q is not a language such as \"it\" or \"it-IT\"", ErrInvalidName, tag)
	}
	parts := strings.Split(strings.ToLower(tag), "-")
	for i, part := range parts[1:] {
		switch len(part) {
		case 2:
			parts[i+1] = strings.ToUpper(part)
		case 4:
			parts[i+1] = strings.ToUpper(part[:1]) + part[1:]
		}
	}
	return strings.Join(parts, "-"), nil
}

// candidates are the keys to try, best first: each language, then its base,
// then the sound without a language.
func candidates(name string, languages []string) ([]string, error) {
	keys := make([]string, 0, 2*len(languages)+1)
	add := func(language string) error {
		key, err := Key(name, language)
		if err == nil && !slices.Contains(keys, key) {
			keys = append(keys, key)
		}
		return err
	}
	for _, language := range languages {
		for language != "" {
			if err := add(language); err != nil {
				return nil, err
			}
			i := strings.LastIndexAny(language, "-_")
			language = language[:max(i, 0)]
		}
	}
	return keys, add("")
}
