package sim

import "asterism/ari/proxy"

// owners watches who may act for each session, by reading the network.
type owners struct {
	token map[string]proxy.Token // of the latest assignment of each session
	asked map[string]question    // by the subject for the answer
	first map[string]string      // the worker that a session was first offered to
}

// question is a command that waits for its answer.
type question struct {
	session, id string
	current     bool // it arrived with the current token at least once
	arrived     bool
}

func newOwners() owners {
	return owners{token: make(map[string]proxy.Token), asked: make(map[string]question), first: make(map[string]string)}
}

// sent looks at a message that leaves.
func (o *owners) sent(w *world, m *message) {
	switch {
	case m.kind == "assign":
		var t proxy.Token
		if err := t.UnmarshalText([]byte(m.token)); err != nil {
			w.fault("assignment of %s: %v", m.session, err)
		}
		if !later(t, o.token[m.session]) {
			w.fault("%s was offered with the token %v after %v", m.session, t, o.token[m.session])
		}
		o.token[m.session] = t
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
