package session

import (
	"cmp"
	"slices"
	"time"

	"asterism/apps"
	"asterism/ari"
	"asterism/ari/proxy"
)

// signal is an event that a waiting verb wants to know of.
type signal struct {
	kind signalKind
	at   time.Time // by Asterisk's clock
	came time.Time // by ours
	key  uint64    // the number of the key, with sigKey
	old  bool      // it came before the verb that hears of it: came tells nothing
}

// early is a signal of a playback that no verb listens to yet.
type early struct {
	playback string
	seq      uint64
	signal
}

// maxEarly bounds the signals that are kept until a call that was taken over
// has come to the verb that waits for them.
const maxEarly = 64

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
func (s *session) Event(seq uint64, raw []byte) {
	h, err := ari.Peek(raw)
	if err != nil {
		s.pool.metrics.badEvents.Inc()
		s.saw(seq)
		return
	}
	switch h.Type {
	case "ChannelDtmfReceived":
		if h.ChannelID == s.id {
			s.typed(seq, h)
		}
	case eventDraining:
		s.drain(apps.ErrDraining)
	case "ChannelHangupRequest", "ChannelDestroyed", "StasisEnd":
		if h.ChannelID == s.id {
			s.gone(seq, h)
		}
	case "PlaybackStarted":
		s.signal(seq, h, sigStarted)
	case "PlaybackContinuing":
		s.signal(seq, h, sigContinuing)
	case "PlaybackFinished":
		kind := sigDone
		if h.State == "failed" {
			kind = sigFailed
		}
		s.signal(seq, h, kind)
	}
	s.saw(seq)
}

// eventDraining is the gateway's own event: its node's time has run out.
const eventDraining = proxy.EventDraining

// saw notes that an event was taken in.
func (s *session) saw(seq uint64) {
	s.mu.Lock()
	s.seq = max(s.seq, seq)
	s.mu.Unlock()
}

// Lost implements [proxy.Runner].
func (s *session) Lost() {
	s.mu.Lock()
	s.lost = true
	s.mu.Unlock()
	s.ring()
}

// typed takes in a key.
func (s *session) typed(seq uint64, h ari.Header) {
	var at int64
	if !h.Timestamp.IsZero() {
		at = h.Timestamp.UnixMilli()
	}
	s.mu.Lock()
	ok, dropped := s.keys.add(seq, h.Digit, at)
	s.seq = max(s.seq, seq)
	if s.listens != "" && ok {
		s.put(signal{kind: sigKey, at: h.Timestamp, came: time.Now(), key: seq})
	}
	s.mu.Unlock()
	if dropped {
		s.pool.metrics.digits.Inc()
	}
	s.ring()
}

// gone notes that the channel is not ours any more.
func (s *session) gone(seq uint64, h ari.Header) {
	s.mu.Lock()
	if s.cause == 0 {
		s.cause = h.Cause
	}
	switch sig := (signal{kind: sigGone, at: h.Timestamp, came: time.Now()}); {
	case s.listens != "":
		s.put(sig)
	case s.catching && len(s.early) < maxEarly:
		s.early = append(s.early, early{"", seq, sig})
	}
	s.mu.Unlock()
	s.cancel(apps.ErrHangup)
}

// signal hands on an event of the playback that a verb waits for.
func (s *session) signal(seq uint64, h ari.Header, kind signalKind) {
	sig := signal{kind: kind, at: h.Timestamp, came: time.Now()}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.listens != "" && s.listens == h.PlaybackID:
		s.put(sig)
		s.ring()
	case s.catching && s.listens == "" && len(s.early) < maxEarly:
		s.early = append(s.early, early{h.PlaybackID, seq, sig})
	}
}

// caughtUp forgets what was kept for the first verb that is not in the
// journal.
func (s *session) caughtUp() {
	s.mu.Lock()
	s.catching, s.early = false, nil
	s.keys.all = false
	forgotten := s.keys.forget()
	s.mu.Unlock()
	if forgotten > 0 {
		s.pool.metrics.digits.Add(float64(forgotten))
	}
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

// signalled reports whether an event of the playback waits for its verb.
func (s *session) signalled() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.ContainsFunc(s.inbox, func(sig signal) bool { return sig.kind != sigKey && sig.kind != sigGone })
}

// listen makes the events of a playback, and keys, reach the inbox from now
// on; "" ends that.
func (s *session) listen(playback string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.listens, s.inbox = playback, nil
}

// listenUnless is listen, unless one of the keys was typed before the verb
// began. A verb that was taken over hears of what has happened since.
func (s *session) listenUnless(playback string, keys apps.Keys, v *verbRun) (typed bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !v.replay {
		v.heard = s.seq
	}
	if s.keys.has(keys, v.heard) {
		return true
	}
	s.listens, s.inbox = playback, nil
	if v.replay {
		s.inbox = s.since(playback, v.heard)
	}
	return false
}

// since returns what has happened to a playback, and the keys that were typed,
// behind the event of that number, in order. The lock is held.
func (s *session) since(playback string, heard uint64) []signal {
	var sigs []early
	for _, e := range s.early {
		if e.playback == playback || e.kind == sigGone {
			e.old = true
			sigs = append(sigs, e)
		}
	}
	for _, k := range s.keys.after(heard) {
		at := time.Now()
		if k.at != 0 {
			at = time.UnixMilli(k.at)
		}
		sigs = append(sigs, early{seq: k.n, signal: signal{kind: sigKey, at: at, came: at, key: k.n, old: true}})
	}
	slices.SortStableFunc(sigs, func(a, b early) int { return cmp.Compare(a.seq, b.seq) })
	out := make([]signal, len(sigs))
	for i := range sigs {
		out[i] = sigs[i].signal
	}
	return out
}

// takeNumber uses up the key of that number, if it is in the set.
func (s *session) takeNumber(n uint64, set apps.Keys) string {
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
