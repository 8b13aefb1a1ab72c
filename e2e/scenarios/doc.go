// Package scenarios holds the tests of the platform as its users meet it: real
// Asterisk, NATS and S3, calls by SIP, prompts put with the command line, and
// judged by what the caller hears. They are built with the tag e2e.
//
// The tests know the platform from outside only: its programs, its
// configuration, its logs and its metrics.
package scenarios
