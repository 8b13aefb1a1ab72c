// Package storage is object storage as this platform needs it: prompts,
// greetings, voice messages and small index objects, under keys, in one bucket.
//
// One interface, [Bucket], has three implementations: [OpenS3] for any server
// that speaks the S3 protocol, [OpenDir] for a directory of ordinary files that
// people may also edit by hand, and [NewMemory] for tests. [Open] chooses by
// URL. All three pass the same suite (storagetest.Conformance), so a caller
// needs to know only what is written here:
//
//   - An object appears whole or not at all; a reader never sees half a write.
//   - Every write gives the object a new version with a new ETag, also when the
//     bytes are the same in the directory and in memory (S3 servers may derive
//     the ETag from the bytes).
//   - A conditional write has exactly one winner, across goroutines, processes
//     and machines. [ProbeConditional] finds servers that only pretend.
//   - A read that begins after a write has returned sees that write.
//   - Bodies are streams. Nothing holds a whole object in memory, except
//     [Memory] and objects that are smaller than one upload part.
//
// A conditional delete is missing on purpose: few S3 servers have it. Write a
// tombstone with IfMatch where two deleters must not both win.
//
// The package knows nothing of telephony, sound formats or mailboxes, and
// imports nothing of this module. Its subpackages audio and media build on it.
package storage
