package phone

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pion/rtp"
)

const (
	frameTime    = 20 * time.Millisecond
	frameSamples = sampleRate / 50
	// drainTime is how long the phone goes on listening after the end of a call, for what is already on its way.
	drainTime = 40 * time.Millisecond
	// catchUp is the greatest number of frames sent at once when the machine was too busy to send them in time: 5 s.
	catchUp = 250
)

// media is the sound of one call: its RTP socket, what it hears, and what it says.
type media struct {
	conn *net.UDPConn
	// rtcp is bound and never read: reports that come to it must not be answered by "port unreachable", and the port must
	// not be another call's.
	rtcp  *net.UDPConn
	port  int
	began time.Time

	heard  timeline
	digits digitLog
	voice  voice

	remote atomic.Pointer[remote]
	sent   atomic.Int64
	muted  atomic.Bool
	start  sync.Once
	wg     sync.WaitGroup
	stop   chan struct{}
	ended  sync.Once
}

// remote is what the far end's session description says of where and how it wants to be spoken to.
type remote struct {
	addr   netip.AddrPort
	codec  Codec
	events uint8 // The payload type of telephone events; 0 when there are none.
	hold   bool  // The far end does not want to hear anything.
}

// openMedia binds an even RTP port and the RTCP port above it.
func openMedia(host netip.Addr, onFirst func(time.Time)) (*media, error) {
	var lastErr error
	for range 100 {
		conn, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(host, 0)))
		if err != nil {
			return nil, fmt.Errorf("binding an RTP port at %s: %w", host, err)
		}
		port := conn.LocalAddr().(*net.UDPAddr).Port
		if port%2 == 0 {
			rtcp, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(host, uint16(port+1))))
			if err == nil {
				m := &media{conn: conn, rtcp: rtcp, port: port, began: time.Now(), stop: make(chan struct{})}
				stampArrivals(conn)
				_ = rtcp.SetReadBuffer(1) // The kernel's least: nobody reads it.
				m.wg.Go(func() { m.receive(onFirst) })
				return m, nil
			}
			lastErr = err
		}
		_ = conn.Close()
	}
	return nil, fmt.Errorf("binding an even RTP port at %s: no free pair found: %w", host, lastErr)
}

// speakTo sets, or after a re-INVITE changes, where the sound goes, and begins to send.
func (m *media) speakTo(r remote) {
	m.remote.Store(&r)
	m.start.Do(func() { m.wg.Go(m.send) })
}

// close ends the sound and waits for both directions. What has already arrived is still heard.
func (m *media) close() {
	m.ended.Do(func() {
		m.start.Do(func() {}) // Nothing begins to send any more.
		close(m.stop)
		m.voice.silence(ErrCallEnded)
		_ = m.conn.SetReadDeadline(time.Now().Add(drainTime))
	})
	m.wg.Wait()
	_ = m.conn.Close()
	_ = m.rtcp.Close()
}

// receive reads RTP until the call ends.
func (m *media) receive(onFirst func(time.Time)) {
	buf, oob := make([]byte, 2048), make([]byte, oobSize)
	var header rtp.Header
	first := true
	for {
		n, oobn, _, _, err := m.conn.ReadMsgUDPAddrPort(buf, oob)
		if errors.Is(err, net.ErrClosed) || errors.Is(err, os.ErrDeadlineExceeded) {
			return
		}
		if err != nil {
			continue // An ICMP error of a packet sent before: the far end's socket is not open (any more).
		}
		arrived := arrival(oob[:oobn], time.Now())
		header = rtp.Header{}
		size, err := header.Unmarshal(buf[:n])
		if err != nil || header.Version != 2 {
			m.heard.unknown()
			continue
		}
		if first {
			first = false
			onFirst(arrived)
		}
		m.take(&header, buf[size:n], arrived)
	}
}

// take sorts one packet into audio, digits, and what was not agreed on.
func (m *media) take(h *rtp.Header, payload []byte, arrived time.Time) {
	if h.Padding && len(payload) > 0 {
		payload = payload[:max(0, len(payload)-int(payload[len(payload)-1]))]
	}
	if codec, ok := codecOf(h.PayloadType); ok {
		toLinear, _ := codec.tables()
		m.heard.add(h, payload, toLinear, arrived)
		return
	}
	events := uint8(telephoneEvents)
	if r := m.remote.Load(); r != nil && r.events != 0 {
		events = r.events
	}
	m.heard.add(h, nil, nil, arrived)
	if h.PayloadType == events {
		m.digits.add(h, payload, arrived.Sub(m.began))
		return
	}
	m.heard.unknown()
}

// send sends a frame every 20 ms until the call ends.
func (m *media) send() {
	ticker := time.NewTicker(frameTime)
	defer ticker.Stop()
	out := newSender()
	began, frames := time.Now(), 0
	for {
		due := int(time.Since(began)/frameTime) + 1
		if due-frames > catchUp {
			out.skip(due - frames - 1)
			frames = due - 1
		}
		for ; frames < due; frames++ {
			m.sendFrame(out)
		}
		select {
		case <-m.stop:
			return
		case <-ticker.C:
		}
	}
}

// sendFrame sends what is to be said in the next 20 ms.
func (m *media) sendFrame(out *sender) {
	r := m.remote.Load()
	n := m.voice.frame(out, r)
	if r.hold || m.muted.Load() || !r.addr.IsValid() {
		return
	}
	for _, packet := range out.packets[:n] {
		// A far end that is not there (yet) is seen in the signalling; a lost packet is the network's right.
		if _, err := m.conn.WriteToUDPAddrPort(packet, r.addr); err == nil {
			m.sent.Add(1)
		}
	}
}

// say queues samples and waits until they have been said.
func (m *media) say(ctx context.Context, pcm []int16) error {
	return m.voice.wait(ctx, &utterance{pcm: pcm, done: make(chan error, 1)})
}
