package session

import (
	"encoding/json"
	"strconv"
	"time"

	"asterism/apps"
)

// playedRecord is an [apps.Played] in the journal.
type playedRecord struct {
	Heard  int64        `json:"h"` // milliseconds
	Ended  apps.PlayEnd `json:"e"`
	Digit  string       `json:"g"`
	Sound  int          `json:"s"`
	Offset int64        `json:"o"` // milliseconds
}

var playedCodec = &codec[apps.Played]{
	put: func(b []byte, p apps.Played) []byte {
		b = appendQuoted(append(b, `{"e":`...), string(p.Ended))
		for _, f := range [...]struct {
			key   string
			value int64
		}{{`,"h":`, p.Heard.Milliseconds()}, {`,"s":`, int64(p.Sound)}, {`,"o":`, p.Offset.Milliseconds()}} {
			if f.value != 0 {
				b = strconv.AppendInt(append(b, f.key...), f.value, 10)
			}
		}
		if p.Digit != "" {
			b = appendQuoted(append(b, `,"g":`...), p.Digit)
		}
		return append(b, '}')
	},
	get: func(raw json.RawMessage) (apps.Played, error) {
		r, err := decode[playedRecord](raw)
		return apps.Played{
			Heard: time.Duration(r.Heard) * time.Millisecond, Ended: r.Ended, Digit: r.Digit,
			Sound: r.Sound, Offset: time.Duration(r.Offset) * time.Millisecond,
		}, err
	},
	round: func(p apps.Played) apps.Played {
		p.Heard, p.Offset = p.Heard.Truncate(time.Millisecond), p.Offset.Truncate(time.Millisecond)
		return p
	},
}

// hashRule makes a hash of all that a rule says.
func hashRule(r *apps.PlayRule) string {
	var h hasher
	h.number(int64(len(r.Sounds)))
	for _, sound := range r.Sounds {
		h.text(sound)
	}
	if r.Answer {
		h.number(1)
	}
	for _, keys := range [...]apps.Keys{r.StopOn, r.Controls.Pause, r.Controls.Restart, r.Controls.Forward, r.Controls.Back} {
		h.text(string(keys))
	}
	h.number(int64(r.Controls.SkipBy()))
	h.text(r.Language)
	return h.String()
}
