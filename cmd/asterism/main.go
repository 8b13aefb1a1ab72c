package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/alecthomas/kong"
	"github.com/rs/zerolog"

	"asterism/cmd/asterism/internal/config"
)

// cli is the command line.
type cli struct {
	globals

	Run     runCmd     `cmd:"" help:"Every role in one process, for a laptop, a small site and tests."`
	Gateway gatewayCmd `cmd:"" help:"The gateway beside one Asterisk."`
	Worker  workerCmd  `cmd:"" help:"A member of the pool that runs the flows."`
	NATS    natsCmd    `cmd:"" name:"nats" help:"The NATS server of \"asterism run\" as a process of its own."`

	Media   mediaCmd   `cmd:"" help:"Put, get, list and remove prompts."`
	Call    CallCmd    `cmd:"" help:"Place a call, say what happened and store what was heard."`
	Check   checkCmd   `cmd:"" help:"Check the configuration and say all that is wrong with it."`
	Config  configCmd  `cmd:"" help:"Show the configuration in force, or a documented example."`
	Version versionCmd `cmd:"" help:"Show the version."`
}

// globals are the flags of every subcommand, and what a subcommand may touch
// of the world.
type globals struct {
	File      string   `name:"config" short:"c" placeholder:"FILE" help:"Configuration file. Without it: $$ASTERISM_CONFIG, then the first of ./asterism.yaml, ./.run/asterism.yaml, /etc/asterism/asterism.yaml."`
	Set       []string `sep:"none" placeholder:"KEY=VALUE" help:"Set a key of the configuration, such as storage.kind=memory. Stronger than environment and file."`
	LogLevel  string   `placeholder:"LEVEL" help:"Short for --set log.level=LEVEL."`
	LogFormat string   `placeholder:"FORMAT" help:"Short for --set log.format=FORMAT (console or json)."`

	environ        []string
	stdout, stderr io.Writer
}

// load reads the configuration for a role and makes the logger it asks for.
func (g *globals) load(role config.Role) (config.Config, zerolog.Logger, error) {
	r, err := config.Load(g.options(role))
	if err != nil {
		return config.Config{}, zerolog.Nop(), badConfig(err)
	}
	log := newLogger(r.Config.Log, g.stderr)
	if r.Config.File == "" {
		log.Debug().Msg("no configuration file; defaults and environment hold")
	} else {
		log.Debug().Str("file", r.Config.File).Msg("configuration read")
	}
	return r.Config, log, nil
}

func (g *globals) options(role config.Role) config.Options {
	set := g.Set
	if g.LogLevel != "" {
		set = append(set, "log.level="+g.LogLevel)
	}
	if g.LogFormat != "" {
		set = append(set, "log.format="+g.LogFormat)
	}
	return config.Options{File: g.File, Role: role, Env: g.environ, Set: set}
}

// badConfig turns the problems of a configuration into one readable error.
func badConfig(err error) error {
	var ps config.Problems
	if errors.As(err, &ps) && len(ps) > 1 {
		return fmt.Errorf("the configuration has %d mistakes:\n%w", len(ps), err)
	}
	return err
}

func main() {
	// Milliseconds matter on the telephone.
	zerolog.TimeFieldFormat = "2006-01-02T15:04:05.000Z07:00"
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	// The first signal asks to stop; with the handler gone, a second one ends
	// the process at once.
	context.AfterFunc(ctx, stop)
	os.Exit(run(ctx, os.Args[1:], os.Environ(), os.Stdout, os.Stderr))
}

// run is the program; it returns the exit code: 0, 1 when something failed, 2
// when the command line made no sense.
func run(ctx context.Context, args, environ []string, stdout, stderr io.Writer) int {
	c := cli{globals: globals{environ: environ, stdout: stdout, stderr: stderr}}
	code, exited := 0, false
	parser, err := kong.New(
		&c,
		kong.Name("asterism"),
		kong.Description("A telephone application platform: many stateless Asterisks, one pool of workers."),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, NoExpandSubcommands: true}),
		kong.Writers(stdout, stderr),
		kong.Exit(func(n int) { code, exited = n, true }),
		kong.BindTo(ctx, (*context.Context)(nil)),
		kong.BindTo(stdout, (*io.Writer)(nil)),
		kong.Bind(&c.globals),
	)
	if err != nil {
		fmt.Fprintf(stderr, "asterism: %v\n", err)
		return 1
	}
	if len(args) == 0 {
		args = []string{"--help"}
	}
	parsed, err := parser.Parse(args)
	switch {
	case exited: // --help
		return code
	case err != nil:
		fmt.Fprintf(stderr, "asterism: %v\n", err)
		return 2
	}
	if err := parsed.Run(); err != nil {
		fmt.Fprintf(stderr, "asterism: %v\n", err)
		return 1
	}
	return 0
}
