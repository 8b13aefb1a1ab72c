package phone

import (
	"slices"
	"sync"
	"time"

	"github.com/pion/rtp"
)

const (
	// maxHeard bounds what a call keeps of what it hears; later audio is counted but not kept. 30 min are 29 MB.
	maxHeard = 30 * 60 * sampleRate
	// reanchorAfter is how far RTP time and arrival time may drift apart before the sender is taken to have restarted its
	// clock. It is far above jitter and above what a busy machine holds up. A marker announces new speech, so there it is less.
	reanchorAfter       = 2000 * sampleRate / 1000
	reanchorMarkedAfter = 500 * sampleRate / 1000
	// joinWithin is how near to the end of the last sound a new source is joined to it without a gap.
	joinWithin = 60 * sampleRate / 1000
	maxSources = 32
)

// Reception is what can be said of the RTP that a call has received.
type Reception struct {
	Packets    int           // Audio packets received.
	Lost       int           // Packets that the sequence numbers say were sent and never came.
	Late       int           // Packets that came after one with a higher sequence number.
	Duplicates int           // Packets that came more than once.
	Sources    int           // Different SSRCs.
	Unknown    int           // Packets of payload types that were not agreed on.
	First      time.Duration // When the first packet came, after the INVITE; 0 when none has.
	LongestGap time.Duration // The longest time between two packets in the order of arrival.
	GapAt      time.Duration // When the longest gap began, on the timeline of what was heard.
}

// source is one synchronisation source of the stream: who restarts a stream begins a new one.
type source struct {
	ssrc     uint32
	baseTS   uint32 // The RTP timestamp that stands at basePos.
	basePos  int
	end      int // Where its newest packet ends.
	first    uint16
	highest  int // The highest sequence number, extended (RFC 3550, appendix A.1), relative to first.
	received int
	lowest   int
	recent   [1024]bool // Which of the last extended sequence numbers have come.
}

// timeline places the audio of RTP packets at the time to which it belongs. Position 0 is the arrival of the first packet.
type timeline struct {
	mu      sync.Mutex
	pcm     []int16
	end     int // The end of the newest sound, also when it is beyond what is kept.
	began   time.Time
	last    time.Time // The arrival of the newest packet.
	sources []*source
	stats   Reception
}

// add places one audio packet, whose payload is decoded and not kept, or counts one that is not audio: with toLinear nil. A
// telephone event is part of its stream, so that it is neither lost nor a gap.
func (t *timeline) add(h *rtp.Header, payload []byte, toLinear *[256]int16, arrived time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.began.IsZero() {
		t.began, t.last = arrived, arrived
	}
	if gap := arrived.Sub(t.last); gap > t.stats.LongestGap {
		t.stats.LongestGap, t.stats.GapAt = gap, t.last.Sub(t.began)
	}
	if arrived.After(t.last) {
		t.last = arrived
	}
	at := int(arrived.Sub(t.began) * sampleRate / time.Second)
	src := t.source(h, at)
	before := src.highest
	fresh := src.count(h.SequenceNumber, &t.stats)
	if toLinear == nil {
		return
	}
	t.stats.Packets++
	pos := src.basePos + int(int32(h.Timestamp-src.baseTS))
	overlap := src.end - pos
	drift := reanchorAfter
	if h.Marker {
		drift = reanchorMarkedAfter
	}
	switch {
	case fresh && (pos-at > drift || at-pos > drift):
		pos = t.join(at)
		src.baseTS, src.basePos = h.Timestamp, pos
	case fresh && src.highest == before+1 && 0 < overlap && overlap < frameSamples:
		// Asterisk stamps a short packet, the last of a file, as if the one before had been as short.
		pos = src.end
		src.baseTS, src.basePos = h.Timestamp, pos
	}
	if fresh {
		src.end = pos + len(payload)
	}
	t.place(pos, payload, toLinear)
}

// source finds the stream of a packet, or begins one at the position given.
func (t *timeline) source(h *rtp.Header, at int) *source {
	for _, s := range t.sources {
		if s.ssrc == h.SSRC {
			return s
		}
	}
	s := &source{ssrc: h.SSRC, baseTS: h.Timestamp, basePos: t.join(at), first: h.SequenceNumber, highest: -1}
	if len(t.sources) == maxSources {
		t.retire(t.sources[0])
		t.sources = slices.Delete(t.sources, 0, 1)
	}
	t.sources = append(t.sources, s)
	t.stats.Sources++
	return s
}

// join moves a position to the end of the last sound when it is near it, so that jitter makes no gap or overlap.
func (t *timeline) join(at int) int {
	if d := at - t.end; -joinWithin <= d && d <= joinWithin {
		return t.end
	}
	return at
}

func (t *timeline) place(pos int, payload []byte, toLinear *[256]int16) {
	skip := max(0, -pos)
	if skip >= len(payload) {
		return // Older than the first packet: it came late, and there is no place for it.
	}
	payload, pos = payload[skip:], pos+skip
	t.end = max(t.end, pos+len(payload))
	if pos+len(payload) > maxHeard {
		return
	}
	if need := pos + len(payload) - len(t.pcm); need > 0 {
		t.pcm = append(t.pcm, make([]int16, need)...)
	}
	for i, b := range payload {
		t.pcm[pos+i] = toLinear[b]
	}
}

// count follows the sequence numbers and says whether the packet is the newest so far.
func (s *source) count(seq uint16, stats *Reception) (newest bool) {
	if s.highest < 0 {
		s.highest, s.received = 0, 1
		s.recent[0] = true
		return true
	}
	ext := s.highest + int(int16(seq-(s.first+uint16(s.highest))))
	switch {
	case ext > s.highest:
		for i := s.highest + 1; i <= ext && i <= s.highest+len(s.recent); i++ {
			s.recent[i%len(s.recent)] = false
		}
		s.highest, newest = ext, true
	case ext <= s.highest-len(s.recent):
		stats.Late++ // Too old to know whether it is a duplicate.
		return false
	case s.recent[wrap(ext, len(s.recent))]:
		stats.Duplicates++
		return false
	default:
		stats.Late++
		s.lowest = min(s.lowest, ext)
	}
	s.recent[wrap(ext, len(s.recent))] = true
	s.received++
	return newest
}

func wrap(i, n int) int { return (i%n + n) % n }

func (s *source) lost() int { return max(0, s.highest-s.lowest+1-s.received) }

// retire keeps the losses of a source that is forgotten.
func (t *timeline) retire(s *source) { t.stats.Lost += s.lost() }

// heard returns a copy of all audio so far.
func (t *timeline) heard() []int16 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Clone(t.pcm)
}

// reception sums up the packets so far; began is the zero of the call's own clock.
func (t *timeline) reception(callBegan time.Time) Reception {
	t.mu.Lock()
	defer t.mu.Unlock()
	r := t.stats
	for _, s := range t.sources {
		r.Lost += s.lost()
	}
	if !t.began.IsZero() {
		r.First = t.began.Sub(callBegan)
	}
	return r
}

// unknown counts a packet whose payload type was not agreed on.
func (t *timeline) unknown() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.stats.Unknown++
}
