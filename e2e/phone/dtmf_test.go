package phone

import (
	"encoding/binary"
	"strings"
	"testing"
	"time"

	"github.com/pion/rtp"
)

func TestParseDigits(t *testing.T) {
	for digits, says := range map[string]string{
		"0123456789*#ABCDabcd": "", "1,,2": "", ",": "", "": "no digits", "12x": "character 3 is 'x'", "1 2": "character 2", "é": "character 1",
	} {
		err := ParseDigits(digits)
		if (says == "") != (err == nil) || err != nil && !strings.Contains(err.Error(), says) {
			t.Errorf("%q: %v, want %q", digits, err, says)
		}
	}
}

func FuzzParseDigits(f *testing.F) {
	f.Add("12,3#")
	f.Add("é\x00")
	f.Fuzz(func(t *testing.T, digits string) {
		keys, err := Keying{}.keys(digits)
		if err != nil {
			return
		}
		if pauses := strings.Count(digits, ","); len(keys) != 2*(len(digits)-pauses)+pauses {
			t.Errorf("%q makes %d steps", digits, len(keys))
		}
	})
}

// spoken runs a voice frame by frame until its queue is empty and parses every packet.
func spoken(t *testing.T, u *utterance, r *remote) []rtp.Packet {
	t.Helper()
	v, out := voice{queue: []*utterance{u}}, newSender()
	var packets []rtp.Packet
	for len(v.queue) > 0 {
		n := v.frame(out, r)
		for _, b := range out.packets[:n] {
			var p rtp.Packet
			if err := p.Unmarshal(append([]byte(nil), b...)); err != nil {
				t.Fatal(err)
			}
			packets = append(packets, p)
		}
	}
	return packets
}

func TestTelephoneEvents(t *testing.T) {
	keys, err := Keying{Tone: 60 * time.Millisecond, Gap: 40 * time.Millisecond, Pause: 20 * time.Millisecond}.utterance("5,#")
	if err != nil {
		t.Fatal(err)
	}
	packets := spoken(t, keys, &remote{codec: PCMU, events: 97})
	// Per digit 60, 120 and three times 180 … in RTP time 160 each; then silence for gap, comma, and again.
	type step struct {
		event, duration int // event −1 is audio.
		end, marker     bool
		stamp           uint32
	}
	want := []step{
		{5, 160, false, true, 0},
		{5, 320, false, false, 0},
		{5, 480, true, false, 0},
		{5, 480, true, false, 0},
		{5, 480, true, false, 0},
		{-1, 0, false, true, 480},
		{-1, 0, false, false, 640},
		{-1, 0, false, false, 800},
		{11, 160, false, true, 960},
		{11, 320, false, false, 960},
		{11, 480, true, false, 960},
		{11, 480, true, false, 960},
		{11, 480, true, false, 960},
		{-1, 0, false, true, 1440},
		{-1, 0, false, false, 1600},
		{-1, 0, false, false, 1760}, // Its end is seen with the next frame.
	}
	if len(packets) != len(want) {
		t.Fatalf("%d packets, want %d", len(packets), len(want))
	}
	first := packets[0]
	for i, p := range packets {
		got := step{event: -1, marker: p.Marker, stamp: p.Timestamp - first.Timestamp}
		if p.PayloadType == 97 {
			got.event, got.end = int(p.Payload[0]), p.Payload[1]&0x80 != 0
			got.duration = int(binary.BigEndian.Uint16(p.Payload[2:]))
		}
		if got != want[i] {
			t.Errorf("packet %d is %+v, want %+v", i, got, want[i])
		}
		if p.SSRC != first.SSRC || p.SequenceNumber != first.SequenceNumber+uint16(i) {
			t.Errorf("packet %d has sequence number %d of %d", i, p.SequenceNumber, p.SSRC)
		}
	}
}

func TestDigitsAreCountedOnce(t *testing.T) {
	keys, err := Keying{}.keys("11*D")
	if err != nil {
		t.Fatal(err)
	}
	var log digitLog
	for i, p := range spoken(t, &utterance{keys: keys, done: make(chan error, 1)}, &remote{codec: PCMU, events: 101}) {
		if p.PayloadType == 101 && i%4 != 1 { // A quarter is lost.
			log.add(&p.Header, p.Payload, time.Duration(i)*frameTime)
		}
	}
	got := ""
	for _, d := range log.digits {
		got += string(d.Key)
		if d.Duration < 80*time.Millisecond || d.Duration > 100*time.Millisecond {
			t.Errorf("%c sounds for %v", d.Key, d.Duration)
		}
	}
	if got != "11*D" {
		t.Errorf("got %q", got)
	}
	log.add(&rtp.Header{}, []byte{1, 2}, 0)
	log.add(&rtp.Header{Timestamp: 7}, []byte{99, 0, 0, 0}, 0)
	if len(log.digits) != 4 {
		t.Errorf("broken events count as digits: %v", log.digits)
	}
}

func TestNoEventsAgreed(t *testing.T) {
	keys, err := Keying{}.keys("1")
	if err != nil {
		t.Fatal(err)
	}
	u := &utterance{keys: keys, done: make(chan error, 1)}
	spoken(t, u, &remote{codec: PCMU})
	if err := <-u.done; err == nil || !strings.Contains(err.Error(), "telephone events") {
		t.Errorf("got %v", err)
	}
}
