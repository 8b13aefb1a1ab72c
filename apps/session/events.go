package session

import (
	"time"

	"asterism/apps"
	"asterism/ari"
)

// signal is an event that a waiting verb wants to know of.
type signal struct {
	kind signalKind
	at   time.Time // by Asterisk's clock
	came time.Time // by ours
	key  int       // the number of the key, with sigKey
}

type signalKind uint8

const (
	sigStarted    signalKind = iota // the playback has begun
	sigContinuing                   // its next sound has begun
	sigDone                         // it has ended
	sigFailed                       // it has ended because it could not be played
	sigKey                          // a key was pressed
	sigGone                         // the channel has hung up
)

// event is the type of the event as a metric names it, "" for those that
// gateways let wait for another one to travel with.
func (k signalKind) event() string {
	switch k {
	case sigContinuing:
		return "PlaybackContinuing"
	case sigDone, sigFailed:
		return "PlaybackFinished"
	case sigKey:
		return "ChannelDtmfReceived"
	case sigStarted, sigGone: // the flow hears of the end by its context
	}
	return ""
}

// maxInbox bounds the signals that wait for a verb. A verb takes them in
// microseconds unless it waits for its gateway; what is too much counts as
// lost, and is looked up.
const maxInbox = 512

// Event implements [proxy.Runner].
func (s *session) Event(_ uint64, raw []byte) {
	h, err := ari.Peek(raw)
	if err != nil {
		s.pool.metrics.badEvents.Inc()
		return
	}
	switch h.Type {
	case "ChannelDtmfReceived":
		if h.ChannelID == s.id {
			s.typed(h)
		}
	case "ChannelHangupRequest", "ChannelDestroyed", "StasisEnd":
		if h.ChannelID == s.id {
			s.gone(h)
		}
	case "PlaybackStarted":
		s.signal(h, sigStarted)
	case "PlaybackContinuing":
		s.signal(h, sigContinuing)
	case "PlaybackFinished":
		if h.State == "failed" {
			s.signal(h, sigFailed)
			return
		}
		s.signal(h, sigDone)
	}
}

// Lost implements [proxy.Runner].
func (s *session) Lost() {
	s.mu.Lock()
	s.lost = true
	s.mu.Unlock()
	s.ring()
}

// Pending implements [proxy.Runner].
func (s *session) Pending() [][]byte { return nil }

// typed takes in a key.
func (s *session) typed(h ari.Header) {
	s.mu.Lock()
	n, dropped := s.keys.add(h.Digit)
	if s.listens != "" && n > 0 {
		s.put(signal{kind: sigKey, at: h.Timestamp, came: time.Now(), key: n})
	}
	s.mu.Unlock()
	if dropped {
		s.pool.metrics.digits.Inc()
	}
	s.ring()
}

// gone notes that the channel is not ours any more.
func (s *session) gone(h ari.Header) {
	s.mu.Lock()
	if s.cause == 0 {
		s.cause = h.Cause
	}
	if s.listens != "" {
		s.put(signal{kind: sigGone, at: h.Timestamp, came: time.Now()})
	}
	s.mu.Unlock()
	s.cancel(apps.ErrHangup)
}

// signal hands on an event of the playback that a verb waits for.
func (s *session) signal(h ari.Header, kind signalKind) {
	s.mu.Lock()
	if s.listens == "" || s.listens != h.PlaybackID {
		s.mu.Unlock()
		return
	}
	s.put(signal{kind: kind, at: h.Timestamp, came: time.Now()})
	s.mu.Unlock()
	s.ring()
}

// put adds to the inbox. The lock is held.
func (s *session) put(sig signal) {
	if len(s.inbox) >= maxInbox {
		s.lost = true
		return
	}
	s.inbox = append(s.inbox, sig)
}

// ring wakes the verb that waits.
func (s *session) ring() {
	select {
	case s.wake <- struct{}{}:
	default: // a ring that nobody has heard yet announces this, too
	}
}

// takeSignals empties the inbox.
func (s *session) takeSignals() []signal {
	s.mu.Lock()
	defer s.mu.Unlock()
	sigs := s.inbox
	s.inbox = nil
	return sigs
}

// takeLost reports whether events were lost since it was last asked.
func (s *session) takeLost() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	lost := s.lost
	s.lost = false
	return lost
}

// listen makes the events of a playback, and keys, reach the inbox from now
// on; "" ends that.
func (s *session) listen(playback string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.listens, s.inbox = playback, nil
}

// listenUnless is listen, unless one of the keys was typed already.
func (s *session) listenUnless(playback string, keys apps.Keys) (typed bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.keys.has(keys) {
		return true
	}
	s.listens, s.inbox = playback, nil
	return false
}

// takeNumber uses up the key of that number, if it is in the set.
func (s *session) takeNumber(n int, set apps.Keys) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.keys.takeNumber(n, set)
}

// takeKey uses up the first typed key of the set and returns it, "" when
// there is none.
func (s *session) takeKey(set apps.Keys) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.keys.take(set)
}
