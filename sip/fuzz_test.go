package sip

import (
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"asterism/apps"
)

// FuzzParseArgs: whatever the arguments are, the result is a request that
// keeps every limit, or a refusal that can be shown.
func FuzzParseArgs(f *testing.F) {
	f.Add("1\nX-Asterisk-Action%2CX-Asterisk-Sound\nAction=Playback\nSound=welcome\nuri=sip%3A1%40h\nend")
	f.Add("1\n\nAction=Playback\nSound=a%26b\nControls=pause%3D5%2Cskip%3D300\nDigits-Stop=any\nPause=1.5\nVars=a%3D1\nend")
	f.Add("1\nX-Asterisk-%2C\nAction=%zz\nend")
	f.Add("1\n\nAction=Playback\nSound=a\nfrom=%22A%5C%22%20%3Csip%3A1%40h%3E\nhistory=%3Csip%3A1%40h%3E%3Bindex%3D1%3Bmp%3D1\nend")
	f.Fuzz(func(t *testing.T, text string) {
		in, err := ParseArgs(strings.Split(text, "\n"))
		if err != nil {
			checkRefusal(t, err)
			return
		}
		for _, p := range in.Params {
			if len(p.Value) > MaxValue || !isClean(p.Value) || p.Value == "" {
				t.Errorf("the value of %q is %q", p.Name, p.Value)
			}
		}
		if again, err := ParseArgs(in.Args()); err != nil || !slices.Equal(again.Params, in.Params) || again.From != in.From {
			t.Errorf("Args does not undo ParseArgs: %+v, %v; was %+v", again, err, in)
		}
		r, warnings, err := in.Request()
		if len(warnings) > maxWarnings {
			t.Errorf("%d warnings", len(warnings))
		}
		if err != nil {
			checkRefusal(t, err)
			return
		}
		for _, s := range r.Sounds {
			if err := apps.CheckSound(s); err != nil {
				t.Error(err)
			}
		}
		if len(r.Sounds) == 0 || len(r.Sounds) > maxSounds || r.Loop < 0 || r.Loop > 1000 || r.Pause < 0 || r.Pause > time.Minute ||
			firstTwice(r.StopOn+r.Controls.Keys()) != "" {
			t.Errorf("the request breaks a limit: %+v", r)
		}
		for _, s := range []string{r.Called, r.Caller.Name, r.Caller.Number, r.Diversion, r.Language} {
			if !isClean(s) || len(s) > maxParty {
				t.Errorf("the request holds %q", s)
			}
		}
	})
}

func checkRefusal(t *testing.T, err error) {
	t.Helper()
	v := apps.VerdictOf(err)
	if !refusal(v.Status) || CauseOf(err) == CauseNone || len(v.Reason) > 400 {
		t.Errorf("status %d, cause %q: %v", v.Status, CauseOf(err), err)
	}
	if !utf8.ValidString(v.Reason) || !isClean(v.Reason) {
		t.Errorf("the reason cannot be shown: %q", v.Reason)
	}
}

// FuzzIdentity: strangers' headers never panic nor pass control characters.
func FuzzIdentity(f *testing.F) {
	f.Add(`"Bob \"B\"" <sip:201;x=y:pw@h?a=b>;tag=1, <tel:+39-06>`)
	f.Add(`<sip:1@h?Reason=SIP%3Bcause%3D302>;index=1, <sip:2@h>;index=1.1;mp=1`)
	f.Add(`"<,>,;\`)
	f.Fuzz(func(t *testing.T, value string) {
		in := Invite{URI: value, From: value, PAI: value, Privacy: value, Diversion: value, History: value}
		caller := in.caller()
		for _, s := range []string{caller.Name, caller.Number, in.diversion(), userOf(value)} {
			if !isClean(s) || len(s) > maxParty {
				t.Errorf("%q makes %q", value, s)
			}
		}
	})
}

// FuzzSignature: only what Sign writes is a signature, and any change to the
// parameters breaks it.
func FuzzSignature(f *testing.F) {
	key, err := NewKey("k", "sixteen bytes or more")
	if err != nil {
		f.Fatal(err)
	}
	signer, err := NewSigner(key)
	if err != nil {
		f.Fatal(err)
	}
	now := time.Unix(1767225600, 0)
	f.Add("welcome", "a=1", "goodbye", "a=1", "t=1;k=k;h=00")
	f.Add("a", "b", "a4:Vars1:b", "", "t=1767225600;k=k;h=")
	f.Fuzz(func(t *testing.T, sound, vars, sound2, vars2, garbage string) {
		value, err := signer.Sign(now, "call", map[string]string{"Sound": sound, "Vars": vars})
		if err != nil {
			t.Fatal(err)
		}
		verify := func(signature, sound, vars string) error {
			return (Verifier{Keys: []Key{key}}).Verify(Invite{Params: []Param{
				{"Sound", strings.TrimSpace(sound)}, {"Vars", strings.TrimSpace(vars)}, {"Signature", signature},
			}}, "call", now)
		}
		if err := verify(value, sound, vars); err != nil {
			t.Errorf("its own signature is refused: %v", err)
		}
		same := reflect.DeepEqual(
			[]string{strings.TrimSpace(sound), strings.TrimSpace(vars)}, []string{strings.TrimSpace(sound2), strings.TrimSpace(vars2)})
		if err := verify(value, sound2, vars2); (err == nil) != same {
			t.Errorf("the signature of %q, %q for %q, %q: %v", sound, vars, sound2, vars2, err)
		}
		if err := verify(garbage, sound, vars); err == nil && garbage != value {
			// The same sum may be written with capital letters.
			if !strings.EqualFold(garbage, value) {
				t.Errorf("%q is taken for a signature", garbage)
			}
		}
	})
}
