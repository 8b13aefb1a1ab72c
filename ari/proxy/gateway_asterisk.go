package proxy

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"asterism/ari"
)

// uninteresting events are switched off in Asterisk itself: each costs the
// gateway a wake-up, and no flow needs them.
var uninteresting = []string{"ChannelVarset", "ChannelDialplan", "ChannelStateChange"}

// strayTime is how long a channel may be in the application without a
// StasisStart that tells of it, which may still be on its way.
const strayTime = 3 * time.Second

// connected makes the connection to Asterisk usable. It is called before the
// first event is delivered.
func (g *Gateway) connected(ctx context.Context, first bool) error {
	version, err := g.client.CheckVersion(ctx)
	if err != nil {
		if errors.Is(err, ari.ErrUnsupportedVersion) {
			g.fail(err)
		}
		return err
	}
	if err := g.setFilter(ctx); err != nil {
		return fmt.Errorf("setting the event filter: %w", err)
	}
	g.mu.Lock()
	draining := g.draining
	g.mu.Unlock()
	if err := g.setDraining(ctx, draining); err != nil {
		return fmt.Errorf("setting the draining switch: %w", err)
	}
	if err := g.reconcile(ctx); err != nil {
		return err
	}
	g.mu.Lock()
	g.ariErr = nil
	if !first {
		g.metrics.reconnects.Inc()
		g.step(MsgLost{})
	}
	g.mu.Unlock()
	g.opts.Log.Info().Str("asterisk", version).Bool("again", !first).Msg("connected to Asterisk")
	return nil
}

// setFilter switches uninteresting events off. Asterisk knows an application
// only a moment after it has accepted its websocket, so that 404 is waited out
// for up to two seconds.
func (g *Gateway) setFilter(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	for {
		_, err := g.client.Applications().Filter(ctx, App, &ari.EventFilter{Disallowed: uninteresting})
		if !ari.IsNotFound(err) {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// disconnected notes why there is no connection to Asterisk.
func (g *Gateway) disconnected(err error) {
	if errors.Is(err, context.Canceled) {
		return // the gateway is being stopped
	}
	if g.loopback != nil {
		g.loopback.forget() // Asterisk may have been restarted
	}
	g.mu.Lock()
	changed := g.ariErr == nil || g.ariErr.Error() != err.Error()
	g.ariErr = err
	g.mu.Unlock()
	if !changed {
		return
	}
	if ari.IsUnauthorized(err) {
		g.opts.Log.Error().Str("user", g.opts.ARI.Username).Str("url", g.base.Redacted()).
			Msg("Asterisk refuses the ARI user or password; check ari.conf and the gateway's configuration; trying again")
		return
	}
	g.opts.Log.Warn().Err(err).Str("url", g.base.Redacted()).Msg("no connection to Asterisk; trying again")
}

// reconcile compares the sessions with the channels that Asterisk has: what
// ended while nobody listened is closed, and what nobody knows is ended.
func (g *Gateway) reconcile(ctx context.Context) error {
	app, err := g.client.Applications().Get(ctx, App)
	if err != nil {
		return fmt.Errorf("listing the channels of the application: %w", err)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, session := range g.arbiter.Sessions() {
		if !slices.Contains(app.ChannelIDs, session) {
			g.step(MsgEvent{Session: session, Raw: goneEvent(session), Gone: true})
		}
	}
	var strays []string
	for _, id := range app.ChannelIDs {
		if !g.arbiter.Known(SessionOf(id)) {
			strays = append(strays, id)
		}
	}
	if len(strays) > 0 {
		g.spawn(func(ctx context.Context) { g.endStrays(ctx, strays) }) //nolint:contextcheck // it outlives this connection to Asterisk
	}
	return nil
}

// endStrays ends channels that have been left in the application by an
// earlier life of the gateway, or whose StasisStart was lost.
func (g *Gateway) endStrays(ctx context.Context, ids []string) {
	select {
	case <-ctx.Done():
		return
	case <-time.After(strayTime):
	}
	ctx, cancel := context.WithTimeout(ctx, DefaultTTL)
	defer cancel()
	for _, id := range ids {
		g.mu.Lock()
		known := g.arbiter.Known(SessionOf(id))
		g.mu.Unlock()
		if !known {
			g.opts.Log.Warn().Str("session", id).Msg("ending a channel that nobody runs")
			g.hangup(ctx, id)
		}
	}
}

// goneEvent stands for the StasisEnd of a channel that was not heard.
func goneEvent(channel string) []byte {
	raw, err := json.Marshal(map[string]any{
		"type": "StasisEnd", "application": App,
		"timestamp": time.Now().UTC().Format("2006-01-02T15:04:05.000-0700"),
		"channel":   map[string]string{"id": channel},
	})
	if err != nil {
		return nil
	}
	return raw
}

// errorBody is a body as Asterisk answers errors with.
func errorBody(message string) []byte {
	raw, err := json.Marshal(map[string]string{"message": message})
	if err != nil {
		return []byte(`{}`)
	}
	return raw
}
