// Package stack starts the whole platform from its real parts, for "make run"
// and for end-to-end tests: Asterisk, NATS, gateways and workers, either as
// "asterism run" or each as a process of its own.
//
// A [Stack] owns what it starts. Every process has a group of its own and dies
// with the one that started it; a process that dies by itself is started again
// after a second, as Kubernetes would; [Stack.Stop] ends all of them, in the
// order in which calls suffer least, and nothing else.
//
// The package starts programs and knows their configuration. It must not look
// into calls: tests do that from outside, with package phone.
package stack
