package session

import (
	"encoding/json"
	"strconv"
)

// codec writes the results of a verb into the journal and reads them. round
// makes of a result what a replay would get, so that both are the same.
type codec[R any] struct {
	put   func([]byte, R) []byte
	get   func(json.RawMessage) (R, error)
	round func(R) R
}

// none is the result of a verb that has none.
type none struct{}

func same[R any](r R) R { return r }

func decode[R any](raw json.RawMessage) (r R, err error) {
	err = json.Unmarshal(raw, &r)
	return r, err
}

var (
	noneCodec = &codec[none]{
		put:   func(b []byte, _ none) []byte { return b },
		get:   func(json.RawMessage) (none, error) { return none{}, nil },
		round: same[none],
	}
	textCodec = &codec[string]{
		put: func(b []byte, s string) []byte {
			if s == "" {
				return b
			}
			return appendQuoted(b, s)
		},
		get: decode[string], round: same[string],
	}
)

// hasher makes a short hash of a verb's arguments (FNV-1a, 32 bits).
type hasher struct {
	sum   uint32
	begun bool
}

func (h *hasher) text(s string) {
	h.number(int64(len(s)))
	for i := range len(s) {
		h.add(s[i])
	}
}

func (h *hasher) number(n int64) {
	for ; n > 127 || n < 0; n = int64(uint64(n) >> 7) {
		h.add(byte(n) | 128)
	}
	h.add(byte(n))
}

func (h *hasher) add(b byte) {
	if !h.begun {
		h.sum, h.begun = 2166136261, true
	}
	h.sum = (h.sum ^ uint32(b)) * 16777619
}

func (h *hasher) String() string { return strconv.FormatUint(uint64(h.sum), 36) }
