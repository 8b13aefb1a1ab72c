package apps

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
)

// Failure is an error of a verb as a log keeps it. A replay gets an error
// back that has the same text, the same [VerdictOf], and for which errors.Is
// finds the same errors, by their text.
type Failure struct {
	Text string      `json:"t,omitempty"` // of the error as a whole, when it is not that of its kind
	Kind failureKind `json:"k,omitempty"`
	// Of a [Refusal].
	Status int    `json:"s,omitempty"`
	Reason string `json:"r,omitempty"`
	Fault  Fault  `json:"f,omitempty"`
	Cause  string `json:"c,omitempty"` // the text of its Err
	// Of a [MediaError].
	Sound   string       `json:"so,omitempty"`
	Problem MediaProblem `json:"p,omitempty"`
	Detail  string       `json:"d,omitempty"`
	// Within are the texts of the errors that the error wraps.
	Within []string `json:"w,omitempty"`
}

// failureKind says which error of this package an error is or wraps.
type failureKind string

const (
	failedHangup   failureKind = "hangup"
	failedDraining failureKind = "draining"
	failedDeadline failureKind = "deadline"
	failedCanceled failureKind = "canceled"
	failedRefusal  failureKind = "refusal"
	failedMedia    failureKind = "media"
)

// sentinels are the errors that a failure is traced back to as they are.
var sentinels = []struct {
	kind failureKind
	err  error
}{
	{failedHangup, ErrHangup},
	{failedDraining, ErrDraining},
	{failedDeadline, context.DeadlineExceeded},
	{failedCanceled, context.Canceled},
}

// MaxFailure is the greatest size of a [Failure] in bytes of JSON.
const MaxFailure = 2 << 10

// What of an error a log keeps, in bytes of each text and in texts.
const (
	maxFailureText   = 512
	maxFailureWithin = 6
)

// FailureOf returns what is kept of err, nil for nil.
func FailureOf(err error) *Failure {
	if err == nil {
		return nil
	}
	for _, s := range sentinels {
		if err == s.err { //nolint:errorlint // what wraps it has a text of its own
			return &Failure{Kind: s.kind}
		}
	}
	f := &Failure{Text: cutText(err.Error())}
	collect(err, &f.Within)
	if r, ok := errors.AsType[*Refusal](err); ok {
		f.Kind, f.Status, f.Reason, f.Fault = failedRefusal, r.Status, cutText(r.Reason), Fault(cutText(string(r.Fault)))
		if r.Err != nil {
			f.Cause = cutText(r.Err.Error())
		}
		return f.bound()
	}
	if m, ok := errors.AsType[*MediaError](err); ok {
		f.Kind, f.Sound, f.Problem, f.Detail = failedMedia, cutText(m.Sound), MediaProblem(cutText(string(m.Problem))), cutText(m.Detail)
		return f.bound()
	}
	for _, s := range sentinels {
		if errors.Is(err, s.err) {
			f.Kind = s.kind
			return f.bound()
		}
	}
	return f.bound()
}

// collect adds the texts of the errors that err wraps.
func collect(err error, texts *[]string) {
	var within []error
	switch e := err.(type) { //nolint:errorlint // it goes down the chain itself
	case interface{ Unwrap() error }:
		within = []error{e.Unwrap()}
	case interface{ Unwrap() []error }:
		within = e.Unwrap()
	}
	for _, w := range within {
		if w == nil || len(*texts) >= maxFailureWithin {
			return
		}
		*texts = append(*texts, cutText(w.Error()))
		collect(w, texts)
	}
}

// cutText makes of a text what JSON can hold, and bounds it.
func cutText(s string) string { return cutTo(s, maxFailureText) }

func cutTo(s string, most int) string {
	if len(s) <= most {
		return strings.ToValidUTF8(s, "\uFFFD")
	}
	return strings.ToValidUTF8(s[:most], "") + "…"
}

// Encode returns the failure as JSON, of [MaxFailure] bytes at most.
func (f *Failure) Encode() []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false) // it would make six bytes of one
	_ = e.Encode(f)        // it holds strings and numbers only
	return bytes.TrimSpace(b.Bytes())
}

// bound makes the failure small enough: of what the error wraps the innermost
// go first.
func (f *Failure) bound() *Failure {
	for most := maxFailureText; len(f.Encode()) > MaxFailure; {
		if n := len(f.Within); n > 0 {
			f.Within = f.Within[:n-1]
			continue
		}
		most /= 2
		f.Fault, f.Problem = Fault(cutTo(string(f.Fault), most)), MediaProblem(cutTo(string(f.Problem), most))
		for _, text := range []*string{&f.Text, &f.Reason, &f.Cause, &f.Sound, &f.Detail} {
			*text = cutTo(*text, most)
		}
	}
	return f
}

// Err returns the error again, nil for a nil Failure.
func (f *Failure) Err() error {
	if f == nil {
		return nil
	}
	var base error
	switch f.Kind {
	case failedRefusal:
		r := &Refusal{Verdict: Verdict{Status: f.Status, Reason: f.Reason, Fault: f.Fault}}
		if f.Cause != "" {
			r.Err = &replayed{text: f.Cause, within: f.Within}
		}
		base = r
	case failedMedia:
		base = &MediaError{Sound: f.Sound, Problem: f.Problem, Detail: f.Detail}
	case failedHangup, failedDraining, failedDeadline, failedCanceled:
		for _, s := range sentinels {
			if s.kind == f.Kind {
				base = s.err
			}
		}
	}
	if base != nil && (f.Text == "" || f.Text == base.Error()) {
		return base
	}
	return &replayed{text: f.Text, within: f.Within, base: base}
}

// replayed is an error of which a log has kept the text.
type replayed struct {
	text   string
	within []string
	base   error
}

func (e *replayed) Error() string { return e.text }

func (e *replayed) Unwrap() error { return e.base }

// Is makes errors.Is find the errors that the lost one was or wrapped.
func (e *replayed) Is(target error) bool {
	text := target.Error()
	return text == e.text || slices.Contains(e.within, text)
}
