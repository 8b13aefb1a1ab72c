package audio

import (
	"bytes"
	"fmt"
	"net/http"
	"strings"
	"unicode/utf8"
)

// Accepted names the formats that are read, for messages to people.
const Accepted = "WAV (PCM, float, A-law, µ-law), MP3, FLAC and Ogg Vorbis"

// Container is the kind of a file.
type Container string

// The containers that are read.
const (
	WAV       Container = "WAV"
	MP3       Container = "MP3"
	FLAC      Container = "FLAC"
	OggVorbis Container = "Ogg Vorbis"
)

// sniffBytes is how much of a file the judgement needs.
const sniffBytes = 512

// sniff says what a file is by its beginning; the error wraps ErrUnsupported
// and says what it is instead.
func sniff(head []byte) (Container, error) {
	has := func(offset int, magic string) bool {
		return len(head) >= offset+len(magic) && string(head[offset:offset+len(magic)]) == magic
	}
	switch {
	case len(head) == 0:
		return "", fmt.Errorf("%w: the file is empty; accepted are %s", ErrUnsupported, Accepted)
	case (has(0, "RIFF") || has(0, "RIFX") || has(0, "RF64")) && has(8, "WAVE"):
		return WAV, nil
	case has(0, "fLaC"):
		return FLAC, nil
	case has(0, "OggS"):
		return sniffOgg(head)
	case has(0, "ID3"), isMPEGAudio(head):
		return MP3, nil
	}
	return "", unsupported(describe(head, has))
}

func unsupported(what string) error {
	return fmt.Errorf("%w: it looks like %s; accepted are %s", ErrUnsupported, what, Accepted)
}

func sniffOgg(head []byte) (Container, error) {
	for magic, what := range map[string]string{
		"OpusHead": "Opus in Ogg", "Speex   ": "Speex in Ogg", "\x7fFLAC": "FLAC in Ogg", "\x80theora": "a video (Theora in Ogg)",
	} {
		if bytes.Contains(head, []byte(magic)) {
			return "", unsupported(what)
		}
	}
	if bytes.Contains(head, []byte("\x01vorbis")) {
		return OggVorbis, nil
	}
	return "", unsupported("an Ogg file without Vorbis")
}

// isMPEGAudio recognises a frame header of layer III (ISO/IEC 11172-3, 2.4.1.3).
func isMPEGAudio(head []byte) bool {
	return len(head) >= 4 && head[0] == 0xFF && head[1]&0xE0 == 0xE0 &&
		head[1]&0x18 != 0x08 && // A version that exists.
		head[1]&0x06 == 0x02 && // Layer III.
		head[2]&0xF0 != 0xF0 && head[2]&0x0C != 0x0C // A bit rate and a sample rate that exist.
}

func describe(head []byte, has func(int, string) bool) string {
	for _, m := range []struct {
		offset      int
		magic, what string
	}{
		{0, "%PDF", "a PDF document"},
		{4, "ftypM4A", "M4A (AAC)"},
		{4, "ftyp", "M4A, MP4 or another file of that family"},
		{0, "FORM", "AIFF"},
		{0, ".snd", "a Sun AU file"},
		{0, "#!AMR", "AMR"},
		{0, "MThd", "MIDI"},
		{0, "\x1aE\xdf\xa3", "WebM or Matroska"},
		{0, "0&\xb2u\x8ef\xcf\x11", "Windows Media (WMA)"},
		{0, "RIFF", "a RIFF file that is not WAV"},
		{0, "PK\x03\x04", "a ZIP archive or an office document"},
		{0, "\x1f\x8b", "a gzip archive"},
		{0, "wvpk", "WavPack"},
		{0, "MAC ", "Monkey's Audio"},
		{0, "\x7fELF", "a program"},
	} {
		if has(m.offset, m.magic) {
			return m.what
		}
	}
	if len(head) >= 2 && head[0] == 0xFF && head[1]&0xF6 == 0xF0 {
		return "AAC"
	}
	if len(head) >= 2 && head[0] == 0xFF && head[1]&0xE0 == 0xE0 && head[1]&0x06 != 0 {
		return "MPEG audio of layer I or II"
	}
	detected := http.DetectContentType(head)
	switch {
	case strings.HasPrefix(detected, "image/"):
		return "a picture (" + detected + ")"
	case strings.HasPrefix(detected, "text/html"):
		return "a web page (HTML)"
	case strings.HasPrefix(detected, "text/"), utf8.Valid(head) && !bytes.ContainsRune(head, 0):
		return "text"
	}
	return "no format known here (raw samples, perhaps, whose rate nobody can tell)"
}
