package wav

import (
	"encoding/binary"
	"errors"
	"io"
	"math"
)

// Reader yields the samples of a file. It is for one goroutine.
type Reader struct {
	Header
	r    io.Reader
	read int64 // Bytes of samples so far.
	buf  []byte
}

// NewReader reads the header; see [ReadHeader] for the errors.
func NewReader(r io.Reader) (*Reader, error) {
	h, err := ReadHeader(r)
	if err != nil {
		return nil, err
	}
	return &Reader{Header: h, r: r}, nil
}

// Read fills p with samples from -1 to 1, the channels of one moment side by
// side, and returns how many it has written; len(p) must be a multiple of the
// number of channels. At the end it returns io.EOF; a file that is shorter than
// its header says is ErrFormat.
func (r *Reader) Read(p []float64) (int, error) {
	frame := r.FrameBytes()
	want := int64(len(p) / r.Channels * frame)
	if r.DataBytes >= 0 {
		want = min(want, r.DataBytes-r.read)
	}
	if want < int64(frame) {
		return 0, io.EOF // An incomplete last frame is dropped.
	}
	if int64(cap(r.buf)) < want {
		r.buf = make([]byte, want)
	}
	buf := r.buf[:want-want%int64(frame)]
	n, err := io.ReadFull(r.r, buf)
	r.read += int64(n)
	samples := r.decode(p, buf[:n-n%frame])
	switch {
	case err == nil:
		return samples, nil
	case !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF):
		return samples, cutShort(err, "")
	case r.DataBytes >= 0:
		return samples, formatError("it announces %d bytes of samples and ends after %d", r.DataBytes, r.read)
	case samples > 0:
		return samples, nil
	}
	return 0, io.EOF
}

// decode returns the number of samples.
func (r *Reader) decode(p []float64, b []byte) int {
	size := r.Bits / 8
	n := len(b) / size
	le := binary.LittleEndian
	for i := range n {
		s := b[i*size:]
		switch {
		case r.Encoding == ALaw:
			p[i] = float64(DecodeALaw(s[0])) / 32768
		case r.Encoding == ULaw:
			p[i] = float64(DecodeULaw(s[0])) / 32768
		case r.Encoding == Float && size == 4:
			p[i] = finite(float64(math.Float32frombits(le.Uint32(s))))
		case r.Encoding == Float:
			p[i] = finite(math.Float64frombits(le.Uint64(s)))
		case size == 1:
			p[i] = (float64(s[0]) - 128) / 128
		case size == 2:
			p[i] = float64(int16(le.Uint16(s))) / 32768
		case size == 3:
			p[i] = float64(int32(uint32(s[0])<<8|uint32(s[1])<<16|uint32(s[2])<<24)) / (1 << 31)
		default:
			p[i] = float64(int32(le.Uint32(s))) / (1 << 31)
		}
	}
	return n
}

// finite keeps a damaged sample from spoiling the sums of a filter.
func finite(x float64) float64 {
	if math.IsNaN(x) || math.IsInf(x, 0) {
		return 0
	}
	return max(-8, min(8, x))
}

// DecodeULaw expands a µ-law byte (ITU-T G.711) to 16 bits.
func DecodeULaw(b byte) int16 {
	b = ^b
	value := (int(b&0x0F)<<3 + 0x84) << (b >> 4 & 7)
	value -= 0x84
	if b&0x80 != 0 {
		value = -value
	}
	return int16(value)
}

// DecodeALaw expands an A-law byte (ITU-T G.711) to 16 bits.
func DecodeALaw(b byte) int16 {
	b ^= 0x55
	value := int(b&0x0F)<<4 + 8
	if exponent := b >> 4 & 7; exponent > 0 {
		value = (value + 0x100) << (exponent - 1)
	}
	if b&0x80 == 0 {
		value = -value
	}
	return int16(value)
}
