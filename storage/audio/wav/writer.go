package wav

import (
	"encoding/binary"
	"fmt"
	"io"
	"math"
)

// AppendHeader appends the header of a 16-bit mono file with dataBytes bytes of
// samples at rate hertz.
func AppendHeader(b []byte, rate int, dataBytes int64) []byte {
	size := uint32(min(dataBytes, math.MaxUint32-HeaderBytes))
	le := binary.LittleEndian
	b = append(b, "RIFF"...)
	b = le.AppendUint32(b, size+HeaderBytes-8)
	b = append(b, "WAVEfmt "...)
	b = le.AppendUint32(b, 16)
	b = le.AppendUint16(b, uint16(PCM))
	b = le.AppendUint16(b, 1)
	b = le.AppendUint32(b, uint32(rate))
	b = le.AppendUint32(b, uint32(rate)*2)
	b = le.AppendUint16(b, 2)
	b = le.AppendUint16(b, 16)
	b = append(b, "data"...)
	return le.AppendUint32(b, size)
}

// Writer writes a 16-bit mono file. It is for one goroutine.
type Writer struct {
	w       io.WriteSeeker
	rate    int
	samples int64
	buf     []byte
	err     error
}

// NewWriter writes a header that [Writer.Close] completes; without Close the
// file says that it is empty.
func NewWriter(w io.WriteSeeker, rate int) (*Writer, error) {
	if rate < minSampleRate || rate > MaxSampleRate {
		return nil, fmt.Errorf("write WAV file: sample rate %d is not from %d to %d", rate, minSampleRate, MaxSampleRate)
	}
	if _, err := w.Write(AppendHeader(nil, rate, 0)); err != nil {
		return nil, fmt.Errorf("write WAV file: %w", err)
	}
	return &Writer{w: w, rate: rate}, nil
}

// Write appends samples.
func (w *Writer) Write(samples []int16) error {
	if w.err != nil {
		return w.err
	}
	w.buf = w.buf[:0]
	for _, s := range samples {
		w.buf = binary.LittleEndian.AppendUint16(w.buf, uint16(s))
	}
	if _, err := w.w.Write(w.buf); err != nil {
		w.err = fmt.Errorf("write WAV file: %w", err)
		return w.err
	}
	w.samples += int64(len(samples))
	return nil
}

// Samples is how many have been written.
func (w *Writer) Samples() int64 { return w.samples }

// Close writes the length into the header. It does not close what it writes to.
func (w *Writer) Close() error {
	if w.err != nil {
		return w.err
	}
	if _, err := w.w.Seek(0, io.SeekStart); err != nil {
		return fmt.Errorf("write WAV file: %w", err)
	}
	if _, err := w.w.Write(AppendHeader(nil, w.rate, 2*w.samples)); err != nil {
		return fmt.Errorf("write WAV file: %w", err)
	}
	if _, err := w.w.Seek(0, io.SeekEnd); err != nil {
		return fmt.Errorf("write WAV file: %w", err)
	}
	return nil
}
