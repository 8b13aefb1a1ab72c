package sim

import (
	"cmp"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"asterism/ari/proxy"
)

// message is a parcel, read as far as the world must understand it.
type message struct {
	*proxy.Parcel
	at      time.Time // when it was sent
	kind    string    // "assign", "command", "result" …
	session string    // "" when it is about none or several
	token   string
	granted []grant // with new tokens, by a gateway that has started anew
	id      string  // of the command that it carries or answers
	status  string  // of an answer
	final   bool
}

// header is what the headers of the fabric's frames have in common.
type header struct {
	Session json.RawMessage `json:"s"`
	Token   string          `json:"t"`
	ID      string          `json:"id"`
	Status  json.RawMessage `json:"st"`
	Final   bool            `json:"fin"`
	Command json.RawMessage `json:"c"`
	Granted []grant         `json:"g"`
}

// grant is a session with its new token.
type grant struct {
	Session string      `json:"s"`
	Token   proxy.Token `json:"t"`
}

// carry takes in what somebody sends. It is called with locks held.
func (w *world) carry(p *proxy.Parcel) {
	w.mu.Lock()
	w.fresh = append(w.fresh, &message{Parcel: p, at: time.Now()})
	w.mu.Unlock()
	w.stir()
}

// stir makes the world look at what has changed.
func (w *world) stir() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// post decides when the fresh messages arrive. Those of one moment are put in
// an order first that does not depend on which goroutine ran first.
func (w *world) post() {
	w.mu.Lock()
	fresh := w.fresh
	w.fresh = nil
	w.mu.Unlock()
	for _, m := range fresh {
		w.read(m)
	}
	slices.SortStableFunc(fresh, func(a, b *message) int {
		return cmp.Or(a.at.Compare(b.at), cmp.Compare(a.From, b.From), cmp.Compare(a.To, b.To),
			cmp.Compare(a.session, b.session), cmp.Compare(a.kind, b.kind), cmp.Compare(a.id, b.id))
	})
	for _, m := range fresh {
		w.owners.sent(w, m)
		w.send(m)
	}
}

// read finds out what a message is about.
func (w *world) read(m *message) {
	parts := strings.Split(m.Subject, ".")
	m.kind = parts[len(parts)-1]
	if parts[0] == "hb" {
		m.kind = "heartbeat"
		return
	}
	if len(parts) > 4 && parts[3] == "r" { // an answer
		m.kind = "answer"
		asked := w.owners.asked[m.Subject]
		m.session, m.id = asked.session, asked.id
	}
	size, used := binary.Uvarint(m.Data)
	if used <= 0 || uint64(len(m.Data)-used) < size {
		m.status = "nobody"
		return
	}
	var h header
	if err := json.Unmarshal(m.Data[used:used+int(size)], &h); err != nil { //nolint:gosec // checked above
		w.fault("a message to %s cannot be read: %v", m.Subject, err)
		return
	}
	m.granted = h.Granted
	_ = json.Unmarshal(h.Status, &m.status) // commands have their steps there
	if json.Unmarshal(h.Session, &m.session) == nil && m.session != "" {
		m.token, m.id, m.final = h.Token, cmp.Or(h.ID, m.id), h.Final
	}
	if len(h.Command) > 0 && parts[0] == "g" { // an acceptance with a command
		var c header
		if json.Unmarshal(h.Command, &c) == nil {
			m.id, m.final = c.ID, c.Final
		}
	}
}

// source names the die of a message.
func (m *message) source() string {
	return m.From + ">" + m.To + "/" + m.kind + "/" + m.session + "/" + m.id
}

func (m *message) String() string {
	s := fmt.Sprintf("» %s → %s %s", m.From, m.To, m.kind)
	for _, part := range []string{m.session, m.token, m.id, m.status} {
		if part != "" {
			s += " " + part
		}
	}
	return s
}

// send decides the fate of a message.
func (w *world) send(m *message) {
	source := m.source()
	delay := w.between(source, 50*time.Microsecond, 800*time.Microsecond)
	link := m.From + ">" + m.To
	if !w.troubling() {
		w.arrive(m, delay, link)
		return
	}
	if w.chance(source, w.odds.late) {
		delay += w.between(source, time.Millisecond, 60*time.Millisecond)
	}
	if w.chance(source, w.odds.stall) {
		delay += w.between(source, 60*time.Millisecond, 900*time.Millisecond)
	}
	switch {
	case w.chance(source, w.odds.lose):
		w.note("%v LOST", m)
	case w.chance(source, w.odds.double):
		w.arrive(m, delay, link)
		w.arrive(m, delay+w.between(source, 0, 300*time.Millisecond), "")
	case w.chance(source, w.odds.overtake):
		w.arrive(m, delay+w.between(source, 0, 300*time.Millisecond), "")
	default:
		w.arrive(m, delay, link)
	}
}

// arrive has a message arrive. With a link it stays in the order of that link.
func (w *world) arrive(m *message, delay time.Duration, link string) {
	at := time.Now().Add(delay)
	if held := w.heldUntil(m.From); held.After(time.Now()) {
		at = held.Add(delay) // its sender does not run
	}
	if link != "" {
		if last := w.last[link]; !at.After(last) {
			at = last.Add(time.Microsecond)
		}
		w.last[link] = at
	}
	w.after(time.Until(at), func() { w.deliver(m) })
}

// deliver hands a message over once its receiver runs.
func (w *world) deliver(m *message) {
	if held := w.heldUntil(m.To); held.After(time.Now()) {
		w.after(time.Until(held)+time.Microsecond, func() { w.deliver(m) })
		return
	}
	if m.session != "" {
		w.note("%v", m)
		w.mu.Lock()
		w.messages++
		w.mu.Unlock()
		w.spring()
	}
	w.owners.arrives(w, m)
	m.Deliver()
}
