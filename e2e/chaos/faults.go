package chaos

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"syscall"
	"time"

	"asterism/e2e/stack"
)

// fault is something that goes wrong.
type fault struct {
	name  string
	about string
	// limit is how soon keys must be obeyed again, after the fault began or,
	// with fromEnd, was over.
	limit   time.Duration
	fromEnd bool
	// forgets says that the gateway itself goes: of a playback that it had
	// begun and not yet written down it cannot know whether it was heard.
	forgets bool
	// refuses says that calls placed while it lasts may be refused with 503,
	// upon which the edge tries another node.
	refuses bool
	// fresh says that the round has calls that need storage.
	fresh bool
	// length is how long it lasts; brief is for the quick suite.
	length func(dice *rand.Rand, brief bool) time.Duration
	// strike makes it happen, and returns how it is undone.
	strike func(ctx context.Context, r *round) (undo func(context.Context) error, err error)
	// back is the process whose readiness ends the fault, if any.
	back string
}

// secondSignal is how long after the first SIGTERM the second one comes.
const secondSignal = 100 * time.Millisecond

func moment(*rand.Rand, bool) time.Duration { return 0 }

// briefly is how long a fault lasts in the quick suite.
const briefly = 5 * time.Second

// fixed is a length, and [briefly] for the quick suite.
func fixed(full time.Duration) func(*rand.Rand, bool) time.Duration {
	return func(_ *rand.Rand, brief bool) time.Duration {
		if brief {
			return briefly
		}
		return full
	}
}

// faults are all of them, in the order in which they are reported.
var faults = []*fault{
	{
		name: "kill-worker", about: "SIGKILL worker", limit: 5 * time.Second, length: moment,
		strike: func(_ context.Context, r *round) (func(context.Context) error, error) {
			return nil, r.signal(r.victim, syscall.SIGKILL)
		},
	},
	{
		name: "stop-worker", about: "SIGSTOP worker 10 s, SIGCONT", limit: 5 * time.Second,
		length: fixed(10 * time.Second),
		strike: func(_ context.Context, r *round) (func(context.Context) error, error) {
			undo := func(context.Context) error { return r.signal(r.victim, syscall.SIGCONT) }
			return undo, r.signal(r.victim, syscall.SIGSTOP)
		},
	},
	{
		name: "term-worker", about: "SIGTERM worker", limit: time.Second, length: moment,
		strike: func(_ context.Context, r *round) (func(context.Context) error, error) {
			return nil, r.signal(r.victim, syscall.SIGTERM)
		},
	},
	{
		name: "kill-gateway", about: "SIGKILL gateway", limit: 5 * time.Second, length: moment,
		forgets: true, refuses: true, back: "gateway-1",
		strike: func(_ context.Context, r *round) (func(context.Context) error, error) {
			return nil, r.signal("gateway-1", syscall.SIGKILL)
		},
	},
	{
		name: "upgrade-gateway", about: "gateway upgraded: SIGTERM twice and start", limit: 5 * time.Second, length: moment,
		forgets: true, refuses: true, back: "gateway-1",
		strike: func(ctx context.Context, r *round) (func(context.Context) error, error) {
			// The second one leaves the calls to who comes next.
			if err := r.stack.Process("gateway-1").Replace(syscall.SIGTERM); err != nil {
				return nil, err
			}
			sleep(ctx, secondSignal, nil)
			return nil, r.signal("gateway-1", syscall.SIGTERM)
		},
	},
	{
		name: "restart-nats", about: "NATS restarted", limit: 5 * time.Second, fromEnd: true, length: moment, refuses: true, back: "nats-1",
		strike: func(_ context.Context, r *round) (func(context.Context) error, error) {
			sig := []syscall.Signal{syscall.SIGTERM, syscall.SIGKILL}[r.plan.dice.IntN(2)]
			return nil, r.signal("nats-1", sig)
		},
	},
	{
		name: "cut-nats", about: "NATS↔gateway cut 30 s", limit: 5 * time.Second, fromEnd: true, refuses: true,
		length: fixed(30 * time.Second),
		strike: func(_ context.Context, r *round) (func(context.Context) error, error) {
			relay := r.stack.Relay(1, stack.ToNATS)
			if r.plan.dice.IntN(2) == 0 {
				relay.Cut()
			} else {
				relay.Reset()
			}
			return func(context.Context) error { relay.Heal(); return nil }, nil
		},
	},
	{
		name: "drop-ari", about: "ARI websocket dropped", limit: 5 * time.Second, fromEnd: true, refuses: true,
		length: func(dice *rand.Rand, _ bool) time.Duration {
			return []time.Duration{50 * time.Millisecond, between(dice, 100*time.Millisecond, 3*time.Second)}[dice.IntN(2)]
		},
		back: "gateway-1",
		strike: func(_ context.Context, r *round) (func(context.Context) error, error) {
			relay := r.stack.Relay(1, stack.ToARI)
			relay.Drop(stack.Websocket)
			return func(context.Context) error { relay.Heal(); return nil }, nil
		},
	},
	{
		name: "storage-down", about: "storage down 60 s", limit: time.Second, fresh: true,
		length: fixed(60 * time.Second),
		strike: func(_ context.Context, r *round) (func(context.Context) error, error) {
			r.storage.Stop()
			return func(ctx context.Context) error { return r.storage.Restart(ctx, "") }, nil
		},
	},
	{
		name: "storage-hangs", about: "storage swallows everything 60 s", limit: time.Second, fresh: true,
		length: fixed(60 * time.Second),
		strike: func(_ context.Context, r *round) (func(context.Context) error, error) {
			relay := r.stack.Relay(1, stack.ToStorage)
			relay.Cut()
			return func(context.Context) error { relay.Heal(); return nil }, nil
		},
	},
}

// FaultNames are the names of all faults.
func FaultNames() []string {
	names := make([]string, len(faults))
	for i, f := range faults {
		names[i] = f.name
	}
	return names
}

func faultNamed(name string) (*fault, error) {
	for _, f := range faults {
		if f.name == name {
			return f, nil
		}
	}
	return nil, fmt.Errorf("there is no fault %q; expected some of %s", name, strings.Join(FaultNames(), ","))
}
