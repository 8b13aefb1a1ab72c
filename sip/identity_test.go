package sip

import (
	"strings"
	"testing"

	"asterism/apps"
)

func TestCaller(t *testing.T) {
	tests := []struct {
		name               string
		from, pai, privacy string
		want               apps.Party
	}{
		{"From alone", `"Bob" <sip:201@h>;tag=1`, "", "", apps.Party{Name: "Bob", Number: "201"}},
		{"without brackets", "sip:201@h;tag=1", "", "", apps.Party{Number: "201"}},
		{"an unquoted name", "Bob Smith <sip:201@h>", "", "", apps.Party{Name: "Bob Smith", Number: "201"}},
		{"PAI counts more", "<sip:201@h>", `"Alice" <sip:+39061@h>`, "", apps.Party{Name: "Alice", Number: "+39061"}},
		{"PAI of two, the name with the second", "<sip:201@h>", `<sip:12@h>, "Alice" <tel:+39061>`, "", apps.Party{Name: "Alice", Number: "12"}},
		{"PAI with a quote and a comma in the name", "", `"A\", B" <sip:1@h>, <tel:2>`, "", apps.Party{Name: `A", B`, Number: "1"}},
		{"PAI without a user", `"Bob" <sip:201@h>`, "<sip:h>", "", apps.Party{Name: "Bob", Number: "201"}},
		{"privacy", "<sip:201@h>", "<sip:12@h>", "critical;id", apps.Party{Number: "12", Private: true}},
		{"privacy by user", "<sip:201@h>", "", "user", apps.Party{Number: "201", Private: true}},
		{"no privacy", "<sip:201@h>", "", "none", apps.Party{Number: "201"}},
		{"privacy of the media only", "<sip:201@h>", "", "session;critical", apps.Party{Number: "201"}},
		{"anonymous", `"Anonymous" <sip:anonymous@anonymous.invalid>`, "", "", apps.Party{Private: true}},
		{"anonymous to others, known to us", `<sip:anonymous@anonymous.invalid>`, "<sip:12@h>", "id", apps.Party{Number: "12", Private: true}},
		{"parameters and a password in the user part", "<sip:+39061;phone-context=x:pw@h>", "", "", apps.Party{Number: "+39061"}},
		{"escapes", "<sip:%2B39@h>", "", "", apps.Party{Number: "+39"}},
		{"a control character in the user part", "<sip:1%0d%0a2@h>", "", "", apps.Party{}},
		{"a tel URI", "<tel:+39-06.1(2)34;phone-context=x>", "", "", apps.Party{Number: "+39061234"}},
		{"a name with all it may hold", `"A, \"B\" <c>\\" <sip:1@h>`, "", "", apps.Party{Name: `A, "B" <c>\`, Number: "1"}},
		{"a name that never ends", `"Bob <sip:201@h>`, "", "", apps.Party{Name: "Bob", Number: "201"}},
		{"another scheme", "<https://h/1>", "", "", apps.Party{}},
		{"nothing", "", "", "", apps.Party{}},
		{"a long number", "<sip:" + strings.Repeat("1", 500) + "@h>", "", "", apps.Party{Number: strings.Repeat("1", maxParty)}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			in := Invite{From: tt.from, PAI: tt.pai, Privacy: tt.privacy}
			if got := in.caller(); got != tt.want {
				t.Errorf("caller is %+v, want %+v", got, tt.want)
			}
		})
	}
}

func TestDiversion(t *testing.T) {
	tests := []struct{ name, diversion, history, want string }{
		{"none", "", "", ""},
		{"the first", `"A, B" <sip:100@h>;reason=no-answer, <sip:99@h>`, "", "100"},
		{"a tel URI", "<tel:+39-06>;reason=unconditional", "", "+3906"},
		{"Diversion counts more", "<sip:100@h>", "<sip:1@h>;index=1, <sip:2@h>;index=1.1;mp=1", "100"},
		{"history with mp", "", "<sip:100@h>;index=1, <sip:2@h>;index=1.1;mp=1", "100"},
		{"history with the last mp", "", "<sip:100@h>;index=1, <sip:101@h>;index=1.1;mp=1, <sip:2@h>;index=1.2;mp=1.1", "101"},
		{"history that only routed", "", "<sip:100@h>;index=1, <sip:100@10.0.0.1>;index=1.1;rc=1", ""},
		{"history by reason", "", "<sip:100@h?Reason=SIP%3Bcause%3D302>;index=1, <sip:2@h>;index=1.1", "100"},
		{"history that points nowhere", "", "<sip:100@h>;index=1;mp=7", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := (Invite{Diversion: tt.diversion, History: tt.history}).diversion(); got != tt.want {
				t.Errorf("diversion is %q, want %q", got, tt.want)
			}
		})
	}
}

func TestUserOf(t *testing.T) {
	for uri, want := range map[string]string{
		"sip:1000@h": "1000", "sips:a@h:5061;transport=tls": "a", "SIP:a@h": "a", "sip:h": "", "sip:a?b@h?c=d@e": "a?b",
		"tel:110": "110", "": "", "1000": "", "sip:@h": "", "sip:%zz@h": "", "urn:service:sos": "",
	} {
		if got := userOf(uri); got != want {
			t.Errorf("userOf(%q) = %q, want %q", uri, got, want)
		}
	}
}
