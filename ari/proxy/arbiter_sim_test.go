package proxy

import (
	"container/heap"
	"flag"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"
)

var simSeeds = flag.Int("sim.seeds", 300, "how many schedules TestSchedules runs")

// simTick is how often the arbiter of a sim is told the time.
const simTick = 10 * time.Millisecond

// sim is a small world in virtual time: one arbiter, some workers, callers,
// and a network that delays, loses, doubles and reorders, while workers pause
// and die. It asserts what must hold in every schedule.
type sim struct {
	t     *testing.T
	seed  uint64
	rand  *rand.Rand
	now   time.Time
	queue simQueue
	order int

	arbiter *Arbiter
	workers map[string]*simWorker
	calls   map[string]*simCall
	linked  bool

	boot uint64
	logs map[string]*SavedSession // the spool
}

// arrive delivers a message to a life of the gateway, if it is still that.
func (s *sim) arrive(boot uint64, m Message) {
	if boot == s.boot {
		s.step(m)
	}
}

// simCall is what the world knows of a call.
type simCall struct {
	arrived  time.Time
	asked    string         // whom the last offer went to
	token    Token          // of the last offer
	settled  bool           // accepted or refused
	executed map[string]int // by command
	closed   bool
	hungUp   bool
}

// simWorker follows the protocol from the pool's side.
type simWorker struct {
	key      string
	dead     bool
	paused   time.Time // until when it does nothing
	sessions map[string]*simSession
	heard    time.Time // last answered renewal
}

type simSession struct {
	token Token
	seq   uint64
	next  int // command
	final bool
}

type simEvent struct {
	at    time.Time
	order int
	do    func()
}

type simQueue []simEvent

func (q simQueue) Len() int { return len(q) }
func (q simQueue) Less(i, j int) bool {
	return q[i].at.Before(q[j].at) || (q[i].at.Equal(q[j].at) && q[i].order < q[j].order)
}
func (q simQueue) Swap(i, j int) { q[i], q[j] = q[j], q[i] }
func (q *simQueue) Push(x any)   { *q = append(*q, x.(simEvent)) } //nolint:forcetypeassert // ours
func (q *simQueue) Pop() any {
	old := *q
	x := old[len(old)-1]
	*q = old[:len(old)-1]
	return x
}

func (s *sim) after(d time.Duration, do func()) {
	s.order++
	heap.Push(&s.queue, simEvent{s.now.Add(d), s.order, do})
}

// carry delivers a message over the network, or loses it, or doubles it.
func (s *sim) carry(do func()) {
	if !s.linked {
		return
	}
	switch s.rand.IntN(40) {
	case 0:
	case 1:
		s.after(s.delay(), do)
		s.after(s.delay(), do)
	default:
		s.after(s.delay(), do)
	}
}

func (s *sim) delay() time.Duration {
	if s.rand.IntN(30) == 0 {
		return time.Duration(s.rand.IntN(400)) * time.Millisecond
	}
	return time.Duration(s.rand.IntN(3000)) * time.Microsecond
}

// to delivers to a worker, which takes it in when it is not paused.
func (s *sim) to(key string, do func(w *simWorker)) {
	w := s.workers[key]
	s.carry(func() { s.awake(w, func() { do(w) }) })
}

func (s *sim) awake(w *simWorker, do func()) {
	switch {
	case w == nil || w.dead:
	case s.now.Before(w.paused):
		s.after(w.paused.Sub(s.now), func() { s.awake(w, do) })
	default:
		do()
	}
}

func (s *sim) fatalf(format string, args ...any) {
	s.t.Helper()
	s.t.Fatalf("seed %d, %v: %s", s.seed, s.now.Sub(time.Unix(0, 0)), fmt.Sprintf(format, args...))
}

func (s *sim) step(m Message) {
	for _, a := range append([]Action(nil), s.arbiter.Step(s.now, m)...) {
		s.carryOut(a)
	}
}

func (s *sim) carryOut(action Action) {
	switch a := action.(type) {
	case ActAssign:
		c := s.calls[a.Session]
		if c.asked != "" && !a.Token.after(c.token) {
			s.fatalf("token went from %v to %v", c.token, a.Token)
		}
		if c.settled && !a.Again {
			s.fatalf("%s was offered as a new one after it had been settled", a.Session)
		}
		c.settled = c.settled || a.Again // a restart does not know who had accepted what
		if a.Token != s.logs[a.Session].Token {
			s.fatalf("%s was offered with %v before that was logged", a.Session, a.Token)
		}
		c.asked, c.token = a.Worker, a.Token
		s.to(a.Worker, func(w *simWorker) { s.offered(w, a) })
	case ActAccepted:
		c := s.calls[a.Session]
		if a.Worker != c.asked {
			s.fatalf("%s accepted by %s, asked was %s", a.Session, a.Worker, c.asked)
		}
		again := c.settled
		c.settled = true
		if !again && a.Waited > offerTimeout+simTick {
			s.fatalf("%s was accepted after %v", a.Session, a.Waited)
		}
	case ActExecute:
		s.execute(a)
	case ActReply:
		s.reply(a)
	case ActEvents:
		s.to(a.Worker, func(w *simWorker) { s.happened(w, a) })
	case ActRenewed:
		s.renewed(a)
	case ActRefuse:
		c := s.calls[a.Session]
		if c.settled {
			s.fatalf("%s was refused after it had been settled", a.Session)
		}
		if waited := s.now.Sub(c.arrived); waited > offerTimeout+simTick {
			s.fatalf("%s was refused after %v", a.Session, waited)
		}
		c.settled, c.closed = true, true
		delete(s.logs, a.Session)
	case ActAbandon:
		s.fatalf("%s was given up although there are workers: %s", a.Session, a.Reason)
	case ActSweep:
		s.after(s.delay(), func() { s.hangUp(a.Session) })
	case ActClosed:
		s.calls[a.Session].closed = true
		delete(s.logs, a.Session)
	case ActLog:
		s.log(a)
	case ActClaimed:
		s.claimed(a)
	case ActOrphaned:
	}
}

// log is the spool.
func (s *sim) log(a ActLog) {
	saved := s.logs[a.Session]
	if saved == nil {
		saved = &SavedSession{}
		s.logs[a.Session] = saved
	}
	for _, e := range a.Entries {
		saved.add(e)
	}
}

// offered: a worker takes a call, with its first command.
func (s *sim) offered(w *simWorker, a ActAssign) {
	if old := w.sessions[a.Session]; old != nil && !a.Token.after(old.token) {
		return // the network has doubled or delayed the offer
	}
	w.sessions[a.Session] = &simSession{token: a.Token, seq: a.First + uint64(len(a.Events)) - 1, next: 1}
	cmd := s.command(w, a.Session)
	s.carry(func() { s.arrive(a.Token.Boot, MsgAccept{Session: a.Session, Token: a.Token, Command: &cmd}) })
	s.after(2*time.Second, func() { s.resend(w, a.Session, cmd) })
}

// command builds the worker's next command; its reply subject says who it is.
func (s *sim) command(w *simWorker, session string) MsgCommand {
	ss := w.sessions[session]
	ss.final = ss.next == 4
	id := fmt.Sprintf("%s/%d/%v", w.key, ss.next, ss.token)
	return MsgCommand{
		Session: session, Token: ss.token, Ack: ss.seq, Reply: id,
		Command: Command{ID: fmt.Sprint(ss.next), Final: ss.final},
	}
}

// resend sends a command again until it was answered.
func (s *sim) resend(w *simWorker, session string, cmd MsgCommand) {
	s.awake(w, func() {
		ss := w.sessions[session]
		if ss == nil || fmt.Sprint(ss.next) != cmd.Command.ID {
			return
		}
		if ss.token != cmd.Token { // claimed, or another assignment
			cmd = s.command(w, session)
		}
		if s.now.Sub(w.heard) < fenceAfter {
			s.carry(func() { s.arrive(cmd.Token.Boot, cmd) })
		}
		s.after(2*time.Second, func() { s.resend(w, session, cmd) })
	})
}

// execute is where something happens to a call: only whom it was last offered
// to may cause it, and only once.
func (s *sim) execute(a ActExecute) {
	c := s.calls[a.Session]
	if c.closed {
		s.fatalf("%s: command %s after the end", a.Session, a.Command.ID)
	}
	if c.executed[a.Command.ID]++; c.executed[a.Command.ID] > 1 && !a.Unsure {
		s.fatalf("%s: command %s was executed twice", a.Session, a.Command.ID)
	}
	boot := s.boot
	s.after(s.delay(), func() {
		if a.Command.Final {
			s.hangUp(a.Session)
		} else {
			s.happen(a.Session)
		}
		s.arrive(boot, MsgDone{Session: a.Session, ID: a.Command.ID})
	})
}

// reply hands a result to the worker, which sends its next command.
func (s *sim) reply(a ActReply) {
	if a.Reply == "" { // of a release
		return
	}
	var key, id string
	var token Token
	for _, k := range sortedKeys(s.workers) {
		if n, _ := fmt.Sscanf(a.Reply, k+"/%s", &id); n == 1 {
			key = k
		}
	}
	var n int
	if _, err := fmt.Sscanf(id, "%d/%d.%d", &n, &token.Boot, &token.Epoch); err != nil {
		s.fatalf("reply %q: %v", a.Reply, err)
	}
	s.to(key, func(w *simWorker) {
		for _, session := range sortedKeys(w.sessions) {
			ss := w.sessions[session]
			if ss.token != token || ss.next != n {
				continue
			}
			if a.Stale || ss.final {
				delete(w.sessions, session)
				return
			}
			ss.next++
			cmd := s.command(w, session)
			s.after(s.delay(), func() { s.resend(w, session, cmd) })
			return
		}
	})
}

// happened: a worker takes in events, which must be without a gap.
func (s *sim) happened(w *simWorker, a ActEvents) {
	ss := w.sessions[a.Session]
	if ss == nil || ss.token != a.Token {
		return
	}
	if a.Lost {
		if s.boot == 1 {
			s.fatalf("%s: events were lost although few are under way", a.Session)
		}
		ss.seq = max(ss.seq, a.First-1)
	}
	if a.First > ss.seq+1 {
		resync := MsgResync{Session: a.Session, Token: ss.token, Seq: ss.seq}
		s.carry(func() { s.arrive(ss.token.Boot, resync) })
		return
	}
	ss.seq = max(ss.seq, a.First+uint64(len(a.Events))-1)
}

// renewed: the reply subject of a renewal is the worker and the sending time.
func (s *sim) renewed(a ActRenewed) {
	if a.Reply == "" {
		return
	}
	var sent int64
	for _, key := range sortedKeys(s.workers) {
		if n, _ := fmt.Sscanf(a.Reply, key+"@%d", &sent); n == 1 {
			s.to(key, func(w *simWorker) {
				if at := time.Unix(0, sent); at.After(w.heard) {
					w.heard = at
				}
				for _, session := range a.Stale {
					delete(w.sessions, session)
				}
			})
		}
	}
}

// happen makes an event of a call.
func (s *sim) happen(session string) {
	if c := s.calls[session]; !c.hungUp {
		s.step(MsgEvent{Session: session, Raw: []byte("e")})
	}
}

func (s *sim) hangUp(session string) {
	if c := s.calls[session]; !c.hungUp {
		c.hungUp = true
		s.step(MsgEvent{Session: session, Raw: []byte("end"), Gone: true})
	}
}

// live makes a worker beat and renew once a second.
func (s *sim) live(w *simWorker) {
	s.awake(w, func() {
		hb := Heartbeat{Name: w.key[:len(w.key)-2], Boot: "1", Load: len(w.sessions), Free: 50 - len(w.sessions)}
		s.carry(func() { s.step(MsgWorker{hb}) })
		m := MsgRenew{Worker: w.key, Reply: fmt.Sprintf("%s@%d", w.key, s.now.UnixNano())}
		claim := MsgClaim{Worker: w.key, Reply: w.key}
		for _, session := range sortedKeys(w.sessions) {
			ss := w.sessions[session]
			e := renewEntry{session, ss.token, ss.seq}
			if ss.token.Boot < s.boot {
				claim.Entries = append(claim.Entries, e)
			} else {
				m.Entries = append(m.Entries, e)
			}
		}
		boot := s.boot
		s.carry(func() { s.arrive(boot, m) })
		if len(claim.Entries) > 0 { // it has heard of the new life by a heartbeat
			s.carry(func() { s.arrive(boot, claim) })
		}
		s.after(time.Second, func() { s.live(w) })
	})
}

// claimed: a worker takes in the answer to a claim.
func (s *sim) claimed(a ActClaimed) {
	s.to(a.Reply, func(w *simWorker) {
		for _, g := range a.Granted {
			if ss := w.sessions[g.Session]; ss != nil && g.Token.after(ss.token) {
				ss.token, w.heard = g.Token, s.now
				cmd := s.command(w, g.Session)
				s.after(s.delay(), func() { s.resend(w, g.Session, cmd) })
			}
		}
		for _, session := range a.Stale {
			if ss := w.sessions[session]; ss != nil && ss.token.Boot < s.boot {
				delete(w.sessions, session)
			}
		}
	})
}

// release makes a worker give back all it has.
func (s *sim) release(w *simWorker) {
	s.awake(w, func() {
		for _, session := range sortedKeys(w.sessions) {
			ss := w.sessions[session]
			delete(w.sessions, session)
			s.carry(func() { s.arrive(ss.token.Boot, MsgRelease{Session: session, Token: ss.token}) })
		}
	})
}

// restart kills the gateway and starts it anew: what was under way to it is
// lost, the spool stays.
func (s *sim) restart() {
	s.boot++
	s.arbiter = NewArbiter(s.boot, s.seed)
	s.step(MsgLink{Up: false})
	for _, session := range sortedKeys(s.logs) {
		s.step(MsgRestore{Saved: *s.logs[session]})
	}
	s.step(MsgLink{Up: s.linked})
	for _, session := range sortedKeys(s.calls) {
		c := s.calls[session]
		switch {
		case c.closed || s.arbiter.Known(session) && !c.hungUp:
		case s.arbiter.Known(session):
			s.step(MsgEvent{Session: session, Raw: []byte("end"), Gone: true})
		case !c.hungUp: // nothing was logged: the gateway lets it in again
			c.arrived, c.asked, c.settled = s.now, "", false
			s.step(MsgStart{Session: session, Raw: []byte("start")})
		default:
			c.closed = true
		}
	}
}

// TestSchedules runs many random schedules. A failure names its seed, which
// replays it.
func TestSchedules(t *testing.T) {
	for seed := range uint64(*simSeeds) {
		s := &sim{
			t: t, seed: seed, rand: rand.New(rand.NewPCG(seed, 7)), now: time.Unix(0, 0), linked: true,
			boot: 1, logs: make(map[string]*SavedSession),
			arbiter: NewArbiter(1, seed), workers: make(map[string]*simWorker), calls: make(map[string]*simCall),
		}
		s.run()
	}
}

func (s *sim) run() {
	for i := range 4 {
		w := &simWorker{key: fmt.Sprintf("w%d.1", i), sessions: make(map[string]*simSession), heard: s.now}
		s.workers[w.key] = w
		s.after(s.delay(), func() { s.live(w) })
		if at := time.Duration(s.rand.IntN(20)) * time.Second; i > 0 && s.rand.IntN(2) == 0 {
			s.after(at, func() { w.dead = true })
		} else {
			s.after(at, func() { w.paused = s.now.Add(time.Duration(s.rand.IntN(8)) * time.Second) })
		}
	}
	for i := range 60 {
		session := fmt.Sprintf("c%d", i)
		s.after(time.Duration(s.rand.IntN(20_000))*time.Millisecond, func() {
			s.calls[session] = &simCall{arrived: s.now, executed: make(map[string]int)}
			s.step(MsgStart{Session: session, Raw: []byte("start")})
			if s.rand.IntN(4) == 0 {
				s.after(time.Duration(s.rand.IntN(6000))*time.Millisecond, func() { s.hangUp(session) })
			}
		})
	}
	for range s.rand.IntN(3) {
		w := s.workers[fmt.Sprintf("w%d.1", s.rand.IntN(4))]
		s.after(time.Duration(s.rand.IntN(20))*time.Second, func() { s.release(w) })
	}
	for range s.rand.IntN(3) {
		s.after(time.Duration(s.rand.IntN(25_000))*time.Millisecond, s.restart)
	}
	s.after(time.Duration(s.rand.IntN(20))*time.Second, func() { s.cut(time.Duration(s.rand.IntN(6)) * time.Second) })
	s.tick()
	for end := time.Unix(90, 0); len(s.queue) > 0 && s.now.Before(end); {
		e, ok := heap.Pop(&s.queue).(simEvent)
		if !ok {
			s.fatalf("not an event")
		}
		s.now = e.at
		e.do()
	}
	for _, session := range sortedKeys(s.calls) {
		c := s.calls[session]
		if !c.closed {
			s.fatalf("%s was forgotten: settled %v, channel gone %v", session, c.settled, c.hungUp)
		}
	}
	if n := s.arbiter.Len(); n > 0 {
		s.fatalf("%d sessions are left", n)
	}
}

// cut interrupts NATS.
func (s *sim) cut(d time.Duration) {
	s.linked = false
	s.step(MsgLink{Up: false})
	s.after(d, func() {
		s.linked = true
		s.step(MsgLink{Up: true})
	})
}

func (s *sim) tick() {
	s.step(MsgTick{})
	s.after(simTick, s.tick)
}
