package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime/pprof"
	"strings"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"asterism/apps"
	"asterism/ari"
	"asterism/ari/proxy"
	"asterism/cmd/asterism/internal/config"
	"asterism/sip"
	"asterism/storage"
)

type gatewayCmd struct {
	Node string `placeholder:"NAME" help:"The node to serve, when the configuration has several."`
}

// Run is the gateway of one node until ctx ends.
func (c *gatewayCmd) Run(ctx context.Context, g *globals) error {
	cfg, log, err := g.load(config.RoleGateway)
	if err != nil {
		return err
	}
	node, err := chooseNode(cfg.Nodes, c.Node)
	if err != nil {
		return err
	}

	return newApp(config.RoleGateway, cfg, log).Run(ctx, func(ctx context.Context, a *app) error {
		return a.openGateways(ctx, []config.Node{node}, nil)
	})
}

func chooseNode(nodes []config.Node, name string) (config.Node, error) {
	names := make([]string, len(nodes))
	for i, n := range nodes {
		if names[i] = n.Name; n.Name == name {
			return n, nil
		}
	}
	switch {
	case name != "":
		return config.Node{}, fmt.Errorf("--node %s: there is no such node; expected one of %s", name, strings.Join(names, ", "))
	case len(nodes) > 1:
		return config.Node{}, fmt.Errorf("the configuration has several nodes; expected --node with one of %s", strings.Join(names, ", "))
	}
	return nodes[0], nil
}

// openGateways serves nodes. They drain together: calls that one of them
// refuses must not move to the next.
func (a *app) openGateways(ctx context.Context, nodes []config.Node, server *natsServer) error {
	bucket, err := a.openStorage()
	if err != nil {
		return err
	}
	gate, err := newGate(a.cfg.Trust)
	if err != nil {
		return err
	}
	var gateways []*proxy.Gateway
	for _, node := range nodes {
		g, err := a.openGateway(ctx, node, bucket, gate, server)
		if err != nil {
			return err
		}
		gateways = append(gateways, g)
	}
	a.onDrain("gateways", func(ctx context.Context) error {
		errs := make([]error, len(gateways))
		var all sync.WaitGroup
		for i, g := range gateways {
			all.Go(func() { errs[i] = g.Drain(ctx) })
		}
		all.Wait()
		return errors.Join(errs...)
	})
	return nil
}

// openGateway serves one node.
func (a *app) openGateway(ctx context.Context, node config.Node, bucket storage.Bucket, gate sip.Gate, server *natsServer) (*proxy.Gateway, error) {
	log := a.log.With().Str("node", node.Name).Logger()
	conn, err := a.connect(proxy.RoleGateway, node.Name, server)
	if err != nil {
		return nil, err
	}
	cache, err := a.openMedia(node, bucket, log)
	if err != nil {
		return nil, err
	}
	lock, err := proxy.LockSpool(node.Spool.Dir)
	if err != nil {
		return nil, fmt.Errorf("node %s: %w", node.Name, err)
	}
	a.onClose("spool of "+node.Name, func(context.Context) error { return lock.Close() })
	boot, err := proxy.NextBoot(node.Spool.Dir)
	if err != nil {
		return nil, fmt.Errorf("node %s: %w", node.Name, err)
	}
	g, err := proxy.NewGateway(proxy.GatewayOptions{
		Node: node.Name, Boot: boot, Conn: conn, Media: cache,
		Spool:   filepath.Join(node.Spool.Dir, "sessions"),
		KeyLog:  node.Spool.KeyLogPath(),
		ARI:     ari.Options{BaseURL: node.ARI.URL, Username: node.ARI.User, Password: node.ARI.Password.Reveal()},
		Admit:   func(in proxy.Inbound) *proxy.Refusal { return admit(gate, in) },
		Parties: parties, Calls: callsOptions(a.cfg.Calls),
		OnHang: func() { hung(log) },
		Log:    log, Registry: a.registry,
	})
	if err != nil {
		return nil, err
	}
	// The gateway outlives ctx: while the process drains, calls go on.
	life, end := context.WithCancel(context.WithoutCancel(ctx))
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := g.Run(life); err != nil {
			a.fail(err)
		}
	}()
	a.onClose("gateway "+node.Name, func(context.Context) error {
		end()
		<-done
		return nil
	})
	a.checks.set("gateway "+node.Name, func(context.Context) error { return g.Ready() })
	return g, nil
}

// callsOptions says where call records go.
func callsOptions(c config.Calls) proxy.CallsOptions {
	if !c.Enabled {
		return proxy.CallsOptions{}
	}
	return proxy.CallsOptions{Stream: c.Stream, MaxAge: c.MaxAge, MaxBytes: int64(c.MaxBytes), Replicas: c.Replicas}
}

// parties says who a call is from and for whose flow could not report it.
func parties(in proxy.Inbound) proxy.Parties {
	invite, err := sip.ParseArgs(in.Args)
	if err != nil {
		return proxy.Parties{}
	}
	p := proxy.Parties{Action: invite.Param("Action")}
	// Of a request that is refused as a whole nobody can tell whether the caller
	// wants to be known.
	if req, _, err := invite.Request(); err == nil {
		p.Action, p.Called = req.Action, req.Called
		if p.Caller = req.Caller.Number; p.Caller == "" && !req.Caller.Private {
			p.Caller = in.Number
		}
		if req.Caller.Private {
			p.Caller = ""
		}
	}
	return p
}

// hung ends a process whose gateway does nothing any more: whoever supervises
// it starts it again, and the new one goes on with the calls.
func hung(log zerolog.Logger) {
	var stacks strings.Builder
	_ = pprof.Lookup("goroutine").WriteTo(&stacks, 1)
	log.Error().Str("stacks", stacks.String()).Msgf("the gateway has done nothing for %v; ending the process so that it is started anew", proxy.HangTime)
	os.Exit(1) //nolint:forbidigo // what hangs cannot be waited for
}

// newGate trusts the network unless there are keys.
func newGate(c config.Trust) (sip.Gate, error) {
	keys := make([]sip.Key, len(c.Keys))
	for i, k := range c.Keys {
		var err error
		if keys[i], err = sip.NewKey(k.ID, k.Key.Reveal()); err != nil {
			return sip.Gate{}, fmt.Errorf("trust.keys[%d]: %w", i, err)
		}
	}
	gate := sip.NewGate(keys...)
	gate.Verifier.MaxAge = c.MaxAge
	return gate, nil
}

// admit turns what the gate says into what the fabric understands.
func admit(gate sip.Gate, in proxy.Inbound) *proxy.Refusal {
	err := gate.Admit(in.Args, in.CallID, time.Now())
	if err == nil {
		return nil
	}
	v := apps.VerdictOf(err)
	return &proxy.Refusal{Status: v.Status, Reason: v.Reason, Label: string(sip.CauseOf(err))}
}
