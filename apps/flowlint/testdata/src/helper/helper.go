// Package helper holds what flows of another package call.
package helper

import (
	"context"
	"math/rand/v2"
	"os"
	"time"

	"asterism/apps"
)

func Jitter(d time.Duration) time.Duration { return d + spread(d) } // want Jitter:`rand.N gives another value .* \(helper.go:15\)`

func spread(d time.Duration) time.Duration { return rand.N(d) }

func Double(d time.Duration) time.Duration { return 2 * d }

var Host, _ = os.Hostname() // want Host:`os.Hostname reaches`

type Clock struct{}

func (Clock) Hour() int { return time.Now().Hour() } // want Hour:`time.Now gives`

type Fixed int

func (f Fixed) Hour() int { return int(f) }

func First[K comparable, V any](m map[K]V) (k K) { // want First:`ranging over a map`
	for k := range m {
		return k
	}
	return k
}

type Box[T any] struct{ v T }

func (b *Box[T]) Age(since time.Time) time.Duration { return time.Since(since) } // want Age:`time.Since gives`

func (b *Box[T]) Get() T { return b.v }

// Greet takes a call: what is wrong in it is said here, and only here.
func Greet(ctx context.Context, call apps.Call) error {
	_ = time.Now() // want `^time.Now gives`
	return call.Play(ctx, "hello")
}

//flowlint:ignore the answer is the same on all workers
func Zone() string { return os.Getenv("TZ") }

func Once(ctx context.Context, call apps.Call, fn func(context.Context, string) ([]byte, error)) error { // want Once:`effects \[2\]`
	_, err := call.Do(ctx, "once", fn)
	return err
}

func Twice(ctx context.Context, call apps.Call, fn func(context.Context, string) ([]byte, error)) error { // want Twice:`effects \[2\]`
	if err := Once(ctx, call, fn); err != nil {
		return err
	}
	return Once(ctx, call, fn)
}

func Sum(m map[string]int) (sum int) {
	for _, n := range m { //flowlint:ignore a sum has no order
		sum += n
	}
	return sum
}

// Greeter is fine itself: what it calls is said there.
type Greeter struct{ Call apps.Call }

func (g Greeter) Run(ctx context.Context) error { return Greet(ctx, g.Call) }

var Level int // want Level:`a package-level variable`

func SetLevel(n int) { Level = n } // want SetLevel:`a package-level variable`
