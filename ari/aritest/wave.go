package aritest

import (
	"encoding/binary"
	"math"
	"time"
)

const (
	wavHeader = 44
	voice     = 440.0 // Hz, what a speaking caller sounds like
	loudness  = 8000  // of 32767
)

// samples makes d of sound that begins at from: a tone where someone spoke, silence elsewhere.
func (f format) samples(d time.Duration, from time.Time, loud []span) []byte {
	n := int(d * time.Duration(f.rate) / time.Second)
	out := make([]byte, n*f.width)
	if f.width == 1 {
		for i := range out {
			out[i] = 0xff // silence in G.711 µ-law
		}
	}
	for _, sp := range loud {
		first := max(0, int(sp.from.Sub(from)*time.Duration(f.rate)/time.Second))
		last := min(n, int(sp.until.Sub(from)*time.Duration(f.rate)/time.Second))
		for i := first; i < last; i++ {
			v := math.Sin(2 * math.Pi * voice * float64(i) / float64(f.rate))
			if f.width == 1 {
				out[i] = 0x9f ^ byte(math.Float64bits(v)>>56&0x80)
				continue
			}
			binary.LittleEndian.PutUint16(out[2*i:], uint16(int16(v*loudness)))
		}
	}
	return out
}

// body strips the header.
func (f format) body(file []byte) []byte {
	if f.riff && len(file) >= wavHeader {
		return file[wavHeader:]
	}
	return file
}

// file puts the header before the samples. Without a size the header says 0 bytes, as after a SIGKILL of Asterisk.
func (f format) file(samples []byte, sized bool) []byte {
	if !f.riff {
		return samples
	}
	size := 0
	if sized {
		size = len(samples)
	}
	le := binary.LittleEndian
	b := make([]byte, 0, wavHeader+len(samples))
	b = append(b, "RIFF"...)
	b = le.AppendUint32(b, uint32(size+wavHeader-8)) //nolint:gosec // recordings of tests are far below 4 GiB
	b = append(b, "WAVEfmt "...)
	b = le.AppendUint32(b, 16)
	b = le.AppendUint16(b, 1)                      // PCM
	b = le.AppendUint16(b, 1)                      // mono
	b = le.AppendUint32(b, uint32(f.rate))         //nolint:gosec // 8000 or 16000
	b = le.AppendUint32(b, uint32(f.rate*f.width)) //nolint:gosec // likewise
	b = le.AppendUint16(b, uint16(f.width))        //nolint:gosec // 2
	b = le.AppendUint16(b, uint16(8*f.width))      //nolint:gosec // 16
	b = append(b, "data"...)
	b = le.AppendUint32(b, uint32(size)) //nolint:gosec // as above
	return append(b, samples...)
}
