package main

import (
	"context"

	"asterism/cmd/asterism/internal/config"
)

type runCmd struct{}

// Run is every role until ctx ends.
func (runCmd) Run(ctx context.Context, g *globals) error {
	cfg, log, err := g.load(config.RoleRun)
	if err != nil {
		return err
	}

	return newApp(config.RoleRun, cfg, log).Run(ctx, everything)
}

// everything starts NATS, a worker and then the gateways, so that the first
// call finds a worker.
func everything(ctx context.Context, a *app) error {
	server, err := a.openNATSServer(ctx)
	if err != nil {
		return err
	}
	if err := a.openWorker(server); err != nil { //nolint:contextcheck // the worker lives until it is closed
		return err
	}
	return a.openGateways(ctx, a.cfg.Nodes, server)
}
