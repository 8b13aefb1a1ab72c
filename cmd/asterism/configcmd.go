package main

import (
	"fmt"
	"io"

	"github.com/goccy/go-yaml"

	"asterism/cmd/asterism/internal/config"
)

type configCmd struct {
	Example bool   `help:"Print a configuration file that documents every key and holds the defaults."`
	Role    string `enum:"run,gateway,worker,nats,media" default:"run" help:"Read it as this role does."`
}

// Run prints YAML. Secrets show as stars.
func (c *configCmd) Run(g *globals, w io.Writer) error {
	if c.Example {
		fmt.Fprint(w, config.Example)
		return nil
	}
	cfg, _, err := g.load(config.Role(c.Role))
	if err != nil {
		return err
	}
	out, err := yaml.Marshal(cfg)
	if err != nil {
		return fmt.Errorf("writing the configuration: %w", err)
	}
	fmt.Fprintf(w, "%s", out)
	return nil
}
