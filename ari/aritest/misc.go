package aritest

import (
	"crypto/rand"
	"encoding/hex"
)

// newUUID returns a random id in the form Asterisk makes when none is given.
func newUUID() string {
	var raw [16]byte
	_, _ = rand.Read(raw[:])
	raw[6], raw[8] = raw[6]&0x0f|0x40, raw[8]&0x3f|0x80
	b := make([]byte, 0, 36)
	for i, cut := range [...][2]int{{0, 4}, {4, 6}, {6, 8}, {8, 10}, {10, 16}} {
		if i > 0 {
			b = append(b, '-')
		}
		b = hex.AppendEncode(b, raw[cut[0]:cut[1]])
	}
	return string(b)
}
