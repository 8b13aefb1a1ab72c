package sim

import (
	"fmt"
	"strings"
	"time"

	"asterism/ari/proxy"
)

// misfortune is a kind of fault.
type misfortune struct {
	name   string
	weight int
	strike func(w *world, source string)
}

var allMisfortunes = []misfortune{
	{"worker crash", 4, (*world).crashWorker},
	{"worker pause", 4, (*world).pauseWorker},
	{"worker stop", 3, (*world).stopWorker},
	{"gateway crash", 3, (*world).crashGateway},
	{"events lost", 2, (*world).dropEvents},
	{"worker cut off", 3, (*world).cutWorker},
	{"gateway cut off", 2, (*world).cutGateway},
	{"NATS restart", 2, (*world).restartNATS},
	{"Asterisk crash", 1, (*world).crashAsterisk},
}

// trouble plans the misfortunes of the world.
func (w *world) trouble() {
	total := 0
	var misfortunes []misfortune
	for _, m := range allMisfortunes {
		if *kind != "" && !strings.Contains(*kind, m.name) {
			continue
		}
		misfortunes = append(misfortunes, m)
		total += m.weight
	}
	n := w.roll("misfortunes", *many)
	for i := range n {
		source := fmt.Sprintf("misfortune %d", i)
		at := w.between(source, time.Second, troubles)
		pick := w.roll(source, total)
		for _, m := range misfortunes {
			if pick -= m.weight; pick < 0 {
				w.plan(source, at, func() { m.strike(w, source) })
				break
			}
		}
	}
	pick := func(values ...int) int { return values[w.roll("odds", len(values))] }
	w.odds = odds{
		lose: pick(0, 0, 5, 20), double: pick(0, 0, 5, 20), overtake: pick(0, 0, 5, 20),
		late: pick(0, 20, 100), stall: pick(0, 0, 5),
	}
	w.note("misfortunes: %d, odds %+v", n, w.odds)
}

// plan has a misfortune strike: at a time, or together with the so-manieth
// message, or between the so-manieth request to Asterisk and its answer.
func (w *world) plan(source string, at time.Duration, strike func()) {
	switch w.roll(source, 4) {
	case 0:
		w.snares = append(w.snares, snare{messages: 1 + w.roll(source, 150), strike: strike})
	case 1:
		w.snares = append(w.snares, snare{requests: 1 + w.roll(source, 50), strike: strike})
	default:
		w.after(at, strike)
	}
}

// snare is a misfortune that waits for something.
type snare struct {
	messages, requests int // which of them
	strike             func()
}

// spring has the misfortunes strike that have waited for what has happened.
func (w *world) spring() {
	w.mu.Lock()
	messages, requests := w.messages, w.requests
	w.mu.Unlock()
	for i := range w.snares {
		s := &w.snares[i]
		if s.strike == nil || (s.messages > 0 && s.messages > messages) || (s.requests > 0 && s.requests > requests) {
			continue
		}
		strike := s.strike
		s.strike = nil
		if w.troubling() {
			strike()
		}
	}
}

// victim chooses a worker that is well; nil when none is.
func (w *world) victim(source string) *worker {
	var well []*worker
	for _, p := range w.workers {
		if p.life != nil && !p.life.gone {
			well = append(well, p)
		}
	}
	if len(well) == 0 {
		return nil
	}
	return well[w.roll(source, len(well))]
}

func (w *world) crashWorker(source string) {
	if p := w.victim(source); p != nil {
		p.crash()
		w.after(w.between(source, 100*time.Millisecond, 5*time.Second), p.start)
	}
}

func (w *world) stopWorker(source string) {
	if p := w.victim(source); p != nil {
		p.stop()
		w.after(w.between(source, 100*time.Millisecond, 5*time.Second), p.start)
	}
}

func (w *world) pauseWorker(source string) {
	if p := w.victim(source); p != nil {
		p.pause(w.between(source, 100*time.Millisecond, 10*time.Second))
	}
}

func (w *world) crashGateway(source string) {
	if w.gateway.isDead() {
		return
	}
	spool := w.gateway.crash()
	away := w.between(source, 50*time.Millisecond, 4*time.Second)
	w.deafen()
	w.after(away, func() { w.startGateway(spool) })
}

func (w *world) dropEvents(source string) {
	w.note("the events' connection is DROPPED")
	w.deafen()
	w.srv.Faults().DropSockets(w.roll(source, 3))
}

// deafen notes that nobody hears Asterisk's events until a gateway is connected
// to it again. Those that were just on their way are lost, too.
func (w *world) deafen() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if n := len(w.deaf); n == 0 || !w.deaf[n-1].until.IsZero() {
		w.deaf = append(w.deaf, span{from: time.Now().Add(-100 * time.Millisecond)})
	}
}

// hears notes that a gateway is connected to Asterisk.
func (w *world) hears() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if n := len(w.deaf); n > 0 && w.deaf[n-1].until.IsZero() {
		w.deaf[n-1].until = time.Now()
	}
}

func (w *world) cutWorker(source string) {
	if p := w.victim(source); p != nil {
		w.cut(source, p.life.name, p.life.conn, w.between(source, 100*time.Millisecond, 10*time.Second))
	}
}

func (w *world) cutGateway(source string) {
	if !w.gateway.isDead() {
		w.cut(source, w.gateway.name, w.gateway.conn, w.between(source, 100*time.Millisecond, 10*time.Second))
	}
}

// cut cuts a link for a while: at once, or so that it goes silent first and the
// client gives the connection up after four seconds without an answer.
func (w *world) cut(source, name string, conn *proxy.Conn, d time.Duration) {
	state := proxy.LinkDown
	if w.chance(source, 500) {
		state = proxy.LinkSilent
		if silent := 4 * time.Second; d > silent {
			w.after(silent, func() { w.link(name, conn, proxy.LinkDown) })
		}
	}
	w.link(name, conn, state)
	w.after(d, func() { w.link(name, conn, proxy.LinkUp) })
}

func (w *world) link(name string, conn *proxy.Conn, state proxy.LinkState) {
	w.note("the link of %s is %s", name, [...]string{"up", "SILENT", "DOWN"}[state])
	w.bus.SetLink(conn, state)
}

// crashAsterisk ends all calls, as far as the callers are concerned.
func (w *world) crashAsterisk(source string) {
	w.note("Asterisk CRASHES")
	w.deafen()
	for _, c := range w.callers {
		if c.phone == nil {
			continue
		}
		c.crashed = c.crashed || !w.isRecorded(c)
		if c.left.IsZero() && !c.phone.State().Ended {
			c.left = time.Now()
		}
	}
	w.srv.Faults().Crash()
	w.after(w.between(source, 100*time.Millisecond, 3*time.Second), func() {
		w.note("Asterisk starts")
		if err := w.srv.Faults().Restart(); err != nil {
			w.fault("Asterisk: %v", err)
		}
	})
}

func (w *world) restartNATS(source string) {
	away := w.between(source, 50*time.Millisecond, 5*time.Second)
	restart := func(name string, conn *proxy.Conn) {
		w.link(name, conn, proxy.LinkDown)
		w.after(away+w.between(source, 0, 500*time.Millisecond), func() { w.link(name, conn, proxy.LinkUp) })
	}
	if !w.gateway.isDead() {
		restart(w.gateway.name, w.gateway.conn)
	}
	for _, p := range w.workers {
		if p.life != nil && !p.life.gone {
			restart(p.life.name, p.life.conn)
		}
	}
}
