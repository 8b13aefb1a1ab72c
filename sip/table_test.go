package sip

import (
	"bytes"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"asterism/apps"
)

func TestHeaderTable(t *testing.T) {
	seen := make(map[string]bool)
	for _, h := range Headers {
		if seen[h.Name] || h.Name == "" || h.Name[0] < 'A' || h.Name[0] > 'Z' {
			t.Errorf("header %q is there twice, or does not begin with a capital", h.Name)
		}
		seen[h.Name] = true
		if h.set == nil && !h.Always {
			continue // for an action that does not exist yet
		}
		if h.Expect == "" || h.About == "" || h.Example == "" {
			t.Errorf("header %s lacks Expect, About or Example", h.Name)
		}
		if h.set == nil {
			continue
		}
		var r apps.Request
		if err := h.set(&r, h.Example); err != nil {
			t.Errorf("header %s does not take its own example %q: %v", h.Name, h.Example, err)
		}
		if err := h.set(&r, "\x01 no such value ="); err == nil {
			t.Errorf("header %s takes anything", h.Name)
		}
	}
}

// Whoever adds an action is told here what its headers lack.
func TestActionsUseTheTable(t *testing.T) {
	for _, action := range apps.Actions() {
		for _, name := range slices.Concat(action.Required, action.Optional) {
			switch h, ok := lookUp(name); {
			case !ok:
				t.Errorf("action %s names the header %s: add a row for it to Headers in sip/headers.go, and a line to asterisk-conf/extensions.conf", action.Name, name)
			case h.set == nil:
				t.Errorf("action %s names the header %s: give its row in sip/headers.go a parser, and apps.Request a field for it", action.Name, name)
			}
		}
	}
}

// The dialplan passes the headers one by one; what it does not name never
// arrives.
func TestDialplanPassesTheTable(t *testing.T) {
	const file = "../asterisk-conf/extensions.conf"
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	passed := make(map[string]bool)
	line := regexp.MustCompile(`([A-Za-z][A-Za-z0-9-]*)=\$\{URIENCODE\(\$\{PJSIP_HEADER\(read,X-Asterisk-([A-Za-z0-9-]+)\)\}\)\}`)
	for _, m := range line.FindAllSubmatch(text, -1) {
		if name, header := string(m[1]), string(m[2]); name != header {
			t.Errorf("%s passes X-Asterisk-%s as %s", file, header, name)
		} else {
			passed[name] = true
		}
	}
	for _, h := range Headers {
		if !passed[h.Name] {
			t.Errorf("%s does not pass X-Asterisk-%s, which is in the table of sip/headers.go", file, h.Name)
		}
		delete(passed, h.Name)
	}
	for name := range passed {
		t.Errorf("%s passes X-Asterisk-%s, which is not in the table of sip/headers.go", file, name)
	}
}

func TestReferencePage(t *testing.T) {
	const file = "../docs/actions.md"
	page, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(page, Reference()) {
		t.Errorf("%s is not what the header table says: run go generate ./sip", file)
	}
	for _, action := range apps.Actions() {
		if !strings.Contains(string(page), "\n## "+action.Name+"\n") {
			t.Errorf("%s does not tell of %s", file, action.Name)
		}
	}
}

func TestStatuses(t *testing.T) {
	for i, s := range Statuses() {
		if s.Reason == "" || s.When == "" || i > 0 && s.Code <= statuses[i-1].Code {
			t.Errorf("status %d: no reason, no when, or out of order", s.Code)
		}
	}
	for _, s := range Refusals() {
		if s.Code < 400 {
			t.Errorf("status %d refuses nothing", s.Code)
		}
	}
	if s, ok := StatusOf(503); !ok || !s.Elsewhere || s.Reason != "Service Unavailable" {
		t.Errorf("status 503 is %+v", s)
	}
	if _, ok := StatusOf(603); ok {
		t.Error("603 would stop the edge from hunting elsewhere")
	}
	// What errors of flows become is in the table.
	for _, problem := range []apps.MediaProblem{apps.MediaNotFound, apps.MediaBroken, apps.MediaUnavailable, apps.MediaInvalid} {
		if v := apps.VerdictOf(&apps.MediaError{Problem: problem}); !refusal(v.Status) {
			t.Errorf("a sound that is %s gives the status %d, which is not in the table", problem, v.Status)
		}
	}
	for _, err := range []error{apps.ErrHangup, apps.ErrDraining, apps.ErrMoved, CauseCut} {
		if v := apps.VerdictOf(err); !refusal(v.Status) {
			t.Errorf("the error %v gives the status %d, which is not in the table", err, v.Status)
		}
	}
}

func refusal(code int) bool {
	return slices.ContainsFunc(Refusals(), func(s Status) bool { return s.Code == code })
}

func TestDidYouMean(t *testing.T) {
	for name, want := range map[string]string{
		"Playbak": "Playback", "playback": "Playback", "PlayBcak": "Playback", "Sund": "Sound", "x": "", "": "",
		"Nonsense": "", strings.Repeat("Playback", 20): "",
	} {
		got := didYouMean(name, []string{"Playback", "Sound"})
		if want != "" {
			want = " (did you mean " + want + "?)"
		}
		if got != want {
			t.Errorf("didYouMean(%q) = %q, want %q", name, got, want)
		}
	}
}
