package calltest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"time"

	"asterism/apps"
)

// Forever is the length of a sound that does not end by itself, such as a
// tone.
const Forever = time.Duration(1<<62 - 1)

// maxVerbs stops a flow that goes round in circles without time passing;
// maxVerbsAfterEnd one that does not notice that its call is over.
const (
	maxVerbs         = 100_000
	maxVerbsAfterEnd = 20
)

type medium struct {
	length  time.Duration
	problem apps.MediaProblem
}

// Caller is a call whose other end is the test: an [apps.Call] that plays
// sounds of declared lengths to nobody and notes down what was heard. It is
// its own [Bench]. Use it inside a synctest bubble.
type Caller struct {
	ctx    context.Context //nolint:containedctx // the context of the call is what a Caller makes
	cancel context.CancelCauseFunc
	flow   context.Context         //nolint:containedctx // the flow's, which a drain ends before the call
	drain  context.CancelCauseFunc // ends flow

	stages  []apps.Stage        // those of the script
	answers map[string][]answer // what Do gives back, by its name
	draws   []int               // what Random gives back
	random  *rand.Rand
	ids     uint64
	verbsOf memory // of the present stage

	mu       sync.Mutex
	media    map[string]medium
	typed    []string      // keys that no verb has used up yet
	pressed  chan struct{} // has a token when a key was added
	answered bool
	heard    []string
	plays    []apps.PlayRule
	log      transcript
	busy     string   // the verb that runs
	verbs    int      // how many were called
	late     int      // how many of them after the end of the call
	problems []string // misuse of the call by the flow
}

var (
	_ Bench     = (*Caller)(nil)
	_ apps.Call = (*Caller)(nil)
)

// NewCaller returns a caller whose call comes in now.
func NewCaller(ctx context.Context) *Caller {
	ctx, cancel := context.WithCancelCause(ctx)
	flow, drain := context.WithCancelCause(ctx)
	return &Caller{
		ctx: ctx, cancel: cancel, flow: flow, drain: drain,
		answers: make(map[string][]answer),
		random:  rand.New(rand.NewPCG(1, 2)),
		media:   make(map[string]medium),
		pressed: make(chan struct{}, 1),
		log:     transcript{start: time.Now()},
	}
}

// cause is why the call has ended.
func (c *Caller) cause() error { return context.Cause(c.ctx) }

// Call returns the caller's call.
func (c *Caller) Call() apps.Call { return c }

// Context returns the context that a flow is given.
func (c *Caller) Context() context.Context { return c.flow }

// Media makes a sound known; see [Bench].
func (c *Caller) Media(sound string, length time.Duration, problem apps.MediaProblem) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.media[sound] = medium{length, problem}
}

// Press presses a key, unless the call is over.
func (c *Caller) Press(key string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ctx.Err() != nil {
		return
	}
	c.log.act("presses " + key)
	c.typed = append(c.typed, key)
	select {
	case c.pressed <- struct{}{}:
	default: // a token that is already there announces this key too
	}
}

// Hangup ends the call from the caller's side.
func (c *Caller) Hangup() { c.end("hangs up", apps.ErrHangup) }

func (c *Caller) end(what string, cause error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ctx.Err() == nil {
		c.log.act(what)
		c.cancel(cause)
	}
}

// drains is what a script calls the end of the node's time.
const drains = "loses the draining node"

// Drain lets the node run out of its draining time.
func (c *Caller) Drain() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.flow.Err() == nil {
		c.log.act(drains)
		c.drain(apps.ErrDraining)
	}
}

// Heard lists the sounds that the caller has heard something of.
func (c *Caller) Heard() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]string(nil), c.heard...)
}

// Answered reports whether the call was answered.
func (c *Caller) Answered() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.answered
}

// Problems lists what the flow did that no flow may do.
func (c *Caller) Problems() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]string(nil), c.problems...)
}

func (c *Caller) doAnswer(ctx context.Context) error {
	leave, err := c.enter(ctx, "Answer")
	if err != nil {
		return err
	}
	defer leave()
	c.answer()
	return nil
}

func (c *Caller) answer() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.answered {
		c.answered = true
		c.log.add("is answered")
	}
}

func (c *Caller) pause(ctx context.Context, d time.Duration, stopOn apps.Keys) (string, error) {
	leave, err := c.enter(ctx, "Pause")
	if err != nil {
		return "", err
	}
	defer leave()
	if key := c.take(stopOn); key != "" {
		return key, nil
	}
	c.hear(nothing)
	defer c.hear("")
	timer := time.NewTimer(d)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return "", context.Cause(ctx)
		case <-c.ctx.Done(): // ctx need not be made from the call's
			return "", c.cause()
		case <-timer.C:
			return "", nil
		case <-c.pressed:
			if key := c.take(stopOn); key != "" {
				return key, nil
			}
		}
	}
}

// errMisuse is what a verb returns that must not have been called.
var errMisuse = errors.New("calltest: the flow misuses its call")

// count counts a verb. It refuses one beside another one, and ends a flow that
// goes round in circles. The lock is held.
func (c *Caller) count(verb string) error {
	c.verbs++
	switch {
	case c.busy != "":
		return c.misused("%s was called while %s was running: a call belongs to one goroutine", verb, c.busy)
	case c.verbs > maxVerbs:
		_ = c.misused("the flow has called %d verbs: it seems to go round in circles", maxVerbs)
		runtime.Goexit() // it would never return
	}
	return nil
}

// enter begins a verb. It refuses a verb beside another one, and one that
// comes after the end with the cause of it.
func (c *Caller) enter(ctx context.Context, verb string) (leave func(), err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.count(verb); err != nil {
		return nil, err
	}
	switch {
	case c.ctx.Err() != nil:
		if c.late++; c.late > maxVerbsAfterEnd {
			_ = c.misused("%s was called after the call had ended, and %d verbs before it: a flow must return the error of a verb",
				verb, maxVerbsAfterEnd)
			runtime.Goexit() // it would never return
		}
		return nil, c.cause()
	case ctx.Err() != nil:
		return nil, context.Cause(ctx)
	}
	c.busy = verb
	return c.leave, nil
}

func (c *Caller) leave() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.busy = ""
}

// enterOffline begins a verb that needs no caller.
func (c *Caller) enterOffline(ctx context.Context, verb string) (leave func(), err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.count(verb); err != nil {
		return nil, err
	}
	switch {
	case errors.Is(c.cause(), apps.ErrMoved):
		return nil, apps.ErrMoved
	case ctx.Err() != nil && !callEnded(context.Cause(ctx)):
		return nil, context.Cause(ctx)
	}
	c.busy = verb
	return c.leave, nil
}

// callEnded reports whether a context ended with its call, and not by a limit
// that the flow has set.
func callEnded(cause error) bool {
	return errors.Is(cause, apps.ErrHangup) || errors.Is(cause, apps.ErrDraining)
}

// misused notes a problem and returns it as an error. The lock is held.
func (c *Caller) misused(format string, args ...any) error {
	problem := fmt.Sprintf(format, args...)
	c.problems = append(c.problems, problem)
	return fmt.Errorf("%w: %s", errMisuse, problem)
}

// take uses up the first typed key that is in the set.
func (c *Caller) take(keys apps.Keys) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i, key := range c.typed {
		if keys.Has(key) {
			c.typed = append(c.typed[:i:i], c.typed[i+1:]...)
			return key
		}
	}
	return ""
}

// hear notes what the caller hears from now on; "" is the end of it.
func (c *Caller) hear(sound string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.log.hear(sound)
}

// lookUp returns what is known about a sound. Silence needs no declaration.
func (c *Caller) lookUp(sound string) medium {
	c.mu.Lock()
	defer c.mu.Unlock()
	if m, ok := c.media[sound]; ok {
		return m
	}
	if ms, ok := strings.CutPrefix(sound, "silence:"); ok {
		if n, err := strconv.Atoi(ms); err == nil && n >= 0 {
			return medium{length: time.Duration(n) * time.Millisecond}
		}
	}
	return medium{problem: apps.MediaNotFound}
}
