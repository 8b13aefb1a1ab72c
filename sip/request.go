package sip

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"asterism/apps"
)

// Warning is a header that was ignored. Headers are ignored rather than
// refused when nothing is lost by it: a newer edge may send what an older
// node does not know.
type Warning struct {
	Header string // with [Prefix]
	Reason WarningReason
	Text   string // one sentence for the log
}

// WarningReason is why a header was ignored: a fixed set, fit for a metric's
// label.
type WarningReason string

// The reasons.
const (
	WarnUnknown   WarningReason = "unknown"    // no such header
	WarnNotTaken  WarningReason = "not taken"  // the action has no use for it
	WarnNotPassed WarningReason = "not passed" // the dialplan did not pass its value
)

// maxWarnings keeps a nonsensical INVITE from filling the log.
const maxWarnings = 8

// Request makes the request of a flow out of the headers. The error is an
// [*apps.Refusal]: 404 for an unknown action, 400 for a required header that
// is missing and a value that is not what its header takes.
func (in Invite) Request() (apps.Request, []Warning, error) {
	action, err := in.action()
	if err != nil {
		return apps.Request{}, nil, err
	}
	r := apps.Request{
		Action:    action.Name,
		Caller:    in.caller(),
		Called:    userOf(in.URI),
		Diversion: in.diversion(),
		Loop:      1,
	}
	for _, name := range action.Required {
		if in.Param(name) == "" {
			return apps.Request{}, nil, missing(action, name)
		}
	}
	for _, p := range in.Params {
		h, ok := lookUp(p.Name)
		if !ok || h.set == nil || !takes(action, h) {
			continue
		}
		if err := h.set(&r, p.Value); err != nil {
			return apps.Request{}, nil, malformed(h, p.Value, err)
		}
	}
	if err := settleKeys(&r); err != nil {
		return apps.Request{}, nil, err
	}
	return r, in.warnings(action), nil
}

func (in Invite) action() (apps.Action, error) {
	name := in.Param("Action")
	if name == "" {
		return apps.Action{}, refuse(400, CauseMissing, "%sAction is missing, expected one of %s", Prefix, strings.Join(actionNames(), ", "))
	}
	action, ok := apps.Lookup(name)
	if !ok {
		return apps.Action{}, refuse(404, CauseAction, "%sAction is %q, and there is no such action%s: expected one of %s",
			Prefix, shorten(name), didYouMean(name, actionNames()), strings.Join(actionNames(), ", "))
	}
	return action, nil
}

func actionNames() []string {
	var names []string
	for _, a := range apps.Actions() {
		names = append(names, a.Name)
	}
	return names
}

func takes(action apps.Action, h *Header) bool {
	return h.Always || slices.Contains(action.Required, h.Name) || slices.Contains(action.Optional, h.Name)
}

func missing(action apps.Action, name string) *apps.Refusal {
	expect := "a value"
	if h, ok := lookUp(name); ok {
		expect = h.Expect
	}
	return refuse(400, CauseMissing, "%s%s is missing, which %s needs: expected %s", Prefix, name, action.Name, expect)
}

func malformed(h *Header, value string, err error) *apps.Refusal {
	if errors.Is(err, errMalformed) {
		return refuse(400, CauseMalformed, "%s is %q, expected %s", h.FullName(), shorten(value), h.Expect)
	}
	return refuse(400, CauseMalformed, "%s: %v", h.FullName(), err)
}

// settleKeys sees to it that each key has one meaning.
func settleKeys(r *apps.Request) error {
	if r.StopOn == apps.AllKeys {
		r.StopOn = r.StopOn.Without(r.Controls.Keys())
	}
	if twice := firstTwice(r.StopOn + r.Controls.Keys()); twice != "" {
		return refuse(400, CauseMalformed, "the key %s is in %sDigits-Stop and in %sControls, expected in one of them", twice, Prefix, Prefix)
	}
	return nil
}

// warnings lists the headers that the request ignores.
func (in Invite) warnings(action apps.Action) []Warning {
	var list []Warning
	for _, name := range in.Names {
		w := Warning{Header: Prefix + shorten(name)}
		h, ok := lookUp(name)
		switch {
		case !ok:
			w.Reason = WarnUnknown
			w.Text = fmt.Sprintf("%s is not known and was ignored%s", w.Header, didYouMean(name, headerNames()))
		case !takes(action, h):
			w.Reason = WarnNotTaken
			w.Text = fmt.Sprintf("%s was ignored: %s does not take it", w.Header, action.Name)
		case in.Param(name) == "":
			w.Reason = WarnNotPassed
			w.Text = fmt.Sprintf("%s was ignored: it is empty, or the dialplan does not pass it as it is spelled", w.Header)
		default:
			continue
		}
		if list = append(list, w); len(list) == maxWarnings {
			break
		}
	}
	return list
}

func headerNames() []string {
	var names []string
	for _, h := range Headers {
		names = append(names, h.Name)
	}
	return names
}
