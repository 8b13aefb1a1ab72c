package sim

import (
	"time"

	"asterism/ari/proxy"
)

// owners watches who may act for each session, by reading the network.
type owners struct {
	token  map[string]proxy.Token // of the latest assignment of each session
	asked  map[string]question    // by the subject for the answer
	began  map[string]time.Time   // when that was for the first time
	holder map[string]string      // to whom that went
}

// question is a command that waits for its answer.
type question struct {
	session, id string
	current     bool // it arrived with the current token at least once
	arrived     bool
}

func newOwners() owners {
	return owners{token: make(map[string]proxy.Token), asked: make(map[string]question), holder: make(map[string]string), began: make(map[string]time.Time)}
}

// sent looks at a message that leaves.
func (o *owners) sent(w *world, m *message) {
	switch {
	case m.kind == "assign":
		var t proxy.Token
		if err := t.UnmarshalText([]byte(m.token)); err != nil {
			w.fault("assignment of %s: %v", m.session, err)
		}
		o.given(w, m.session, t, m.To)
	case len(m.granted) > 0:
		for _, g := range m.granted {
			o.given(w, g.Session, g.Token, m.To)
		}
	case m.Reply != "" && m.id != "":
		if _, ok := o.asked[m.Reply]; !ok {
			o.asked[m.Reply] = question{session: m.session, id: m.id}
		}
	case m.kind == "answer" && m.id != "" && m.From == w.gateway.name:
		q := o.asked[m.Subject]
		if q.arrived && !q.current && m.status == "done" {
			w.fault("command %s of %s was carried out although its token was not the current one", m.id, m.session)
		}
	}
}

// given notes that a session is given to somebody under a new token. A claim
// that comes twice is granted twice.
func (o *owners) given(w *world, session string, t proxy.Token, to string) {
	if !later(t, o.token[session]) && (t != o.token[session] || to != o.holder[session]) {
		w.fault("%s was given to %s with the token %v; %s has %v", session, to, t, o.holder[session], o.token[session])
	}
	if _, ok := o.began[session]; !ok {
		o.began[session] = time.Now()
	}
	o.token[session], o.holder[session] = t, to
}

// arrives looks at a message that reaches its receiver.
func (o *owners) arrives(w *world, m *message) {
	if m.id == "" || m.Reply == "" || m.To != w.gateway.name {
		return
	}
	q := o.asked[m.Reply]
	q.arrived = true
	q.current = q.current || m.token == o.token[m.session].String()
	o.asked[m.Reply] = q
}

func later(a, b proxy.Token) bool {
	return a.Boot > b.Boot || (a.Boot == b.Boot && a.Epoch > b.Epoch)
}

// book takes in that a worker has done something outside the node. It may be
// done again, with the same key.
func (w *world) book(l *life, key, name, value string) error {
	session := proxy.SessionOf(key)
	w.note("» %s: %s books %s as %s", session, l.name, name, key)
	w.mu.Lock()
	c, holder := w.callerOf(session), w.owners.holder[session]
	if c.booked == nil {
		c.booked = make(map[string]string)
	}
	was, again := c.booked[name]
	c.booked[name] = key + " " + value
	w.mu.Unlock()
	if holder != l.name {
		w.fault("» %s: %s booked %s although %s has the call", session, l.name, name, holder)
	}
	if again && was != key+" "+value {
		w.fault("» %s: %s was booked as %q and then as %q", session, name, was, key+" "+value)
	}
	return nil
}
