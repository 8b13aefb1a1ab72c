package hear

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math"
	"slices"
	"strings"
	"testing"
)

// wavFile builds a WAV file from its chunks.
func wavFile(tag, channels uint16, sampleRate uint32, bits uint16, data []byte, between ...byte) []byte {
	format := binary.LittleEndian.AppendUint16(nil, tag)
	format = binary.LittleEndian.AppendUint16(format, channels)
	format = binary.LittleEndian.AppendUint32(format, sampleRate)
	format = binary.LittleEndian.AppendUint32(format, sampleRate*uint32(channels)*uint32(bits/8))
	format = binary.LittleEndian.AppendUint16(format, channels*bits/8)
	format = binary.LittleEndian.AppendUint16(format, bits)
	file := append([]byte("RIFF\xff\xff\xff\xffWAVEfmt \x10\x00\x00\x00"), format...)
	file = append(append(file, between...), "data"...)
	file = binary.LittleEndian.AppendUint32(file, uint32(len(data)))
	return append(file, data...)
}

func TestReadWAV(t *testing.T) {
	float := binary.LittleEndian.AppendUint32(nil, math.Float32bits(-0.5))
	cut := wavFile(1, 1, 8000, 16, []byte{1, 0, 2, 0, 3})
	died := wavFile(1, 1, 8000, 16, nil)
	tests := []struct {
		name string
		file []byte
		want Audio
	}{
		{"8 bits", wavFile(1, 1, 8000, 8, []byte{0, 128, 255}), Audio{8000, 1, []int16{-32768, 0, 127 << 8}}},
		{"16 bits stereo", wavFile(1, 2, 44100, 16, []byte{1, 0, 0xff, 0xff}), Audio{44100, 2, []int16{1, -1}}},
		{"24 bits", wavFile(1, 1, 16000, 24, []byte{9, 2, 1, 9, 0xff, 0xff}), Audio{16000, 1, []int16{0x102, -1}}},
		{"floats", wavFile(3, 1, 8000, 32, float), Audio{8000, 1, []int16{-16384}}},
		{"a chunk between, of odd length", wavFile(1, 1, 8000, 16, []byte{5, 0}, append([]byte("LIST\x03\x00\x00\x00"), 1, 2, 3, 0)...), Audio{8000, 1, []int16{5}}},
		{"cut off within a sample", cut, Audio{8000, 1, []int16{1, 2}}},
		{"length never written", append(died, 7, 0), Audio{8000, 1, []int16{7}}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, err := ReadWAV(bytes.NewReader(test.file))
			if err != nil || got.Rate != test.want.Rate || got.Channels != test.want.Channels || !slices.Equal(got.Samples, test.want.Samples) {
				t.Errorf("got %v, %v; want %v", got, err, test.want)
			}
		})
	}
}

func TestReadWAVRefuses(t *testing.T) {
	tests := []struct{ name, file, says string }{
		{"nothing", "", "not a WAV file"},
		{"an MP3", "ID3\x04\x00\x00\x00\x00\x00\x00\x00\x00\x00", "not a WAV file"},
		{"no data", "RIFF\x00\x00\x00\x00WAVE", "no data"},
		{"data before the format", "RIFF\x00\x00\x00\x00WAVEdata\x02\x00\x00\x00\x00\x00", "before their format"},
		{"a format cut off", "RIFF\x00\x00\x00\x00WAVEfmt \x04\x00\x00\x00\x01\x00\x01\x00", "cut off"},
		{"µ-law", string(wavFile(7, 1, 8000, 8, []byte{1})), "format 7"},
		{"no channels", string(wavFile(1, 0, 8000, 16, nil)), "0 channels"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, err := ReadWAV(strings.NewReader(test.file))
			if err == nil || !strings.Contains(err.Error(), test.says) {
				t.Errorf("got %v, want something of %q", err, test.says)
			}
		})
	}
}

func TestWriteWAVReadsBack(t *testing.T) {
	want := []int16{0, 1, -1, 32767, -32768}
	var b bytes.Buffer
	if err := WriteWAV(&b, want, 8000); err != nil {
		t.Fatal(err)
	}
	got, err := ReadWAV(&b)
	if err != nil || got.Rate != 8000 || got.Channels != 1 || !slices.Equal(got.Samples, want) {
		t.Errorf("got %v, %v", got, err)
	}
}

func FuzzReadWAV(f *testing.F) {
	f.Add(wavFile(1, 2, 44100, 16, []byte{1, 0, 0xff, 0xff}))
	f.Add(wavFile(1, 1, 8000, 24, []byte{1, 2, 3}))
	f.Add(wavFile(3, 1, 8000, 32, []byte{1, 2, 3, 4}))
	f.Add([]byte("RIFF\x00\x00\x00\x00WAVEfmt \xff\xff\xff\xff"))
	f.Fuzz(func(t *testing.T, file []byte) {
		audio, err := ReadWAV(bytes.NewReader(file))
		if err != nil {
			if audio.Samples != nil {
				t.Error("an error and samples")
			}
			if !errors.Is(err, ErrNotWAV) && !strings.Contains(err.Error(), "WAV file has") {
				t.Errorf("an error that does not say what is wrong: %v", err)
			}
			return
		}
		if audio.Channels < 1 || audio.Rate < 1000 || len(audio.Samples)%audio.Channels != 0 || 2*len(audio.Samples) > 2*len(file) {
			t.Errorf("impossible audio: %d channels, %d Hz, %d samples of %d bytes", audio.Channels, audio.Rate, len(audio.Samples), len(file))
		}
	})
}
