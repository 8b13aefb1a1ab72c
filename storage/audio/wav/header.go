package wav

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"time"
)

// ErrFormat says that the bytes are not a WAV file that this package reads, or
// are damaged. The error that wraps it says in one sentence what is wrong.
var ErrFormat = errors.New("not a readable WAV file")

// Encoding is how one sample is stored.
type Encoding uint16

// The encodings that are read; the values are those of the format chunk.
const (
	PCM   Encoding = 1
	Float Encoding = 3
	ALaw  Encoding = 6
	ULaw  Encoding = 7

	extensible Encoding = 0xFFFE
)

// String names the encoding for people.
func (e Encoding) String() string {
	switch e {
	case PCM:
		return "PCM"
	case Float:
		return "floating point"
	case ALaw:
		return "A-law"
	case ULaw:
		return "µ-law"
	case extensible:
		return "extensible"
	}
	return fmt.Sprintf("encoding 0x%04x", uint16(e))
}

const (
	// HeaderBytes is the length of the header that [Writer] writes.
	HeaderBytes = 44
	// maxSkip bounds the chunks before the samples: pictures and cue lists.
	maxSkip = 16 << 20
	// MaxChannels is the most that is read.
	MaxChannels = 32
	// MaxSampleRate is the most that is read, in hertz.
	MaxSampleRate = 384_000
	minSampleRate = 1000
	// unknownLength and above is what programs write that cannot seek back.
	unknownLength = 0x7FFF_0000
)

// Header describes the samples of a file.
type Header struct {
	Encoding   Encoding
	Channels   int
	SampleRate int // In hertz.
	Bits       int // Of one sample of one channel.
	// DataBytes is the length of the samples, or -1 when the header does not
	// say and they reach to the end of the file.
	DataBytes int64
}

// FrameBytes is the length of one sample of all channels.
func (h Header) FrameBytes() int { return h.Channels * h.Bits / 8 }

// Duration of the samples; 0 when DataBytes is -1.
func (h Header) Duration() time.Duration {
	if h.DataBytes < 0 || h.SampleRate <= 0 || h.FrameBytes() <= 0 {
		return 0
	}
	return time.Duration(float64(h.DataBytes) / float64(h.FrameBytes()*h.SampleRate) * float64(time.Second))
}

// ReadHeader reads up to the first byte of the samples. Errors wrap ErrFormat,
// except those of r itself.
func ReadHeader(r io.Reader) (Header, error) {
	var riff [12]byte
	if err := readFull(r, riff[:], "its first 12 bytes"); err != nil {
		return Header{}, err
	}
	switch id := string(riff[:4]); {
	case id == "RIFX" || id == "RF64":
		return Header{}, formatError("it is of the kind %s; only RIFF is read", id)
	case id != "RIFF" || string(riff[8:]) != "WAVE":
		return Header{}, formatError("it does not begin with RIFF and WAVE")
	}
	var h Header
	for skipped := int64(0); ; {
		var chunk [8]byte
		if err := readFull(r, chunk[:], "the chunks before its samples"); err != nil {
			return Header{}, err
		}
		size := int64(binary.LittleEndian.Uint32(chunk[4:]))
		switch id := string(chunk[:4]); id {
		case "fmt ":
			if err := h.readFormat(r, size); err != nil {
				return Header{}, err
			}
		case "data":
			if h.Channels == 0 {
				return Header{}, formatError("the samples come before their format")
			}
			h.DataBytes = size
			if size >= unknownLength {
				h.DataBytes = -1
			}
			return h, nil
		default:
			size += size & 1 // Chunks are padded to even lengths.
			if skipped += size; skipped > maxSkip {
				return Header{}, formatError("more than %d bytes come before the samples", maxSkip)
			}
			if _, err := io.CopyN(io.Discard, r, size); err != nil {
				return Header{}, cutShort(err, fmt.Sprintf("its chunk %q", id))
			}
		}
	}
}

func (h *Header) readFormat(r io.Reader, size int64) error {
	if size < 16 || size > 4096 {
		return formatError("its format chunk has %d bytes; expected 16 to 40", size)
	}
	chunk := make([]byte, size+size&1)
	if err := readFull(r, chunk, "its format chunk"); err != nil {
		return err
	}
	le := binary.LittleEndian
	h.Encoding = Encoding(le.Uint16(chunk))
	h.Channels = int(le.Uint16(chunk[2:]))
	rate, block := le.Uint32(chunk[4:]), int(le.Uint16(chunk[12:]))
	h.Bits = int(le.Uint16(chunk[14:]))
	if h.Encoding == extensible {
		if size < 40 {
			return formatError("its extensible format chunk has %d bytes; expected 40", size)
		}
		h.Encoding = Encoding(le.Uint16(chunk[24:])) // The sub-format's first two bytes.
	}
	switch {
	case h.Channels < 1 || h.Channels > MaxChannels:
		return formatError("it has %d channels; expected 1 to %d", h.Channels, MaxChannels)
	case rate < minSampleRate || rate > MaxSampleRate:
		return formatError("its sample rate is %d Hz; expected %d to %d", rate, minSampleRate, MaxSampleRate)
	case !h.known():
		return formatError("its samples are %s of %d bits; expected PCM of 8, 16, 24 or 32, floating point of 32 or 64, A-law or µ-law", h.Encoding, h.Bits)
	case block != h.FrameBytes():
		return formatError("its blocks have %d bytes, but %d channels of %d bits make %d", block, h.Channels, h.Bits, h.FrameBytes())
	}
	h.SampleRate = int(rate)
	return nil
}

func (h *Header) known() bool {
	switch h.Encoding {
	case PCM:
		return h.Bits == 8 || h.Bits == 16 || h.Bits == 24 || h.Bits == 32
	case Float:
		return h.Bits == 32 || h.Bits == 64
	case ALaw, ULaw:
		return h.Bits == 8
	case extensible: // Replaced by its sub-format before.
	}
	return false
}

func formatError(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrFormat, fmt.Sprintf(format, args...))
}

func readFull(r io.Reader, p []byte, what string) error {
	if _, err := io.ReadFull(r, p); err != nil {
		return cutShort(err, what)
	}
	return nil
}

// cutShort tells the end of the file from a failing reader.
func cutShort(err error, what string) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return formatError("it ends within %s", what)
	}
	return fmt.Errorf("read WAV file: %w", err)
}
