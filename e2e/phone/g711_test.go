package phone

import (
	"math"
	"slices"
	"testing"
)

func TestG711KnownCodes(t *testing.T) {
	tests := []struct {
		codec  Codec
		code   byte
		linear int16
	}{
		{PCMU, 0xff, 0},
		{PCMU, 0x80, 32124},
		{PCMU, 0x00, -32124},
		{PCMU, 0xf0, 120},
		{PCMU, 0x70, -120},
		{PCMA, 0xd5, 8},
		{PCMA, 0x55, -8},
		{PCMA, 0xaa, 32256},
		{PCMA, 0x2a, -32256},
	}
	for _, test := range tests {
		toLinear, fromLinear := test.codec.tables()
		if got := toLinear[test.code]; got != test.linear {
			t.Errorf("%s %#02x is %d, want %d", test.codec, test.code, got, test.linear)
		}
		if got := fromLinear[uint16(test.linear)]; got != test.code {
			t.Errorf("%s of %d is %#02x, want %#02x", test.codec, test.linear, got, test.code)
		}
	}
}

func TestG711KeepsWhatItCan(t *testing.T) {
	for _, codec := range []Codec{PCMU, PCMA} {
		toLinear, fromLinear := codec.tables()
		for code := range 256 {
			linear := toLinear[code]
			again := fromLinear[uint16(linear)]
			if int(again) != code && linear != 0 {
				t.Errorf("%s %#02x becomes %#02x", codec, code, again)
			}
		}
		for sample := math.MinInt16; sample <= math.MaxInt16; sample++ {
			got := int(toLinear[fromLinear[uint16(int16(sample))]])
			if off := math.Abs(float64(got - sample)); off > 16+math.Abs(float64(sample))/24 {
				t.Fatalf("%s makes %d of %d", codec, got, sample)
			}
		}
	}
}

func TestParseCodec(t *testing.T) {
	for name, want := range map[string]Codec{"PCMU": PCMU, "ulaw": PCMU, "pcma": PCMA, "ALaw": PCMA, "g729": "", "": ""} {
		got, err := ParseCodec(name)
		if got != want || (err == nil) != (want != "") {
			t.Errorf("%q is %q, %v", name, got, err)
		}
	}
}

func TestThrough(t *testing.T) {
	for _, codec := range []Codec{PCMU, PCMA} {
		all := make([]int16, 1<<16)
		for i := range all {
			all[i] = int16(i - 1<<15)
		}
		once := codec.Through(all)
		if twice := codec.Through(once); !slices.Equal(once, twice) {
			t.Errorf("%s: the second time changes what the first has left", codec)
		}
		for i, s := range once {
			if d := int(s) - int(all[i]); max(d, -d) > 1024+int(float64(max(int(all[i]), -int(all[i])))/16) {
				t.Fatalf("%s: %d became %d", codec, all[i], s)
			}
		}
	}
}
