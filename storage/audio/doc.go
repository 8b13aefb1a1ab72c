// Package audio turns the sound files that people have into what Asterisk plays
// without work: 16-bit mono WAV at 8 or 16 kHz.
//
// It reads WAV (PCM, floating point, A-law, µ-law), MP3, FLAC and Ogg Vorbis,
// as streams: memory does not grow with the length. Of more than two channels,
// WAV averages all, FLAC and Vorbis the first pair. The decoders of the last three are
// other people's: they get a bounded input, and a panic of theirs is an error
// here. Everything else is refused with a sentence that names what it is.
//
// The package knows nothing of storage, names or telephony.
package audio
