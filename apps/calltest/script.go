package calltest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"asterism/apps"
)

// Script is a call as the caller tells it, in order. The steps of the time
// line follow one another without a gap: only Hears and Silence take time.
type Script []Step

// Step is one line of a [Script].
type Step struct {
	set  func(*Caller) // before the call
	do   func(*Caller) // what the caller does at this moment
	line string        // the event that the transcript must show, without its time
	hear string        // the sound that the transcript must show
	long time.Duration // how long
}

// Has says that a sound exists and how long it is. "silence:…" needs none.
func Has(sound string, length time.Duration) Step {
	return Step{set: func(c *Caller) { c.Media(sound, length, "") }}
}

// Lacks says that a sound cannot be played, and why. A sound without Has and
// Lacks is not found.
func Lacks(sound string, problem apps.MediaProblem) Step {
	return Step{set: func(c *Caller) { c.Media(sound, 0, problem) }}
}

// Answers expects that the call is answered now.
func Answers() Step { return Step{line: "is answered"} }

// Hears expects that a sound begins now, or goes on after a caller's step,
// and that it is heard for d until it ends or the next step comes.
func Hears(sound string, d time.Duration) Step { return Step{hear: sound, long: d} }

// Silence expects that nothing is heard for d: a Pause, or "silence:…".
func Silence(d time.Duration) Step { return Step{hear: nothing, long: d} }

// Presses lets the caller press a key now. Steps of the caller at the very
// beginning of a script come before the flow's first verb.
func Presses(key string) Step {
	return Step{line: "presses " + key, do: func(c *Caller) { c.Press(key) }}
}

// HangsUp lets the caller hang up now.
func HangsUp() Step { return Step{line: "hangs up", do: (*Caller).Hangup} }

// Drains lets the node run out of its draining time now.
func Drains() Step { return Step{line: drains, do: (*Caller).Drain} }

// Loses makes a sound disappear now, though it was there when the call began.
func Loses(sound string) Step {
	line := "cannot hear " + sound + " any more"
	return Step{line: line, do: func(c *Caller) {
		c.Media(sound, 0, apps.MediaNotFound)
		c.act(line)
	}}
}

// Stages are the stages that the flow can continue with. Without it they are
// those of the action that the request names.
func Stages(stages ...apps.Stage) Step {
	return Step{set: func(c *Caller) { c.stages = append(c.stages, stages...) }}
}

// Does expects that the flow does something of that name with Do now.
func Does(name string) Step { return Step{line: "has " + name + " done"} }

// Gives makes a Do of that name give back value, as JSON, instead of running
// its function. Several are for several times, in order; an unused one fails
// the test.
func Gives(name string, value any) Step {
	return Step{set: func(c *Caller) { c.answers[name] = append(c.answers[name], answer{value: value}) }}
}

// Breaks makes a Do of that name fail with err; else it is as Gives.
func Breaks(name string, err error) Step {
	return Step{set: func(c *Caller) { c.answers[name] = append(c.answers[name], answer{err: err}) }}
}

// Draws makes Random give back these numbers first.
func Draws(numbers ...int) Step {
	return Step{set: func(c *Caller) { c.draws = append(c.draws, numbers...) }}
}

// Ends expects that the flow returns nil now.
func Ends() Step { return Step{line: ending(nil)} }

// EndsBy expects that the flow returns err, or an error that wraps it, now.
// err is [apps.ErrHangup], [apps.ErrDraining] or [apps.ErrMoved].
func EndsBy(err error) Step { return Step{line: ending(err)} }

// Refuses expects that the flow returns an error with the verdict of this SIP
// status now, whether or not the call was answered.
func Refuses(status int) Step { return Step{line: fmt.Sprintf("is refused with SIP %d", status)} }

func ending(err error) string {
	if err == nil {
		return "is over"
	}
	for _, cause := range []error{apps.ErrHangup, apps.ErrDraining, apps.ErrMoved} {
		if errors.Is(err, cause) {
			return "is over because " + cause.Error()
		}
	}
	return fmt.Sprintf("is refused with SIP %d", apps.VerdictOf(err).Status)
}

// Note is one line that the flow wrote to the call's log.
type Note struct {
	Message string
	Fields  map[string]any
}

// Result is how a call went.
type Result struct {
	// Transcript has a line for each event and each sound heard.
	Transcript []string
	// Notes are what the flow noted by its Env.
	Notes []Note
	// Plays are what the flow wanted played, in order.
	Plays []apps.PlayRule
	// Stages are the stages that it continued with.
	Stages []string
	// Err is what the flow returned.
	Err error
}

// Run runs the flow with a caller who keeps to the script, in virtual time,
// and fails the test where the call went differently. It goes through the
// stages that the flow continues with, and runs each of them once more from
// its recorded verbs, as a worker does that takes the call over: a flow that
// then calls other verbs fails, too.
func Run(t *testing.T, flow apps.Flow, req apps.Request, script Script) Result {
	t.Helper()
	var result Result
	var problems []string
	synctest.Test(t, func(t *testing.T) {
		t.Helper()
		result, problems = run(t.Context(), flow, req, script)
	})
	for _, problem := range problems {
		t.Error(problem)
	}
	return result
}

// Listen runs a flow that ends by itself with a caller who only listens, and
// tells how it went without comparing it to anything. Only Has and Lacks make
// sense as steps.
func Listen(t *testing.T, flow apps.Flow, req apps.Request, steps ...Step) Result {
	t.Helper()
	var result Result
	synctest.Test(t, func(t *testing.T) {
		t.Helper()
		caller := NewCaller(t.Context())
		for _, step := range steps {
			step.set(caller)
		}
		result = caller.runFlow(flow, req)
		result.Transcript = caller.log.lines()
		for _, problem := range caller.Problems() {
			t.Error(problem)
		}
	})
	return result
}

// run is Run inside its bubble; it returns what would fail the test.
func run(ctx context.Context, flow apps.Flow, req apps.Request, script Script) (Result, []string) {
	caller := NewCaller(ctx)
	defer caller.cancel(apps.ErrHangup)
	for _, step := range script {
		if step.set != nil {
			step.set(caller)
		}
	}
	steps, want := timeline(script)
	first := 0
	for ; first < len(steps) && steps[first].do != nil; first++ {
		steps[first].do(caller)
	}

	var result Result
	done := make(chan struct{})
	go func() { //nolint:contextcheck // a flow gets the context of its call, which is made from ctx
		defer close(done)
		result = caller.runFlow(flow, req)
	}()
	for _, step := range steps[first:] {
		time.Sleep(step.long)
		synctest.Wait()
		if step.do != nil {
			step.do(caller)
			synctest.Wait()
		}
	}
	select {
	case <-done:
	default:
		time.Sleep(time.Second) // to show what it does instead
		synctest.Wait()
		caller.end("hangs up: the script is over, and the flow is not", apps.ErrHangup)
		<-done
	}
	result.Transcript = caller.log.lines()
	problems := caller.Problems()
	if diff := compare(want, result.Transcript); diff != "" {
		problems = append(problems, fmt.Sprintf("the call went differently from its script (flow's result: %v)\n%s", result.Err, diff))
	}
	return result, problems
}

// timeline returns the steps that have a place in time, and the transcript
// that they expect.
func timeline(script Script) (steps []Step, want []string) {
	var at time.Duration
	for _, step := range script {
		switch {
		case step.set != nil:
			continue
		case step.hear != "":
			want = append(want, entry{at: at, what: step.hear, sound: true, until: at + step.long}.String())
			at += step.long
		default:
			want = append(want, entry{at: at, what: step.line}.String())
		}
		steps = append(steps, step)
	}
	return steps, want
}

func note(message string, fields []any) Note {
	n := Note{Message: message, Fields: make(map[string]any)}
	for i := 0; i+1 < len(fields); i += 2 {
		n.Fields[strings.TrimSpace(fmt.Sprint(fields[i]))] = fields[i+1]
	}
	return n
}
