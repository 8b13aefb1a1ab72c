// Package aritest is an Asterisk made of Go: the REST interface and the event
// websocket of Asterisk 22.10, with scripted callers in place of telephones. It exists so that
// the gateway, the ARI client and whole sessions can be tested, in real or in
// virtual time, and loaded with tens of thousands of calls, without telephony.
//
// A [Server] plays Asterisk together with the three fixed contexts of our dialplan:
// [Server.Call] is an INVITE that reaches the context "ingress" and so the Stasis application,
// and `continue` into the context "refuse" ends the call with the SIP status that the extension names.
// The returned [Caller] is the telephone: it says what it heard and when, presses keys, speaks, hangs up,
// and knows the SIP status it got.
//
// What is imitated is what an ARI client can see: status codes and bodies, events with their order and fields,
// and the queue every channel has (a command waits until the playback or recording before it has ended,
// see [Server.Call]). Signalling, codecs and sound are not imitated; a recording holds as
// many samples as it lasted, loud where the caller spoke. The conformance
// tests run one script against this package and against a real Asterisk and compare.
//
// All time comes from package time, so a Server made with [Options.Offline]
// lives inside a testing/synctest bubble: [Server.Transport] carries requests and even the
// websocket in memory. One mutex guards one Server; a call costs no goroutine, only
// a timer while something plays.
//
// The package must not know anything else of this module: it imports no client, no gateway, no flow.
package aritest
