package proxy

import (
	"context"
	"encoding/json"
	"slices"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
)

// How sessions change hands from the worker's side: it claims those whose
// gateway has started anew, and gives back what it has when it goes out of
// service.

const (
	// drainWithin is how long a worker waits for its flows to let go.
	drainWithin = 10 * time.Second
	// releaseWithin is how long a worker tries to give a session back. Without
	// an answer the gateway takes it when its lease ends.
	releaseWithin = 3 * time.Second
	// releaseAgain is when a release without an answer is sent once more.
	releaseAgain = 500 * time.Millisecond
)

// gatewayBeat answers a gateway that has just started, and claims the sessions
// that it had in an earlier life. What is not answered is claimed again at the
// next heartbeat.
func (w *Worker) gatewayBeat(m *nats.Msg) {
	var hb Heartbeat
	if err := json.Unmarshal(m.Data, &hb); err != nil {
		return
	}
	if hb.Hello {
		w.beatNow()
	}
	boot, err := strconv.ParseUint(hb.Boot, 10, 64)
	if err != nil {
		return
	}
	var claim []renewEntry
	w.mu.Lock()
	for _, n := range w.nodes {
		if !n.before(hb.Name, boot) {
			continue
		}
		for _, s := range n.sessions {
			claim = append(claim, renewEntry{Session: s.id, Token: s.at.Load().token, Seq: s.seq.Load()})
		}
	}
	w.mu.Unlock()
	for part := range slices.Chunk(claim, maxRenew) {
		h := claimHeader{Worker: w.key, Sessions: part}
		_ = w.conn.publish("g."+hb.key()+"."+kindClaim, "w."+w.key+"."+kindClaimed, h)
	}
}

// receiveClaimed takes in the answer to a claim. Events under the new tokens
// come right behind it.
func (w *Worker) receiveClaimed(m *nats.Msg) error {
	if noResponders(m) {
		return nil
	}
	var h claimedHeader
	if _, err := decodeFrame(m.Data, &h); err != nil {
		return err
	}
	node, boot, err := parseNodeKey(h.Node)
	if err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	earlier := func(id string) *Session {
		if s := w.sessions[id]; s != nil && s.at.Load().node.before(node, boot) {
			return s
		}
		return nil
	}
	for _, e := range h.Granted {
		if s := earlier(e.Session); s != nil {
			w.settle(s, h.Node, e.Token)
			w.metrics.claimed.Inc()
		}
	}
	for _, id := range h.Stale {
		if s := earlier(id); s != nil {
			s.cancel(ErrMoved)
		}
	}
	return nil
}

// release gives the session back to its gateway with the records that no
// command has carried, so that another worker goes on where this one was.
func (s *Session) release(records [][]byte, reset bool, heard uint64) {
	ctx, cancel := context.WithTimeout(context.Background(), releaseWithin)
	defer cancel()
	for ctx.Err() == nil {
		at := s.at.Load()
		subject, n, ch := s.w.request()
		again := time.NewTimer(releaseAgain)
		if s.w.conn.publish(at.node.subject(kindRelease), subject, releaseHeader{
			Session: s.id, Token: at.token, Reset: reset, Heard: heard,
		}, records...) == nil {
			select {
			case r := <-ch:
				if !r.none {
					again.Stop()
					s.w.giveUp(n)
					return
				}
			case <-at.left:
			case <-again.C:
			case <-ctx.Done():
			}
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-ctx.Done():
		}
		again.Stop()
		s.w.giveUp(n)
	}
	s.w.metrics.unreleased.Inc()
}

// digitEvent makes an event again of a key that is known only from the log.
func digitEvent(channel string, d Digit) []byte {
	raw, err := json.Marshal(map[string]any{
		"type": "ChannelDtmfReceived", "application": App, "digit": d.Key, "duration_ms": 0,
		"timestamp": d.At.UTC().Format(ariTime),
		"channel":   map[string]string{"id": channel},
	})
	if err != nil { // strings can always be encoded
		return nil
	}
	return raw
}
