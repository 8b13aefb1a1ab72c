package session

import (
	"crypto/rand"
	"encoding/binary"
	"time"
)

// newULID returns an id of 26 characters (github.com/ulid/spec): 48 bits of
// time in milliseconds and 80 of randomness, in Crockford's base 32.
func newULID(now time.Time) string {
	const digits = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
	var raw [16]byte
	_, _ = rand.Read(raw[6:]) // it never fails
	hi := uint64(now.UnixMilli())<<16 | uint64(binary.BigEndian.Uint16(raw[6:8]))
	lo := binary.BigEndian.Uint64(raw[8:])
	var out [26]byte
	for i := len(out) - 1; i >= 0; i-- {
		out[i] = digits[lo&31]
		lo = lo>>5 | hi<<59
		hi >>= 5
	}
	return string(out[:])
}
