package phone

import (
	"slices"
	"testing"
	"time"

	"github.com/pion/rtp"
)

// packet is one packet of a test: frame n of a stream holds the code n+1 throughout.
type packet struct {
	ssrc   uint32
	seq    uint16
	ts     uint32
	at     time.Duration // Arrival.
	code   byte
	size   int
	event  bool
	marker bool
}

// frames makes packets in order, one each 20 ms.
func frames(n int) []packet {
	packets := make([]packet, n)
	for i := range packets {
		packets[i] = packet{ssrc: 1, seq: uint16(65530 + i), ts: uint32(4294967000 + i*160), at: time.Duration(i) * frameTime, code: byte(i + 1)}
	}
	return packets
}

// hearPackets plays packets into a timeline and returns the code of each 20 ms, 0 being silence.
func hearPackets(packets []packet) ([]int, Reception) {
	var line timeline
	var identity [256]int16
	for i := range identity {
		identity[i] = int16(i)
	}
	began := time.Unix(1000, 0)
	for _, p := range packets {
		size := p.size
		if size == 0 {
			size = frameSamples
		}
		h := &rtp.Header{Marker: p.marker, SSRC: p.ssrc, SequenceNumber: p.seq, Timestamp: p.ts}
		if p.event {
			line.add(h, nil, nil, began.Add(p.at))
			continue
		}
		line.add(h, slices.Repeat([]byte{p.code}, size), &identity, began.Add(p.at))
	}
	var codes []int
	pcm := line.heard()
	for i := 0; i+frameSamples <= len(pcm); i += frameSamples {
		codes = append(codes, int(pcm[i+frameSamples/2]))
	}
	return codes, line.reception(began)
}

func TestTimeline(t *testing.T) {
	swap := func(p []packet, i, j int) []packet {
		p[i], p[j] = p[j], p[i]
		p[i].at, p[j].at = p[j].at, p[i].at
		return p
	}
	jitter := frames(6)
	for i := range jitter {
		jitter[i].at += time.Duration(i%3) * 15 * time.Millisecond
	}
	restart := frames(6) // The second half is another source, 3 ms early, with a clock of its own.
	for i := 3; i < 6; i++ {
		restart[i].ssrc, restart[i].ts, restart[i].seq, restart[i].at = 2, uint32(i*160), uint16(i), restart[i].at-3*time.Millisecond
	}
	pause := frames(4) // The sender's clock stands still while it is silent for a second.
	for i := 2; i < 4; i++ {
		pause[i].at += time.Second
	}
	pause[2].marker = true
	restarted := frames(4) // As that, for three seconds and without a marker.
	for i := 2; i < 4; i++ {
		restarted[i].at += 3 * time.Second
	}
	stalled := frames(4) // The machine did nothing for a second.
	for i := 2; i < 4; i++ {
		stalled[i].at += time.Second
	}
	burst := frames(6) // The network held packets back for 300 ms.
	for i := 2; i < 6; i++ {
		burst[i].at = 400 * time.Millisecond
	}
	keyed := frames(5)
	keyed[2].event, keyed[3].event = true, true
	keyed[3].ts = keyed[2].ts
	short := frames(4)
	short[2].ts, short[2].size = short[1].ts+100, 100 // As Asterisk ends a file.
	second := append([]int{1, 2}, make([]int, 50)...)

	tests := []struct {
		name    string
		packets []packet
		codes   []int
		want    Reception
	}{
		{"in order, both counters wrapping", frames(10), []int{1, 2, 3, 4, 5, 6, 7, 8, 9, 10}, Reception{Packets: 10, Sources: 1}},
		{"jitter", jitter, []int{1, 2, 3, 4, 5, 6}, Reception{Packets: 6, Sources: 1}},
		{"two swapped", swap(frames(5), 2, 3), []int{1, 2, 3, 4, 5}, Reception{Packets: 5, Sources: 1, Late: 1}},
		{"the first two swapped", swap(frames(4), 0, 1), []int{2, 3, 4}, Reception{Packets: 4, Sources: 1, Late: 1}},
		{"one twice", append(frames(3), frames(3)[1]), []int{1, 2, 3}, Reception{Packets: 4, Sources: 1, Duplicates: 1}},
		{"two lost", slices.Delete(frames(6), 2, 4), []int{1, 2, 0, 0, 5, 6}, Reception{Packets: 4, Sources: 1, Lost: 2}},
		{"held back", burst, []int{1, 2, 3, 4, 5, 6}, Reception{Packets: 6, Sources: 1}},
		{"another source", restart, []int{1, 2, 3, 4, 5, 6}, Reception{Packets: 6, Sources: 2}},
		{"a pause that is not counted", pause, append(second, 3, 4), Reception{Packets: 4, Sources: 1}},
		{"a long pause that is not counted", restarted, slices.Concat([]int{1, 2}, make([]int, 150), []int{3, 4}), Reception{Packets: 4, Sources: 1}},
		{"a machine that stalled", stalled, []int{1, 2, 3, 4}, Reception{Packets: 4, Sources: 1}},
		{"digits between", keyed, []int{1, 2, 0, 0, 5}, Reception{Packets: 3, Sources: 1}},
		{"a short packet stamped too early", short[:3], []int{1, 2}, Reception{Packets: 3, Sources: 1}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			codes, got := hearPackets(test.packets)
			if !slices.Equal(codes, test.codes) {
				t.Errorf("heard %v, want %v", codes, test.codes)
			}
			got.First, got.LongestGap, got.GapAt = 0, 0, 0
			if got != test.want {
				t.Errorf("counted %+v, want %+v", got, test.want)
			}
		})
	}
}

func TestLongestGap(t *testing.T) {
	packets := frames(8)
	for i := 5; i < 8; i++ {
		packets[i].at += 130 * time.Millisecond
	}
	_, got := hearPackets(packets)
	if got.LongestGap != 150*time.Millisecond || got.GapAt != 80*time.Millisecond {
		t.Errorf("the longest gap is %v at %v, want 150ms at 80ms", got.LongestGap, got.GapAt)
	}
}

func TestTimelineIsBounded(t *testing.T) {
	p := frames(2)
	p[1].at, p[1].ts = 2*time.Hour, p[1].ts+2*3600*sampleRate
	codes, got := hearPackets(p)
	if len(codes) != 1 || got.Packets != 2 {
		t.Errorf("%d frames are kept of %d packets", len(codes), got.Packets)
	}
}
