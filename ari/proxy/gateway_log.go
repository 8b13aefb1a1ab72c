package proxy

import (
	"fmt"

	"asterism/ari"
)

// appendLog writes to a session's log. A session whose log cannot be written
// goes on without: it still survives its worker, which needs the log of the
// arbiter only, but not its gateway. The lock is held.
func (g *Gateway) appendLog(a ActLog) {
	if g.logs == nil {
		return
	}
	if err := g.logs.append(a.Session, a.Entries...); err != nil {
		g.metrics.logErrors.Inc()
	}
}

// forgetLog removes the log of a session that has ended. The lock is held.
func (g *Gateway) forgetLog(session string) {
	if g.logs == nil {
		return
	}
	if err := g.logs.discard(session); err != nil {
		g.metrics.logErrors.Inc()
		g.opts.Log.Warn().Err(err).Str("session", session).Msg("session log was not removed")
	}
}

// restore takes in the sessions that an earlier life of the gateway has left.
func (g *Gateway) restore() error {
	if g.logs == nil {
		return nil
	}
	saved, err := g.logs.load()
	if err != nil {
		return fmt.Errorf("node %s: reading the session logs: %w", g.opts.Node, err)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	restored := 0
	for _, s := range saved {
		if s.Record != nil {
			g.records.found(s.Start.Session, s.Record)
			continue
		}
		g.metrics.restored.Inc()
		restored++
		c := g.newCall(s.Start.CallID, s.Start.Channel, s.Start.At, g.wasAnswered(s))
		c.facts.event, c.facts.answered = s.Start.Event, s.Answered
		if event, err := ari.DecodeEvent(s.Start.Event); err == nil {
			if start, ok := event.(*ari.StasisStart); ok {
				c.name, c.lastKey = start.Channel.Name, start.Timestamp.Time
			}
		}
		if s.LastKey.After(c.lastKey) {
			c.lastKey, c.ofEvent = s.LastKey, true
		}
		g.calls[s.Start.Session] = c
		g.step(MsgRestore{Saved: s})
	}
	if restored > 0 {
		g.opts.Log.Info().Int("calls", restored).Msg("calls were found in the session logs; waiting for their workers to claim them")
	}
	return nil
}

// wasAnswered reports whether a call of an earlier life may have been
// answered: such a call must not be signalled ringing.
func (g *Gateway) wasAnswered(s SavedSession) bool { return len(s.Commands) > 0 || len(s.Journal) > 0 }

// orphaned notes that a call has lost its worker. The lock is held.
func (g *Gateway) orphaned(a ActOrphaned) {
	g.metrics.orphaned.Inc()
	if c := g.calls[a.Session]; c != nil {
		c.log.Warn().Str("worker", a.Worker).Str("reason", a.Reason).Msg("call lost its worker; looking for another")
	}
}
