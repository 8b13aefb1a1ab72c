package proxy

import (
	"cmp"
	"slices"
	"time"
)

// workerBeat takes in a worker's heartbeat; calls that wait for a worker are
// offered at once.
func (a *Arbiter) workerBeat(now time.Time, hb Heartbeat) {
	w, ok := a.workers[hb.key()]
	if !ok {
		w = &workerState{sessions: make(map[string]*session)}
		a.workers[hb.key()] = w
	}
	w.hb, w.seen, w.since, w.suspect, w.out = hb, now, 0, false, false
	for _, s := range a.waiting() {
		a.offer(now, s)
	}
}

// waiting returns the sessions that no worker could be asked for yet, oldest
// first.
func (a *Arbiter) waiting() []*session {
	var out []*session
	for _, s := range a.pending {
		if s.state == stateNew || s.state == stateOrphan {
			out = append(out, s)
		}
	}
	slices.SortFunc(out, func(x, y *session) int {
		return cmp.Or(x.created.Compare(y.created), cmp.Compare(x.id, y.id))
	})
	return out
}

// workerGone forgets a worker that nobody can reach. Its sessions stay owned
// until their lease ends: only its subscription is known to be gone.
func (a *Arbiter) workerGone(now time.Time, worker string) {
	w, ok := a.workers[worker]
	if !ok {
		return
	}
	w.out = true
	for _, s := range a.ordered(w.sessions) {
		if s.state == stateAssigned {
			a.next(now, s)
		}
	}
}

// start makes a session of a call that has entered Stasis.
func (a *Arbiter) start(now time.Time, m MsgStart) {
	if s, ok := a.sessions[m.Session]; ok {
		// The channel came back, for instance from a transfer.
		a.append(s, m.Raw, false)
		a.flush(s)
		return
	}
	s := &session{
		id: m.Session, created: now, token: Token{Boot: a.boot},
		start: LogStart{Session: m.Session, Channel: m.Session, CallID: m.CallID, At: now, Event: m.Raw},
		first: 1, commands: make(map[string]*commandState),
	}
	a.append(s, m.Raw, false)
	a.sessions[s.id], a.pending[s.id] = s, s
	if a.draining {
		a.refuse(s, "the node is draining")
		return
	}
	a.offer(now, s)
}

// offer asks the best candidate to take a session. With no candidate the
// session waits for a heartbeat or the end of its time: a new call is then
// refused, so that the edge can try elsewhere; an orphan is ended.
func (a *Arbiter) offer(now time.Time, s *session) {
	switch {
	case !s.accepted && now.Sub(s.created) >= offerTimeout:
		a.refuse(s, "no worker took the call")
		return
	case !a.linked || s.accepted && !s.orphanDue(now):
		return
	}
	name := a.candidate(now, s)
	if name == "" {
		return
	}
	w := a.workers[name]
	w.since++
	s.restored, s.retry = false, now.Add(orphanRetry)
	w.sessions[s.id] = s
	s.worker, s.asked, s.state = name, now, stateAssigned
	s.token = Token{Boot: a.boot, Epoch: a.epoch(s) + 1}
	for i, k := range s.kept {
		if k.seq < s.first { // its owner knew of it
			a.append(s, k.raw, false)
			s.kept[i].seq = s.last()
		}
	}
	s.sent = s.last()
	a.logToken(s)
	assign := ActAssign{
		Worker: name, Session: s.id, Token: s.token, Again: s.accepted, Start: s.start.Event,
		Journal: slices.Clone(s.journal), First: s.first, Events: slices.Clone(s.events),
	}
	for _, d := range s.digits {
		if d.Seq < s.first {
			assign.Digits = append(assign.Digits, d)
		}
	}
	a.do(assign)
}

// epoch is how often this life of the gateway has assigned the session.
func (a *Arbiter) epoch(s *session) uint64 {
	if s.token.Boot != a.boot {
		return 0
	}
	return s.token.Epoch
}

// formatOf is the format that the journal has, or will have when the worker
// that is offered the session begins it: a worker writes the newest that it
// reads.
func (a *Arbiter) formatOf(s *session) int {
	if w := a.workers[s.worker]; s.format == 0 && w != nil && len(w.hb.Formats) > 0 {
		return slices.Max(w.hb.Formats)
	}
	return s.format
}

// logToken writes a new token down before anybody hears of it.
func (a *Arbiter) logToken(s *session) {
	token := LogToken{Token: s.token, Worker: s.worker, Format: a.formatOf(s)}
	if s.logged {
		a.log(s, token)
		return
	}
	s.logged = true
	entries := []LogEntry{s.start, token}
	for _, d := range s.digits { // pressed while no worker was to be had
		entries = append(entries, LogDigit{d})
	}
	a.log(s, entries...)
}

func (a *Arbiter) log(s *session, entries ...LogEntry) {
	a.do(ActLog{Session: s.id, Entries: entries})
}

// next takes a session away from a worker that did not accept it, and offers
// it to another.
func (a *Arbiter) next(now time.Time, s *session) {
	a.detach(s)
	if s.state = stateNew; s.accepted {
		s.state = stateOrphan
	}
	a.offer(now, s)
}

// candidate returns the better of two workers chosen at random among those
// that are alive, not draining and have room; "" if there is none. Two choices
// spread calls almost evenly although every gateway only sees loads that are
// up to a second old. A worker that has just missed an offer is asked only
// when there is no other: a moment's pause of the only worker must not refuse
// the calls of a whole second. An orphan can wait for the next heartbeat, and
// goes only to a worker that can read its journal.
func (a *Arbiter) candidate(now time.Time, s *session) string {
	var good, suspect []string
	for name, w := range a.workers {
		switch {
		case now.Sub(w.seen) >= workerTimeout || w.hb.Draining || w.out || w.hb.Free <= w.since:
		case s.format != 0 && !slices.Contains(w.hb.Formats, s.format):
		case w.suspect:
			suspect = append(suspect, name)
		default:
			good = append(good, name)
		}
	}
	names := good
	if len(names) == 0 && !s.accepted {
		names = suspect
	}
	if len(names) == 0 {
		return ""
	}
	slices.Sort(names)
	one, two := names[a.rand.IntN(len(names))], names[a.rand.IntN(len(names))]
	if a.load(two) < a.load(one) {
		return two
	}
	return one
}

func (a *Arbiter) load(worker string) int {
	w := a.workers[worker]
	return w.hb.Load + w.since
}

// accept takes in a worker's answer to an offer.
func (a *Arbiter) accept(now time.Time, m MsgAccept) {
	s, ok := a.sessions[m.Session]
	if !ok || m.Token != s.token || s.state != stateAssigned {
		// Late: somebody else was asked, or the caller has gone. The worker
		// learns it from the answer to its command, or to its renewal.
		if m.Command != nil {
			a.command(now, *m.Command)
		}
		return
	}
	if m.Busy {
		if w := a.workers[s.worker]; w != nil {
			w.out = true
		}
		a.next(now, s)
		return
	}
	a.own(now, s, m.Command == nil)
	if m.Command != nil {
		a.command(now, *m.Command)
	}
}

// own makes the worker that was asked the owner.
func (a *Arbiter) own(now time.Time, s *session, bare bool) {
	again := s.accepted
	s.state, s.missing, s.accepted = stateOwned, 0, true
	delete(a.pending, s.id)
	s.lease = now.Add(leaseTime)
	s.end.History.boot(a.boot)
	s.end.History.ran(s.worker)
	if again && len(s.journal)+len(s.commands) > 0 {
		bare = false // the caller knows since long that someone is there
	}
	a.do(ActAccepted{Session: s.id, Worker: s.worker, Waited: now.Sub(s.created), Bare: bare, Again: again})
	a.flush(s)
}

// refuse ends a session that no worker has taken.
func (a *Arbiter) refuse(s *session, reason string) {
	a.do(ActRefuse{Session: s.id, Reason: reason})
	a.forget(s)
}

// detach takes a session off its worker's list.
func (a *Arbiter) detach(s *session) {
	if w := a.workers[s.worker]; w != nil {
		delete(w.sessions, s.id)
	}
	s.worker = ""
}

// forget removes a session; commands that come later are stale.
func (a *Arbiter) forget(s *session) {
	for _, id := range sortedKeys(s.commands) {
		for _, reply := range s.commands[id].replies {
			a.do(ActReply{Reply: reply, Stale: true})
		}
	}
	a.detach(s)
	delete(a.sessions, s.id)
	delete(a.pending, s.id)
}

// Next returns when the next MsgTick is due on account of an offer that runs
// out; zero means that the regular ticks suffice.
func (a *Arbiter) Next() time.Time {
	var next time.Time
	for _, s := range a.pending {
		due := s.created.Add(offerTimeout)
		if s.state == stateOrphan {
			continue // the regular ticks are enough
		}
		if s.state == stateAssigned {
			due = a.deadline(s)
		}
		if next.IsZero() || due.Before(next) {
			next = due
		}
	}
	return next
}

// deadline is when the worker that was asked must have answered.
func (a *Arbiter) deadline(s *session) time.Time {
	due, last := s.asked.Add(assignTimeout), s.created.Add(offerTimeout)
	if !s.accepted && last.Before(due) {
		return last
	}
	return due
}
