package session

import (
	"context"
	"time"

	"asterism/apps"
)

// tellsAfter is how long a result of Do may wait for a command that carries it
// into the log. A longer Pause sends one of its own, so that what was done
// outside is not done again.
const tellsAfter = time.Second

// Pause implements [apps.Call].
func (s *session) Pause(ctx context.Context, d time.Duration, stopOn apps.Keys) (string, error) {
	var h hasher
	h.number(int64(d))
	h.text(string(stopOn))
	return runVerb(ctx, s, &verb[string]{name: "pause", hash: h.String(), codec: textCodec}, func(ctx context.Context, v *verbRun) (string, error) {
		s.link.Accept() // a caller who is only waited with must know that someone is there
		return v.pause(ctx, d, stopOn)
	})
}

func (v *verbRun) pause(ctx context.Context, d time.Duration, stopOn apps.Keys) (string, error) {
	s := v.s
	timer := time.NewTimer(d)
	defer timer.Stop()
	if d >= time.Millisecond {
		s.done++
	}
	for told := false; ; {
		if key := s.takeKey(stopOn); key != "" {
			return key, nil
		}
		if s.takeLost() {
			if err := v.lookForChannel(ctx, "lost"); err != nil {
				return "", err
			}
		}
		if !told && d > tellsAfter && s.stage.owes {
			if _, err := v.do(ctx, ""); err != nil && (s.isMoved() || s.ended(ctx) != nil) {
				return "", err
			} // a node that does not answer hinders nobody in waiting
		}
		told = true
		select {
		case <-s.wake:
		case <-timer.C:
			return "", s.ended(ctx)
		case <-ctx.Done():
			return "", s.ended(ctx)
		case <-s.ctx.Done():
			return "", s.ended(ctx)
		}
	}
}
