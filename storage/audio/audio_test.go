package audio_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"asterism/storage/audio"
	"asterism/storage/audio/wav"
)

// file is an io.WriteSeeker in memory.
type file struct {
	data []byte
	at   int64
}

func (f *file) Write(p []byte) (int, error) {
	f.data = append(f.data, make([]byte, max(0, f.at+int64(len(p))-int64(len(f.data))))...)
	copy(f.data[f.at:], p)
	f.at += int64(len(p))
	return len(p), nil
}

func (f *file) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekStart:
		f.at = offset
	case io.SeekEnd:
		f.at = int64(len(f.data)) + offset
	}
	return f.at, nil
}

// makeWAV writes a 16-bit file of any number of equal channels.
func makeWAV(rate, channels int, samples []float64) []byte {
	h := wav.AppendHeader(nil, rate, int64(2*channels*len(samples)))
	binary.LittleEndian.PutUint16(h[22:], uint16(channels))
	binary.LittleEndian.PutUint32(h[28:], uint32(rate*2*channels))
	binary.LittleEndian.PutUint16(h[32:], uint16(2*channels))
	for _, x := range samples {
		for range channels {
			h = binary.LittleEndian.AppendUint16(h, uint16(int16(math.Round(x*32767))))
		}
	}
	return h
}

func tone(rate int, hertz, amplitude float64, d time.Duration) []float64 {
	samples := make([]float64, int(float64(rate)*d.Seconds()))
	for i := range samples {
		samples[i] = amplitude * math.Sin(2*math.Pi*hertz*float64(i)/float64(rate))
	}
	return samples
}

// convert returns the samples of the one output at rate.
func convert(t *testing.T, data []byte, rate int) []float64 {
	t.Helper()
	s, err := audio.Open(iotest.HalfReader(bytes.NewReader(data)), audio.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	var out file
	if _, err := s.WriteWAV(t.Context(), audio.Output{Rate: rate, W: &out}); err != nil {
		t.Fatal(err)
	}
	return readWAV(t, out.data, rate)
}

func readWAV(t *testing.T, data []byte, rate int) []float64 {
	t.Helper()
	r, err := wav.NewReader(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	if r.SampleRate != rate || r.Channels != 1 || r.Bits != 16 || r.Encoding != wav.PCM || r.DataBytes != int64(len(data)-wav.HeaderBytes) {
		t.Fatalf("the output is %+v with %d bytes, want 16-bit mono at %d Hz", r.Header, len(data), rate)
	}
	samples := make([]float64, len(data))
	n, err := r.Read(samples)
	if err != nil {
		t.Fatal(err)
	}
	return samples[:n]
}

// level is the amplitude of one frequency in the middle of samples.
func level(samples []float64, rate int, hertz float64) float64 {
	samples = samples[len(samples)/5 : len(samples)*4/5]
	var re, im, weight float64
	for i, x := range samples {
		window := 0.5 - 0.5*math.Cos(2*math.Pi*float64(i)/float64(len(samples)))
		sin, cos := math.Sincos(2 * math.Pi * hertz * float64(i) / float64(rate))
		re, im, weight = re+x*cos*window, im+x*sin*window, weight+window
	}
	return 2 * math.Hypot(re, im) / weight
}

func decibel(x float64) float64 { return 20 * math.Log10(math.Max(x, 1e-9)) }

func TestFixtures(t *testing.T) {
	for _, c := range []struct {
		name string
		want audio.Format
		slop time.Duration // Coders add silence.
	}{
		{"tone.mp3", audio.Format{Container: audio.MP3, SampleRate: 24000, Channels: 2}, 100 * time.Millisecond},
		{"vbr.mp3", audio.Format{Container: audio.MP3, SampleRate: 44100, Channels: 2}, 100 * time.Millisecond},
		{"mono16.mp3", audio.Format{Container: audio.MP3, SampleRate: 16000, Channels: 2}, 150 * time.Millisecond},
		{"tone.flac", audio.Format{Container: audio.FLAC, SampleRate: 44100, Channels: 2, Bits: 16}, 0},
		{"tone.ogg", audio.Format{Container: audio.OggVorbis, SampleRate: 44100, Channels: 2}, 30 * time.Millisecond},
		{"alaw.wav", audio.Format{Container: audio.WAV, Encoding: "A-law", SampleRate: 8000, Channels: 1, Bits: 8}, 0},
		{"ulaw.wav", audio.Format{Container: audio.WAV, Encoding: "µ-law", SampleRate: 8000, Channels: 1, Bits: 8}, 0},
		{"u8.wav", audio.Format{Container: audio.WAV, Encoding: "PCM", SampleRate: 11025, Channels: 1, Bits: 8}, 0},
		{"mono24.wav", audio.Format{Container: audio.WAV, Encoding: "PCM", SampleRate: 48000, Channels: 1, Bits: 24}, 0},
		{"s32.wav", audio.Format{Container: audio.WAV, Encoding: "PCM", SampleRate: 44100, Channels: 2, Bits: 32}, 0},
		{"float.wav", audio.Format{Container: audio.WAV, Encoding: "floating point", SampleRate: 22050, Channels: 1, Bits: 32}, 0},
		{"six.wav", audio.Format{Container: audio.WAV, Encoding: "PCM", SampleRate: 16000, Channels: 6, Bits: 16}, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			data := readFile(t, c.name)
			var out file
			format, duration, err := audio.Normalize(t.Context(), &out, bytes.NewReader(data), audio.Limits{})
			if err != nil {
				t.Fatal(err)
			}
			if format != c.want {
				t.Errorf("it is %+v, want %+v", format, c.want)
			}
			rate := audio.StoredRate(format.SampleRate)
			samples := readWAV(t, out.data, rate)
			if off := (duration - 500*time.Millisecond).Abs(); off > c.slop+time.Millisecond {
				t.Errorf("it lasts %v, want 500ms", duration)
			}
			if off := math.Abs(float64(len(samples)) - duration.Seconds()*float64(rate)); off > 1 {
				t.Errorf("%d samples at %d Hz are not %v", len(samples), rate, duration)
			}
			if db := decibel(level(samples, rate, 440)); math.Abs(db+6) > 0.7 {
				t.Errorf("the tone has %.1f dB, want -6", db)
			}
			if db := decibel(level(samples, rate, 1000)); db > -45 {
				t.Errorf("noise at 1 kHz: %.1f dB", db)
			}
		})
	}
}

func readFile(t *testing.T, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// TestResampling: what is in the band stays, nothing else gets into it.
func TestResampling(t *testing.T) {
	for _, c := range []struct {
		from, to  int
		hertz     float64
		low, high float64 // dB at hertz, or at its alias.
	}{
		{44100, 8000, 300, -6.2, -5.8},
		{44100, 8000, 3300, -6.5, -5.8},
		{44100, 8000, 6000, -200, -66}, // Would be heard at 2 kHz.
		{44100, 8000, 4100, -200, -66},
		{44100, 8000, 15000, -200, -66},
		{48000, 8000, 6000, -200, -66},
		{16000, 8000, 6000, -200, -66},
		{16000, 8000, 1000, -6.1, -5.9},
		{48000, 16000, 6500, -6.5, -5.8},
		{48000, 16000, 9000, -200, -66},
		{44100, 16000, 10000, -200, -66},
		{8000, 16000, 1000, -6.1, -5.9},
		{8000, 16000, 3300, -6.5, -5.8},
		{11025, 8000, 3000, -6.2, -5.8},
		{44099, 8000, 1000, -6.2, -5.8}, // No common divisor.
		{44099, 8000, 6000, -200, -50},
		{96000, 8000, 6000, -200, -66},
		{8000, 8000, 3900, -6.1, -5.9},
	} {
		samples := convert(t, makeWAV(c.from, 1, tone(c.from, c.hertz, 0.5, 500*time.Millisecond)), c.to)
		at := math.Mod(c.hertz, float64(c.to))
		if at > float64(c.to)/2 {
			at = float64(c.to) - at
		}
		if db := decibel(level(samples, c.to, at)); db < c.low || db > c.high {
			t.Errorf("%v Hz from %d to %d Hz: %.1f dB at %v Hz, want %v to %v", c.hertz, c.from, c.to, db, at, c.low, c.high)
		}
		if want := (len(tone(c.from, 1, 1, 500*time.Millisecond))*c.to + c.from - 1) / c.from; len(samples) != want {
			t.Errorf("from %d to %d Hz: %d samples, want %d", c.from, c.to, len(samples), want)
		}
	}
}

// TestAlignment: resampling neither delays nor cuts; an echo comparison and a
// seamless sequence of prompts depend on it.
func TestAlignment(t *testing.T) {
	samples := make([]float64, 44100)
	samples[22050] = 0.9 // A click in the very middle.
	out := convert(t, makeWAV(44100, 1, samples), 8000)
	peak := 0
	for i := range out {
		if math.Abs(out[i]) > math.Abs(out[peak]) {
			peak = i
		}
	}
	if peak != 4000 {
		t.Errorf("the click is at sample %d, want 4000", peak)
	}
}

func TestDownmixAndClipping(t *testing.T) {
	data := makeWAV(8000, 2, make([]float64, 100))
	for i := range 100 {
		binary.LittleEndian.PutUint16(data[44+4*i:], uint16(20000))
		binary.LittleEndian.PutUint16(data[46+4*i:], uint16(0xFFFF&-10000))
	}
	if got := convert(t, data, 8000); math.Abs(got[50]*32768-5000) > 1 {
		t.Errorf("20000 and -10000 make %v, want 5000", got[50]*32768)
	}
	loud := wav.AppendHeader(nil, 8000, 16)
	binary.LittleEndian.PutUint16(loud[20:], uint16(wav.Float))
	binary.LittleEndian.PutUint16(loud[32:], 4)
	binary.LittleEndian.PutUint16(loud[34:], 32)
	for _, x := range []float64{3, -3, math.NaN(), math.Inf(1)} {
		loud = binary.LittleEndian.AppendUint32(loud, math.Float32bits(float32(x)))
	}
	got := convert(t, loud, 8000)
	for i, want := range []float64{32767.0 / 32768, -1, 0, 0} {
		if got[i] != want {
			t.Errorf("sample %d is %v, want %v", i, got[i], want)
		}
	}
}

func TestRefusals(t *testing.T) {
	good := makeWAV(8000, 1, tone(8000, 440, 0.5, time.Second))
	flac, mp3, ogg := readFile(t, "tone.flac"), readFile(t, "tone.mp3"), readFile(t, "tone.ogg")
	damaged := bytes.Clone(flac)
	for i := len(damaged) / 2; i < len(damaged)/2+200; i++ {
		damaged[i] ^= 0x5A
	}
	noSound := wav.AppendHeader(nil, 8000, 0)
	adpcm := bytes.Clone(good)
	adpcm[20] = 0x11
	for _, c := range []struct {
		name string
		data []byte
		err  error
		says string
	}{
		{"empty", nil, audio.ErrUnsupported, "is empty"},
		{"pdf", []byte("%PDF-1.7\n%âãÏÓ"), audio.ErrUnsupported, "PDF"},
		{"text", []byte("Dear customer, welcome to"), audio.ErrUnsupported, "text"},
		{"html", []byte("<!DOCTYPE html><html><body>404"), audio.ErrUnsupported, "web page"},
		{"m4a", []byte("\x00\x00\x00\x20ftypM4A \x00\x00\x00\x00M4A mp42"), audio.ErrUnsupported, "M4A (AAC)"},
		{"mp4", []byte("\x00\x00\x00\x20ftypisom\x00\x00\x02\x00"), audio.ErrUnsupported, "MP4"},
		{"aac", []byte{0xFF, 0xF1, 0x50, 0x80, 0x2E, 0x7F, 0xFC}, audio.ErrUnsupported, "AAC"},
		{"opus", readFile(t, "opus.ogg"), audio.ErrUnsupported, "Opus in Ogg"},
		{"aiff", readFile(t, "tone.aiff"), audio.ErrUnsupported, "AIFF"},
		{"png", []byte("\x89PNG\x0D\x0A\x1A\x0A\x00"), audio.ErrUnsupported, "picture (image/png)"},
		{"zip", []byte("PK\x03\x04\x14\x00\x00\x00"), audio.ErrUnsupported, "ZIP"},
		{"zeros", make([]byte, 1000), audio.ErrUnsupported, "no format known"},
		{"adpcm", adpcm, audio.ErrBroken, "0x0011"},
		{"wav header cut", good[:30], audio.ErrBroken, "ends within"},
		{"wav cut", good[:len(good)/2], audio.ErrBroken, "ends after"},
		{"wav without sound", noSound, audio.ErrBroken, "without any sound"},
		{"wav crashed recorder", append(bytes.Clone(noSound), good[44:]...), audio.ErrBroken, "without any sound"},
		{"flac cut", flac[:len(flac)/2], audio.ErrBroken, "FLAC"},
		{"flac header only", flac[:60], audio.ErrBroken, "FLAC"},
		{"flac damaged", damaged, audio.ErrBroken, "FLAC"},
		{"mp3 header only", mp3[:40], audio.ErrBroken, "MP3"},
		{"ogg header only", ogg[:60], audio.ErrBroken, "Ogg Vorbis"},
		{"ogg without sound", ogg[:3000], audio.ErrBroken, "Ogg Vorbis"},
	} {
		var out file
		_, _, err := audio.Normalize(t.Context(), &out, bytes.NewReader(c.data), audio.Limits{})
		if !errors.Is(err, c.err) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v; want %v with %q", c.name, err, c.err, c.says)
		}
		if errors.Is(err, audio.ErrUnsupported) && !strings.Contains(err.Error(), audio.Accepted) {
			t.Errorf("%s: %v does not say what is accepted", c.name, err)
		}
	}
}

func TestLimits(t *testing.T) {
	data := makeWAV(8000, 1, tone(8000, 440, 0.5, 2*time.Second))
	run := func(l audio.Limits) error {
		_, _, err := audio.Normalize(t.Context(), &file{}, bytes.NewReader(data), l)
		return err
	}
	if err := run(audio.Limits{Bytes: int64(len(data)), Duration: 2 * time.Second}); err != nil {
		t.Errorf("at the limits: %v", err)
	}
	if err := run(audio.Limits{Bytes: int64(len(data)) - 1}); !errors.Is(err, audio.ErrTooLarge) {
		t.Errorf("a byte over the limit: %v", err)
	}
	if err := run(audio.Limits{Duration: 1900 * time.Millisecond}); !errors.Is(err, audio.ErrTooLarge) {
		t.Errorf("over the longest duration: %v", err)
	}
}

// TestForeignErrors: an outage of where the file comes from is no damage to it.
func TestForeignErrors(t *testing.T) {
	outage := errors.New("the line is cut")
	for _, name := range []string{"tone.mp3", "tone.flac", "tone.ogg", "mono24.wav"} {
		data := readFile(t, name)
		for _, at := range []int{0, 20, 700, len(data) / 2, len(data) - 1} {
			r := io.MultiReader(bytes.NewReader(data[:at]), iotest.ErrReader(outage))
			_, _, err := audio.Normalize(t.Context(), &file{}, r, audio.Limits{})
			if !errors.Is(err, outage) || errors.Is(err, audio.ErrBroken) {
				t.Errorf("%s fails after %d bytes: %v", name, at, err)
			}
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, _, err := audio.Normalize(ctx, &file{}, bytes.NewReader(data), audio.Limits{}); !errors.Is(err, context.Canceled) {
			t.Errorf("%s, cancelled: %v", name, err)
		}
	}
}

// FuzzNormalize: whatever a file holds, it ends, and without a panic.
func FuzzNormalize(f *testing.F) {
	for _, name := range []string{"tone.mp3", "tone.flac", "tone.ogg", "alaw.wav", "u8.wav", "opus.ogg"} {
		data, err := os.ReadFile(filepath.Join("testdata", name))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data[:min(len(data), 6000)])
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		var out file
		format, duration, err := audio.Normalize(ctx, &out, bytes.NewReader(data), audio.Limits{Bytes: 1 << 20, Duration: 10 * time.Second})
		if err != nil {
			if !errors.Is(err, audio.ErrBroken) && !errors.Is(err, audio.ErrUnsupported) && !errors.Is(err, audio.ErrTooLarge) {
				t.Fatalf("an error of no kind: %v", err)
			}
			return
		}
		if got := readWAV(t, out.data, audio.StoredRate(format.SampleRate)); len(got) == 0 || duration <= 0 {
			t.Fatalf("%d samples, %v", len(got), duration)
		}
	})
}

func BenchmarkNormalize(b *testing.B) {
	data := makeWAV(44100, 2, tone(44100, 440, 0.5, 10*time.Second))
	for b.Loop() {
		if _, _, err := audio.Normalize(b.Context(), &file{}, bytes.NewReader(data), audio.Limits{}); err != nil {
			b.Fatal(err)
		}
	}
}
