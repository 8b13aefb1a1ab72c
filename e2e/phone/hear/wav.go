package hear

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
)

// Audio is sound as a file holds it: the samples of all channels, interleaved.
type Audio struct {
	Rate     int // Hz.
	Channels int
	Samples  []int16
}

// ErrNotWAV says that a file is not a RIFF/WAVE file.
var ErrNotWAV = errors.New("not a WAV file")

// maxWAV bounds what is read into memory; it is more than three hours of telephone audio.
const maxWAV = 256 << 20

// At is the sound as one channel at the rate given, in Hz.
func (a Audio) At(rate int) []int16 { return Resample(Downmix(a.Samples, a.Channels), a.Rate, rate) }

// Downmix averages the channels of interleaved samples.
func Downmix(samples []int16, channels int) []int16 {
	if channels <= 1 {
		return samples
	}
	mono := make([]int16, len(samples)/channels)
	for i := range mono {
		sum := 0
		for _, s := range samples[i*channels : (i+1)*channels] {
			sum += int(s)
		}
		mono[i] = int16(sum / channels)
	}
	return mono
}

const (
	formatPCM        = 1
	formatFloat      = 3
	formatExtensible = 0xfffe
)

type wavFormat struct {
	tag      uint16
	channels int
	rate     int
	bits     int
}

// ReadWAV reads PCM of 8, 16, 24 or 32 bits, or 32-bit floats, with any number of channels up to 8. A data chunk whose
// length says more than there is, or nothing at all as a recorder that died leaves it, is read to the end of the file.
func ReadWAV(r io.Reader) (Audio, error) {
	file, err := io.ReadAll(io.LimitReader(r, maxWAV+1))
	if err != nil {
		return Audio{}, fmt.Errorf("reading a WAV file: %w", err)
	}
	if len(file) > maxWAV {
		return Audio{}, fmt.Errorf("reading a WAV file: it is larger than %d MiB", maxWAV>>20)
	}
	if len(file) < 12 || string(file[:4]) != "RIFF" || string(file[8:12]) != "WAVE" {
		return Audio{}, ErrNotWAV
	}
	var format *wavFormat
	for rest := file[12:]; len(rest) >= 8; {
		id, size := string(rest[:4]), int(binary.LittleEndian.Uint32(rest[4:]))
		rest = rest[8:]
		body := rest[:min(size, len(rest))]
		switch id {
		case "fmt ":
			if format, err = readFormat(body); err != nil {
				return Audio{}, err
			}
		case "data":
			if format == nil {
				return Audio{}, fmt.Errorf("%w: its data come before their format", ErrNotWAV)
			}
			if size == 0 {
				body = rest
			}
			return Audio{Rate: format.rate, Channels: format.channels, Samples: format.samples(body)}, nil
		}
		rest = rest[min(size+size%2, len(rest)):]
	}
	return Audio{}, fmt.Errorf("%w: it has no data", ErrNotWAV)
}

func readFormat(b []byte) (*wavFormat, error) {
	if len(b) < 16 {
		return nil, fmt.Errorf("%w: its format chunk is cut off", ErrNotWAV)
	}
	f := &wavFormat{
		tag:      binary.LittleEndian.Uint16(b),
		channels: int(binary.LittleEndian.Uint16(b[2:])),
		rate:     int(binary.LittleEndian.Uint32(b[4:])),
		bits:     int(binary.LittleEndian.Uint16(b[14:])),
	}
	if f.tag == formatExtensible && len(b) >= 26 {
		f.tag = binary.LittleEndian.Uint16(b[24:])
	}
	pcm := f.tag == formatPCM && (f.bits == 8 || f.bits == 16 || f.bits == 24 || f.bits == 32)
	if !pcm && (f.tag != formatFloat || f.bits != 32) {
		return nil, fmt.Errorf("the WAV file has format %d with %d bits: expected PCM of 8, 16, 24 or 32 bits or 32-bit floats", f.tag, f.bits)
	}
	if f.channels < 1 || f.channels > 8 || f.rate < 1000 || f.rate > 384_000 {
		return nil, fmt.Errorf("the WAV file has %d channels at %d Hz: expected 1 to 8 channels at 1 to 384 kHz", f.channels, f.rate)
	}
	return f, nil
}

// samples converts the data; a last frame that is cut off is dropped.
func (f *wavFormat) samples(b []byte) []int16 {
	width := f.bits / 8
	n := len(b) / (width * f.channels) * f.channels
	out := make([]int16, n)
	for i := range out {
		s := b[i*width : (i+1)*width]
		switch {
		case width == 1:
			out[i] = int16(int(s[0])-128) << 8
		case f.tag == formatFloat:
			out[i] = clip(float64(math.Float32frombits(binary.LittleEndian.Uint32(s))) * 32768)
		default: // The two highest bytes are the sample.
			out[i] = int16(binary.LittleEndian.Uint16(s[width-2:]))
		}
	}
	return out
}

func clip(v float64) int16 {
	if math.IsNaN(v) {
		return 0
	}
	return int16(math.Round(max(-32768, min(32767, v))))
}

// WriteWAV writes samples of one channel as 16-bit PCM.
func WriteWAV(w io.Writer, pcm []int16, rate int) error {
	var b bytes.Buffer
	b.Grow(44 + 2*len(pcm))
	le := binary.LittleEndian
	header := make([]byte, 44)
	copy(header, "RIFF\x00\x00\x00\x00WAVEfmt \x10\x00\x00\x00\x01\x00\x01\x00")
	le.PutUint32(header[4:], uint32(36+2*len(pcm)))
	le.PutUint32(header[24:], uint32(rate))
	le.PutUint32(header[28:], uint32(2*rate))
	le.PutUint16(header[32:], 2)
	le.PutUint16(header[34:], 16)
	copy(header[36:], "data")
	le.PutUint32(header[40:], uint32(2*len(pcm)))
	b.Write(header)
	for _, s := range pcm {
		b.WriteByte(byte(s))
		b.WriteByte(byte(s >> 8))
	}
	if _, err := w.Write(b.Bytes()); err != nil {
		return fmt.Errorf("writing a WAV file: %w", err)
	}
	return nil
}
