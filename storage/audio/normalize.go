package audio

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"asterism/storage/audio/wav"
)

// Output is one file to write.
type Output struct {
	Rate int // In hertz.
	W    io.WriteSeeker
}

// WriteWAV reads the stream to its end and writes it as 16-bit mono WAV to all
// outputs at once. It returns the duration of the sound. Errors of the outputs
// are returned as they are, the others are those of [Open].
func (s *Stream) WriteWAV(ctx context.Context, outputs ...Output) (time.Duration, error) {
	resamplers := make([]*resampler, len(outputs))
	writers := make([]*wav.Writer, len(outputs))
	for i, o := range outputs {
		w, err := wav.NewWriter(o.W, o.Rate)
		if err != nil {
			return 0, err
		}
		writers[i], resamplers[i] = w, newResampler(s.Format.SampleRate, o.Rate, w.Write)
	}
	block := make([]float64, blockFrames)
	for {
		n, err := s.Read(ctx, block)
		for _, r := range resamplers {
			if err := r.write(block[:n]); err != nil {
				return 0, err
			}
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return 0, err
		}
	}
	for i := range outputs {
		if err := errors.Join(resamplers[i].flush(), writers[i].Close()); err != nil {
			return 0, err
		}
	}
	return s.position(), nil
}

// StoredRate is the rate at which a sound of the given rate is kept: 8 kHz
// where the source has no more than that, otherwise 16 kHz.
func StoredRate(source int) int {
	if source <= Narrow {
		return Narrow
	}
	return Wide
}

// The two rates that telephones have, in hertz.
const (
	Narrow = 8000
	Wide   = 16000
)

// Normalize reads any accepted sound file and writes it as 16-bit mono WAV at
// [StoredRate]. It says what the file was and how long it lasts.
func Normalize(ctx context.Context, w io.WriteSeeker, r io.Reader, limits Limits) (Format, time.Duration, error) {
	s, err := Open(r, limits)
	if err != nil {
		return Format{}, 0, fmt.Errorf("read sound: %w", err)
	}
	duration, err := s.WriteWAV(ctx, Output{Rate: StoredRate(s.Format.SampleRate), W: w})
	if err != nil {
		return s.Format, 0, fmt.Errorf("convert sound: %w", err)
	}
	return s.Format, duration, nil
}
