package sip

import (
	"strings"
	"time"

	"asterism/apps"
)

// Limits of the parameters.
const (
	// MaxValue is the greatest length of one value in bytes of UTF-8.
	MaxValue = 1024
	// MaxParams is the greatest length of all parameters together, in bytes
	// of "Name=value" with the values URI-encoded. The signature does not
	// count.
	MaxParams = 2048
	// Prefix begins the name of each header of this contract.
	Prefix = "X-Asterisk-"
)

// Header is one row of the header table.
type Header struct {
	// Name is the header without [Prefix].
	Name string
	// Expect completes the sentence "expected …".
	Expect string
	// About tells what it does, in one or two sentences of Markdown.
	About string
	// Example is a valid value.
	Example string
	// Default is what holds without the header, in words; "" if nothing does.
	Default string
	// Always says that the header is taken with each action. Other headers
	// are taken by the actions that name them.
	Always bool

	// set parses a value, which is not empty, into the request. It is nil for
	// headers that no request holds.
	set func(*apps.Request, string) error
}

// FullName is the name as it stands in a SIP message.
func (h Header) FullName() string { return Prefix + h.Name }

// Headers is the header table. The dialplan passes exactly these; a header
// without a parser is passed for an action that does not exist yet.
var Headers = []Header{
	{
		Name: "Action", Always: true, Expect: "the name of an action", Example: "Playback",
		About: "What the call is for: the name of an action, spelled as on this page.",
	},
	{
		Name: "Signature", Always: true, Expect: "t=<unix seconds>;k=<key id>;h=<64 hex digits>",
		Example: "t=1767225600;k=2026a;h=9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
		About:   "Proves who wrote the headers, see [Signature](#signature).",
	},
	{
		Name: "Pinned", Always: true, Expect: "yes or no", Example: "yes", Default: "no",
		About: "The call must be on this node, because its conference room is: it is taken even while the node drains. Read by the dialplan.",
	},
	{
		Name: "Vars", Always: true, Expect: "form-encoded variables, such as tenant=acme&tier=2, each name of letters, digits, _ - .",
		Example: "tenant=acme&tier=2", About: "Free variables, form-encoded. Flows may use them; they stand in the call's record.",
		set: field(variables, func(r *apps.Request) *map[string]string { return &r.Vars }),
	},
	{
		Name: "Language", Expect: "a language tag (BCP 47), such as it or it-IT", Example: "it-IT", Default: "the platform's language",
		About: "The caller's language. Each sound is looked up in `it-IT`, then `it`, then the default.",
		set:   field(language, func(r *apps.Request) *string { return &r.Language }),
	},

	{
		Name: "Sound", Expect: "names of sounds, joined by &", Example: "media:greetings/welcome&digits:42",
		About: "What to play: one or several names of [sounds](#sounds), joined by `&` and played without a gap, at most 64.",
		set:   field(sounds, func(r *apps.Request) *[]string { return &r.Sounds }),
	},
	{
		Name: "Loop", Expect: `a whole number from 1 to 1000, or 0 or "forever"`, Example: "3", Default: "1",
		About: "How often to play it all. `0` or `forever` is until the caller hangs up.",
		set:   field(loops, func(r *apps.Request) *int { return &r.Loop }),
	},
	{
		Name: "Pause", Expect: "seconds from 0 to 60, such as 1.5, or milliseconds such as 1500ms", Example: "1.5", Default: "0",
		About: "How long to be silent between two rounds of a loop.",
		set:   field(duration(0, time.Minute), func(r *apps.Request) *time.Duration { return &r.Pause }),
	},
	{
		Name: "Early-Media", Expect: "yes or no", Example: "yes", Default: "no",
		About: "Play without answering (SIP 183). The call ends with SIP 480 when all was heard.",
		set:   field(boolean, func(r *apps.Request) *bool { return &r.EarlyMedia }),
	},
	{
		Name: "Digits-Stop", Expect: `keys out of 0-9 * # A-D, or "any"`, Example: "#*", Default: "none",
		About: "The keys that end the playback, also when typed before it. `any` is every key that is not in Controls.",
		set:   field(stopKeys, func(r *apps.Request) *apps.Keys { return &r.StopOn }),
	},
	{
		Name: "Controls", Expect: "pause=, restart=, forward=, back= with keys out of 0-9 * # A-D, and skip= with 100 to 600000 ms, joined by commas",
		Example: "pause=5,restart=0,forward=6,back=4,skip=3000", Default: "none; skip is 3000",
		About: "Keys that move inside the playback: `pause` pauses and goes on, `restart` starts the sound again, `forward` and `back` move by `skip` milliseconds.",
		set:   field(controls, func(r *apps.Request) *apps.Controls { return &r.Controls }),
	},

	{Name: "Mailbox"},
	{Name: "Greeting"},
	{Name: "Skip-Instructions"},
	{Name: "Max-Seconds"},
	{Name: "Skip-Pin"},
	{Name: "Menu"},
	{Name: "Room"},
	{Name: "Role"},
	{Name: "Pin"},
	{Name: "Muted"},
}

// index finds the rows of [Headers] by their name, and by it in lower case.
var index = func() map[string]int {
	m := make(map[string]int, 2*len(Headers))
	for i, h := range Headers {
		m[h.Name], m[strings.ToLower(h.Name)] = i, i
	}
	return m
}()

// lookUp returns the row of a header's name without [Prefix]. As in SIP,
// upper and lower case are the same.
func lookUp(name string) (*Header, bool) {
	i, ok := index[name]
	if !ok {
		if i, ok = index[strings.ToLower(name)]; !ok {
			return nil, false
		}
	}
	return &Headers[i], true
}

// field puts what parse makes of a value where at says.
func field[T any](parse func(string) (T, error), at func(*apps.Request) *T) func(*apps.Request, string) error {
	return func(r *apps.Request, value string) error {
		v, err := parse(value)
		if err == nil {
			*at(r) = v
		}
		return err
	}
}
