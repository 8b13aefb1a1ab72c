package session

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"

	"asterism/apps"
)

// doWithin is how long what a flow does by Do may take.
const doWithin = time.Minute

var (
	timeCodec = &codec[time.Time]{
		put: func(b []byte, t time.Time) []byte {
			if t.IsZero() {
				return b
			}
			return strconv.AppendInt(b, t.UnixMilli(), 10)
		},
		get: func(raw json.RawMessage) (time.Time, error) {
			ms, err := decode[int64](raw)
			return time.UnixMilli(ms).UTC(), err
		},
		round: func(t time.Time) time.Time {
			if t.IsZero() {
				return t
			}
			return time.UnixMilli(t.UnixMilli()).UTC() // a replay gets no monotonic reading
		},
	}
	numberCodec = &codec[int]{
		put: func(b []byte, n int) []byte { return strconv.AppendInt(b, int64(n), 10) },
		get: decode[int], round: same[int],
	}
	rawCodec = &codec[[]byte]{
		put: func(b, raw []byte) []byte { return append(b, raw...) },
		get: func(raw json.RawMessage) ([]byte, error) { return bytes.Clone(raw), nil },
		round: func(raw []byte) []byte {
			if len(raw) == 0 {
				return nil
			}
			return raw
		},
	}
)

// Now implements [apps.Call].
func (s *session) Now(ctx context.Context) (time.Time, error) {
	return runVerb(ctx, s, &verb[time.Time]{name: "now", offline: true, codec: timeCodec}, func(context.Context, *verbRun) (time.Time, error) {
		return time.Now(), nil
	})
}

// Random implements [apps.Call].
func (s *session) Random(ctx context.Context, n int) (int, error) {
	var h hasher
	h.number(int64(n))
	return runVerb(ctx, s, &verb[int]{name: "random", hash: h.String(), offline: true, codec: numberCodec}, func(context.Context, *verbRun) (int, error) {
		if n < 1 {
			return 0, fmt.Errorf("a random number below %d was asked for: there is none", n)
		}
		return rand.IntN(n), nil
	})
}

// NewID implements [apps.Call].
func (s *session) NewID(ctx context.Context) (string, error) {
	return runVerb(ctx, s, &verb[string]{name: "id", offline: true, codec: textCodec}, func(context.Context, *verbRun) (string, error) {
		return newULID(time.Now()), nil
	})
}

// Do implements [apps.Call].
func (s *session) Do(ctx context.Context, name string, fn func(ctx context.Context, key string) ([]byte, error)) ([]byte, error) {
	var h hasher
	h.text(name)
	key := s.effectKey(name, h)
	w := &verb[[]byte]{name: "do", about: name, hash: h.String(), offline: true, codec: rawCodec}
	return runVerb(ctx, s, w, func(ctx context.Context, v *verbRun) ([]byte, error) {
		ctx, cancel := s.outlive(ctx)
		defer cancel()
		// All results so far are in the log, and the call is this worker's,
		// before something happens outside.
		if _, err := v.do(ctx, ""); err != nil {
			return nil, err
		}
		raw, err := fn(ctx, key)
		if ended := v.ended(ctx); err != nil && ended != nil {
			return nil, ended
		}
		if s.isMoved() {
			return nil, apps.ErrMoved // whoever has the call now does it again, with the same key
		}
		if err != nil {
			return nil, err
		}
		return apps.CheckResult(name, raw)
	})
}

// effectKey returns the key of the next Do of that name. It is the same when
// the stage begins again, of which the ids of commands are not: what was done
// before is not done once more under another key.
func (s *session) effectKey(name string, hash hasher) string {
	st := &s.stage
	if st.effects == nil {
		st.effects = make(map[string]int)
	}
	st.effects[name]++
	n := st.effects[name]
	if !plainName(name) {
		name = "h-" + hash.String()
	}
	return s.id + "~" + strconv.Itoa(st.n-st.restarts) + "." + name + "." + strconv.Itoa(n)
}

// plainName reports whether a name is short and fit for names of files.
func plainName(name string) bool {
	for i := range len(name) {
		if c := name[i]; (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && c != '-' && c != '_' {
			return false
		}
	}
	return name != "" && len(name) <= 48 && !strings.HasPrefix(name, "h-")
}

// outlive returns a context that does not end with the call, but with
// whatever else ends ctx, and when the call has moved.
func (s *session) outlive(ctx context.Context) (context.Context, context.CancelFunc) {
	out, end := context.WithCancelCause(context.WithoutCancel(ctx))
	out, stop := context.WithTimeout(out, doWithin)
	limit := context.AfterFunc(ctx, func() {
		if cause := translate(context.Cause(ctx)); !callEnded(cause) {
			end(cause)
		}
	})
	moved := context.AfterFunc(s.owned, func() { end(apps.ErrMoved) })
	return out, func() {
		limit()
		moved()
		stop()
		end(nil)
	}
}
