package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"
	"time"

	"asterism/cmd/asterism/internal/config"
	"asterism/storage"
	"asterism/storage/audio"
	"asterism/storage/media"
)

// mediaCmd works on the prompts in object storage. It needs no platform that
// runs, only its configuration.
type mediaCmd struct {
	Put mediaPutCmd `cmd:"" help:"Store a sound file (WAV, MP3, FLAC or Ogg) as a prompt."`
	Get mediaGetCmd `cmd:"" help:"Fetch a prompt as a WAV file."`
	Ls  mediaLsCmd  `cmd:"" help:"List prompts."`
	Rm  mediaRmCmd  `cmd:"" help:"Remove prompts."`
}

// library runs do with the library that is configured.
func (g *globals) library(do func(*media.Library) error) error {
	cfg, log, err := g.load(config.RoleMedia)
	if err != nil {
		return err
	}
	if cfg.Storage.Kind == "dir" {
		log.Debug().Str("path", cfg.Storage.Dir.Path).Msg("storage is a directory")
	}
	bucket, err := openBucket(cfg.Storage)
	if err != nil {
		return err
	}
	err = do(media.NewLibrary(bucket, audio.Limits{}))
	if errors.Is(err, storage.ErrNotFound) && cfg.File == "" {
		err = fmt.Errorf("%w; no configuration file was found, so the storage is %s", err, cfg.Storage.Dir.Path)
	}
	return errors.Join(err, bucket.Close())
}

// soundJSON is a prompt for machines.
type soundJSON struct {
	Name     string     `json:"name"`
	Key      string     `json:"key"`
	ETag     string     `json:"etag"`
	Bytes    int64      `json:"bytes"`
	Modified time.Time  `json:"modified"`
	Seconds  float64    `json:"seconds,omitempty"`
	Source   *formatRep `json:"source,omitempty"`
}

// formatRep is what an uploaded file turned out to be.
type formatRep struct {
	Container string `json:"container"`
	Encoding  string `json:"encoding,omitempty"`
	Rate      int    `json:"rate"`
	Channels  int    `json:"channels"`
}

func soundOf(e media.Entry) soundJSON {
	return soundJSON{Name: e.Name, Key: e.Key, ETag: e.ETag, Bytes: e.Size, Modified: e.Modified.UTC(), Seconds: e.Duration.Seconds()}
}

func printJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	if err := enc.Encode(v); err != nil {
		return fmt.Errorf("writing JSON: %w", err)
	}
	return nil
}

type mediaPutCmd struct {
	File     string `arg:"" help:"Sound file, or - for standard input."`
	Name     string `arg:"" optional:"" help:"Name of the prompt, such as greetings/welcome. Default: that of the file."`
	Language string `placeholder:"TAG" help:"Language of the prompt, such as it or it-IT."`
	JSON     bool   `name:"json" help:"Print JSON."`
}

// Run stores one file.
func (c *mediaPutCmd) Run(ctx context.Context, g *globals, w io.Writer) error {
	name, in := c.Name, io.Reader(os.Stdin)
	switch {
	case c.File == "-" && name == "":
		return errors.New("standard input has no name; expected one after the -")
	case c.File != "-":
		f, err := os.Open(c.File)
		if err != nil {
			return fmt.Errorf("media put: %w", err)
		}
		defer f.Close()
		in = f
		if name == "" {
			name = strings.TrimSuffix(filepath.Base(c.File), filepath.Ext(c.File))
		}
	}
	return g.library(func(l *media.Library) error {
		e, format, err := l.Put(ctx, name, c.Language, in)
		if err != nil {
			return err
		}
		if c.JSON {
			s := soundOf(e)
			s.Source = &formatRep{string(format.Container), format.Encoding, format.SampleRate, format.Channels}
			return printJSON(w, s)
		}
		_, err = fmt.Fprintf(w, "%s: %.1f s, from %s; stored as WAV, mono, %s\n",
			e.Name, e.Duration.Seconds(), describe(format), kilohertz(audio.StoredRate(format.SampleRate)))
		return err
	})
}

// describe says what a file was: "FLAC, stereo, 44.1 kHz".
func describe(f audio.Format) string {
	channels := fmt.Sprintf("%d channels", f.Channels)
	switch f.Channels {
	case 1:
		channels = "mono"
	case 2:
		channels = "stereo"
	}
	return fmt.Sprintf("%s, %s, %s", f.Container, channels, kilohertz(f.SampleRate))
}

func kilohertz(rate int) string { return fmt.Sprintf("%g kHz", float64(rate)/1000) }

type mediaGetCmd struct {
	Name     string `arg:"" help:"Name of the prompt."`
	File     string `arg:"" optional:"" help:"File to write, or - for standard output. Default: the name with .wav, here."`
	Language string `placeholder:"TAG" help:"Language of the prompt; without it, the one that serves all."`
	JSON     bool   `name:"json" help:"Print JSON about what was written; not with -."`
}

// Run fetches one prompt.
func (c *mediaGetCmd) Run(ctx context.Context, g *globals, w io.Writer) error {
	return g.library(func(l *media.Library) error {
		body, e, err := l.Get(ctx, c.Name, c.Language)
		if err != nil {
			return err
		}
		defer body.Close()
		if c.File == "-" {
			if _, err := io.Copy(w, body); err != nil {
				return fmt.Errorf("media get %s: %w", c.Name, err)
			}
			return nil
		}
		file := c.File
		if file == "" {
			file = filepath.Base(strings.TrimSuffix(c.Name, ".wav")) + ".wav"
		}
		if err := save(file, body); err != nil {
			return fmt.Errorf("media get %s: %w", c.Name, err)
		}
		if c.JSON {
			return printJSON(w, soundOf(e))
		}
		_, err = fmt.Fprintf(w, "%s: written to %s\n", e.Name, file)
		return err
	})
}

// save writes a file that appears whole or not at all.
func save(name string, r io.Reader) error {
	f, err := os.CreateTemp(filepath.Dir(name), "."+filepath.Base(name)+"-*")
	if err != nil {
		return err
	}
	_, err = io.Copy(f, r)
	if err = errors.Join(err, f.Chmod(0o644), f.Close()); err == nil {
		err = os.Rename(f.Name(), name)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return nil
}

type mediaLsCmd struct {
	Prefix string `arg:"" optional:"" help:"Only names that begin like this, such as greetings/ or it/."`
	JSON   bool   `name:"json" help:"Print JSON."`
}

// Run lists prompts in the order of their names.
func (c *mediaLsCmd) Run(ctx context.Context, g *globals, w io.Writer) error {
	return g.library(func(l *media.Library) error {
		sounds := []soundJSON{}
		table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
		for e, err := range l.List(ctx, c.Prefix) {
			if err != nil {
				return err
			}
			if c.JSON {
				sounds = append(sounds, soundOf(e))
				continue
			}
			fmt.Fprintf(table, "%s\t%d bytes\t%s\n", e.Name, e.Size, e.Modified.Local().Format(time.DateTime))
		}
		if c.JSON {
			return printJSON(w, sounds)
		}
		return table.Flush()
	})
}

type mediaRmCmd struct {
	Names    []string `arg:"" name:"name" help:"Names of prompts."`
	Language string   `placeholder:"TAG" help:"Language of the prompts; without it, the ones that serve all."`
	JSON     bool     `name:"json" help:"Print JSON."`
}

// Run removes prompts, as many as it can.
func (c *mediaRmCmd) Run(ctx context.Context, g *globals, w io.Writer) error {
	return g.library(func(l *media.Library) error {
		removed := []string{}
		var errs []error
		for _, name := range c.Names {
			if err := l.Remove(ctx, name, c.Language); err != nil {
				errs = append(errs, err)
				continue
			}
			removed = append(removed, name)
			if !c.JSON {
				fmt.Fprintf(w, "%s: removed\n", name)
			}
		}
		if c.JSON {
			errs = append(errs, printJSON(w, map[string][]string{"removed": removed}))
		}
		return errors.Join(errs...)
	})
}
