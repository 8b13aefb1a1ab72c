//go:build e2e

package telephony_test

import (
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"asterism/e2e/telephony"
)

// offer is what ingress passed, decoded.
type offer struct {
	channel string
	names   []string
	values  map[string]string
	whole   bool
}

func decode(t testing.TB, e event) offer {
	t.Helper()
	unescape := func(s string) string {
		v, err := url.PathUnescape(s)
		if err != nil {
			t.Errorf("argument %q: %v", s, err)
		}
		return v
	}
	o := offer{channel: e.Channel.ID, values: map[string]string{}}
	if len(e.Args) < 3 || e.Args[0] != "1" {
		t.Fatalf("layout of arguments %q", e.Args)
	}
	o.names = strings.Split(unescape(e.Args[1]), ",")
	for _, arg := range e.Args[2:] {
		name, value, _ := strings.Cut(arg, "=")
		if _, ok := o.values[name]; !ok {
			o.values[name] = unescape(value)
		}
	}
	o.whole = e.Args[len(e.Args)-1] == "end"
	return o
}

// call places a call, returns what ingress passed, and gives the call up.
func call(t testing.TB, c *caller, p *app, user string, headers ...string) offer {
	t.Helper()
	i := c.invite(t, user, headers...)
	o := decode(t, p.await(t, "StasisStart"))
	p.must(t, "DELETE", "/channels/"+o.channel, nil)
	i.final(t)
	return o
}

func TestIngressPassesEverything(t *testing.T) {
	a := telephony.ForTest(t)
	p := subscribe(t, a)
	odd := "a,b;c%20d\"e\"(f)<g>é漢+ &=|\\${EXTEN}$[1+1]\t!z"
	headers := []string{
		"X-Asterisk-Action: Playback", "X-Asterisk-Sound: " + odd, "X-Asterisk-Early-Media: yes",
		"x-asterisk-loop: 3", "X-ASTERISK-SIGNATURE: t=1,v=2",
		"P-Asserted-Identity: \"X, Y\" <sip:+39@x>", "P-Asserted-Identity: <tel:+40>", "Privacy: id;user",
		"Diversion: <sip:1@a>;reason=no-answer", "History-Info: <sip:1@a>;index=1", "History-Info: <sip:2@a>;index=1.1",
	}
	for _, network := range []string{"udp", "tcp"} {
		t.Run(network, func(t *testing.T) {
			c := dial(t, network, "127.0.20.1", a.SIPAddress())
			o := call(t, c, p, "+39040;x=y", headers...)
			if !o.whole {
				t.Error("the last argument is not end")
			}
			want := []string{"X-Asterisk-Action", "X-Asterisk-Sound", "X-Asterisk-Early-Media", "x-asterisk-loop", "X-ASTERISK-SIGNATURE"}
			if !slices.Equal(o.names, want) {
				t.Errorf("names %q, want %q", o.names, want)
			}
			for name, want := range map[string]string{
				"Action": "Playback", "Sound": odd, "Early-Media": "yes", "Loop": "3", "Signature": "t=1,v=2",
				"uri": "sip:+39040;x=y@" + a.SIPAddress(),
				"pai": "\"X, Y\" <sip:+39@x>,<tel:+40>", "privacy": "id;user", "diversion": "<sip:1@a>;reason=no-answer",
				"history": "<sip:1@a>;index=1,<sip:2@a>;index=1.1",
				"src":     c.conn.LocalAddr().String(),
			} {
				if o.values[name] != want {
					t.Errorf("%s is %q, want %q", name, o.values[name], want)
				}
			}
			if !strings.Contains(o.values["from"], "\"Tester\" <sip:tester@") || !strings.Contains(o.values["to"], "sip:+39040;x=y@") {
				t.Errorf("from %q, to %q", o.values["from"], o.values["to"])
			}
		})
	}
	if found := complaints(t, a); len(found) > 0 {
		t.Errorf("complaints:\n%s", strings.Join(found, "\n"))
	}
}

func TestIngressShowsWhatMustBeRefused(t *testing.T) {
	a := telephony.ForTest(t)
	p := subscribe(t, a)
	c := dial(t, "udp", "", a.SIPAddress())
	long := func(n int) string { return strings.Repeat("a", n) }
	t.Run("doubled and unknown", func(t *testing.T) {
		o := call(t, c, p, "1", "X-Asterisk-Signature: a", "X-Asterisk-Signature: b", "X-Asterisk-Nonsense: c", "X-Asterisk-uri: d", "X-Asterisk-h: e")
		want := []string{"X-Asterisk-Signature", "X-Asterisk-Signature", "X-Asterisk-Nonsense", "X-Asterisk-uri", "X-Asterisk-h"}
		if !slices.Equal(o.names, want) || !o.whole {
			t.Errorf("names %q, want %q", o.names, want)
		}
		if !strings.HasPrefix(o.values["uri"], "sip:1@") {
			t.Errorf("a header took the place of the request URI: %q", o.values["uri"])
		}
	})
	t.Run("10 KiB header", func(t *testing.T) {
		o := call(t, c, p, "1", "X-Asterisk-Action: Playback", "X-Asterisk-Sound: "+long(10<<10))
		if !slices.Equal(o.names, []string{"*"}) {
			t.Errorf("names %q, want *", o.names)
		}
	})
	t.Run("4 KiB in all", func(t *testing.T) {
		o := call(t, c, p, "1", "X-Asterisk-Action: Playback", "X-Asterisk-Sound: "+long(2100), "X-Asterisk-Vars: "+long(2100))
		if o.whole {
			t.Error("parameters were cut, and the last argument says they were not")
		}
	})
	t.Run("2 KiB in all and long facts", func(t *testing.T) {
		o := call(t, c, p, "1", "X-Asterisk-Action: Playback", "X-Asterisk-Sound: "+long(1024), "X-Asterisk-Vars: "+long(1000), "History-Info: <sip:"+long(1000)+"@x>")
		if !o.whole || len(o.values["Vars"]) != 1000 || len(o.values["Sound"]) != 1024 {
			t.Errorf("whole %v, lengths %d and %d", o.whole, len(o.values["Sound"]), len(o.values["Vars"]))
		}
	})
	t.Run("300 headers", func(t *testing.T) {
		headers := []string{"X-Asterisk-Action: Playback"}
		for range 300 {
			headers = append(headers, "X-Asterisk-Nonsense: 1")
		}
		if o := call(t, c, p, "1", headers...); !slices.Equal(o.names, []string{"*"}) {
			t.Errorf("names %.60q, want *", o.names)
		}
	})
	t.Run("none", func(t *testing.T) {
		if o := call(t, c, p, "1"); !slices.Equal(o.names, []string{""}) || !o.whole {
			t.Errorf("names %q", o.names)
		}
	})
}

func TestIngressTakesAnyUser(t *testing.T) {
	a := telephony.ForTest(t)
	p := subscribe(t, a)
	c := dial(t, "udp", "", a.SIPAddress())
	for _, user := range []string{
		"1000", "alice", "+390401234567", "*98", "#1", "s", "i", "t", "e", "fax", "_x", ".a", "-a", "!", "(555)", "$x", "x;y=1",
		"a%2Cb", "", strings.Repeat("9", 64),
	} {
		if o := call(t, c, p, user); !o.whole {
			t.Errorf("user %q: not whole", user)
		}
	}
	given := c.invite(t, "1000")
	p.await(t, "StasisStart")
	given.cancel(t)
	if m, _ := given.final(t); m.status != 487 {
		t.Errorf("a cancelled call got %s, want 487", m.start)
	}
	// After a hang-up the h extension must not enter the application again.
	p.none(t, "StasisStart", 300*time.Millisecond)
	if found := complaints(t, a); len(found) > 0 {
		t.Errorf("complaints:\n%s", strings.Join(found, "\n"))
	}
}

func TestIngressRefuses(t *testing.T) {
	a := telephony.ForTest(t, func(o *telephony.Options) { o.Edge = []string{"127.0.20.0/28", "127.0.20.33"} })
	edge := dial(t, "udp", "127.0.20.3", a.SIPAddress())
	t.Run("no application", func(t *testing.T) {
		if m, _ := edge.invite(t, "1000").final(t); m.status != 503 {
			t.Errorf("got %s, want 503", m.start)
		}
	})
	p := subscribe(t, a)
	t.Run("another source", func(t *testing.T) {
		for _, network := range []string{"udp", "tcp"} {
			c := dial(t, network, "127.0.20.16", a.SIPAddress())
			if m, _ := c.invite(t, "1000", "X-Asterisk-Action: Playback").final(t); m.status != 403 {
				t.Errorf("%s: got %s, want 403", network, m.start)
			}
		}
		p.none(t, "StasisStart", 200*time.Millisecond)
	})
	t.Run("a single address", func(t *testing.T) {
		call(t, dial(t, "udp", "127.0.20.33", a.SIPAddress()), p, "1")
	})
	t.Run("draining", func(t *testing.T) {
		drain := func(value string) {
			p.must(t, "POST", "/asterisk/variable", url.Values{"variable": {"ASTERISM_DRAINING"}, "value": {value}})
		}
		drain("1")
		if m, _ := edge.invite(t, "1000", "X-Asterisk-Action: Conference").final(t); m.status != 503 {
			t.Errorf("got %s, want 503", m.start)
		}
		for _, pinned := range []string{"no", `" = "" | "a`, `"yes" | "`} {
			if m, _ := edge.invite(t, "1000", "X-Asterisk-Action: Conference", "X-Asterisk-Pinned: "+pinned).final(t); m.status != 503 {
				t.Errorf("pinned %s: got %s, want 503", pinned, m.start)
			}
		}
		if o := call(t, edge, p, "1000", "X-Asterisk-Action: Conference", "X-Asterisk-Pinned: yes"); o.values["Pinned"] != "yes" {
			t.Errorf("a pinned call came with %q", o.values)
		}
		drain("0")
		call(t, edge, p, "1000")
	})
}
