package proxy

import (
	"bytes"
	"errors"
	"reflect"
	"testing"
)

func TestFrameRoundTrip(t *testing.T) {
	type header struct{ A, B string }
	in := header{"one", "two\n"}
	parts := [][]byte{{}, []byte("raw \x00 bytes"), bytes.Repeat([]byte("x"), 70_000)}
	data, err := encodeFrame(in, parts...)
	if err != nil {
		t.Fatal(err)
	}
	var out header
	got, err := decodeFrame(data, &out)
	if err != nil || out != in || len(got) != len(parts) {
		t.Fatalf("%+v, %d parts, %v", out, len(got), err)
	}
	for i := range parts {
		if !bytes.Equal(parts[i], got[i]) {
			t.Errorf("part %d differs", i)
		}
	}
}

func TestFrameCarriesUnknownFields(t *testing.T) {
	data, err := encodeFrame(map[string]any{"s": "c", "t": "1.2", "from a later release": true}, nil, []byte("e"))
	if err != nil {
		t.Fatal(err)
	}
	var h assignHeader
	if _, err := decodeFrame(data, &h); err != nil || h.Session != "c" || h.Token != (Token{1, 2}) {
		t.Fatalf("%+v %v", h, err)
	}
}

func TestFrameLimits(t *testing.T) {
	if _, err := encodeFrame("", make([]byte, MaxFrame)); !errors.Is(err, ErrFrame) {
		t.Errorf("too large: %v", err)
	}
	if _, err := encodeFrame("", make([][]byte, maxParts+1)...); !errors.Is(err, ErrFrame) {
		t.Errorf("too many parts: %v", err)
	}
	many := append([]byte{2, '"', '"'}, make([]byte, maxParts+1)...)
	var s string
	if _, err := decodeFrame(many, &s); !errors.Is(err, ErrFrame) {
		t.Errorf("too many parts received: %v", err)
	}
}

func TestCommandRoundTrip(t *testing.T) {
	in := Command{
		ID: "0.play.1", Steps: []Step{ARI("POST", "/channels/c/answer", nil), Play(MediaArgs{ID: "c~1", Sounds: []string{"x"}})},
		Records: [][]byte{[]byte("r1"), []byte("r2")}, TTL: DefaultTTL, Final: true, Outcome: []byte("{}"),
	}
	data, err := encodeFrame(in.header("c", Token{1, 1}, 7), in.parts()...)
	if err != nil {
		t.Fatal(err)
	}
	var h commandHeader
	parts, err := decodeFrame(data, &h)
	if err != nil {
		t.Fatal(err)
	}
	out, err := h.command(parts)
	if err != nil {
		t.Fatal(err)
	}
	in.Steps[0].Body = []byte{}
	if !reflect.DeepEqual(in, out) {
		t.Fatalf("sent     %+v\nreceived %+v", in, out)
	}
}

func FuzzFrame(f *testing.F) {
	c := Command{ID: "x", Steps: []Step{ARI("GET", "/channels/c", []byte("{}"))}, Final: true, Outcome: []byte("{}")}
	data, err := encodeFrame(c.header("c", Token{1, 1}, 7), c.parts()...)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Add([]byte{})
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01})
	f.Fuzz(func(t *testing.T, data []byte) {
		var h commandHeader
		parts, err := decodeFrame(data, &h)
		if err != nil {
			if !errors.Is(err, ErrFrame) {
				t.Fatalf("%v is not ErrFrame", err)
			}
			return
		}
		c, err := h.command(parts)
		if err != nil {
			return
		}
		again, err := encodeFrame(c.header(h.Session, h.Token, h.Ack), c.parts()...)
		if err != nil {
			return // larger than when it came, by the escapes of JSON
		}
		var h2 commandHeader
		parts2, err := decodeFrame(again, &h2)
		if err != nil || len(parts2) != len(parts) || h2.Session != h.Session || h2.Token != h.Token {
			t.Fatalf("%+v became %+v: %v", h, h2, err)
		}
	})
}
