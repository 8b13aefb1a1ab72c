// Package asteriskconf holds the complete configuration of a stateless
// Asterisk: one file a subsystem, each saying at its top what it is for, and
// the few values that differ from node to node as template parameters.
//
// Everything that starts an Asterisk (the test runtime, the chart) renders
// these same files, so what the tests prove is what production runs. The
// package knows no process, no network and no other package of this module.
//
// The dialplan is three fixed contexts: ingress hands every call to the one
// Stasis application, refuse and transfer do the two things ARI cannot say.
// What ingress passes is the contract described in extensions.conf.
package asteriskconf
