package proxy

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
)

// MaxFrame is the greatest size of a frame in bytes. NATS refuses messages
// over 1 MiB by default; half of that leaves room for what it adds.
const MaxFrame = 512 << 10

// maxParts bounds the parts of one frame, so that a forged count allocates
// nothing.
const maxParts = 4096

// ErrFrame is wrapped by every error of decoding a frame.
var ErrFrame = errors.New("malformed frame")

// A frame on the wire is a sequence of length-prefixed byte strings, each
// length an unsigned varint: first the header as JSON, whose unknown fields
// are ignored so that two releases can talk; then the parts, which are opaque
// and never re-encoded (events, bodies, journal records).

// encodeFrame returns the frame of header and parts. It fails when the frame
// would be larger than [MaxFrame].
func encodeFrame(header any, parts ...[]byte) ([]byte, error) {
	h, err := marshalHeader(header)
	if err != nil {
		return nil, fmt.Errorf("encoding frame header: %w", err)
	}
	size := binary.MaxVarintLen32 + len(h)
	for _, p := range parts {
		size += binary.MaxVarintLen32 + len(p)
	}
	if size > MaxFrame {
		return nil, fmt.Errorf("a frame of %d bytes is larger than the %d allowed: %w", size, MaxFrame, ErrFrame)
	}
	if len(parts) > maxParts {
		return nil, fmt.Errorf("a frame of %d parts has more than the %d allowed: %w", len(parts), maxParts, ErrFrame)
	}
	out := make([]byte, 0, size)
	out = binary.AppendUvarint(out, uint64(len(h)))
	out = append(out, h...)
	for _, p := range parts {
		out = binary.AppendUvarint(out, uint64(len(p)))
		out = append(out, p...)
	}
	return out, nil
}

// decodeFrame decodes the header of data into header and returns the parts,
// which share memory with data.
func decodeFrame(data []byte, header any) ([][]byte, error) {
	if len(data) > MaxFrame {
		return nil, fmt.Errorf("%d bytes are more than the %d allowed: %w", len(data), MaxFrame, ErrFrame)
	}
	h, rest, err := cut(data)
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(h, header); err != nil {
		return nil, fmt.Errorf("frame header: %w: %w", ErrFrame, err)
	}
	var parts [][]byte
	for len(rest) > 0 {
		var p []byte
		if p, rest, err = cut(rest); err != nil {
			return nil, err
		}
		if len(parts) == maxParts {
			return nil, fmt.Errorf("more than %d parts: %w", maxParts, ErrFrame)
		}
		parts = append(parts, p)
	}
	return parts, nil
}

// cut splits the first length-prefixed byte string off data.
func cut(data []byte) (head, rest []byte, err error) {
	n, used := binary.Uvarint(data)
	if used <= 0 || n > uint64(len(data)-used) {
		return nil, nil, fmt.Errorf("a length reaches past the end: %w", ErrFrame)
	}
	end := used + int(n)
	return data[used:end:end], data[end:], nil
}
