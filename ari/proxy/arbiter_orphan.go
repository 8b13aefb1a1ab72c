package proxy

import (
	"fmt"
	"slices"
	"time"
)

// What happens to a session between two owners: it is orphaned, released,
// restored from its log after a restart of the gateway, claimed.

// orphan takes a session from an owner that is lost and looks for another.
func (a *Arbiter) orphan(now time.Time, s *session, reason string) {
	a.do(ActOrphaned{Session: s.id, Worker: s.worker, Reason: reason})
	a.detach(s)
	s.state, s.orphaned, s.retry = stateOrphan, now, time.Time{}
	if s.deaths > maxDeaths && !s.flowDone && !s.final {
		a.abandon(now, s, fmt.Sprintf("%d workers were lost with it, one after the other", s.deaths))
		return
	}
	s.sent = s.first - 1
	a.pending[s.id] = s
	a.offer(now, s)
}

// busy reports whether a command is being executed.
func (s *session) busy() bool {
	for _, c := range s.commands {
		if !c.done && !c.unsure {
			return true
		}
	}
	return false
}

// orphanDue reports whether an orphan may be offered now.
func (s *session) orphanDue(now time.Time) bool {
	return !s.flowDone && !s.final && !now.Before(s.retry) && (!s.restored || !now.Before(s.claimBy))
}

// awaitWorker offers an orphan again, and gives it up when its time is over.
func (a *Arbiter) awaitWorker(now time.Time, s *session) {
	switch {
	case s.flowDone || !a.linked || s.restored && now.Before(s.claimBy):
	case s.final && s.busy():
	case s.final:
		// Its last command was begun before the gateway ended, and nobody is
		// left who would send it again.
		s.flowDone, s.doneAt = true, now.Add(-farewellTime)
		delete(a.pending, s.id)
		a.closed(s)
	case now.Sub(s.orphaned) >= s.patience():
		a.abandon(now, s, "no worker took it over")
	default:
		a.offer(now, s)
	}
}

// patience is how long an orphan waits for a worker. A caller for whom nobody
// has done anything yet is better sent elsewhere.
func (s *session) patience() time.Duration {
	if len(s.journal)+len(s.commands) == 0 && !s.gone {
		return freshTimeout
	}
	return orphanTimeout
}

// abandon ends a session that no worker will take over.
func (a *Arbiter) abandon(now time.Time, s *session, reason string) {
	delete(a.pending, s.id)
	s.flowDone, s.doneAt, s.end.Lost = true, now, reason
	a.do(ActAbandon{Session: s.id, Worker: s.end.History.Running, Reason: reason})
	a.closed(s)
}

// release takes a session back from a worker that goes out of service.
func (a *Arbiter) release(now time.Time, m MsgRelease) {
	s, ok := a.sessions[m.Session]
	if !ok || m.Token != s.token || s.state != stateOwned && s.state != stateAssigned {
		a.do(ActReply{Reply: m.Reply, Stale: true})
		return
	}
	if w := a.workers[s.worker]; w != nil {
		w.out = true
	}
	if m.Reset {
		s.newStage(m.Heard)
	}
	if len(m.Records) > 0 && a.keepRecords(s, m.Records) {
		a.log(s, LogCommand{Ack: s.acked, Records: m.Records, Reset: m.Reset, Heard: m.Heard})
	}
	a.do(ActReply{Reply: m.Reply})
	switch {
	case s.flowDone:
	case s.state == stateAssigned:
		a.next(now, s)
	default:
		a.orphan(now, s, "its worker goes out of service")
	}
}

// recordOverhead is what a record counts beside its bytes, so that many small
// ones have a bound, too: all of them must fit into one message.
const recordOverhead = 8

// keepRecords appends to the journal, and reports false when it is full.
func (a *Arbiter) keepRecords(s *session, records [][]byte) bool {
	size := 0
	for _, r := range records {
		size += len(r) + recordOverhead
	}
	if s.journaled+size > maxJournal {
		return false
	}
	s.journaled += size
	for _, r := range records {
		s.journal = append(s.journal, slices.Clone(r)) // it shares memory with a message
	}
	return true
}

// newStage empties the journal for a stage that begins.
func (s *session) newStage(heard uint64) {
	s.journal, s.journaled = nil, 0
	for len(s.order) > oldResults {
		s.dropResult()
	}
	for _, id := range s.order {
		s.commands[id].result.shorten()
	}
	s.digits = slices.DeleteFunc(s.digits, func(d Digit) bool { return d.Seq <= heard })
}

// shorten drops bodies that nobody needs of an old result: how long the sounds
// of a playback are is short.
func (o *Outcome) shorten() {
	const most = 2 << 10
	for i := range o.Result.Steps {
		if len(o.Result.Steps[i].Body) > most {
			o.Result.Steps[i].Body = nil
		}
	}
}

// dropResult forgets the oldest result.
func (s *session) dropResult() {
	delete(s.commands, s.order[0])
	s.order = slices.Delete(s.order, 0, 1)
}

// typed keeps a key that was pressed.
func (a *Arbiter) typed(s *session, d Digit) {
	if len(s.digits) >= maxDigits {
		s.digits = slices.Delete(s.digits, 0, 1)
	}
	s.digits = append(s.digits, d)
	if s.logged {
		a.log(s, LogDigit{d})
	}
}

// restore takes in a session that an earlier life of the gateway has left. For
// a while only its owner may have it.
func (a *Arbiter) restore(now time.Time, v SavedSession) {
	if _, ok := a.sessions[v.Start.Session]; ok {
		return
	}
	s := &session{
		id: v.Start.Session, state: stateOrphan, token: v.Token, created: v.Start.At,
		start: v.Start, logged: true, format: v.Format, journal: v.Journal, digits: v.Digits,
		orphaned: now, restored: true, claimBy: now.Add(claimTime),
		first: v.Seq + restartGap, acked: v.Seq,
		commands: make(map[string]*commandState),
		accepted: true, final: v.Final, outcome: v.Outcome,
	}
	for _, r := range v.Journal {
		s.journaled += len(r) + recordOverhead
	}
	for _, c := range v.Commands {
		s.commands[c.ID] = &commandState{done: c.Done, result: c.Outcome, at: c.At, final: c.Final, unsure: !c.Done}
		if c.Done {
			s.order = append(s.order, c.ID)
			if c.Final {
				s.flowDone, s.doneAt = true, now
			}
		}
	}
	s.end.History = v.History
	s.end.History.boot(a.boot)
	a.sessions[s.id] = s
	if v.Gone != nil {
		s.gone = true
		s.end.Gone, s.end.Cause, s.end.Reason = v.Gone.At, v.Gone.Cause, v.Gone.Reason
		a.append(s, goneEvent(s.id), false)
		s.kept = append(s.kept, keptEvent{s.last(), s.events[len(s.events)-1]})
		if a.closed(s) {
			return
		}
	}
	s.sent, s.urgent = s.first-1, max(s.urgent, s.first-1)
	if !s.flowDone {
		a.pending[s.id] = s
	}
}

// restartGap is how far the numbers of events go on after a restart of the
// gateway: past all that the owner may have been sent and no record tells of.
const restartGap = 1 << 20

// claim gives sessions back to the worker that had them when the gateway
// ended. Only the last token that was logged wins.
func (a *Arbiter) claim(now time.Time, m MsgClaim) {
	out := ActClaimed{Reply: m.Reply}
	for _, e := range m.Entries {
		s, ok := a.sessions[e.Session]
		switch {
		case ok && s.state == stateOwned && s.worker == m.Worker && s.claimed == e.Token:
			// The answer to an earlier claim was lost.
			out.Granted = append(out.Granted, renewEntry{Session: s.id, Token: s.token})
		case ok && s.state == stateOrphan && s.restored && s.token == e.Token && !s.flowDone && e.Seq < s.first:
			a.grant(now, s, m.Worker, e)
			out.Granted = append(out.Granted, renewEntry{Session: s.id, Token: s.token})
		default:
			out.Stale = append(out.Stale, e.Session)
		}
	}
	a.do(out)
	for _, g := range out.Granted {
		if s := a.sessions[g.Session]; s != nil {
			a.flush(s)
		}
	}
}

// grant makes a worker the owner again of a session that was restored. Of what
// happened meanwhile it is told the keys, and that there may be more.
func (a *Arbiter) grant(now time.Time, s *session, worker string, e renewEntry) {
	w := a.workers[worker]
	if w == nil {
		w = &workerState{seen: now, sessions: make(map[string]*session)}
		a.workers[worker] = w
	}
	w.sessions[s.id] = s
	s.claimed, s.worker = e.Token, worker
	s.token = Token{Boot: a.boot, Epoch: 1}
	s.restored, s.state, s.missing = false, stateOwned, 0
	s.lease = now.Add(leaseTime)
	delete(a.pending, s.id)
	s.acked = e.Seq
	s.sent = s.first - 1
	s.lost = true
	a.logToken(s)
	a.log(s, LogCommand{Ack: s.first}) // so that numbers jump again after the next restart
}

// announce sends an event of the gateway itself to every owner.
func (a *Arbiter) announce(raw []byte) {
	for _, s := range a.ordered(a.sessions) {
		a.append(s, raw, false)
		s.kept = append(s.kept, keptEvent{s.last(), raw})
		a.flush(s)
	}
}
