// Package apps stands in for the real one: what the analyzer knows by name.
package apps

import (
	"context"
	"encoding/json"
	"time"
)

type Env struct {
	Log   func(message string, fields ...any)
	Fetch func(ctx context.Context, url string) ([]byte, error)
	Store interface {
		Get(ctx context.Context, key string) ([]byte, error)
	}
}

func (e Env) Note(message string, fields ...any) {
	if e.Log != nil {
		e.Log(message, fields...)
	}
}

type Request struct {
	Sounds []string
	Vars   map[string]string
}

type Call interface {
	Play(ctx context.Context, sound string) error
	Pause(ctx context.Context, d time.Duration, stopOn string) (string, error)
	Now(ctx context.Context) (time.Time, error)
	Random(ctx context.Context, n int) (int, error)
	NewID(ctx context.Context) (string, error)
	Do(ctx context.Context, name string, fn func(ctx context.Context, key string) ([]byte, error)) ([]byte, error)
}

// Do is found to run fn in Call.Do only.
func Do[T any](ctx context.Context, call Call, name string, fn func(ctx context.Context, key string) (T, error)) (T, error) { // want Do:`effects \[3\]`
	var out T
	raw, err := call.Do(ctx, name, func(ctx context.Context, key string) ([]byte, error) {
		v, err := fn(ctx, key)
		if err != nil {
			return nil, err
		}
		return json.Marshal(v)
	})
	if err != nil {
		return out, err
	}
	err = json.Unmarshal(raw, &out)
	return out, err
}
