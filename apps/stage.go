package apps

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// MaxState is the greatest size of a stage's state in bytes of JSON.
const MaxState = 8 << 10

// Stage is a part of a flow that begins with a state of its own and knows
// nothing else of what came before. A flow goes from one to the next with
// [Continue]; a replay never reaches back further than the present one.
type Stage struct {
	// Name is unique in its action: 1 to 64 letters, digits, "-" or "_".
	Name string
	// Encode makes JSON of a state. It fails for a state of another type than
	// the stage's, and for one that is larger than [MaxState].
	Encode func(state any) ([]byte, error)
	// Run runs the stage with a state that Encode has made. It fails when the
	// state does not fit the stage's type: a field too many is an error.
	Run func(ctx context.Context, env Env, call Call, req Request, state []byte) error
}

// ErrState is wrapped by errors about a state that does not fit its stage.
var ErrState = errors.New("the state does not fit the stage")

// StageOf returns the stage of that name. Its state travels as JSON, so what
// of S is not exported, or is left out of the JSON, is lost.
func StageOf[S any](name string, f func(ctx context.Context, env Env, call Call, req Request, state S) error) Stage {
	return Stage{
		Name: name,
		Encode: func(state any) ([]byte, error) {
			s, ok := state.(S)
			if !ok {
				return nil, fmt.Errorf("stage %s was continued with a %T, expected %T: %w", name, state, s, ErrState)
			}
			raw, err := json.Marshal(s)
			if err != nil {
				return nil, fmt.Errorf("state of stage %s: %w", name, err)
			}
			if len(raw) > MaxState {
				return nil, fmt.Errorf("state of stage %s is %d bytes, more than the %d allowed: %w", name, len(raw), MaxState, ErrState)
			}
			return raw, nil
		},
		Run: func(ctx context.Context, env Env, call Call, req Request, raw []byte) error {
			var state S
			d := json.NewDecoder(bytes.NewReader(raw))
			d.DisallowUnknownFields()
			err := d.Decode(&state)
			if err == nil {
				if _, more := d.Token(); !errors.Is(more, io.EOF) {
					err = errors.New("there is more behind it")
				}
			}
			if err != nil {
				return fmt.Errorf("state %s of stage %s: %w: %w", raw, name, ErrState, err)
			}
			return f(ctx, env, call, req, state)
		},
	}
}

// Next is what [Continue] returns: the stage that follows.
type Next struct {
	Stage string
	State any
}

func (n *Next) Error() string { return "the call goes on with stage " + n.Stage }

// Continue ends the present stage of the flow; it is for return statements:
//
//	return apps.Continue("menu", menuState{Tries: 2})
//
// The stage of that name in [Action.Stages] runs next, with a copy of state
// that went through JSON. The log begins anew with it. Continue once for each
// menu, message or change that a caller can stay long in, so that the log
// stays small: one that has grown beyond its bounds ends the call.
func Continue[S any](stage string, state S) error {
	return &Next{Stage: stage, State: state}
}
