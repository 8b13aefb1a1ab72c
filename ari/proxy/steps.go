package proxy

import "encoding/json"

// The gateway steps: what a session needs of its node that is not ARI.
const (
	// StepResolve finds out whether sounds can be played, and fetches them
	// into the node's cache. Arguments: [MediaArgs]; answer: [MediaAnswer].
	StepResolve = "resolve"
	// StepPlay resolves sounds and plays them on the session's channel, as one
	// playback without gaps. Arguments: [MediaArgs]; answer: [MediaAnswer].
	StepPlay = "play"
	// StepRefuse ends a call that is not answered with an exact SIP status.
	// Arguments: [RefuseArgs].
	StepRefuse = "refuse"
)

// MediaArgs say what to resolve or play.
type MediaArgs struct {
	// ID of the playback, "<session>~…"; StepPlay only.
	ID     string   `json:"id,omitempty"`
	Sounds []string `json:"sounds"`
	// Language is a BCP 47 tag, "" for the platform's default.
	Language string `json:"lang,omitempty"`
	// SkipMs is how far forward and reverse move; 0 means 3000.
	SkipMs int `json:"skipms,omitempty"`
}

// MediaAnswer tells how long each sound is. Its status is 200; problems have
// another one and a [MediaTrouble].
type MediaAnswer struct {
	// Ms has the length of each sound in milliseconds; -1 where it is not
	// known (Asterisk's own sounds, numbers, tones).
	Ms []int64 `json:"ms"`
}

// MediaTrouble says which sound cannot be played. The status that goes with
// it is 404, 400, 422 or 503, in the order of the problems below.
type MediaTrouble struct {
	Sound   string `json:"sound"`
	Problem string `json:"problem"`
	Message string `json:"message"`
}

// The problems of a [MediaTrouble].
const (
	ProblemNotFound    = "not found"   // 404
	ProblemInvalid     = "invalid"     // 400
	ProblemBroken      = "broken"      // 422
	ProblemUnavailable = "unavailable" // 503: storage does not answer
)

// RefuseArgs say how to refuse a call.
type RefuseArgs struct {
	Status int    `json:"status"` // SIP, 400 to 699
	Reason string `json:"reason"`
}

// Resolve returns a [StepResolve].
func Resolve(args MediaArgs) Step { return namedStep(StepResolve, args) }

// Play returns a [StepPlay].
func Play(args MediaArgs) Step { return namedStep(StepPlay, args) }

// RefuseCall returns a [StepRefuse].
func RefuseCall(args RefuseArgs) Step { return namedStep(StepRefuse, args) }

// namedStep returns a gateway step. The arguments are plain structs, whose
// encoding cannot fail.
func namedStep(name string, args any) Step {
	body, err := json.Marshal(args)
	if err != nil {
		body = []byte("null")
	}
	return Step{Name: name, Body: body}
}
