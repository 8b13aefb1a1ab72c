// Command asterism is every role of the platform in one binary: the gateway
// beside an Asterisk, the worker that runs flows, the NATS server between them,
// all of these at once for a laptop, and the tools that people need.
//
// This package reads the configuration, wires the parts together and owns the
// order in which they start and stop. It holds no telephone logic. Each
// subcommand has a file of its own.
package main
