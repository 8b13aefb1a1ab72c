// Package effects has the ways to do something outside, right and wrong.
package effects

import (
	"context"
	"io"
	"net/http"
	"os"
	"time"

	"asterism/apps"
	"helper"
)

type page struct{ text string }

func Right(ctx context.Context, env apps.Env, call apps.Call, req apps.Request) error {
	text, err := call.Do(ctx, "fetch", func(ctx context.Context, key string) ([]byte, error) {
		resp, err := http.Get(req.Sounds[0] + "?" + key)
		if err != nil {
			return nil, err
		}
		defer resp.Body.Close()
		p := page{}
		p.text = time.Now().String()
		go func() { p.text = "" }()
		return io.ReadAll(resp.Body)
	})
	if err != nil {
		return err
	}
	if _, err := call.Do(ctx, "named", read); err != nil {
		return err
	}
	if _, err := call.Do(ctx, "stored", func(ctx context.Context, _ string) ([]byte, error) { return env.Store.Get(ctx, "a") }); err != nil {
		return err
	}
	names, err := apps.Do(ctx, call, "list", func(ctx context.Context, key string) ([]string, error) {
		_, err := os.ReadDir(".")
		return nil, err
	})
	if err != nil {
		return err
	}
	fetch := func(ctx context.Context, key string) ([]byte, error) { return os.ReadFile(key) }
	if _, err := call.Do(ctx, string(text)+names[0], fetch); err != nil {
		return err
	}
	if err := retry(ctx, call, func() error { return os.Remove("a") }); err != nil {
		return err
	}
	return helper.Twice(ctx, call, func(context.Context, string) ([]byte, error) { return os.ReadFile("b") })
}

func read(ctx context.Context, key string) ([]byte, error) { return os.ReadFile(key) }

// retry hands fn on to Do from inside a function of its own.
func retry(ctx context.Context, call apps.Call, fn func() error) error {
	_, err := call.Do(ctx, "retry", func(context.Context, string) ([]byte, error) { return nil, fn() })
	return err
}

func Wrong(ctx context.Context, call apps.Call) error {
	var text []byte
	var p page
	n := 0
	_, err := call.Do(ctx, "fetch", func(ctx context.Context, key string) (out []byte, err error) {
		text, err = os.ReadFile("a") // want `^text is set in Do, which is not run again when the flow is replayed, so text would keep its old value: return the value from Do$`
		p.text = string(text)        // want `^p is set in Do`
		n++                          // want `^n is set in Do`
		out = text
		if err := call.Play(ctx, "a"); err != nil { // want `^Play in Do is not run when the flow is replayed, so the log would not fit any more: call it before or after Do$`
			return nil, err
		}
		return out, helper.Greet(ctx, call) // want `^Greet in Do is not run`
	})
	if err != nil {
		return err
	}
	fetch := func(ctx context.Context, key string) ([]byte, error) {
		return os.ReadFile(key) // want `^os.ReadFile reaches`
	}
	_, _ = fetch(ctx, "b") // so fetch is not for Do only
	if _, err := call.Do(ctx, "c", fetch); err != nil {
		return err
	}
	if _, err := call.Do(ctx, "d", made()); err != nil {
		return err
	}
	return both(ctx, call, func() error { return os.Remove("a") }) // want `^os.Remove reaches`
}

// made runs in the flow, and what it returns is not known to run in Do only.
func made() func(context.Context, string) ([]byte, error) {
	_, _ = os.ReadFile("a")                                                          // want `^os.ReadFile reaches .* \[flow code: effects.Wrong → effects.made\]$`
	return func(context.Context, string) ([]byte, error) { return os.ReadFile("b") } // want `^os.ReadFile reaches`
}

// both runs fn in the flow as well.
func both(ctx context.Context, call apps.Call, fn func() error) error {
	if err := fn(); err != nil {
		return err
	}
	return retry(ctx, call, fn)
}

func Unused(ctx context.Context, call apps.Call) error {
	return unused(func() error { return os.Remove("a") }) // want `^os.Remove reaches`
}

func unused(fn func() error) error { return nil }
