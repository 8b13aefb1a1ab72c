// Package flowlint is an analyzer that keeps flow code replayable.
//
// When a worker dies, another one runs the present stage of a flow again from
// its first line. Verbs that were already done return their recorded results,
// and everything between them must take the same way as the first time. So
// flow code may not ask what answers differently the second time (clocks,
// randomness, the order of a map, which goroutine is first), and may not act
// on anything outside but through [asterism/apps.Call].Do.
//
// Flow code is every function that takes an asterism/apps.Call (flows and
// stages) and every function, package-level variable and method that such a
// function refers to, in its own package and, by facts, in the other packages
// of the module. Files named _test.go are not looked at. A function that is
// given to Call.Do or apps.Do is the place for effects: anything may be done
// in it but verbs, and setting variables of the flow, since a replay does not
// run it again.
//
// The error of a verb must not be thrown away, since only it ends a loop when
// the caller is gone, and package-level variables that a function other than
// init sets must not be read.
//
// What the analyzer cannot see is listed in docs/replay.md, "When the linter
// is wrong": functions and calls behind values that came from elsewhere,
// second names of a variable, variables that another package sets.
//
// A justified exception is a comment on the line, on the line above it, or in
// the doc comment of a function:
//
//	//flowlint:ignore <reason>
//
// The package stands on the standard library and golang.org/x/tools. It must
// not know Asterism's own packages but by the name of apps.
package flowlint
