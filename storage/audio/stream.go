package audio

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/gopxl/beep/v2"
	"github.com/gopxl/beep/v2/flac"
	"github.com/gopxl/beep/v2/mp3"
	"github.com/gopxl/beep/v2/vorbis"

	"asterism/storage/audio/wav"
)

// What can be wrong with a file; the error that wraps one of these is a
// sentence for the person who gave it.
var (
	// ErrUnsupported says that the file is of a kind that is not read.
	ErrUnsupported = errors.New("this is not a sound file that can be played")
	// ErrBroken says that it is of a known kind, but damaged, cut short or empty.
	ErrBroken = errors.New("the sound file is damaged")
	// ErrTooLarge says that it exceeds the limits.
	ErrTooLarge = errors.New("the sound file is too large")
)

// Limits bound what is read. The zero value means the defaults.
type Limits struct {
	// Bytes of the file; 0 is 256 MiB.
	Bytes int64
	// Duration of the sound; 0 is one hour.
	Duration time.Duration
}

func (l Limits) withDefaults() Limits {
	if l.Bytes <= 0 {
		l.Bytes = 256 << 20
	}
	if l.Duration <= 0 {
		l.Duration = time.Hour
	}
	return l
}

// Format is what a file turned out to be.
type Format struct {
	Container  Container
	Encoding   string // Of WAV: PCM, A-law…; otherwise empty.
	SampleRate int    // In hertz.
	Channels   int
	Bits       int // Of WAV and FLAC; otherwise 0.
}

// Stream yields a file's sound as one channel. It is for one goroutine and
// needs no closing.
type Stream struct {
	Format Format

	decode func(p []float64) (int, error) // Mono; io.EOF at the end.
	source *source
	limits Limits
	frames int64
}

const (
	blockFrames   = 2048
	minSampleRate = 4000
	maxSampleRate = wav.MaxSampleRate
)

// Open finds out what r is and reads its header. Errors wrap ErrUnsupported,
// ErrBroken or ErrTooLarge, except those of r itself.
func Open(r io.Reader, limits Limits) (_ *Stream, err error) {
	s := &Stream{limits: limits.withDefaults()}
	s.source = &source{r: r, left: s.limits.Bytes, limit: s.limits.Bytes}
	buffered := bufio.NewReaderSize(s.source, 32<<10)
	head, err := buffered.Peek(sniffBytes)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, s.fault(err)
	}
	if s.Format.Container, err = sniff(head); err != nil {
		return nil, err
	}
	if s.Format.Container == WAV {
		err = s.openWAV(buffered)
	} else {
		err = s.openBeep(buffered)
	}
	if err != nil {
		return nil, s.fault(err)
	}
	if rate := s.Format.SampleRate; rate < minSampleRate || rate > maxSampleRate {
		return nil, fmt.Errorf("%w: its sample rate is %d Hz; expected %d to %d", ErrBroken, rate, minSampleRate, maxSampleRate)
	}
	return s, nil
}

func (s *Stream) openWAV(r io.Reader) error {
	reader, err := wav.NewReader(r)
	if err != nil {
		return err
	}
	s.Format.Encoding, s.Format.SampleRate = reader.Encoding.String(), reader.SampleRate
	s.Format.Channels, s.Format.Bits = reader.Channels, reader.Bits
	channels := reader.Channels
	buf := make([]float64, blockFrames*channels)
	s.decode = func(p []float64) (int, error) {
		n, err := reader.Read(buf[:min(len(p), blockFrames)*channels])
		n /= channels
		for i := range n {
			sum := 0.0
			for _, x := range buf[i*channels : (i+1)*channels] {
				sum += x
			}
			p[i] = sum / float64(channels)
		}
		return n, err
	}
	return nil
}

func (s *Stream) openBeep(r *bufio.Reader) (err error) {
	defer func() { err = caught(recover(), err) }()
	var streamer beep.StreamSeekCloser
	var format beep.Format
	body := io.NopCloser(r)
	switch s.Format.Container {
	case MP3:
		streamer, format, err = mp3.Decode(body)
	case FLAC:
		streamer, format, err = flac.Decode(body)
		s.Format.Bits = 8 * format.Precision
	case OggVorbis:
		streamer, format, err = vorbis.Decode(body)
	case WAV:
	}
	if err != nil {
		return err
	}
	s.Format.SampleRate, s.Format.Channels = int(format.SampleRate), format.NumChannels
	announced := 0
	if s.Format.Container == FLAC {
		announced = streamer.Len()
	}
	buf := make([][2]float64, blockFrames)
	s.decode = func(p []float64) (_ int, err error) {
		defer func() { err = caught(recover(), err) }()
		n, ok := streamer.Stream(buf[:min(len(p), blockFrames)])
		for i, frame := range buf[:n] {
			p[i] = (frame[0] + frame[1]) / 2
		}
		if ok && n > 0 {
			return n, nil
		}
		if err := streamer.Err(); err != nil {
			return 0, err
		}
		return 0, s.atEnd(r, announced)
	}
	return nil
}

// atEnd tells the end of a file from a decoder that has given up: those of MP3
// and Vorbis do so without an error.
func (s *Stream) atEnd(r *bufio.Reader, announced int) error {
	if announced > 0 && s.frames < int64(announced) {
		return fmt.Errorf("it announces %d samples and ends after %d", announced, s.frames)
	}
	// Tags and padding may follow the sound.
	const trailer = 256 << 10
	if n, err := io.CopyN(io.Discard, r, trailer); err == nil {
		return fmt.Errorf("it cannot be read beyond %v, and %d KiB or more follow", s.position().Round(time.Millisecond), n>>10)
	}
	return io.EOF
}

func (s *Stream) position() time.Duration {
	return time.Duration(float64(s.frames) / float64(s.Format.SampleRate) * float64(time.Second))
}

// Read fills p with samples from -1 to 1 and returns how many there are; at the
// end it returns io.EOF. The other errors are those of [Open].
func (s *Stream) Read(ctx context.Context, p []float64) (int, error) {
	if ctx.Err() != nil {
		return 0, context.Cause(ctx)
	}
	n, err := s.decode(p)
	s.frames += int64(n)
	if s.position() > s.limits.Duration {
		return 0, fmt.Errorf("%w: it is longer than %v", ErrTooLarge, s.limits.Duration)
	}
	if err == nil {
		return n, nil
	}
	if errors.Is(err, io.EOF) && s.source.err == nil {
		if s.frames == 0 {
			return 0, fmt.Errorf("%w: it is a %s file without any sound in it", ErrBroken, s.Format.Container)
		}
		return n, io.EOF
	}
	return 0, s.fault(err)
}

// fault says whose fault err is: the source's, the limit's or the file's.
func (s *Stream) fault(err error) error {
	switch {
	case s.source.err != nil:
		return s.source.err
	case errors.Is(err, ErrBroken), errors.Is(err, ErrUnsupported), errors.Is(err, ErrTooLarge):
		return err
	}
	return fmt.Errorf("%w: as %s it cannot be read: %w", ErrBroken, s.Format.Container, err)
}

// caught turns a panic of a decoder into an error.
func caught(panicked any, err error) error {
	if panicked == nil {
		return err
	}
	return fmt.Errorf("%w: its decoder failed: %v", ErrBroken, panicked)
}

// source bounds the input and remembers its error, which decoders may swallow.
type source struct {
	r           io.Reader
	left, limit int64
	err         error
}

func (s *source) Read(p []byte) (int, error) {
	if s.err != nil {
		return 0, s.err
	}
	// One byte more than allowed is asked for, to tell "too large" from "just".
	n, err := s.r.Read(p[:min(int64(len(p)), s.left+1)])
	if s.left -= int64(n); s.left < 0 {
		s.err = fmt.Errorf("%w: it has more than %d MiB", ErrTooLarge, s.limit>>20)
		return 0, s.err
	}
	if err != nil && !errors.Is(err, io.EOF) {
		s.err = err
	}
	return n, err
}
