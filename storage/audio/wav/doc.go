// Package wav reads and writes RIFF WAVE files as telephony uses them: PCM of
// 8 to 32 bits, floating point, A-law and µ-law, any number of channels; 16-bit
// mono when writing.
//
// It streams and knows nothing of where the bytes come from or go to. Source:
// "Multimedia Programming Interface and Data Specifications 1.0" (IBM,
// Microsoft, 1991) and the WAVEFORMATEXTENSIBLE page of Microsoft; A-law and
// µ-law are ITU-T G.711.
package wav
