// Package proxy is the fabric between Asterisk nodes and the pool of workers.
//
// # The idea
//
// Every call is a session of exactly one node. The gateway beside that node's
// Asterisk is the only arbiter of who runs the session: it assigns it to one
// worker, directly, with a token, and refuses every command whose token is not
// the current one. So a worker that was paused, cut off or slow can never act
// twice, and the cost of a call does not grow with the number of workers or
// nodes.
//
// ARI travels whole: a [Session] is an [net/http.RoundTripper], so the worker
// uses the ordinary client of package ari, and the gateway plays the request
// to Asterisk on loopback, behind an allow-list. What is not ARI (resolve
// media, play media) has named gateway steps.
//
// # The messages
//
// All messages are frames (see frame.go): a small JSON header and raw parts.
//
//	hb.w.<worker>               worker → everyone   once a second: boot, load, draining
//	hb.g.<node>                 gateway → everyone  once a second: boot, calls, draining
//	w.<worker>.<boot>.assign    gateway → worker    take this session
//	w.<worker>.<boot>.events    gateway → worker    what happened, numbered
//	w.<worker>.<boot>.r.<n>     gateway → worker    the reply to its request n
//	g.<node>.<boot>.command     worker → gateway    do this
//	g.<node>.<boot>.renew       worker → gateway    these sessions are mine
//	g.<node>.<boot>.resync      worker → gateway    send events again
//	g.<node>.<boot>.r.<n>       worker → gateway    the reply to its assignment n
//
// A playback call is six messages: assign; accept, with the first command
// aboard; its result; the event that the playback has ended; the last command,
// which hangs up; its result.
//
// # The parts
//
// [Arbiter] is the pure protocol: no I/O, no clock, so that thousands of
// schedules run in a second. [Gateway] puts it between ARI and NATS. [Worker]
// is the other side. [NewServer] is an embedded NATS server with an account
// and permissions for each role.
//
// This package must not know flows, headers or object storage: what a session
// is for is opaque bytes here.
package proxy
