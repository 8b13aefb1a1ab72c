package wav_test

import (
	"bytes"
	"errors"
	"io"
	"math"
	"os"
	"path/filepath"
	"testing"
	"testing/iotest"
	"time"

	"asterism/storage/audio/wav"
)

func TestRoundTrip(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.wav")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	w, err := wav.NewWriter(f, 16000)
	if err != nil {
		t.Fatal(err)
	}
	samples := []int16{0, 1, -1, 32767, -32768, 12345}
	for range 2 {
		if err := w.Write(samples[:3]); err != nil {
			t.Fatal(err)
		}
		if err := w.Write(samples[3:]); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(w.Close(), f.Close()); err != nil || w.Samples() != 12 {
		t.Fatal(err, w.Samples())
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	r, err := wav.NewReader(iotest.OneByteReader(bytes.NewReader(data)))
	if err != nil {
		t.Fatal(err)
	}
	want := wav.Header{Encoding: wav.PCM, Channels: 1, SampleRate: 16000, Bits: 16, DataBytes: 24}
	if r.Header != want || r.Duration() != 750*time.Microsecond {
		t.Errorf("header %+v (%v), want %+v", r.Header, r.Duration(), want)
	}
	got := make([]float64, 5)
	var all []float64
	for {
		n, err := r.Read(got)
		all = append(all, got[:n]...)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	for i, x := range all {
		if int16(x*32768) != samples[i%6] {
			t.Errorf("sample %d is %v, want %d", i, x*32768, samples[i%6])
		}
	}
	if len(all) != 12 {
		t.Errorf("read %d samples", len(all))
	}
}

// TestG711 checks the values of ITU-T G.711, tables 1a to 2b, scaled to 16 bits.
func TestG711(t *testing.T) {
	for b, want := range map[byte]int16{0x00: -32124, 0x80: 32124, 0xFF: 0, 0x7F: 0, 0xF0: 120, 0x70: -120, 0x8F: 16764} {
		if got := wav.DecodeULaw(b); got != want {
			t.Errorf("µ-law %#x is %d, want %d", b, got, want)
		}
	}
	for b, want := range map[byte]int16{0x55: -8, 0xD5: 8, 0x2A: -32256, 0xAA: 32256, 0x5A: -248, 0xC5: 264} {
		if got := wav.DecodeALaw(b); got != want {
			t.Errorf("A-law %#x is %d, want %d", b, got, want)
		}
	}
}

func TestUnknownLength(t *testing.T) {
	data := wav.AppendHeader(nil, 8000, math.MaxInt64)
	data = append(data, 1, 2, 3, 4, 5)
	r, err := wav.NewReader(bytes.NewReader(data))
	if err != nil || r.DataBytes != -1 {
		t.Fatalf("%+v, %v", r, err)
	}
	p := make([]float64, 10)
	if n, err := r.Read(p); n != 2 || err != nil {
		t.Errorf("read %d, %v", n, err)
	}
	if n, err := r.Read(p); n != 0 || !errors.Is(err, io.EOF) {
		t.Errorf("at the end: %d, %v", n, err)
	}
}

func TestChunksBeforeSamples(t *testing.T) {
	whole := wav.AppendHeader(nil, 8000, 2)
	data := append(append(bytes.Clone(whole[:12]), "LIST\x03\x00\x00\x00abc\x00"...), whole[12:]...)
	h, err := wav.ReadHeader(bytes.NewReader(data))
	if err != nil || h.DataBytes != 2 {
		t.Errorf("%+v, %v", h, err)
	}
	broken := errors.New("broken")
	for i := range data {
		if _, err := wav.ReadHeader(bytes.NewReader(data[:i])); !errors.Is(err, wav.ErrFormat) {
			t.Errorf("cut after %d bytes: %v", i, err)
		}
		_, err := wav.ReadHeader(io.MultiReader(bytes.NewReader(data[:i]), iotest.ErrReader(broken)))
		if !errors.Is(err, broken) || errors.Is(err, wav.ErrFormat) {
			t.Errorf("reader fails after %d bytes: %v", i, err)
		}
	}
	for name, bad := range map[string][]byte{
		"data before fmt": append(bytes.Clone(whole[:12]), "data\x02\x00\x00\x00ab"...),
		"huge chunk":      append(bytes.Clone(whole[:12]), "junk\xff\xff\xff\x7fab"...),
		"no channels":     patch(whole, 22, 0),
		"rate 0":          patch(patch(whole, 24, 0), 25, 0),
		"12 bits":         patch(whole, 34, 12),
		"odd block":       patch(whole, 32, 3),
		"fmt too short":   patch(whole, 16, 8),
	} {
		if _, err := wav.ReadHeader(bytes.NewReader(bad)); !errors.Is(err, wav.ErrFormat) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func patch(data []byte, at int, value byte) []byte {
	data = bytes.Clone(data)
	data[at] = value
	return data
}

func FuzzReader(f *testing.F) {
	f.Add(append(wav.AppendHeader(nil, 8000, 4), 1, 2, 3, 4))
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := wav.NewReader(bytes.NewReader(data))
		if err != nil {
			if !errors.Is(err, wav.ErrFormat) {
				t.Fatal(err)
			}
			return
		}
		p := make([]float64, 64*r.Channels)
		total := 0
		for {
			n, err := r.Read(p)
			for _, x := range p[:n] {
				if math.IsNaN(x) || math.Abs(x) > 8 {
					t.Fatalf("sample %v", x)
				}
			}
			if total += n; err != nil {
				break
			}
		}
		if total*r.Bits/8 > len(data) {
			t.Fatalf("%d samples from %d bytes", total, len(data))
		}
	})
}
