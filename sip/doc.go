// Package sip is the contract with the SIP edge: the X-Asterisk-* headers that
// say what a call is for, who may say so, and the SIP statuses that answer no.
//
// [Headers] is the one table of the headers; the parser, the reference page
// docs/actions.md and the test of the dialplan all come from it.
//
// The dialplan passes the headers of an INVITE as arguments of StasisStart.
// [ParseArgs] takes those apart, [Invite.Request] makes the request of a flow
// out of them, with every value checked and typed. [Gate] decides at the node,
// before a worker is asked, whether the headers can be trusted: in the mode
// [TrustSigned] they must bear a fresh signature of a [Signer].
//
// Whatever is refused is an [*apps.Refusal], whose status and reason go back
// to the edge, and which wraps a [Cause] for metrics.
//
// The package does no I/O. It knows package apps, and must not know ARI, NATS
// or storage.
package sip

//go:generate go run ./gen ../docs/actions.md
