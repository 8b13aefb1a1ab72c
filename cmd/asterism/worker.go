package main

import (
	"context"
	"os"
	"runtime/debug"

	"asterism/apps"
	"asterism/apps/session"
	"asterism/ari/proxy"
	"asterism/cmd/asterism/internal/config"
	"asterism/sip"
)

type workerCmd struct{}

// Run is a worker until ctx ends.
func (workerCmd) Run(ctx context.Context, g *globals) error {
	cfg, log, err := g.load(config.RoleWorker)
	if err != nil {
		return err
	}
	// A worker's memory is that of calls that wait, and they make little
	// garbage: collecting it at half as much again costs hardly any CPU, and
	// 50,000 calls stay below 1 GiB.
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(50)
	}
	return newApp(config.RoleWorker, cfg, log).Run(ctx, func(_ context.Context, a *app) error {
		return a.openWorker(nil) //nolint:contextcheck // the worker lives until it is closed
	})
}

// openWorker joins the pool. The server is nil unless it is in this process.
func (a *app) openWorker(server *natsServer) error {
	name := a.cfg.Worker.Name
	conn, err := a.connect(proxy.RoleWorker, name, server)
	if err != nil {
		return err
	}
	log := a.log.With().Str("worker", name).Logger()
	pool, err := session.NewPool(session.Options{
		Parse: parseRequest, Worker: name, Log: log, Registry: a.registry,
	})
	if err != nil {
		return err
	}
	w, err := proxy.NewWorker(conn, proxy.WorkerOptions{
		Name: name, Capacity: a.cfg.Worker.Capacity, Open: pool.Open, Log: log, Registry: a.registry,
	})
	if err != nil {
		pool.Close()
		return err
	}
	a.onDrain("worker "+name, w.Drain)
	a.onClose("worker "+name, func(context.Context) error {
		w.Close()
		pool.Close()
		return nil
	})
	return nil
}

// parseRequest makes a request of what the dialplan passed. What the headers
// do not say of the caller, the channel does.
func parseRequest(args []string, channel session.Channel) (apps.Request, []string, error) {
	in, err := sip.ParseArgs(args)
	if err != nil {
		return apps.Request{}, nil, err
	}
	req, warned, err := in.Request()
	warnings := make([]string, len(warned))
	for i, w := range warned {
		warnings[i] = w.Text
	}
	if err != nil {
		return apps.Request{}, warnings, err
	}
	if req.Caller.Number == "" && !req.Caller.Private {
		req.Caller.Name, req.Caller.Number = channel.CallerName, channel.CallerNumber
	}
	if req.Called == "" {
		req.Called = channel.Called
	}
	return req, warnings, nil
}
