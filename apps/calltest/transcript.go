package calltest

import (
	"fmt"
	"strings"
	"time"
)

// nothing is what a caller hears in a pause and in "silence:…".
const nothing = "nothing"

// transcript is what happened in a call as the caller noticed it, in order.
type transcript struct {
	start   time.Time
	entries []entry
	hearing string // the sound of the last entry goes on
}

// entry is one line: an event, or a sound and how long it was heard.
type entry struct {
	at    time.Duration
	what  string
	sound bool
	until time.Duration // of a sound
}

func (e entry) String() string {
	if e.sound {
		return fmt.Sprintf("%-7v hears %s for %v", e.at, e.what, e.until-e.at)
	}
	return fmt.Sprintf("%-7v %s", e.at, e.what)
}

func (t *transcript) now() time.Duration { return time.Since(t.start) }

// add notes an event that the caller notices.
func (t *transcript) add(what string) {
	t.entries = append(t.entries, entry{at: t.now(), what: what})
}

// act notes what the caller does. What he hears goes on in a new line, so
// that the transcript can be told as a script tells it.
func (t *transcript) act(what string) {
	hearing := t.hearing
	t.hear("")
	t.add(what)
	t.hear(hearing)
}

// hear notes that from now on sound is heard.
func (t *transcript) hear(sound string) {
	if t.hearing != "" {
		t.entries[len(t.entries)-1].until = t.now()
	}
	if t.hearing = sound; sound != "" {
		t.entries = append(t.entries, entry{at: t.now(), what: sound, sound: true, until: Forever})
	}
}

// lines returns the transcript without sounds of which nothing was heard.
func (t *transcript) lines() []string {
	var lines []string
	for _, e := range t.entries {
		if !e.sound || e.until > e.at {
			lines = append(lines, e.String())
		}
	}
	return lines
}

// compare returns "" when the call went as the script says, otherwise both,
// line by line, with a mark from the first difference on.
func compare(script, call []string) string {
	width, differ := len("script"), false
	for _, line := range script {
		width = max(width, len(line))
	}
	line := func(lines []string, i int) string {
		if i < len(lines) {
			return lines[i]
		}
		return "-"
	}
	var b strings.Builder
	fmt.Fprintf(&b, "  %-*s │ %s\n", width, "script", "call")
	for i := range max(len(script), len(call)) {
		want, got := line(script, i), line(call, i)
		mark := " "
		if differ = differ || want != got; differ {
			mark = "✗"
		}
		fmt.Fprintf(&b, "%s %-*s │ %s\n", mark, width, want, got)
	}
	if !differ {
		return ""
	}
	return b.String()
}
