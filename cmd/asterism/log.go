package main

import (
	"io"
	stdlog "log" //nolint:depguard // net/http takes no other logger.
	"os"

	"github.com/rs/zerolog"

	"asterism/cmd/asterism/internal/config"
)

// newLogger returns a logger for people or for machines. The names of fields
// are the same everywhere: call (the SIP Call-ID), session, node, worker.
func newLogger(c config.Log, w io.Writer) zerolog.Logger {
	if c.Format == "console" {
		w = zerolog.ConsoleWriter{Out: w, TimeFormat: "15:04:05.000", NoColor: !isTerminal(w)}
	}
	level, err := zerolog.ParseLevel(c.Level)
	if err != nil {
		level = zerolog.InfoLevel
	}
	return zerolog.New(w).Level(level).With().Timestamp().Logger()
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// httpLog is the logger that a [net/http.Server] reports broken connections
// to.
func httpLog(log zerolog.Logger) *stdlog.Logger {
	return stdlog.New(log.Level(zerolog.DebugLevel), "", 0)
}
