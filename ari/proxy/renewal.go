package proxy

import (
	"context"
	"fmt"
	"hash/fnv"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// fenceAfter is how long a worker acts for a node's sessions without the
// node's word that they are still its own. It is shorter than the lease, so
// that a worker has stopped before the gateway gives its sessions away.
const fenceAfter = 2 * time.Second

// renewSlots is how many parts of the second renewals are spread over.
const renewSlots = 10

// nodeLink is what a worker knows of one life of a gateway with sessions
// here.
type nodeLink struct {
	key      string // "node.boot"
	slot     int    // the part of the second in which its sessions are renewed
	sessions map[string]*Session

	mu      sync.Mutex
	heard   time.Time     // when the last renewal that was answered had been sent
	renewed chan struct{} // closed at the next answer
}

func newNodeLink(key string) *nodeLink {
	h := fnv.New32a()
	_, _ = h.Write([]byte(key)) // never fails
	return &nodeLink{
		key: key, slot: int(h.Sum32() % renewSlots), sessions: make(map[string]*Session),
		// The assignment itself is the gateway's word.
		heard: time.Now(), renewed: make(chan struct{}),
	}
}

// before reports whether this is a life of the node before its boot-th start.
func (n *nodeLink) before(node string, boot uint64) bool {
	name, number, err := parseNodeKey(n.key)
	return err == nil && name == node && number < boot
}

// parseNodeKey splits "node.boot".
func parseNodeKey(key string) (node string, boot uint64, err error) {
	node, started, _ := strings.Cut(key, ".")
	if boot, err = strconv.ParseUint(started, 10, 64); err != nil {
		return "", 0, fmt.Errorf("%q names no life of a node: %w", key, ErrFrame)
	}
	return node, boot, nil
}

// subject is where messages of a kind go.
func (n *nodeLink) subject(kind string) string { return "g." + n.key + "." + kind }

// join and leave keep the list of sessions; the worker's lock is held.
func (n *nodeLink) join(s *Session) { n.sessions[s.id] = s }

func (n *nodeLink) leave(s *Session) {
	if n.sessions[s.id] == s {
		delete(n.sessions, s.id)
	}
}

// confirmed waits until the node's word is recent enough to act on, or the
// session has ended here.
func (s *Session) confirmed(ctx context.Context) error {
	for {
		at := s.at.Load()
		n := at.node
		n.mu.Lock()
		recent, renewed := time.Since(n.heard) < fenceAfter, n.renewed
		n.mu.Unlock()
		if recent {
			return nil
		}
		select {
		case <-renewed:
		case <-at.left:
		case <-s.ctx.Done():
			return s.over()
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// answered notes that the node has answered a renewal sent at the time at.
func (n *nodeLink) answered(at time.Time) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if at.After(n.heard) {
		n.heard = at
	}
	close(n.renewed)
	n.renewed = make(chan struct{})
}

// renewAll renews the sessions of every node that is due.
func (w *Worker) renewAll(due func(*nodeLink) bool) {
	var nodes []*nodeLink
	var headers []renewHeader
	w.mu.Lock()
	for _, n := range w.nodes {
		if !due(n) {
			continue
		}
		h := renewHeader{Worker: w.key, Sessions: make([]renewEntry, 0, len(n.sessions))}
		for _, s := range n.sessions {
			h.Sessions = append(h.Sessions, renewEntry{Session: s.id, Token: s.at.Load().token, Seq: s.seq.Load()})
		}
		nodes, headers = append(nodes, n), append(headers, h)
	}
	w.mu.Unlock()
	for i, n := range nodes {
		w.renewParts(n, headers[i])
	}
}

// maxRenew is how many sessions one renewal lists: as many as surely fit into
// a frame.
const maxRenew = 2000

// renewParts sends the renewals of a node.
func (w *Worker) renewParts(n *nodeLink, h renewHeader) {
	if len(h.Sessions) <= maxRenew {
		w.renew(n, h)
		return
	}
	for part := range slices.Chunk(h.Sessions, maxRenew) {
		w.renew(n, renewHeader{Worker: h.Worker, Sessions: part, Part: true})
	}
}

// renew sends one renewal; its answer is taken in by a goroutine that ends
// within a second.
func (w *Worker) renew(n *nodeLink, h renewHeader) {
	subject, number, ch := w.request()
	sent := time.Now()
	if w.conn.publish(n.subject(kindRenew), subject, &h) != nil {
		w.giveUp(number)
		return
	}
	w.loop.Go(func() {
		defer w.giveUp(number)
		select {
		case r := <-ch:
			if r.none || r.header.Status != statusDone {
				return
			}
			n.answered(sent)
			w.drop(n, h, r.header.Stale)
		case <-time.After(time.Second):
		}
	})
}

// drop ends sessions that are not this worker's any more.
func (w *Worker) drop(n *nodeLink, h renewHeader, stale []string) {
	if len(stale) == 0 {
		return
	}
	tokens := make(map[string]Token, len(h.Sessions))
	for _, e := range h.Sessions {
		tokens[e.Session] = e.Token
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, id := range stale {
		// A session that was assigned anew meanwhile has another token.
		if s := n.sessions[id]; s != nil && s.at.Load().token == tokens[id] {
			s.cancel(ErrMoved)
		}
	}
}
