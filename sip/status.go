package sip

import "slices"

// Status is one SIP status that the platform sends.
type Status struct {
	Code int
	// Reason is the default reason phrase.
	Reason string
	// When says when it is sent.
	When string
	// Elsewhere says that another node may serve the same call, so that the
	// edge should try one.
	Elsewhere bool
}

// statuses are all statuses that the platform sends in answer to an INVITE,
// by their meaning in RFC 3261 section 21.
var statuses = []Status{
	{Code: 100, Reason: "Trying", When: "Asterisk has the call"},
	{Code: 180, Reason: "Ringing", When: "a worker has taken the call"},
	{Code: 183, Reason: "Session Progress", When: "a worker plays before answering"},
	{Code: 200, Reason: "OK", When: "the call is answered"},
	{Code: 302, Reason: "Moved Temporarily", When: "the call belongs to another node or target"},
	{Code: 400, Reason: "Bad Request", When: "a header is missing, doubled, too long or malformed, or names no sound"},
	{Code: 403, Reason: "Forbidden", When: "a key is configured and the signature of the headers is not valid"},
	{Code: 404, Reason: "Not Found", When: "there is no such action, or no such sound"},
	{Code: 480, Reason: "Temporarily Unavailable", When: "early media has been heard to its end"},
	{Code: 487, Reason: "Request Terminated", When: "the caller has given up"},
	{Code: 488, Reason: "Not Acceptable Here", When: "a sound cannot be decoded, or no codec is shared"},
	{Code: 500, Reason: "Server Internal Error", When: "the platform has a defect"},
	{Code: 503, Reason: "Service Unavailable", When: "no worker, no storage, a draining node, or a dialplan of another release", Elsewhere: true},
}

// StatusOf returns what is known about a status code.
func StatusOf(code int) (Status, bool) {
	i := slices.IndexFunc(statuses, func(s Status) bool { return s.Code == code })
	if i < 0 {
		return Status{}, false
	}
	return statuses[i], true
}

// Statuses returns all statuses that the platform sends, by code.
func Statuses() []Status { return slices.Clone(statuses) }

// Refusals returns those statuses that refuse a call.
func Refusals() []Status {
	return slices.DeleteFunc(Statuses(), func(s Status) bool { return s.Code < 400 })
}
