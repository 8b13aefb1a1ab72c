package sip_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"asterism/apps"
	"asterism/sip"
)

var update = flag.Bool("update", false, "write what comes out into the golden files")

const separator = "----------\n"

// TestHeaders reads testdata/headers: an INVITE's headers, a line of dashes,
// and the request they make with its warnings, or the refusal. In values,
// \x01 is a control character and {a*2000} is two thousand times the a.
func TestHeaders(t *testing.T) {
	files, err := filepath.Glob("testdata/headers/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no golden files: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			input, want, _ := strings.Cut(string(text), separator)
			got := outcome(parseInput(t, input))
			if *update {
				if err := os.WriteFile(file, []byte(input+separator+got), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if got != want {
				t.Errorf("%s makes\n%s\nwant\n%s\n(go test ./sip -run TestHeaders -update writes what comes out)", file, got, want)
			}
		})
	}
}

var (
	escaped  = regexp.MustCompile(`\\x[0-9a-f]{2}`)
	repeated = regexp.MustCompile(`\{(.+?)\*(\d+)\}`)
)

// parseInput stands in for Asterisk and the dialplan: it makes arguments of
// the lines of an INVITE, of each header's first instance.
func parseInput(t *testing.T, input string) []string {
	t.Helper()
	var in sip.Invite
	facts := map[string]*string{
		"From": &in.From, "To": &in.To, "P-Asserted-Identity": &in.PAI, "Privacy": &in.Privacy,
		"Diversion": &in.Diversion, "History-Info": &in.History,
	}
	for line := range strings.Lines(input) {
		line = strings.TrimRight(line, "\n")
		if uri, ok := strings.CutPrefix(line, "INVITE "); ok {
			in.URI = uri
			continue
		}
		name, value, ok := strings.Cut(line, ":")
		if !ok {
			t.Fatalf("%q is not a header", line)
		}
		value = expand(strings.TrimSpace(value))
		if fact := facts[name]; fact != nil {
			*fact = value
			continue
		}
		name = strings.TrimPrefix(name, sip.Prefix)
		in.Params = append(in.Params, sip.Param{Name: name, Value: value})
	}
	return in.Args()
}

func expand(value string) string {
	value = escaped.ReplaceAllStringFunc(value, func(s string) string {
		b, _ := strconv.ParseUint(s[2:], 16, 8)
		return string([]byte{byte(b)})
	})
	return repeated.ReplaceAllStringFunc(value, func(s string) string {
		m := repeated.FindStringSubmatch(s)
		n, _ := strconv.Atoi(m[2])
		return strings.Repeat(m[1], n)
	})
}

// outcome tells what becomes of the arguments, in text.
func outcome(args []string) string {
	in, err := sip.ParseArgs(args)
	var request apps.Request
	var warnings []sip.Warning
	if err == nil {
		request, warnings, err = in.Request()
	}
	if err != nil {
		r, ok := errors.AsType[*apps.Refusal](err)
		if !ok {
			return fmt.Sprintf("an error that is not a refusal: %v\n", err)
		}
		return fmt.Sprintf("refused %d, cause %s, fault %s\n%s\n", r.Status, sip.CauseOf(err), r.Fault, r.Reason)
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	_ = enc.Encode(brief(request))
	for _, w := range warnings {
		fmt.Fprintf(&b, "warning, %s: %s\n", w.Reason, w.Text)
	}
	return b.String()
}

// brief is the request without what is empty. Loop always stands, for 0 has
// a meaning there.
func brief(r apps.Request) map[string]any {
	text, _ := json.Marshal(r)
	var all map[string]any
	_ = json.Unmarshal(text, &all)
	prune(all)
	all["Loop"] = r.Loop
	if r.Pause > 0 {
		all["Pause"] = r.Pause.String()
	}
	if c, ok := all["Controls"].(map[string]any); ok && r.Controls.Skip > 0 {
		c["Skip"] = r.Controls.Skip.String()
	}
	return all
}

func prune(m map[string]any) {
	for k, v := range m {
		if sub, ok := v.(map[string]any); ok {
			prune(sub)
			if len(sub) == 0 {
				delete(m, k)
			}
		} else if v == nil || v == "" || v == false || v == 0.0 {
			delete(m, k)
		}
	}
}
