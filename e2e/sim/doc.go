// Package sim runs whole platforms in virtual time: an Asterisk made of Go,
// the real gateway, several real workers with real flows, and a network and
// processes that misbehave at every message. Workers and gateways crash, pause
// and are told to stop; links are cut; messages are late, lost, doubled and
// overtake one another. One seed is one such world, and it is the same world
// each time: what happens is decided by hashes of the seed, of who acts, and of
// how often he has acted before.
//
// What must hold in every world:
//
//   - only the owner acts: a command whose token is not the current one does
//     nothing, no playback is begun twice, no key is obeyed twice;
//   - what the caller heard is a legal run of the flow: everything in its order
//     and to its end, except what he stopped himself; repeated only where the
//     node could not know that it had been heard;
//   - no key is lost, none is counted twice;
//   - nothing is forgotten: every call ends, has one call record, and leaves
//     nothing in gateway, workers, Asterisk and spool.
//
// The package holds tests only. `go test ./e2e/sim -sim.seed 7` runs one world
// and prints its course; `make soak SEEDS=10000` runs many.
package sim
