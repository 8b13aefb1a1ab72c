package proxy

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"asterism/ari"
)

// uninteresting events are switched off in Asterisk itself: each costs the
// gateway a wake-up, and no flow needs them.
var uninteresting = []string{"ChannelVarset", "ChannelDialplan", "ChannelStateChange"}

// connected makes the connection to Asterisk usable. It is called before the
// first event is delivered.
func (g *Gateway) connected(ctx context.Context, first bool) error {
	info, err := g.client.Asterisk().Info(ctx, &ari.AsteriskInfoOptions{Only: []string{"system", "status"}})
	if err != nil {
		return fmt.Errorf("asking for the version of Asterisk: %w", err)
	}
	if err := ari.CheckVersion(info); err != nil {
		g.fail(err)
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
	g.recoverKeys(info)
	if err := g.reconcile(ctx, info); err != nil {
		return err
	}
	g.mu.Lock()
	g.ariErr, g.silent = nil, time.Time{}
	// Also the first time: sessions of an earlier life may wait for events that
	// came before this connection.
	g.step(MsgLost{})
	if !first {
		g.metrics.reconnects.Inc()
	}
	g.mu.Unlock()
	g.opts.Log.Info().Str("asterisk", info.System.Version).Bool("again", !first).Msg("connected to Asterisk")
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
	g.awayUntil = keyClock()
	changed := g.ariErr == nil || g.ariErr.Error() != err.Error()
	g.ariErr = err
	g.listenForLife(err)
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

// ariTime is how Asterisk writes times in events.
const ariTime = "2006-01-02T15:04:05.000-0700"

// goneEvent stands for the StasisEnd of a channel that was not heard.
func goneEvent(channel string) []byte {
	raw, err := json.Marshal(map[string]any{
		"type": "StasisEnd", "application": App,
		"timestamp": time.Now().UTC().Format(ariTime),
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
