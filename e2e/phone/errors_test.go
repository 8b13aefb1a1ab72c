package phone

import "testing"

func TestRefusedErrorSaysWhy(t *testing.T) {
	reason := [2]string{"Reason", "Q.850;cause=0"}
	for want, headers := range map[string][][2]string{
		"refused: 404 Not Found":                          nil,
		"refused: 404 Not Found (Q.850;cause=0)":          {reason},
		`refused: 404 Not Found (sound 'x' is not found)`: {reason, {"P-Asserted-Identity", `"sound 'x' is not found" <sip:refused@127.0.0.2>`}},
	} {
		e := &RefusedError{Status: 404, Phrase: "Not Found", Headers: headers}
		if e.Error() != want {
			t.Errorf("%q, want %q", e.Error(), want)
		}
	}
	for _, address := range []string{"", "<sip:a@b>", `"open <sip:a@b>`, "name <sip:a@b>"} {
		if got := displayName(address); got != "" {
			t.Errorf("%s has the display name %q", address, got)
		}
	}
}
