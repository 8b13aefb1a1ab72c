package phone

import (
	"encoding/binary"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/pion/rtp"
)

// telephoneEvents is the dynamic payload type that the phone offers for telephone events.
const telephoneEvents = 101

// eventVolume is the level of the digits sent, in −dBm0 (RFC 4733, section 2.3.1).
const eventVolume = 10

const keypad = "0123456789*#ABCD"

// Keying says how digits are sent. Its zero value takes the defaults.
type Keying struct {
	Tone  time.Duration // How long each digit sounds; 100 ms.
	Gap   time.Duration // How long it is silent between two digits; 80 ms.
	Pause time.Duration // How long a comma waits; 1 s.
}

// key is one step of a keying: an event, or a pause.
type key struct {
	event   int // The event's number (RFC 4733, section 3.2), or −1 for a pause.
	samples int // How long it sounds.
}

// eventState is how far the present event has come.
type eventState struct {
	began bool
	stamp uint32
}

// ParseDigits checks digits as [Call.SendDTMF] takes them: 0–9, *, #, A–D in either case, and commas for pauses.
func ParseDigits(digits string) error {
	_, err := Keying{}.keys(digits)
	return err
}

// utterance turns digits into something to say. The gap after the last digit is not waited for: a far end that was waiting
// for that digit may well hang up in it.
func (k Keying) utterance(digits string) (*utterance, error) {
	keys, err := k.keys(digits)
	if err != nil {
		return nil, err
	}
	u := &utterance{keys: keys, done: make(chan error, 1)}
	if n := len(keys) - 1; n > 0 && keys[n-1].event >= 0 {
		u.keys, u.rest = keys[:n], keys[n].samples
	}
	return u, nil
}

// keys turns digits into steps: for each digit its event and a gap.
func (k Keying) keys(digits string) ([]key, error) {
	tone, gap, pause := defaulted(k.Tone, 100*time.Millisecond), defaulted(k.Gap, 80*time.Millisecond), defaulted(k.Pause, time.Second)
	if digits == "" {
		return nil, fmt.Errorf("no digits to send: expected some of 0-9, *, #, A-D, or a comma for a pause")
	}
	var keys []key
	for i, r := range digits {
		if r == ',' {
			keys = append(keys, key{event: -1, samples: samplesOf(pause)})
			continue
		}
		event := strings.IndexRune(keypad, upper(r))
		if event < 0 {
			return nil, fmt.Errorf("digits %q: character %d is %q: expected 0-9, *, #, A-D, or a comma for a pause", digits, i+1, r)
		}
		keys = append(keys, key{event: event, samples: samplesOf(tone)}, key{event: -1, samples: samplesOf(gap)})
	}
	return keys, nil
}

func upper(r rune) rune {
	if 'a' <= r && r <= 'd' {
		return r - 'a' + 'A'
	}
	return r
}

func defaulted(d, otherwise time.Duration) time.Duration {
	if d <= 0 {
		return otherwise
	}
	return d
}

// keyFrame writes the packets of the next 20 ms of keying, and says whether the keying is over. While a key sounds, no
// audio is sent: the event stands in its place (RFC 4733, section 2.5.1.2).
func (u *utterance) keyFrame(out *sender, r *remote) (n int, last bool) {
	k := u.keys[0]
	u.pos += frameSamples
	over := u.pos >= k.samples
	switch {
	case k.event < 0:
		n = out.audio(nil, r.codec)
	default:
		n = out.event(k.event, u.pos, over, &u.event, r.events)
	}
	if over {
		u.keys, u.pos, u.event = u.keys[1:], 0, eventState{}
	}
	return n, len(u.keys) == 0
}

// event writes a packet of a telephone event: the same timestamp throughout, the duration growing, a marker on the first,
// and the last three times with the end bit (RFC 4733, sections 2.5.1.3 and 2.5.1.4).
func (s *sender) event(number, duration int, end bool, state *eventState, payloadType uint8) int {
	s.header.Marker = !state.began
	if !state.began {
		state.began, state.stamp = true, s.header.Timestamp
	}
	now := s.header.Timestamp
	s.header.PayloadType, s.header.Timestamp = payloadType, state.stamp
	n := 1
	if end {
		n = 3
	}
	for i := range n {
		s.put(i, rtpHeaderSize+4)
		s.header.Marker = false
		payload := s.packets[i][rtpHeaderSize:]
		payload[0], payload[1] = byte(number), eventVolume
		if end {
			payload[1] |= 0x80
		}
		binary.BigEndian.PutUint16(payload[2:], uint16(min(duration, 0xffff)))
	}
	s.header.Timestamp = now + frameSamples
	s.talking = false
	return n
}

// Digit is a digit that the far end has sent.
type Digit struct {
	Key      rune
	At       time.Duration // When it began, after the INVITE.
	Duration time.Duration
}

// digitLog collects the digits received.
type digitLog struct {
	mu     sync.Mutex
	digits []Digit
	stamp  uint32
	seen   bool
}

// maxDigits bounds the log; a call that sends more is not a person.
const maxDigits = 10_000

// add takes one telephone-event packet. All packets of a digit bear the same timestamp, so the log counts each once however
// many of them are lost.
func (l *digitLog) add(h *rtp.Header, payload []byte, at time.Duration) {
	if len(payload) < 4 || int(payload[0]) >= len(keypad) {
		return
	}
	duration := time.Duration(binary.BigEndian.Uint16(payload[2:])) * time.Second / sampleRate
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.seen || l.stamp != h.Timestamp {
		if len(l.digits) == maxDigits {
			return
		}
		l.seen, l.stamp = true, h.Timestamp
		l.digits = append(l.digits, Digit{Key: rune(keypad[payload[0]]), At: at})
	}
	last := &l.digits[len(l.digits)-1]
	last.Duration = max(last.Duration, duration)
}
