package storage

import (
	"fmt"
	"mime"
	"path"
	"strings"
	"unicode"
	"unicode/utf8"
)

const (
	// MaxKeyBytes is the longest key, as S3 has it.
	MaxKeyBytes = 1024
	// MaxSegmentBytes is the longest part of a key between two "/", as file
	// systems have it.
	MaxSegmentBytes = 255
	// maxMetadataBytes is the most that S3 keeps with an object, less a margin.
	maxMetadataBytes = 2000
	// controlDir holds what [Dir] keeps beside the objects. No key may begin
	// with it, in any implementation, so that data can move between them.
	controlDir = ".asterism"
)

// ValidateKey returns nil, or an error that wraps ErrInvalidKey and says in one
// sentence what is wrong. A key is 1 to [MaxKeyBytes] bytes of valid UTF-8 in
// segments of at most [MaxSegmentBytes] divided by single "/". It has no "/" at
// either end, no segment "." or "..", no backslash and no control characters.
// The first segment ".asterism" is reserved.
func ValidateKey(key string) error {
	switch {
	case key == "":
		return fmt.Errorf("%w: it is empty", ErrInvalidKey)
	case len(key) > MaxKeyBytes:
		return fmt.Errorf("%w: it has %d bytes, at most %d are allowed", ErrInvalidKey, len(key), MaxKeyBytes)
	}
	if err := validateText(key); err != nil {
		return err
	}
	for i, segment := range strings.Split(key, "/") {
		switch {
		case segment == "":
			return fmt.Errorf("%w %q: \"/\" may only stand between two names", ErrInvalidKey, key)
		case segment == "." || segment == "..":
			return fmt.Errorf("%w %q: the name %q is not allowed between slashes", ErrInvalidKey, key, segment)
		case len(segment) > MaxSegmentBytes:
			return fmt.Errorf("%w %q: a name between slashes has %d bytes, at most %d are allowed", ErrInvalidKey, key, len(segment), MaxSegmentBytes)
		case i == 0 && segment == controlDir:
			return fmt.Errorf("%w %q: names that begin with %q are reserved", ErrInvalidKey, key, controlDir+"/")
		}
	}
	return nil
}

// validatePrefix accepts the beginning of any valid key.
func validatePrefix(prefix string) error {
	if prefix == "" {
		return nil
	}
	whole := strings.TrimSuffix(prefix, "/")
	if i := strings.LastIndexByte(whole, '/'); strings.TrimLeft(whole[i+1:], ".") == "" && whole == prefix {
		// "a/." may begin "a/.hidden": complete the last name before judging.
		whole += "x"
	}
	return ValidateKey(whole)
}

func validateText(key string) error {
	if !utf8.ValidString(key) {
		return fmt.Errorf("%w %q: it is not valid UTF-8", ErrInvalidKey, key)
	}
	for _, r := range key {
		if unicode.IsControl(r) || r == '\u2028' || r == '\u2029' {
			return fmt.Errorf("%w %q: it holds the control character %U", ErrInvalidKey, key, r)
		}
		if r == '\\' {
			return fmt.Errorf("%w %q: it holds a backslash; names are divided by \"/\"", ErrInvalidKey, key)
		}
	}
	return nil
}

// validate checks everything of a write that can be checked beforehand and
// returns the options with their defaults filled in.
func (o PutOptions) validate(key string) (PutOptions, error) {
	if err := ValidateKey(key); err != nil {
		return o, err
	}
	if o.Size < 0 {
		return o, fmt.Errorf("size %d of a write is negative", o.Size)
	}
	if o.IfNoneMatch != "" && o.IfNoneMatch != "*" {
		return o, fmt.Errorf("condition IfNoneMatch is %q, only \"*\" is known", o.IfNoneMatch)
	}
	if o.IfNoneMatch != "" && o.IfMatch != "" {
		return o, fmt.Errorf("conditions IfNoneMatch and IfMatch exclude each other")
	}
	if o.ContentType == "" {
		o.ContentType = contentType(key)
	}
	total := 0
	for name, value := range o.Metadata {
		if !validMetadata(name, value) {
			return o, fmt.Errorf("metadata %q=%q: names are a-z, 0-9 and \"-\", values printable ASCII without space at the ends", name, value)
		}
		total += len(name) + len(value)
	}
	if total > maxMetadataBytes {
		return o, fmt.Errorf("metadata has %d bytes, at most %d are allowed", total, maxMetadataBytes)
	}
	return o, nil
}

func validMetadata(name, value string) bool {
	if name == "" || strings.TrimSpace(value) != value || value == "" {
		return false
	}
	for _, c := range []byte(name) {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' {
			return false
		}
	}
	for _, c := range []byte(value) {
		if c < ' ' || c > '~' {
			return false
		}
	}
	return true
}

func (o GetOptions) validate(key string) error {
	if err := ValidateKey(key); err != nil {
		return err
	}
	if o.Offset < 0 || o.Length < 0 {
		return fmt.Errorf("range of %q: offset %d and length %d must not be negative", key, o.Offset, o.Length)
	}
	return nil
}

// contentType guesses from the extension. The sound types are listed because
// the tables of operating systems differ in them.
func contentType(key string) string {
	switch ext := strings.ToLower(path.Ext(key)); ext {
	case ".wav":
		return "audio/wav"
	case ".json":
		return "application/json"
	case "":
	default:
		if t := mime.TypeByExtension(ext); t != "" {
			return t
		}
	}
	return "application/octet-stream"
}
