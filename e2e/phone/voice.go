package phone

import (
	"context"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/pion/rtp"
)

// ErrCallEnded says that the call was over before something was said or sent to its end.
var ErrCallEnded = errors.New("the call has ended")

// errNoEvents says that the far end takes no digits in RTP.
var errNoEvents = errors.New("the far end did not agree to telephone events (RFC 4733), so digits cannot be sent")

const rtpHeaderSize = 12

// voice is what the phone has to say: a queue of utterances, and silence when it is empty.
type voice struct {
	mu    sync.Mutex
	queue []*utterance
	err   error // Set once the call has ended.
}

// utterance is something to say: samples, or the digits of a keypad.
type utterance struct {
	pcm   []int16
	keys  []key
	pos   int // In samples of the sound, or of the present key.
	event eventState
	rest  int // The silence that must follow, in samples; nobody waits for it.
	done  chan error
}

// wait queues an utterance and waits until it has been said, the call has ended or ctx is done; then it is taken back.
func (v *voice) wait(ctx context.Context, u *utterance) error {
	v.mu.Lock()
	if v.err != nil {
		v.mu.Unlock()
		return v.err
	}
	v.queue = append(v.queue, u)
	v.mu.Unlock()
	select {
	case err := <-u.done:
		return err
	case <-ctx.Done():
		v.drop(u)
		return context.Cause(ctx)
	}
}

func (v *voice) drop(u *utterance) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for i, q := range v.queue {
		if q == u {
			v.queue = append(v.queue[:i], v.queue[i+1:]...)
			return
		}
	}
}

// silence ends everything that is still to be said with err.
func (v *voice) silence(err error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.err = err
	for _, u := range v.queue {
		u.done <- err
	}
	v.queue = nil
}

// frame writes the packets of the next 20 ms into out and says how many they are.
func (v *voice) frame(out *sender, r *remote) int {
	v.mu.Lock()
	defer v.mu.Unlock()
	for len(v.queue) > 0 {
		u := v.queue[0]
		if len(u.keys) > 0 && r.events == 0 {
			v.finish(errNoEvents)
			continue
		}
		if len(u.keys) > 0 {
			n, last := u.keyFrame(out, r)
			if last {
				v.finish(nil)
			}
			return n
		}
		if u.pos >= len(u.pcm) {
			v.finish(nil)
			continue
		}
		end := min(u.pos+frameSamples, len(u.pcm))
		n := out.audio(u.pcm[u.pos:end], r.codec)
		u.pos = end
		return n
	}
	return out.audio(nil, r.codec)
}

func (v *voice) finish(err error) {
	u := v.queue[0]
	u.done <- err
	if u.rest > 0 && err == nil {
		v.queue[0] = &utterance{pcm: make([]int16, u.rest), done: make(chan error, 1)}
		return
	}
	v.queue = v.queue[1:]
}

// sender writes RTP packets into buffers that it keeps.
type sender struct {
	header  rtp.Header
	packets [3][]byte // At most three a frame: the end of a telephone event is sent three times.
	buffers [3][rtpHeaderSize + frameSamples]byte
	talking bool // Whether the last packet was audio, so that none is missing before the next.
}

func newSender() *sender {
	return &sender{header: rtp.Header{
		Version:        2,
		SSRC:           rand.Uint32(),
		SequenceNumber: uint16(rand.Uint32() & 0x7fff),
		Timestamp:      rand.Uint32(),
	}}
}

// skip lets time pass without packets.
func (s *sender) skip(frames int) {
	s.header.Timestamp += uint32(frames * frameSamples)
	s.talking = false
}

// audio writes one frame of samples, filled up with silence, and moves the clock on.
func (s *sender) audio(pcm []int16, codec Codec) int {
	_, fromLinear := codec.tables()
	buf := &s.buffers[0]
	s.header.PayloadType, s.header.Marker = codec.payloadType(), !s.talking
	s.talking = true
	s.put(0, len(buf))
	for i := range frameSamples {
		var sample int16
		if i < len(pcm) {
			sample = pcm[i]
		}
		buf[rtpHeaderSize+i] = fromLinear[uint16(sample)]
	}
	s.header.Timestamp += frameSamples
	return 1
}

// put writes the header of the i-th packet of the frame, which is size bytes long in all.
func (s *sender) put(i, size int) {
	buf := s.buffers[i][:size]
	buf[0], buf[1] = 0x80, s.header.PayloadType
	if s.header.Marker {
		buf[1] |= 0x80
	}
	binary.BigEndian.PutUint16(buf[2:], s.header.SequenceNumber)
	binary.BigEndian.PutUint32(buf[4:], s.header.Timestamp)
	binary.BigEndian.PutUint32(buf[8:], s.header.SSRC)
	s.packets[i] = buf
	s.header.SequenceNumber++
}

// samplesOf converts a duration to samples.
func samplesOf(d time.Duration) int { return int(d * sampleRate / time.Second) }
