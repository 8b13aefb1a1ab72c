package proxy

import (
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
)

// Bus carries the messages of gateways and workers within one process, as a
// NATS server does between processes. It is for tests and simulations: it
// opens no socket and lives in the virtual time of testing/synctest, and a
// simulator can decide when, in what order and whether at all each message
// arrives. There are no users and permissions, and no JetStream.
type Bus struct {
	carry func(*Parcel)

	mu    sync.Mutex
	wires []*busWire
}

// NewBus returns a bus. Each message is handed to carry, once for each of its
// receivers; it arrives when carry's owner calls [Parcel.Deliver], which may be
// never, or twice. Carry must not block and not deliver at once: whoever
// publishes holds locks. With a nil carry everything arrives at once, and in
// order at each subscription.
func NewBus(carry func(*Parcel)) *Bus {
	if carry == nil {
		carry = func(p *Parcel) { p.sub.enqueue(p) }
	}
	return &Bus{carry: carry}
}

// LinkState is how a connection to a [Bus] does.
type LinkState uint8

// The states of a connection.
const (
	// LinkUp carries messages. It is the state of a new connection.
	LinkUp LinkState = iota
	// LinkSilent loses everything in both directions, and nobody is told: a
	// network that drops packets, or a frozen server.
	LinkSilent
	// LinkDown is a lost connection: its owner knows, nobody else finds its
	// subscriptions, and what is under way to it is lost.
	LinkDown
)

// Conn returns a new connection. The name is that of its parcels.
func (b *Bus) Conn(name string) *Conn {
	w := &busWire{bus: b, name: name}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.wires = append(b.wires, w)
	return &Conn{wire: w}
}

// SetLink changes the state of a connection of this bus.
func (b *Bus) SetLink(c *Conn, state LinkState) {
	w, ok := c.wire.(*busWire)
	if !ok {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if w.closed || w.state == state {
		return
	}
	was := w.state
	w.state = state
	switch {
	case state == LinkDown:
		w.lives++
		w.tell(nats.RECONNECTING)
	case was == LinkDown:
		w.tell(nats.CONNECTED)
	}
}

// Parcel is a message on its way to one receiver.
type Parcel struct {
	From, To       string // the names of the connections
	Subject, Reply string
	// Data is not to be changed. It is empty when the parcel says that nobody
	// listens to what its receiver has sent.
	Data []byte

	nobody bool
	sub    *busSubscription
	life   int // of the receiver's connection
}

// Deliver hands a message to its receiver, on the goroutine of the caller. Like
// the NATS client, a caller must not deliver two messages of one receiver at the
// same time. Nothing happens when the receiver is gone, or its connection is
// not that of the time of sending.
func (p *Parcel) Deliver() {
	b := p.sub.wire.bus
	b.mu.Lock()
	ok := !p.sub.ended && p.sub.wire.state == LinkUp && p.sub.wire.lives == p.life
	b.mu.Unlock()
	if !ok {
		return
	}
	m := &nats.Msg{Subject: p.Subject, Reply: p.Reply, Data: p.Data}
	if p.nobody {
		m.Header = nats.Header{"Status": {"503"}}
	}
	p.sub.handle(m)
}

// busWire is a connection to a Bus; the fields are guarded by the bus.
type busWire struct {
	bus     *Bus
	name    string
	state   LinkState
	closed  bool
	lives   int // how many times the connection was lost
	subs    []*busSubscription
	changes []chan nats.Status
}

func (w *busWire) up() bool {
	w.bus.mu.Lock()
	defer w.bus.mu.Unlock()
	return !w.closed && w.state != LinkDown
}

func (w *busWire) answers() bool {
	w.bus.mu.Lock()
	closed, state := w.closed, w.state
	w.bus.mu.Unlock()
	if state == LinkSilent {
		<-time.After(answerWithin)
	}
	return !closed && state == LinkUp
}

func (w *busWire) publish(m *nats.Msg) error {
	b := w.bus
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case w.closed:
		return nats.ErrConnectionClosed
	case w.state == LinkDown:
		return nats.ErrReconnectBufExceeded // as the client says without a buffer
	case w.state == LinkSilent:
		return nil
	}
	heard := b.send(w.name, m.Subject, m.Reply, slices.Clone(m.Data), false)
	if !heard && m.Reply != "" {
		b.send(w.name, m.Reply, "", nil, true)
	}
	return nil
}

// send makes parcels for all who listen, and reports whether there is anyone.
func (b *Bus) send(from, subject, reply string, data []byte, nobody bool) bool {
	heard := false
	for _, w := range b.wires {
		for _, s := range w.subs {
			if w.state == LinkDown || !subjectMatches(s.subject, subject) {
				continue
			}
			heard = true
			b.carry(&Parcel{
				From: from, To: w.name, Subject: subject, Reply: reply, Data: data,
				nobody: nobody, sub: s, life: w.lives,
			})
		}
	}
	return heard
}

// subjectMatches reports whether a subscription to pattern hears subject.
func subjectMatches(pattern, subject string) bool {
	for pattern != "" {
		p, morePattern, _ := strings.Cut(pattern, ".")
		if p == ">" {
			return subject != ""
		}
		s, more, _ := strings.Cut(subject, ".")
		if s == "" || (p != "*" && p != s) {
			return false
		}
		pattern, subject = morePattern, more
	}
	return subject == ""
}

func (w *busWire) subscribe(subject string, handle nats.MsgHandler) (subscription, error) {
	w.bus.mu.Lock()
	defer w.bus.mu.Unlock()
	if w.closed {
		return nil, nats.ErrConnectionClosed
	}
	s := &busSubscription{wire: w, subject: subject, handle: handle}
	w.subs = append(w.subs, s)
	return s, nil
}

func (w *busWire) subscriptions() int {
	w.bus.mu.Lock()
	defer w.bus.mu.Unlock()
	return len(w.subs)
}

func (w *busWire) statusChanged() (changes <-chan nats.Status, stop func()) {
	ch := make(chan nats.Status, 10)
	w.bus.mu.Lock()
	defer w.bus.mu.Unlock()
	w.changes = append(w.changes, ch)
	return ch, func() {
		w.bus.mu.Lock()
		defer w.bus.mu.Unlock()
		w.changes = slices.DeleteFunc(w.changes, func(c chan nats.Status) bool { return c == ch })
	}
}

// tell notifies those who follow the connection; who does not look misses
// something, as with the NATS client.
func (w *busWire) tell(status nats.Status) {
	for _, ch := range w.changes {
		select {
		case ch <- status:
		default:
		}
	}
}

func (w *busWire) close() {
	b := w.bus
	b.mu.Lock()
	defer b.mu.Unlock()
	w.closed = true
	for _, s := range w.subs {
		s.ended = true
	}
	w.subs = nil
	w.tell(nats.CLOSED)
	b.wires = slices.DeleteFunc(b.wires, func(o *busWire) bool { return o == w })
}

// maxBusQueue bounds the messages that wait at one subscription; more are
// dropped, as the NATS client does.
const maxBusQueue = 1 << 16

// busSubscription is a subscription at a Bus. The queue, which only a bus
// without a simulator uses, has a lock of its own; the rest is guarded by the
// bus.
type busSubscription struct {
	wire    *busWire
	subject string
	handle  nats.MsgHandler
	ended   bool

	mu      sync.Mutex
	queue   []*Parcel
	working bool
}

// enqueue has a message delivered after those before it, by a goroutine that
// ends when there are no more.
func (s *busSubscription) enqueue(p *Parcel) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.queue) >= maxBusQueue {
		return
	}
	s.queue = append(s.queue, p)
	if !s.working {
		s.working = true
		go s.work()
	}
}

func (s *busSubscription) work() {
	for {
		s.mu.Lock()
		if len(s.queue) == 0 {
			s.working = false
			s.mu.Unlock()
			return
		}
		p := s.queue[0]
		s.queue = s.queue[1:]
		s.mu.Unlock()
		p.Deliver()
	}
}

// Unsubscribe implements [subscription].
func (s *busSubscription) Unsubscribe() error {
	s.wire.bus.mu.Lock()
	defer s.wire.bus.mu.Unlock()
	s.ended = true
	s.wire.subs = slices.DeleteFunc(s.wire.subs, func(o *busSubscription) bool { return o == s })
	return nil
}

// Pending implements [subscription].
func (s *busSubscription) Pending() (messages, bytes int, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range s.queue {
		bytes += len(p.Data)
	}
	return len(s.queue), bytes, nil
}
