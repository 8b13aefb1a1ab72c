package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"asterism/ari/proxy"
	"asterism/cmd/asterism/internal/config"
	"asterism/storage"
	"asterism/storage/media"
)

// nodeMedia is a node's media cache as the fabric wants it.
type nodeMedia struct {
	cache    *media.Cache
	fallback string // the platform's language
}

// openMedia opens the cache of a node.
func (a *app) openMedia(node config.Node, bucket storage.Bucket, log zerolog.Logger) (*nodeMedia, error) {
	cache, err := media.OpenCache(media.Config{
		Bucket: bucket, Dir: node.Media.Dir, MaxBytes: int64(node.Media.MaxSize), StaleIfError: node.Media.StaleIfError,
		OnStale: func(key string, age time.Duration, err error) {
			log.Warn().Err(err).Str("key", key).Stringer("age", age.Round(time.Second)).Msg("the storage does not answer; a cached sound is played unchecked")
		},
	})
	if err != nil {
		return nil, fmt.Errorf("node %s: %w", node.Name, err)
	}
	registry := prometheus.WrapRegistererWith(prometheus.Labels{"node": node.Name}, a.registry)
	if err := registry.Register(cache); err != nil {
		return nil, errors.Join(fmt.Errorf("node %s: metrics of the media cache: %w", node.Name, err), cache.Close())
	}
	a.onClose("media cache of "+node.Name, func(context.Context) error { return cache.Close() })
	return &nodeMedia{cache: cache, fallback: a.cfg.Language}, nil
}

// Open makes a prompt available as a file.
func (m *nodeMedia) Open(ctx context.Context, name string, exact bool, language string) (proxy.MediaFile, error) {
	var languages []string
	if !exact {
		for _, l := range []string{language, m.fallback} {
			if l != "" {
				languages = append(languages, l)
			}
		}
	}
	f, err := m.cache.Resolve(ctx, name, languages)
	return mediaFile(f, name, err)
}

// Silence is a file of that much silence.
func (m *nodeMedia) Silence(ctx context.Context, d time.Duration) (proxy.MediaFile, error) {
	f, err := m.cache.Silence(ctx, d)
	return mediaFile(f, fmt.Sprintf("silence of %v", d), err)
}

// mediaFile turns what the cache says into what the fabric understands.
func mediaFile(f media.File, name string, err error) (proxy.MediaFile, error) {
	if err == nil {
		return proxy.MediaFile{Path: f.Path, Length: f.Duration}, nil
	}
	problem := proxy.ProblemUnavailable
	switch {
	case errors.Is(err, media.ErrNotFound):
		problem = proxy.ProblemNotFound
	case errors.Is(err, media.ErrInvalidName):
		problem = proxy.ProblemInvalid
	case errors.Is(err, media.ErrBroken):
		problem = proxy.ProblemBroken
	}
	return proxy.MediaFile{}, &proxy.MediaTrouble{Sound: name, Problem: problem, Message: err.Error()}
}
