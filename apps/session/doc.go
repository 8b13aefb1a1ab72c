// Package session runs the flows of package apps on real nodes: it is the
// [apps.Call] behind which a call is ARI over NATS.
//
// A [Pool] gives a worker of the fabric (package proxy) its Open function.
// Each session is one goroutine, which runs the flow, and no subscription;
// what the flow waits for is kept in a small inbox that the worker's goroutine
// fills. Returning from the flow ends the call with one last command, which
// carries the outcome for the call record.
//
// Every verb goes through one function, runVerb: there, and nowhere else, are
// ids given out and ended calls found out, so that a journal of results can be
// put in one place. Ids depend on nothing but the order of the verbs.
//
// A call that only plays a prompt costs two commands: the first makes sure of
// the sounds, answers and plays; the last hangs up.
//
// What happened is told by events, in Asterisk's time. Events can be lost, so
// every wait also looks for itself after a while, and whenever the fabric says
// that something was missed.
//
// The package must not know SIP headers, which come in through
// [Options.Parse], nor object storage, NATS, or any one action.
package session
