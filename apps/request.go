package apps

import "time"

// Request is what the edge asks for: the action and its parameters, checked
// and typed. Package sip fills it in from the X-Asterisk-* headers by its
// header table, which also holds the limits of each value.
type Request struct {
	Action string // "Playback", …
	Caller Party
	// Called is the user part of the request URI.
	Called string
	// Diversion is who the call was meant for before it was forwarded here
	// (Diversion, RFC 5806, or History-Info, RFC 7044); "" when it was not.
	Diversion string
	// Language is a BCP 47 tag; "" is the default of the platform.
	Language string
	// Vars are the free variables of X-Asterisk-Vars.
	Vars map[string]string

	// Playback.

	Sounds     []string      // what to play, in order
	Loop       int           // how often; 0 is until the caller hangs up
	Pause      time.Duration // between two rounds
	EarlyMedia bool          // do not answer
	StopOn     Keys          // keys that end the playback
	Controls   Controls      // keys that move inside it
}

// Party is one side of a call.
type Party struct {
	Name    string
	Number  string
	Private bool // asked for privacy (RFC 3323); never said or shown
}
