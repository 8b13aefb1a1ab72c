package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"
	"go.uber.org/goleak"

	"asterism/cmd/asterism/internal/config"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// quiet is a configuration without listeners.
func quiet() config.Config {
	c := config.Default()
	c.HTTP.Listen = ""
	return c
}

// noting is a part that writes down when it is started, drained and closed.
func noting(notes *[]string, name string, err error) part {
	return func(_ context.Context, a *app) error {
		note := func(what string) func(context.Context) error {
			return func(context.Context) error {
				*notes = append(*notes, what+" "+name)
				return nil
			}
		}
		a.onDrain(name, note("drain"))
		a.onClose(name, note("close"))
		*notes = append(*notes, "start "+name)
		return err
	}
}

func TestAppStopsLastInFirstOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var notes []string
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Minute, cancel)
		a := newApp(config.RoleRun, quiet(), zerolog.Nop())
		if err := a.Run(ctx, noting(&notes, "a", nil), noting(&notes, "b", nil)); err != nil {
			t.Fatal(err)
		}
		want := []string{"start a", "start b", "drain b", "drain a", "close b", "close a"}
		if !slices.Equal(notes, want) {
			t.Errorf("got %v; want %v", notes, want)
		}
	})
}

func TestAppUndoesAFailedStart(t *testing.T) {
	var notes []string
	wrong := errors.New("wrong")
	err := newApp(config.RoleRun, quiet(), zerolog.Nop()).Run(t.Context(),
		noting(&notes, "a", nil), noting(&notes, "b", wrong), noting(&notes, "c", nil))
	if want := []string{"start a", "start b", "close b", "close a"}; !errors.Is(err, wrong) || !slices.Equal(notes, want) {
		t.Errorf("%v, %v; want %v", err, notes, want)
	}
}

func TestAppEndsWithAFailedPart(t *testing.T) {
	var notes []string
	lost := errors.New("another gateway took over")
	err := newApp(config.RoleRun, quiet(), zerolog.Nop()).Run(t.Context(), noting(&notes, "a", nil),
		func(_ context.Context, a *app) error {
			a.fail(lost)
			a.fail(errors.New("later"))
			return nil
		})
	if want := []string{"start a", "close a"}; !errors.Is(err, lost) || !slices.Equal(notes, want) {
		t.Errorf("%v, %v; want %v", err, notes, want)
	}
}

func TestDrainIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := quiet()
		c.Drain = time.Minute
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		start, closed := time.Now(), false
		err := newApp(config.RoleRun, c, zerolog.Nop()).Run(ctx, func(_ context.Context, a *app) error {
			a.onClose("x", func(context.Context) error {
				closed = true
				return nil
			})
			a.onDrain("x", func(ctx context.Context) error {
				<-ctx.Done() // a call that does not end
				return ctx.Err()
			})
			return nil
		})
		if took := time.Since(start); err != nil || took != time.Minute || !closed {
			t.Errorf("error %v after %v, closed %v; want none after a minute, closed", err, took, closed)
		}
	})
}

// asterism runs the program in an empty directory.
func asterism(t *testing.T, env []string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs strings.Builder
	code = run(t.Context(), args, env, &out, &errs)
	return code, out.String(), errs.String()
}

func TestCommands(t *testing.T) {
	t.Chdir(t.TempDir())
	if err := os.WriteFile("bad.yaml", []byte("log: {levl: info}\nhttp: {listen: nowhere}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(".run", 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(".run", "asterism.yaml"), []byte("nodes: [{ari: {password: sesame}}]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		args string
		env  string
		code int
		want string // in what is printed
	}{
		{"version", "", 0, "asterism "},
		{"", "", 0, "Usage: asterism"},
		{"--help", "", 0, "gateway"},
		{"frobnicate", "", 2, "unexpected argument frobnicate"},
		{"check", "", 0, ".run/asterism.yaml: good for asterism run"},
		{"check", "ASTERISM_LOGLEVEL=debug", 0, "ASTERISM_LOGLEVEL: sets nothing"},
		{"check --config bad.yaml", "", 1, "the configuration has 3 mistakes:\nbad.yaml:1:7: log.levl: is not a known key; did you mean \"level\"?\nbad.yaml:2:16: http.listen"},
		{"check --role worker", "", 1, "nats.urls: is empty"},
		{"check --set drain=x", "", 1, `--set: drain: "x" is not a duration`},
		{"config", "", 0, `password: "***"`},
		{"config --log-level debug", "", 0, "level: debug"},
		{"config --example", "", 0, "# The configuration of asterism"},
		{"nats", "", 1, "nats.server.listen: is missing"},
	} {
		t.Run(tc.args+tc.env, func(t *testing.T) {
			code, stdout, stderr := asterism(t, []string{tc.env}, strings.Fields(tc.args)...)
			if code != tc.code || !strings.Contains(stdout+stderr, tc.want) {
				t.Errorf("exit code %d, printed %s%s; want %d and %q", code, stdout, stderr, tc.code, tc.want)
			}
			if strings.Contains(stdout+stderr, "sesame") {
				t.Error("the password shows")
			}
		})
	}
}
