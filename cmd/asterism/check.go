package main

import (
	"fmt"
	"io"

	"asterism/cmd/asterism/internal/config"
)

type checkCmd struct {
	Role string `enum:"run,gateway,worker,nats,media" default:"run" help:"Check what this role needs: run, gateway, worker, nats or media."`
}

// Run says everything that is wrong, or that nothing is.
func (c *checkCmd) Run(g *globals, w io.Writer) error {
	r, err := config.Load(g.options(config.Role(c.Role)))
	if err != nil {
		return badConfig(err)
	}
	file := r.Config.File
	if file == "" {
		file = "no file, defaults and environment"
	}
	fmt.Fprintf(w, "%s: good for asterism %s\n", file, c.Role)
	for _, name := range r.Ignored {
		fmt.Fprintf(w, "%s: sets nothing (a variable is named after its key, such as %sLOG_LEVEL)\n", name, config.EnvPrefix)
	}
	return nil
}
