package proxy

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"time"
)

// event takes in an event of a session.
func (a *Arbiter) event(now time.Time, m MsgEvent) {
	s, ok := a.sessions[m.Session]
	if !ok || m.Gone && s.gone {
		return
	}
	a.append(s, m.Raw, m.Lazy)
	if m.Keep || m.Gone {
		s.kept = append(s.kept, keptEvent{s.last(), m.Raw})
	}
	if m.Digit != "" {
		at := m.At
		if at.IsZero() {
			at = now
		}
		a.typed(s, Digit{Seq: s.last(), Key: m.Digit, At: at})
	}
	if m.Cause != 0 && s.end.Cause == 0 {
		s.end.Cause = m.Cause
	}
	if m.Gone && !s.gone {
		s.gone, s.end.Gone = true, now
		if s.end.Reason == "" {
			s.end.Reason = m.Reason
		}
		if !s.accepted {
			// The caller gave up before anybody had taken the call.
			s.end.Lost = "the caller gave up before a worker had taken the call"
			a.do(ActClosed{Session: s.id, Ending: s.end})
			a.forget(s)
			return
		}
		if a.closed(s) {
			return
		}
		if !s.final {
			a.log(s, LogGone{At: now, Cause: s.end.Cause, Reason: s.end.Reason})
		}
		s.doneAt = now
	}
	a.flush(s)
}

// append numbers an event and keeps it until it is acknowledged.
func (a *Arbiter) append(s *session, raw []byte, lazy bool) {
	s.events = append(s.events, raw)
	s.size += len(raw)
	for len(s.events) > maxUnacked || s.size > maxUnackedSize {
		s.drop(1)
		s.lost = true
	}
	if !lazy {
		s.urgent = s.last()
	}
}

// drop forgets the oldest n events.
func (s *session) drop(n int) {
	for _, raw := range s.events[:n] {
		s.size -= len(raw)
	}
	s.events = slices.Delete(s.events, 0, n)
	s.first += uint64(n)
}

// last is the number of the newest event.
func (s *session) last() uint64 { return s.first + uint64(len(s.events)) - 1 }

// flush sends the owner what it has not been sent, if something of it is
// urgent.
func (a *Arbiter) flush(s *session) {
	if s.state != stateOwned || !a.linked || s.final || s.flowDone || (s.urgent <= s.sent && !s.lost) {
		return
	}
	from := max(s.sent+1, s.first)
	if s.lost {
		from = s.first // the owner takes what is before it for lost for good
	}
	if from > s.last() && !s.lost {
		return
	}
	e := ActEvents{
		Worker: s.worker, Session: s.id, Token: s.token, First: from,
		Events: slices.Clone(s.events[from-s.first:]), Lost: s.lost,
	}
	for _, d := range s.digits {
		if s.lost && d.Seq > s.acked && d.Seq < from {
			e.Digits = append(e.Digits, d)
		}
	}
	a.do(e)
	s.sent, s.lost = s.last(), false
}

// ack forgets events that the owner has taken in.
func (s *session) ack(seq uint64) {
	s.acked = max(s.acked, min(seq, s.last()))
	if seq < s.first {
		return
	}
	s.drop(int(min(seq-s.first+1, uint64(len(s.events)))))
	s.sent = max(s.sent, s.first-1)
}

// command takes in a command: a stale one is told so, a known one joins or
// gets the stored result, a new one is executed.
func (a *Arbiter) command(now time.Time, m MsgCommand) {
	s, ok := a.sessions[m.Session]
	if !ok || m.Token != s.token || s.state == stateNew || s.state == stateOrphan {
		a.do(ActReply{Reply: m.Reply, Stale: true})
		return
	}
	if s.state == stateAssigned {
		// The acceptance was lost or comes later; the command proves it.
		a.own(now, s, false)
	}
	s.ack(m.Ack)
	c, known := s.commands[m.Command.ID]
	switch {
	case known && c.done:
		age := now.Sub(c.at)
		if c.redone {
			age = 0
		}
		a.do(ActReply{Reply: m.Reply, Outcome: c.result, Again: true, Age: age})
		return
	case known && !c.unsure:
		if !slices.Contains(c.replies, m.Reply) {
			c.replies = append(c.replies, m.Reply)
		}
		return
	case known:
		// An earlier life of the gateway has logged it, with its records.
	case len(s.commands)-len(s.order) >= maxLiveCommand:
		a.do(ActReply{Reply: m.Reply, Outcome: Outcome{Err: "too many commands of the session are under way"}})
		return
	default:
		if c = a.newCommand(s, m); c == nil {
			return
		}
	}
	first := len(s.commands) == 1
	a.do(ActExecute{Session: s.id, Command: m.Command, First: first, Unsure: c.unsure})
	c.redone, c.unsure, c.replies = c.unsure, false, []string{m.Reply}
}

// newCommand takes in a command's records before it is executed. It answers
// the command and returns nil when the log has no room for them.
func (a *Arbiter) newCommand(s *session, m MsgCommand) *commandState {
	cmd := m.Command
	if cmd.Reset {
		s.newStage(cmd.Heard)
	}
	if !a.keepRecords(s, cmd.Records) {
		a.do(ActReply{Reply: m.Reply, Outcome: Outcome{Err: fmt.Sprintf(
			"the session's log is full: a stage may journal %d bytes", maxJournal)}})
		return nil
	}
	if w := a.workers[s.worker]; w != nil && len(cmd.Records) > 0 && len(w.hb.Formats) > 0 {
		s.format = slices.Max(w.hb.Formats) // a worker writes the newest that it reads
	}
	c := &commandState{final: cmd.Final, reads: cmd.reads()}
	s.commands[cmd.ID] = c
	if cmd.Final {
		s.final, s.outcome = true, slices.Clone(cmd.Outcome)
	}
	s.deaths = 0
	if !c.reads {
		a.log(s, LogCommand{
			ID: cmd.ID, Ack: s.acked, Final: cmd.Final, Reset: cmd.Reset, Heard: cmd.Heard,
			Records: cmd.Records, Outcome: cmd.Outcome,
		})
	}
	return c
}

// done stores the result of a command and hands it to all who wait.
func (a *Arbiter) done(now time.Time, m MsgDone) {
	s, ok := a.sessions[m.Session]
	if !ok {
		return
	}
	c, ok := s.commands[m.ID]
	if !ok || c.done {
		return
	}
	if !c.reads && !c.final { // of the last command, all that matters is that it came
		a.log(s, LogResult{ID: m.ID, At: now, Outcome: m.Outcome})
	}
	for _, reply := range c.replies {
		a.do(ActReply{Reply: reply, Outcome: m.Outcome, Again: c.redone})
	}
	if c.reads {
		delete(s.commands, m.ID)
		return
	}
	c.done, c.result, c.replies, c.at = true, m.Outcome, nil, now
	s.order = append(s.order, m.ID)
	if old := len(s.order) - 1 - oldResults; old >= 0 {
		s.commands[s.order[old]].result.shorten()
	}
	if len(s.order) > maxResults {
		s.dropResult()
	}
	if c.final {
		s.flowDone, s.doneAt = true, now
		a.closed(s)
	}
}

// closed ends the session if channel and flow have ended.
func (a *Arbiter) closed(s *session) bool {
	if !s.gone || !s.flowDone {
		return false
	}
	a.do(ActClosed{Session: s.id, Outcome: s.outcome, Ending: s.end})
	a.forget(s)
	return true
}

// renew takes in a worker's renewal.
func (a *Arbiter) renew(now time.Time, m MsgRenew) {
	var stale []string
	listed := make(map[string]bool, len(m.Entries))
	for _, e := range m.Entries {
		s, ok := a.sessions[e.Session]
		if !ok || s.token != e.Token || s.worker != m.Worker {
			stale = append(stale, e.Session)
			continue
		}
		if s.state != stateOwned {
			continue // the renewal has overtaken the acceptance
		}
		listed[e.Session] = true
		s.lease, s.missing = now.Add(leaseTime), 0
		s.ack(e.Seq)
		a.catchUp(s, e.Seq)
	}
	a.do(ActRenewed{Reply: m.Reply, Stale: stale})
	w := a.workers[m.Worker]
	if w == nil || m.Part { // of those that no part lists the lease runs out
		return
	}
	for _, s := range a.ordered(w.sessions) {
		if s.state != stateOwned || listed[s.id] || s.flowDone {
			continue
		}
		if s.missing++; s.missing >= maxMissing {
			a.orphan(now, s, "its worker no longer knows it")
		}
	}
}

// catchUp sends events again that had been sent before the owner's last
// renewal and that it still does not have: they were lost on the way, and no
// later event has shown it the gap.
func (a *Arbiter) catchUp(s *session, has uint64) {
	if has < s.behind {
		s.sent = max(has, s.first-1)
		a.flush(s)
	}
	s.behind = s.sent
}

// resync sends the events after m.Seq again.
func (a *Arbiter) resync(m MsgResync) {
	s, ok := a.sessions[m.Session]
	if !ok || m.Token != s.token || s.state != stateOwned {
		a.do(ActRenewed{Reply: m.Reply, Stale: []string{m.Session}})
		return
	}
	a.do(ActRenewed{Reply: m.Reply})
	s.ack(m.Seq)
	if s.acked+1 < s.first {
		s.lost = true // dropped before the owner had it
	}
	s.sent = max(min(m.Seq, s.last()), s.first-1)
	s.urgent = s.last()
	a.flush(s)
}

// link takes in the state of the connection to NATS. While it is down no
// lease ends; when it is back every owner has a whole lease to renew in, and
// is sent again what it has not acknowledged.
func (a *Arbiter) link(now time.Time, up bool) {
	if up == a.linked {
		return
	}
	a.linked = up
	if !up {
		return
	}
	for _, s := range a.ordered(a.sessions) {
		switch s.state {
		case stateOwned:
			s.lease, s.missing = now.Add(leaseTime), 0
			s.sent = s.first - 1
			s.urgent = s.last()
			a.flush(s)
		case stateAssigned:
			a.next(now, s)
		case stateNew:
			a.offer(now, s)
		case stateOrphan:
			// Its time does not run while NATS is away, and its owner can claim
			// it only now.
			s.orphaned, s.claimBy = now, now.Add(claimTime)
			a.awaitWorker(now, s)
		}
	}
}

// eventsLost tells every owner that it has to look at its channel again.
func (a *Arbiter) eventsLost() {
	for _, s := range a.ordered(a.sessions) {
		s.lost = true
		a.flush(s)
	}
}

// tick ends what has run out of time.
func (a *Arbiter) tick(now time.Time) {
	if !a.ticked.IsZero() && now.Sub(a.ticked) > asleepAfter {
		a.restartLeases(now)
	}
	a.ticked = now
	for name, w := range a.workers {
		if now.Sub(w.seen) > 10*workerTimeout && len(w.sessions) == 0 {
			delete(a.workers, name)
		}
	}
	for _, s := range a.ordered(a.sessions) {
		switch s.state {
		case stateNew:
			a.offer(now, s)
		case stateAssigned:
			if !now.Before(a.deadline(s)) {
				if w := a.workers[s.worker]; w != nil {
					w.suspect = true
				}
				a.next(now, s)
			}
		case stateOwned:
			if a.linked && !s.flowDone && now.After(s.lease) {
				if w := a.workers[s.worker]; w != nil {
					w.suspect = true
				}
				s.deaths++
				a.orphan(now, s, "its worker has not renewed it")
				continue
			}
			a.sweep(now, s)
		case stateOrphan:
			a.awaitWorker(now, s)
			a.sweep(now, s)
		}
	}
}

// restartLeases gives every owner a whole lease again. It is called when no
// time was let pass for a while: the gateway itself was stopped or starved, and
// the renewals that came meanwhile wait behind this tick.
func (a *Arbiter) restartLeases(now time.Time) {
	for _, s := range a.sessions {
		if s.state == stateOwned {
			s.lease, s.missing = now.Add(leaseTime), 0
		}
	}
}

// sweep asks for the end of a channel whose flow ended a while ago.
func (a *Arbiter) sweep(now time.Time, s *session) {
	if s.flowDone && !s.gone && now.Sub(s.doneAt) >= farewellTime {
		s.doneAt = now
		a.do(ActSweep{Session: s.id})
	}
}

// ordered returns sessions by id, so that a schedule can be replayed.
func (a *Arbiter) ordered(m map[string]*session) []*session {
	return slices.SortedFunc(maps.Values(m), func(x, y *session) int { return cmp.Compare(x.id, y.id) })
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
