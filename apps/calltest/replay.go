package calltest

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"runtime"
	"time"

	"asterism/apps"
)

// maxStages stops a flow that continues without ever calling a verb.
const maxStages = 100

// stageRun is a stage that can be run, any number of times.
type stageRun func(ctx context.Context, env apps.Env, call apps.Call) error

// runFlow runs the flow through all of its stages.
func (c *Caller) runFlow(flow apps.Flow, req apps.Request) (result Result) {
	env := apps.Env{Log: func(message string, fields ...any) {
		result.Notes = append(result.Notes, note(message, fields))
	}}
	name := "the flow"
	run := func(ctx context.Context, env apps.Env, call apps.Call) error { return flow(ctx, env, call, req) }
	for idle := 0; ; {
		c.verbsOf = memory{}
		result.Err = run(c.Context(), env, c)
		if len(c.Problems()) == 0 {
			c.runAgain(name, run, result.Err)
		}
		next, ok := errors.AsType[*apps.Next](result.Err)
		if !ok {
			break
		}
		if idle++; len(c.verbsOf.verbs) > 0 {
			idle = 0
		}
		stage, raw, err := c.next(req, next)
		if err == nil && idle > maxStages {
			err = fmt.Errorf("the flow has gone through %d stages without a verb: it seems to go round in circles", maxStages)
		}
		if err != nil {
			c.problem(err.Error())
			break
		}
		result.Stages = append(result.Stages, stage.Name)
		name = "stage " + stage.Name
		run = func(ctx context.Context, env apps.Env, call apps.Call) error {
			return stage.Run(ctx, env, call, req, raw)
		}
	}
	for _, problem := range c.unused() {
		c.problem(problem)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	result.Plays = c.plays
	c.log.add(ending(result.Err))
	return result
}

// next finds the stage that a flow continues with, and makes JSON of its
// state.
func (c *Caller) next(req apps.Request, next *apps.Next) (stage apps.Stage, state []byte, err error) {
	action := apps.Action{Name: req.Action, Stages: c.stages}
	if len(c.stages) == 0 {
		if action, _ = apps.Lookup(req.Action); action.Name == "" {
			return stage, nil, fmt.Errorf("the flow continues with stage %s, and the request names no action: set Request.Action, or tell the script its Stages", next.Stage)
		}
	}
	if err := action.Check(); err != nil && len(c.stages) == 0 {
		return stage, nil, err
	}
	stage, ok := action.Stage(next.Stage)
	if !ok {
		return stage, nil, fmt.Errorf("the flow continues with stage %s, which the action %s does not have", next.Stage, action.Name)
	}
	state, err = stage.Encode(next.State)
	return stage, state, err
}

func (c *Caller) problem(text string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.problems = append(c.problems, text)
}

// memory holds the verbs of a stage. It is an [apps.Call] that answers from
// it, as a replay does.
type memory struct {
	verbs   []remembered
	asked   int    // verbs of the second run
	differs string // how that differs, "" while it does not
	late    int
}

type remembered struct {
	about  string // the verb with its arguments
	result any
	failed *apps.Failure
}

var _ apps.Call = (*memory)(nil)

// remember writes a verb down with its result. The error becomes what a log
// keeps of it, as it does in production.
func remember[R any](c *Caller, about string, r R, err error) (R, error) {
	if errors.Is(err, errMisuse) {
		return r, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	failed := apps.FailureOf(err)
	c.verbsOf.verbs = append(c.verbsOf.verbs, remembered{about, r, failed})
	return r, failed.Err()
}

// runAgain runs a stage once more, with its verbs answered from memory: it
// must call the same ones and end in the same way.
func (c *Caller) runAgain(name string, run stageRun, ended error) {
	m := &c.verbsOf
	defer func() { // also when the flow had to be stopped
		if m.differs != "" {
			c.problem(fmt.Sprintf("run again with the same results, %s went another way: %s; "+
				"what a flow does must depend on nothing but its request, its state and the results of its verbs", name, m.differs))
		}
	}()
	again := run(c.Context(), apps.Env{}, m)
	switch {
	case m.differs == "" && m.asked < len(m.verbs):
		m.differs = fmt.Sprintf("verb %d was %s, and there was none", m.asked+1, m.verbs[m.asked].about)
	case m.differs == "" && !sameEnd(ended, again):
		m.differs = fmt.Sprintf("it ended with %q, and then with %q", fmt.Sprint(ended), fmt.Sprint(again))
	}
}

// sameEnd compares how two runs of a stage ended.
func sameEnd(a, b error) bool {
	x, ok1 := errors.AsType[*apps.Next](a)
	y, ok2 := errors.AsType[*apps.Next](b)
	if ok1 && ok2 {
		return x.Stage == y.Stage && reflect.DeepEqual(x.State, y.State)
	}
	return ok1 == ok2 && (a == nil) == (b == nil) && (a == nil || a.Error() == b.Error())
}

// recall answers a verb of the second run.
func recall[R any](m *memory, about string) (r R, err error) {
	if m.differs != "" {
		if m.late++; m.late > maxVerbsAfterEnd {
			runtime.Goexit() // it would never return
		}
		return r, errDiffers
	}
	m.asked++
	if m.asked > len(m.verbs) {
		m.differs = fmt.Sprintf("after %d verbs it ended, and then verb %d was %s", len(m.verbs), m.asked, about)
		return r, errDiffers
	}
	v := m.verbs[m.asked-1]
	if v.about != about {
		m.differs = fmt.Sprintf("verb %d was %s, and then %s", m.asked, v.about, about)
		return r, errDiffers
	}
	r, _ = v.result.(R)
	return r, v.failed.Err()
}

// Answer implements [apps.Call], as do the others.
func (m *memory) Answer(context.Context) error {
	_, err := recall[struct{}](m, "Answer()")
	return err
}

func (m *memory) Play(_ context.Context, rule apps.PlayRule) (apps.Played, error) {
	return recall[apps.Played](m, aboutPlay(rule))
}

func (m *memory) Pause(_ context.Context, d time.Duration, stopOn apps.Keys) (string, error) {
	return recall[string](m, aboutPause(d, stopOn))
}

func (m *memory) Now(context.Context) (time.Time, error) { return recall[time.Time](m, "Now()") }

func (m *memory) Random(_ context.Context, n int) (int, error) {
	return recall[int](m, fmt.Sprintf("Random(%d)", n))
}

func (m *memory) NewID(context.Context) (string, error) { return recall[string](m, "NewID()") }

func (m *memory) Do(_ context.Context, name string, _ func(context.Context, string) ([]byte, error)) ([]byte, error) {
	return recall[[]byte](m, aboutDo(name))
}
