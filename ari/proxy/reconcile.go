package proxy

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"syscall"
	"time"

	"asterism/ari"
)

// What the gateway finds out after it has not heard of Asterisk for a while,
// because one of the two, or the connection between them, was away.

const (
	// arrivalTime is how long a channel may be in the application without a
	// StasisStart that tells of it, which may still be on its way.
	arrivalTime = 250 * time.Millisecond
	// strayTime is how long an answered channel may be there that no session
	// has.
	strayTime = 3 * time.Second
	// deadAfter is how long nobody may listen on Asterisk's address before its
	// calls are taken for dead.
	deadAfter = 5 * time.Second
)

// The reasons why a call ended that its record names beside an ordinary
// hang-up.
const (
	reasonRestarted = "Asterisk was restarted"
	reasonDead      = "Asterisk is gone"
	reasonUnheard   = "it ended while the gateway did not hear of it"
)

// startedAt is when Asterisk was started, zero when it does not say so.
func startedAt(info *ari.AsteriskInfo) time.Time {
	if info.Status == nil {
		return time.Time{}
	}
	return info.Status.StartupTime.Time
}

// listenForLife ends all calls when for some time nobody has listened on
// Asterisk's address: it is beside the gateway, so that no network can be the
// reason. The lock is held.
func (g *Gateway) listenForLife(err error) {
	switch {
	case !errors.Is(err, syscall.ECONNREFUSED):
		g.silent = time.Time{}
	case g.silent.IsZero():
		g.silent = time.Now()
	case time.Since(g.silent) > deadAfter:
		for _, session := range g.arbiter.Sessions() {
			g.step(MsgEvent{Session: session, Raw: goneEvent(session), Gone: true, Reason: reasonDead})
		}
	}
}

// reconcile compares the sessions with the channels that Asterisk has: what
// ended while nobody listened is closed, and what nobody knows is taken in or
// ended.
func (g *Gateway) reconcile(ctx context.Context, info *ari.AsteriskInfo) error {
	app, err := g.client.Applications().Get(ctx, App)
	if err != nil {
		return fmt.Errorf("listing the channels of the application: %w", err)
	}
	bridges, err := g.client.Bridges().List(ctx)
	if err != nil {
		return fmt.Errorf("listing bridges: %w", err)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.started = startedAt(info)
	for _, session := range g.arbiter.Sessions() {
		if !slices.Contains(app.ChannelIDs, session) {
			reason := reasonUnheard
			if c := g.calls[session]; c != nil && c.started.Before(g.started) {
				reason = reasonRestarted
			}
			g.step(MsgEvent{Session: session, Raw: goneEvent(session), Gone: true, Reason: reason})
		}
	}
	var strays []string
	for _, id := range app.ChannelIDs {
		if !g.arbiter.Known(SessionOf(id)) {
			strays = append(strays, id)
		}
	}
	var empty []string
	for _, b := range bridges {
		if session := SessionOf(b.ID); session != b.ID && !g.arbiter.Known(session) {
			empty = append(empty, b.ID)
		}
	}
	if len(strays)+len(empty) > 0 {
		g.spawn(func(ctx context.Context) { g.settleStrays(ctx, strays, empty) }) //nolint:contextcheck // it outlives this connection to Asterisk
	}
	return nil
}

// settleStrays looks after channels in the application that no session has. One
// that was not answered yet is a call whose arrival was missed, and is let in
// now. One that was answered belongs to a session that is lost; nobody can go on
// with it.
func (g *Gateway) settleStrays(ctx context.Context, channels, bridges []string) {
	if !sleep(ctx, arrivalTime) {
		return
	}
	var lost []string
	for _, id := range g.unknown(channels) {
		if err := g.adopt(ctx, id); err != nil {
			g.opts.Log.Debug().Err(err).Str("session", id).Msg("channel is not a call that has just come")
			lost = append(lost, id)
		}
	}
	if len(lost)+len(bridges) == 0 || !sleep(ctx, strayTime-arrivalTime) {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, DefaultTTL)
	defer cancel()
	for _, id := range g.unknown(lost) {
		g.opts.Log.Warn().Str("session", id).Msg("ending a channel that nobody runs")
		g.hangup(ctx, id)
	}
	for _, id := range g.unknown(bridges) {
		if err := g.client.Bridges().Destroy(ctx, id); err != nil && !ari.IsNotFound(err) {
			g.opts.Log.Warn().Err(err).Str("bridge", id).Msg("bridge that nobody uses was not destroyed")
		}
	}
}

// unknown returns the ids that belong to no session.
func (g *Gateway) unknown(ids []string) []string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(ids), func(id string) bool { return g.arbiter.Known(SessionOf(id)) })
}

// adopt lets in a call whose StasisStart was not heard. The channel tells what
// the event would have told: the dialplan's arguments are in its application
// data.
func (g *Gateway) adopt(ctx context.Context, id string) error {
	ctx, cancel := context.WithTimeout(ctx, DefaultTTL)
	defer cancel()
	ch, err := g.client.Channels().Get(ctx, id)
	if err != nil {
		return err
	}
	app, args, _ := strings.Cut(ch.Dialplan.AppData, ",")
	if ch.State == "Up" || ch.Dialplan.AppName != "Stasis" || app != App {
		return fmt.Errorf("its state is %s, its application %s(%s)", ch.State, ch.Dialplan.AppName, app)
	}
	raw, err := json.Marshal(map[string]any{
		"type": "StasisStart", "application": App, "timestamp": time.Now().UTC().Format(ariTime),
		"args": strings.Split(args, ","), "channel": ch,
	})
	if err != nil {
		return fmt.Errorf("encoding its StasisStart: %w", err)
	}
	h, err := ari.Peek(raw)
	if err != nil {
		return err
	}
	g.metrics.adopted.Inc()
	g.opts.Log.Warn().Str("session", id).Msg("letting in a call whose arrival was missed")
	g.stasisStart(h, raw)
	return nil
}

// sleep waits, and reports false when ctx has ended.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
