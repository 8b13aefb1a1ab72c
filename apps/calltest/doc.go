// Package calltest plays the caller, so that a flow can be tested without a
// telephone and without waiting: everything runs in virtual time
// (testing/synctest).
//
// [Run] takes a flow, its request and a [Script], which tells the call from
// the caller's side, line by line:
//
//	calltest.Run(t, apps.Playback, apps.Request{Sounds: []string{"welcome"}, Loop: 1}, calltest.Script{
//		calltest.Has("welcome", 3*time.Second), // what there is to play
//		calltest.Answers(),                     // what the caller notices …
//		calltest.Hears("welcome", time.Second),
//		calltest.HangsUp(),                     // … and does
//		calltest.EndsBy(apps.ErrHangup),        // how the flow ends
//	})
//
// The call is written down as it goes. A difference between that transcript
// and the script fails the test and shows both side by side: a verb that the
// script does not expect as well as a step that never came.
//
// [Caller] is the scripted call itself. It keeps the same rules as a call on
// a real node; [Conformance] holds both to them.
//
// The package knows package apps only.
package calltest
