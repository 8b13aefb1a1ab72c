// Package telephony gives the tests, the benches and "make run" the real
// telephone parts: an Asterisk that is new enough, SIPp, later Kamailio and
// rtpengine. They live in a root directory of Debian testing under the
// project's .runtime/, prepared once and reused, so that the machine itself
// stays as it is.
//
// Programs run inside that root in mount and pid namespaces of their own: no
// mount is ever visible to, or left behind for, anybody else, even after
// SIGKILL; the root is read-only to them; a caller's directories appear at the
// same absolute path inside as outside. They share the machine's network.
//
// The package knows how to start those programs and how to ask whether they
// are ready. It must not know ARI beyond that question, NATS, storage or flows.
package telephony
