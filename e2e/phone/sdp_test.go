package phone

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
)

const offerOfAsterisk = "v=0\r\no=- 1 1 IN IP4 127.0.0.2\r\ns=Asterisk\r\nc=IN IP4 127.0.0.2\r\nt=0 0\r\n" +
	"m=audio 12000 RTP/AVP 8 0 96\r\na=rtpmap:8 PCMA/8000\r\na=rtpmap:0 PCMU/8000\r\n" +
	"a=rtpmap:96 telephone-event/8000\r\na=fmtp:96 0-16\r\na=ptime:20\r\na=maxptime:140\r\na=sendrecv\r\n"

func TestUnderstand(t *testing.T) {
	replace := func(old, by string) string { return strings.Replace(offerOfAsterisk, old, by, 1) }
	tests := []struct {
		name, body string
		wanted     []Codec
		codecs     []Codec
		events     uint8
		hold       bool
		addr, err  string
	}{
		{"of Asterisk", offerOfAsterisk, nil, []Codec{PCMA, PCMU}, 96, false, "127.0.0.2:12000", ""},
		{"one codec wanted", offerOfAsterisk, []Codec{PCMU}, []Codec{PCMU}, 96, false, "127.0.0.2:12000", ""},
		{"no names for static types", replace("a=rtpmap:8 PCMA/8000\r\n", ""), nil, []Codec{PCMA, PCMU}, 96, false, "127.0.0.2:12000", ""},
		{"no events", replace(" 96\r\n", "\r\n"), nil, []Codec{PCMA, PCMU}, 0, false, "127.0.0.2:12000", ""},
		{"on hold", replace("sendrecv", "sendonly"), nil, []Codec{PCMA, PCMU}, 96, true, "127.0.0.2:12000", ""},
		{"on hold of old", replace("c=IN IP4 127.0.0.2", "c=IN IP4 0.0.0.0"), nil, []Codec{PCMA, PCMU}, 96, true, "0.0.0.0:12000", ""},
		{"an address of the stream's own", replace("RTP/AVP 8 0 96\r\n", "RTP/AVP 8 0 96\r\nc=IN IP4 127.0.0.9\r\n"), nil, []Codec{PCMA, PCMU}, 96, false, "127.0.0.9:12000", ""},
		{"nothing in common", replace("8 0 96", "18 96"), nil, nil, 0, false, "", "no codec"},
		{"refused stream", replace("12000", "0"), nil, nil, 0, false, "", "no audio stream"},
		{"no address", replace("c=IN IP4 127.0.0.2\r\n", ""), nil, nil, 0, false, "", "where to send"},
		{"a name for an address", replace("c=IN IP4 127.0.0.2", "c=IN IP4 pbx.example.com"), nil, nil, 0, false, "", "expected an IP address"},
		{"nonsense", "hello", nil, nil, 0, false, "", "reading"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s, err := understand([]byte(test.body), test.wanted)
			if test.err != "" {
				if err == nil || !strings.Contains(err.Error(), test.err) {
					t.Errorf("got %v, want %q", err, test.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(s.codecs, test.codecs) || s.remote.events != test.events || s.remote.hold != test.hold || s.remote.addr.String() != test.addr {
				t.Errorf("understood %+v", s)
			}
		})
	}
}

func TestDescribeIsUnderstood(t *testing.T) {
	for _, host := range []string{"127.0.40.1", "::1"} {
		body, err := describe(netip.MustParseAddr(host), 4000, 1, 1, []Codec{PCMU, PCMA}, 101, "sendrecv")
		if err != nil {
			t.Fatal(err)
		}
		s, err := understand(body, nil)
		if err != nil || s.remote.addr.Addr().String() != host || s.remote.events != 101 || !slices.Equal(s.codecs, []Codec{PCMU, PCMA}) {
			t.Errorf("got %+v, %v", s, err)
		}
	}
}

func FuzzUnderstand(f *testing.F) {
	f.Add([]byte(offerOfAsterisk))
	f.Add([]byte("v=0\r\no=- 1 1 IN IP6 ::1\r\ns=-\r\nt=0 0\r\nm=audio 9 RTP/AVP 0\r\nc=IN IP6 ::1\r\n"))
	f.Fuzz(func(t *testing.T, body []byte) {
		s, err := understand(body, nil)
		if err == nil && (len(s.codecs) == 0 || !s.remote.addr.IsValid() || s.remote.addr.Port() == 0) {
			t.Errorf("understood nothing without an error: %+v", s)
		}
	})
}

func TestCauseOf(t *testing.T) {
	tests := []struct {
		headers [][2]string
		reason  string
		cause   int
	}{
		{nil, "", 0},
		{[][2]string{{"Reason", "Q.850;cause=16"}}, "Q.850;cause=16", 16},
		{[][2]string{{"reason", `q.850 ; text="x" ; Cause = 17`}}, `q.850 ; text="x" ; Cause = 17`, 17},
		{[][2]string{{"Reason", "SIP;cause=200"}, {"X", "Q.850;cause=1"}, {"Reason", "Q.850;cause=31"}}, "SIP;cause=200, Q.850;cause=31", 31},
		{[][2]string{{"Reason", "SIP;cause=480,Q.850;cause=19"}}, "SIP;cause=480,Q.850;cause=19", 19},
		{[][2]string{{"Reason", "Q.850;cause=many"}}, "Q.850;cause=many", 0},
	}
	for _, test := range tests {
		if reason, cause := causeOf(test.headers); reason != test.reason || cause != test.cause {
			t.Errorf("%v is %q, %d", test.headers, reason, cause)
		}
	}
}

func FuzzCauseOf(f *testing.F) {
	f.Add(`SIP;cause=200;text="OK, done", Q.850;cause=16`)
	f.Fuzz(func(t *testing.T, value string) {
		if reason, _ := causeOf([][2]string{{"Reason", value}}); reason != value {
			t.Errorf("%q became %q", value, reason)
		}
	})
}
