// Package hear compares audio: whether a recording contains a sound, where, and how much like it.
//
// All audio is 16-bit samples of one channel. [Correlate] answers "was this prompt heard?" with one figure that noise,
// G.711 and resampling leave near 1 and that missing, garbled or wrong sound pulls down. [Sequence] answers "were these
// heard one after the other, and with what pause?". [Tone] and [Sounds] look for signals and for silence. [Sample] makes
// speech-like test sounds, so that tests need no recordings, and [ReadWAV], [WriteWAV] and [Resample] bring files to the
// rate of a telephone.
//
// The package knows nothing of SIP, RTP or files' names.
package hear
