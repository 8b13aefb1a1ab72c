// Package media keeps the prompts of the platform: a [Library] in a bucket, in
// which people put, list and remove them, and on every node a [Cache] that
// turns each version of a prompt into files which Asterisk plays without work.
//
// The prompt "greetings/welcome" is the one object "media/greetings/welcome.wav",
// its Italian version "media/it/greetings/welcome.wav". An update is one write,
// so no call hears half of it.
//
// The cache promises: a changed prompt is heard by the next call that asks for
// it; a version is fetched once however many calls ask at once; a file that has
// been handed out stays for as long as it may be needed; what a dead process
// has left behind is adopted or removed.
//
// The package knows of no call, no channel and no network between nodes.
package media
