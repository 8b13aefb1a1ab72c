package proxy

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
)

// workerBeat takes in a worker's heartbeat.
func (g *Gateway) workerBeat(m *nats.Msg) {
	var hb Heartbeat
	if err := json.Unmarshal(m.Data, &hb); err != nil || CheckName(hb.Name) != nil || CheckName(hb.Boot) != nil {
		g.opts.Log.Error().Str("subject", m.Subject).Msg("malformed heartbeat ignored")
		return
	}
	g.handle(MsgWorker{Heartbeat: hb})
}

// receive takes in all that workers send to this gateway.
func (g *Gateway) receive(m *nats.Msg) {
	tail := m.Subject[len("g.")+len(g.key)+1:]
	var err error
	if n, ok := strings.CutPrefix(tail, "r."); ok {
		err = g.receiveAnswer(n, m)
	} else {
		err = g.receiveRequest(tail, m)
	}
	if err != nil {
		g.metrics.malformed.Inc()
		g.opts.Log.Error().Err(err).Str("subject", m.Subject).Msg("message ignored")
	}
}

// receiveAnswer takes in the answer to an offer.
func (g *Gateway) receiveAnswer(number string, m *nats.Msg) error {
	n, err := strconv.ParseUint(number, 10, 64)
	if err != nil {
		return err
	}
	g.mu.Lock()
	o, ok := g.offers[n]
	delete(g.offers, n)
	if noResponders(m) {
		if ok {
			g.step(MsgWorkerGone{Worker: o.worker})
		}
		g.mu.Unlock()
		return nil
	}
	g.mu.Unlock()
	var h acceptHeader
	parts, err := decodeFrame(m.Data, &h)
	if err != nil {
		return err
	}
	msg := MsgAccept{Session: h.Session, Token: h.Token, Busy: h.Busy}
	if h.Command != nil {
		c, err := h.Command.message(parts, m.Reply)
		if err != nil {
			return err
		}
		msg.Command = &c
	}
	g.handle(msg)
	return nil
}

// message makes a command's frame a message for the arbiter.
func (h commandHeader) message(parts [][]byte, reply string) (MsgCommand, error) {
	c, err := h.command(parts)
	if err != nil {
		return MsgCommand{}, err
	}
	return MsgCommand{Session: h.Session, Token: h.Token, Ack: h.Ack, Command: c, Reply: reply}, nil
}

// receiveRequest takes in a command, a renewal or a resync.
func (g *Gateway) receiveRequest(kind string, m *nats.Msg) error {
	switch kind {
	case kindCommand:
		var h commandHeader
		parts, err := decodeFrame(m.Data, &h)
		if err != nil {
			return err
		}
		c, err := h.message(parts, m.Reply)
		if err != nil {
			return err
		}
		g.handle(c)
	case kindRenew:
		var h renewHeader
		if _, err := decodeFrame(m.Data, &h); err != nil {
			return err
		}
		g.handle(MsgRenew{Worker: h.Worker, Entries: h.Sessions, Part: h.Part, Reply: m.Reply})
	case kindResync:
		var h resyncHeader
		if _, err := decodeFrame(m.Data, &h); err != nil {
			return err
		}
		g.handle(MsgResync{Session: h.Session, Token: h.Token, Seq: h.Seq, Reply: m.Reply})
	case kindRelease:
		var h releaseHeader
		records, err := decodeFrame(m.Data, &h)
		if err != nil {
			return err
		}
		g.handle(MsgRelease{
			Session: h.Session, Token: h.Token, Records: records, Reset: h.Reset, Heard: h.Heard, Reply: m.Reply,
		})
	case kindClaim:
		var h claimHeader
		if _, err := decodeFrame(m.Data, &h); err != nil {
			return err
		}
		g.handle(MsgClaim{Worker: h.Worker, Entries: h.Sessions, Reply: m.Reply})
	default:
		return fmt.Errorf("unknown kind %q: %w", kind, ErrFrame)
	}
	return nil
}

// carryOut does what the arbiter has decided. The lock is held, so that
// messages leave in the order of the decisions.
func (g *Gateway) carryOut(action Action) {
	switch a := action.(type) {
	case ActLog:
		g.appendLog(a)
	case ActAssign:
		g.assign(a)
	case ActOrphaned:
		g.orphaned(a)
	case ActClaimed:
		g.publish(a.Reply, "", claimedHeader{Node: g.key, Granted: a.Granted, Stale: a.Stale})
	case ActEvents:
		h := eventsHeader{Session: a.Session, Token: a.Token, First: a.First, Lost: a.Lost, Digits: digitHeaders(a.Digits)}
		g.publish("w."+a.Worker+"."+kindEvents, "", h, a.Events...)
	case ActAccepted:
		g.acceptedBy(a)
	case ActExecute:
		g.spawn(func(ctx context.Context) { g.execute(ctx, a) })
	case ActReply:
		g.reply(a)
	case ActRenewed:
		g.publish(a.Reply, "", resultHeader{Status: statusDone, Stale: a.Stale})
	case ActRefuse:
		g.refuseCall(a.Session, Refusal{Status: 503, Reason: a.Reason, Label: "no_worker"})
	case ActAbandon:
		g.abandon(a)
	case ActSweep:
		g.spawn(func(ctx context.Context) { g.sweep(ctx, a.Session) })
	case ActClosed:
		g.closeCall(a)
	}
}

// assign offers a session to a worker.
func (g *Gateway) assign(a ActAssign) {
	g.offerSeq++
	g.offers[g.offerSeq] = offer{worker: a.Worker, at: time.Now()}
	h := assignHeader{
		Session: a.Session, Token: a.Token, Node: g.key, First: a.First,
		Again: a.Again, Records: len(a.Journal), Digits: digitHeaders(a.Digits),
	}
	start := a.Start
	if a.First == 1 {
		start = nil // it is the first event
	}
	parts := slices.Concat([][]byte{start}, a.Journal, a.Events)
	g.metrics.offered.Inc()
	g.publish("w."+a.Worker+"."+kindAssign, "g."+g.key+".r."+strconv.FormatUint(g.offerSeq, 10), h, parts...)
}

// reply answers a command.
func (g *Gateway) reply(a ActReply) {
	if a.Reply == "" {
		return
	}
	switch {
	case a.Stale:
		g.metrics.stale.Inc()
		g.publish(a.Reply, "", resultHeader{Status: statusStale})
	case a.Outcome.Err != "":
		g.publish(a.Reply, "", resultHeader{Status: statusFailed, Error: a.Outcome.Err})
	default:
		h := resultHeader{
			Status: statusDone, Codes: make([]int, len(a.Outcome.Result.Steps)),
			Again: a.Again, Age: a.Age.Milliseconds(),
		}
		parts := make([][]byte, len(h.Codes))
		for i, s := range a.Outcome.Result.Steps {
			h.Codes[i], parts[i] = s.Code, s.Body
		}
		g.publish(a.Reply, "", h, parts...)
	}
}

// publish sends a frame. What is lost with the connection is sent again when
// it is back: events from the unacknowledged ones, results when the worker
// asks again.
func (g *Gateway) publish(subject, reply string, header any, parts ...[]byte) {
	if err := g.opts.Conn.publish(subject, reply, header, parts...); err != nil && g.opts.Conn.Up() {
		g.opts.Log.Error().Err(err).Msg("message was not sent")
	}
}

// spawn runs f on a goroutine that Run waits for; its context ends with the
// gateway.
func (g *Gateway) spawn(f func(ctx context.Context)) {
	g.work.Go(func() { f(g.workCtx) })
}

// spawnLate is spawn for timers, which may fire when Run has ended.
func (g *Gateway) spawnLate(f func(ctx context.Context)) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.closed {
		g.spawn(f)
	}
}
