// Package apps holds the call flows of Asterism and the few types they are written against.
//
// A flow is a function that is the call: it reads straight down over blocking
// verbs (Answer, Play, Pause, …), and returning from it ends the call. What a
// flow must offer is in docs/actions.md, what it may and may not do, so that
// a call outlives its worker, in docs/replay.md, and how one is written, step
// by step, in docs/writing-an-action.md.
//
// Flows know telephony, not plumbing. This package imports the standard
// library only: it must not know ARI, NATS, SIP messages or object storage.
// [Call] is implemented for real by apps/session, and for flow tests by
// apps/calltest.
//
// Each action lives in one file, which registers it. [Lookup] finds it.
package apps
