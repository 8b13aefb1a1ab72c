package main

import (
	"context"
	"time"

	"github.com/rs/zerolog"

	"asterism/ari/proxy"
	"asterism/cmd/asterism/internal/config"
	"asterism/storage"
)

type mediaCmd struct{}

func (mediaCmd) Run() error { return nil }

type noMedia struct{}

func (noMedia) Open(_ context.Context, name string, _ bool, _ string) (proxy.MediaFile, error) {
	return proxy.MediaFile{}, &proxy.MediaTrouble{Sound: name, Problem: proxy.ProblemNotFound, Message: "no library"}
}

func (noMedia) Silence(context.Context, time.Duration) (proxy.MediaFile, error) {
	return proxy.MediaFile{}, &proxy.MediaTrouble{Problem: proxy.ProblemNotFound, Message: "no library"}
}

func (a *app) openMedia(context.Context, config.Node, storage.Bucket, zerolog.Logger) (proxy.Media, error) {
	return noMedia{}, nil
}
