package ari

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
)

// ErrInvalidArgument is wrapped by errors about an argument that was refused before anything was sent.
var ErrInvalidArgument = errors.New("invalid argument")

// ErrBodyTooLarge is wrapped when a response is larger than Options.MaxResponse.
var ErrBodyTooLarge = errors.New("response body is too large")

// Error is a response that says no. Find it with errors.As, or ask IsNotFound and the like, through any wrapping.
type Error struct {
	// Method and Path are those of the request; Path has no query.
	Method, Path string
	// StatusCode is the HTTP status.
	StatusCode int
	// Message is what Asterisk says, at most 500 bytes, or the status in words.
	Message string
}

// Error says method, path, status and message.
func (e *Error) Error() string {
	return fmt.Sprintf("ari: %s %s: %d %s", e.Method, e.Path, e.StatusCode, e.Message)
}

// StatusCode returns the HTTP status of the *Error in err's chain, or 0.
func StatusCode(err error) int {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.StatusCode
	}
	return 0
}

// IsBadRequest reports a 400: a parameter is missing or wrong.
func IsBadRequest(err error) bool { return StatusCode(err) == http.StatusBadRequest }

// IsUnauthorized reports a 401: user or password are wrong.
func IsUnauthorized(err error) bool { return StatusCode(err) == http.StatusUnauthorized }

// IsForbidden reports a 403: the user may only read.
func IsForbidden(err error) bool { return StatusCode(err) == http.StatusForbidden }

// IsNotFound reports a 404: the channel, bridge, playback, recording, variable or application is not there.
func IsNotFound(err error) bool { return StatusCode(err) == http.StatusNotFound }

// IsConflict reports a 409: not in this state, or the id or name is taken.
func IsConflict(err error) bool { return StatusCode(err) == http.StatusConflict }

// IsPreconditionFailed reports a 412: the channel is not in the state that is needed, such as an unanswered one.
func IsPreconditionFailed(err error) bool { return StatusCode(err) == http.StatusPreconditionFailed }

// IsUnprocessable reports a 422: the format or the name is not possible.
func IsUnprocessable(err error) bool { return StatusCode(err) == http.StatusUnprocessableEntity }

// IsServerError reports any 5xx.
func IsServerError(err error) bool { return StatusCode(err) >= 500 }

const maxMessage = 500

// errorMessage finds the sentence in an error's body: JSON with message or error, or Asterisk's HTML page.
func errorMessage(status int, body []byte) string {
	var v struct {
		Message string `json:"message"`
		Error   string `json:"error"`
	}
	msg := ""
	switch {
	case json.Unmarshal(body, &v) == nil:
		msg = strings.TrimSpace(v.Message)
		if msg == "" {
			msg = strings.TrimSpace(v.Error)
		}
	case len(body) > 0:
		msg = plainText(body)
	}
	if msg == "" {
		msg = http.StatusText(status)
	}
	if len(msg) > maxMessage {
		msg = strings.ToValidUTF8(msg[:maxMessage], "")
	}
	return msg
}

// plainText removes the tags and the head of an HTML page and joins what is left into one line.
func plainText(body []byte) string {
	if i := bytes.Index(body, []byte("<body")); i >= 0 {
		body = body[i:]
	}
	var b strings.Builder
	inTag := false
	for _, r := range strings.ToValidUTF8(string(body), "") {
		switch {
		case r == '<':
			inTag = true
			b.WriteByte(' ')
		case r == '>' && inTag:
			inTag = false
		case !inTag:
			b.WriteRune(r)
		}
	}
	return strings.Join(strings.Fields(b.String()), " ")
}
