// Package phone is a SIP phone that listens: it places or takes calls, speaks, sends digits, and keeps every sample it
// hears on a timeline that can be compared with what should have been heard (package hear).
//
// It exists because signalling that succeeds proves nothing about sound. End-to-end tests use it as a library, and
// `asterism call` is the same phone for a person at a shell.
//
// A [Phone] owns one SIP address (UDP and TCP on the same port) and any number of calls, each with its own RTP port. A
// [Call] begins with [Phone.Start] or [Phone.Dial], or with [Phone.Accept] for calls that come in. Media flow from the
// first session description on, so early media (183) are heard too, and RTP is sent all the time, silence when there is
// nothing to say, as a telephone does.
//
// The SIP transactions and the parser are emiago/sipgo; dialogs, media, codecs and listening are here, because a test
// instrument must see every provisional response in the order it came and must be able to do what polite phones do not.
// The package must not know anything of Asterisk beyond standard SIP, nor of sessions, NATS or storage.
package phone
