package sip_test

import (
	"reflect"
	"slices"
	"strings"
	"testing"

	"asterism/apps"
	"asterism/sip"
)

func TestParseArgs(t *testing.T) {
	want := sip.Invite{
		Params: []sip.Param{{Name: "Action", Value: "Playback"}, {Name: "Sound", Value: "a,b c&d=é"}},
		Names:  []string{"Action", "Sound", "Other"},
		URI:    "sip:1000@h", From: `"A, B" <sip:1@h>`, To: "<sip:2@h>", PAI: "<sip:3@h>", Privacy: "id",
		Diversion: "<sip:4@h>", History: "<sip:5@h>;index=1", Source: "127.0.60.1:5060", Signature2: "t=1",
	}
	got, err := sip.ParseArgs([]string{
		"1", "X-Asterisk-Action%2Cx-asterisk-sound%2CX-Asterisk-Other", "Action=Playback", "Sound=%20a%2Cb%20c%26d%3D%C3%A9",
		"Loop=", "uri=sip%3A1000%40h", "from=%22A%2C%20B%22%20%3Csip%3A1%40h%3E", "to=%3Csip%3A2%40h%3E", "pai=%3Csip%3A3%40h%3E",
		"privacy=id", "diversion=%3Csip%3A4%40h%3E", "history=%3Csip%3A5%40h%3E%3Bindex%3D1", "src=127.0.60.1%3A5060", "signature2=t%3D1", "end",
	})
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("ParseArgs = %+v, %v\nwant %+v", got, err, want)
	}
	if again, err := sip.ParseArgs(got.Args()); err != nil || !reflect.DeepEqual(again, want) {
		t.Errorf("Args does not undo ParseArgs: %+v, %v", again, err)
	}
}

func TestParseArgsRefuses(t *testing.T) {
	tests := []struct {
		name   string
		args   []string
		status int
		cause  sip.Cause
	}{
		{"nothing", nil, 503, sip.CauseLayout},
		{"another layout", []string{"2", "", "end"}, 503, sip.CauseLayout},
		{"no sentinel", []string{"1", "", "Action=Playback"}, 400, sip.CauseCut},
		{"a cut sentinel", []string{"1", "", "Action=Playback", "en"}, 400, sip.CauseCut},
		{"the layout alone", []string{"1"}, 400, sip.CauseCut},
		{"no names", []string{"1", "end"}, 400, sip.CauseCut},
		{"not an assignment", []string{"1", "", "Action", "end"}, 503, sip.CauseLayout},
		{"no name", []string{"1", "", "=Playback", "end"}, 503, sip.CauseLayout},
		{"not a name", []string{"1", "", "So und=Playback", "end"}, 503, sip.CauseLayout},
		{"a fact twice", []string{"1", "", "uri=a", "uri=b", "end"}, 503, sip.CauseLayout},
		{"a cut escape", []string{"1", "", "Sound=a%2", "end"}, 400, sip.CauseEncoding},
		{"a cut list of names", []string{"1", "X-Asterisk-Action%2", "end"}, 400, sip.CauseCut},
		{"a name twice", []string{"1", "X-Asterisk-Sound%2Cx-asterisk-sound", "Sound=a", "end"}, 400, sip.CauseDoubled},
		{"an argument twice", []string{"1", "", "Sound=a", "sound=a", "end"}, 400, sip.CauseDoubled},
		{"names that Asterisk could not read", []string{"1", "%2A", "uri=a", "end"}, 400, sip.CauseTooLong},
		{"too many names", []string{"1", strings.Repeat("a%2C", 70), "end"}, 400, sip.CauseTooLong},
		{"a long value", []string{"1", "", "Sound=" + strings.Repeat("a", sip.MaxValue+1), "end"}, 400, sip.CauseTooLong},
		{"a value cut by Asterisk", []string{"1", "", "Sound=" + strings.Repeat("%20", 1365), "end"}, 400, sip.CauseTooLong},
		{"long together", []string{"1", "", "Sound=" + strings.Repeat("%C3%A9", 342), "end"}, 400, sip.CauseTooLong},
		{"a control character", []string{"1", "", "Sound=a%00", "end"}, 400, sip.CauseEncoding},
		{"DEL", []string{"1", "", "Sound=a%7F", "end"}, 400, sip.CauseEncoding},
		{"a C1 control character", []string{"1", "", "Sound=a%C2%85", "end"}, 400, sip.CauseEncoding},
		{"not UTF-8", []string{"1", "", "Sound=%C3", "end"}, 400, sip.CauseEncoding},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := sip.ParseArgs(tt.args)
			if got := apps.VerdictOf(err); err == nil || got.Status != tt.status || sip.CauseOf(err) != tt.cause {
				t.Errorf("%v: status %d, cause %q; want %d, %q", err, got.Status, sip.CauseOf(err), tt.status, tt.cause)
			}
		})
	}
	if !slices.Contains(sip.Causes(), sip.CauseCut) || slices.Contains(sip.Causes(), sip.CauseNone) {
		t.Errorf("the causes are %q", sip.Causes())
	}
}

// A value of exactly the greatest length passes, and so do exactly as many
// bytes together; the signature does not count.
func TestLimits(t *testing.T) {
	value := "Sound=" + strings.Repeat("a", sip.MaxValue)
	vars := "Vars=" + strings.Repeat("b", sip.MaxParams-len(value)-len("Vars="))
	signature := "Signature=" + strings.Repeat("c", 500)
	if _, err := sip.ParseArgs([]string{"1", "", value, vars, signature, "end"}); err != nil {
		t.Errorf("what is just allowed is refused: %v", err)
	}
	if _, err := sip.ParseArgs([]string{"1", "", value, vars + "b", signature, "end"}); sip.CauseOf(err) != sip.CauseTooLong {
		t.Errorf("one byte too many: %v", err)
	}
}

// Facts come from strangers: whatever they are, they refuse no call.
func TestStrangeFacts(t *testing.T) {
	for _, fact := range []string{"%", "%zz", "a%00", "%ff", "a%C3", "%3Csip%3A1%40h%3E%2", strings.Repeat("a", 5000), "%22", "%3C", "%2C%2C%2C"} {
		in, err := sip.ParseArgs([]string{"1", "", "Action=Playback", "Sound=a", "uri=" + fact, "from=" + fact, "pai=" + fact, "diversion=" + fact, "history=" + fact, "privacy=" + fact, "end"})
		if err == nil {
			_, _, err = in.Request()
		}
		if err != nil {
			t.Errorf("the fact %q refuses the call: %v", fact, err)
		}
	}
	in, _ := sip.ParseArgs([]string{"1", "", "from=%3Csip%3A1%40h%3E%2", "end"})
	if in.From != "<sip:1@h>" {
		t.Errorf("of a fact that was cut, %q is left", in.From)
	}
}

func TestWarningsAreFew(t *testing.T) {
	names := "X-Asterisk-Action%2CX-Asterisk-Sound"
	for i := range 40 {
		names += "%2CX-Asterisk-Nonsense" + strings.Repeat("x", i)
	}
	in, err := sip.ParseArgs([]string{"1", names, "Action=Playback", "Sound=a", "end"})
	if err != nil {
		t.Fatal(err)
	}
	_, warnings, err := in.Request()
	if err != nil || len(warnings) == 0 || len(warnings) > 8 {
		t.Errorf("%d warnings, %v; want some and at most 8", len(warnings), err)
	}
}

func BenchmarkRequest(b *testing.B) {
	args := sip.Invite{
		Params: []sip.Param{
			{Name: "Action", Value: "Playback"},
			{Name: "Sound", Value: "media:greetings/welcome&digits:42"},
			{Name: "Loop", Value: "3"},
			{Name: "Pause", Value: "1.5"},
			{Name: "Language", Value: "it-IT"},
			{Name: "Digits-Stop", Value: "any"},
			{Name: "Controls", Value: "pause=5,restart=0,forward=6,back=4,skip=3000"},
		},
		URI: "sip:1000@127.0.0.2:5060", From: `"Bob" <sip:201@example.com>;tag=1928301774`, To: "<sip:1000@127.0.0.2:5060>",
		PAI: `"Bob" <sip:+390612345@example.com;user=phone>`, Source: "127.0.0.1:5060",
	}.Args()
	b.ReportAllocs()
	for b.Loop() {
		in, err := sip.ParseArgs(args)
		if err != nil {
			b.Fatal(err)
		}
		if _, _, err := in.Request(); err != nil {
			b.Fatal(err)
		}
	}
}
