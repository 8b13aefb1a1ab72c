package apps

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"time"
)

// MaxResult is the greatest size of what a [Call.Do] gives back, in bytes of
// JSON. What is larger belongs into storage, and a reference to it here.
const MaxResult = 1 << 10

// Do is [Call.Do] for a result of any type that JSON can hold.
func Do[T any](ctx context.Context, call Call, name string, fn func(ctx context.Context, key string) (T, error)) (T, error) {
	var result T
	raw, err := call.Do(ctx, name, func(ctx context.Context, key string) ([]byte, error) {
		r, err := fn(ctx, key)
		if err != nil {
			return nil, err
		}
		raw, err := json.Marshal(r)
		if err != nil {
			return nil, fmt.Errorf("result of %s: %w", name, err)
		}
		return raw, nil
	})
	if err != nil {
		return result, err
	}
	if err := json.Unmarshal(raw, &result); err != nil {
		return result, fmt.Errorf("result of %s: %w", name, err)
	}
	return result, nil
}

// CheckResult refuses a result of [Call.Do] that no log can hold: one that is
// too large or not JSON. It returns the result as a log keeps it, without the
// white space between its parts.
func CheckResult(name string, result []byte) ([]byte, error) {
	if len(result) > MaxResult {
		return nil, fmt.Errorf("the result of %s is %d bytes, more than the %d allowed: return a reference to it", name, len(result), MaxResult)
	}
	if len(result) == 0 {
		return nil, nil
	}
	var b bytes.Buffer
	if err := json.Compact(&b, result); err != nil {
		return nil, fmt.Errorf("the result of %s is not JSON", name)
	}
	return b.Bytes(), nil
}

// FarewellTime is how long a flow has for its [Farewell].
const FarewellTime = 15 * time.Second

// Farewell returns a context for a last announcement after a verb has
// returned [ErrDraining]: a verb that is called with it still works, for
// [FarewellTime] at most and unless the caller hangs up.
//
//	if errors.Is(err, apps.ErrDraining) {
//		ctx, cancel := apps.Farewell(ctx)
//		defer cancel()
//		_, err := call.Play(ctx, apps.PlayRule{Sounds: []string{"goodbye"}})
//		return err
//	}
//
//flowlint:ignore a farewell that is replayed may last its time again
func Farewell(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), FarewellTime)
}
