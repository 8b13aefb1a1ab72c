package phone

import (
	"fmt"
	"strings"
)

// Codec is an audio codec of the phone, by its name in RFC 3551.
type Codec string

// The codecs that the phone speaks, both at 8 kHz.
const (
	PCMU Codec = "PCMU"
	PCMA Codec = "PCMA"
)

// sampleRate is the rate of all audio in the package, in Hz.
const sampleRate = 8000

// ParseCodec reads a codec's name: PCMU (also ulaw, mulaw) or PCMA (also alaw), in any case.
func ParseCodec(name string) (Codec, error) {
	switch strings.ToLower(name) {
	case "pcmu", "ulaw", "mulaw":
		return PCMU, nil
	case "pcma", "alaw":
		return PCMA, nil
	}
	return "", fmt.Errorf("codec %q is not known: expected PCMU (ulaw) or PCMA (alaw)", name)
}

// payloadType is the codec's static RTP payload type (RFC 3551, table 4).
func (c Codec) payloadType() uint8 {
	if c == PCMA {
		return 8
	}
	return 0
}

// codecOf returns the codec of a static payload type.
func codecOf(payloadType uint8) (Codec, bool) {
	switch payloadType {
	case 0:
		return PCMU, true
	case 8:
		return PCMA, true
	}
	return "", false
}

// decoder and encoder tables: expanding is a look-up of 256 entries, and compressing one of the 65,536 possible samples,
// so that fifty phones cost next to nothing.
var (
	ulawToLinear = expand(ulawDecode)
	alawToLinear = expand(alawDecode)
	linearToUlaw = compress(ulawEncode)
	linearToAlaw = compress(alawEncode)
)

func expand(decode func(byte) int16) *[256]int16 {
	var table [256]int16
	for i := range table {
		table[i] = decode(byte(i))
	}
	return &table
}

func compress(encode func(int16) byte) *[65536]byte {
	var table [65536]byte
	for i := range table {
		table[i] = encode(int16(uint16(i)))
	}
	return &table
}

// tables returns the look-up tables of a codec.
func (c Codec) tables() (toLinear *[256]int16, fromLinear *[65536]byte) {
	if c == PCMA {
		return alawToLinear, linearToAlaw
	}
	return ulawToLinear, linearToUlaw
}

const ulawBias = 0x84

// ulawDecode expands one byte of µ-law (ITU-T G.711).
func ulawDecode(b byte) int16 {
	b = ^b
	exponent := int(b>>4) & 7
	magnitude := (int(b&0x0f)<<3+ulawBias)<<exponent - ulawBias
	if b&0x80 != 0 {
		return int16(-magnitude)
	}
	return int16(magnitude)
}

// ulawEncode compresses one sample to µ-law (ITU-T G.711).
func ulawEncode(sample int16) byte {
	magnitude, sign := int(sample), byte(0)
	if magnitude < 0 {
		magnitude, sign = -magnitude, 0x80
	}
	magnitude = min(magnitude, 32635) + ulawBias
	exponent := 7
	for mask := 0x4000; magnitude&mask == 0 && exponent > 0; mask >>= 1 {
		exponent--
	}
	mantissa := byte(magnitude>>(exponent+3)) & 0x0f
	return ^(sign | byte(exponent)<<4 | mantissa)
}

// alawDecode expands one byte of A-law (ITU-T G.711).
func alawDecode(b byte) int16 {
	b ^= 0x55
	exponent := int(b>>4) & 7
	magnitude := int(b&0x0f)<<4 + 8
	if exponent > 0 {
		magnitude = (magnitude + 0x100) << (exponent - 1)
	}
	if b&0x80 == 0 {
		return int16(-magnitude)
	}
	return int16(magnitude)
}

// alawEncode compresses one sample to A-law (ITU-T G.711).
func alawEncode(sample int16) byte {
	magnitude, sign := int(sample), byte(0x80)
	if magnitude < 0 {
		magnitude, sign = -magnitude-1, 0
	}
	var code byte
	if magnitude < 256 {
		code = byte(magnitude >> 4)
	} else {
		exponent := 7
		for mask := 0x4000; magnitude&mask == 0 && exponent > 1; mask >>= 1 {
			exponent--
		}
		code = byte(exponent)<<4 | byte(magnitude>>(exponent+3))&0x0f
	}
	return (sign | code) ^ 0x55
}

// Through is what is left of 16-bit samples at 8 kHz that have passed through the codec. A prompt made of it arrives sample
// for sample, since what the codec delivers once it delivers again unchanged.
func (c Codec) Through(pcm []int16) []int16 {
	toLinear, fromLinear := c.tables()
	out := make([]int16, len(pcm))
	for i, s := range pcm {
		out[i] = toLinear[fromLinear[uint16(s)]]
	}
	return out
}
