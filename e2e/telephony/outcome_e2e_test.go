//go:build e2e

package telephony_test

import (
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	asteriskconf "asterism/asterisk-conf"
	"asterism/e2e/telephony"
)

// answered places a call that the application answers.
func answered(t testing.TB, c *caller, p *app, headers ...string) (*invite, string, message) {
	t.Helper()
	i := c.invite(t, "1000", headers...)
	id := p.await(t, "StasisStart").Channel.ID
	p.must(t, "POST", "/channels/"+id+"/answer", nil)
	m, _ := i.final(t)
	if m.status != 200 {
		t.Fatalf("got %s, want 200", m.start)
	}
	return i, id, m
}

func TestRefuseSendsTheExactStatus(t *testing.T) {
	a := telephony.ForTest(t)
	p := subscribe(t, a)
	c := dial(t, "udp", "", a.SIPAddress())
	for extension, want := range map[string]int{
		"400": 400, "403": 403, "404": 404, "408": 408, "480": 480, "486": 486, "488": 488, "500": 500, "503": 503, "600": 600, "603": 603,
		"699": 699, "200": 500, "700": 500, "nonsense": 500,
	} {
		i := c.invite(t, "1000", "X-Asterisk-Action: Playback")
		id := p.await(t, "StasisStart").Channel.ID
		p.must(t, "POST", "/channels/"+id+"/variable", url.Values{"variable": {"ASTERISM_REASON"}, "value": {"no \"such\" sound, " + extension}})
		p.must(t, "POST", "/channels/"+id+"/continue", url.Values{"context": {"refuse"}, "extension": {extension}, "priority": {"1"}})
		m, _ := i.final(t)
		if m.status != want {
			t.Errorf("%s: got %s, want %d", extension, m.start, want)
		}
		text := m.headers.Get("P-Asserted-Identity")
		if want == 404 && !strings.HasPrefix(text, `"no \"such\" sound, 404" <sip:refused@`) {
			t.Errorf("the reason reads %q", text)
		}
	}
	p.none(t, "StasisStart", 200*time.Millisecond)
	if found := complaints(t, a); len(found) > 0 {
		t.Errorf("complaints:\n%s", strings.Join(found, "\n"))
	}
}

// A refusal can come after the caller was told that it rings, or has heard
// something.
func TestLateRefusalKeepsItsReason(t *testing.T) {
	a := telephony.ForTest(t)
	p := subscribe(t, a)
	c := dial(t, "udp", "", a.SIPAddress())
	for _, before := range []string{"ring", "progress"} {
		i := c.invite(t, "1000", "X-Asterisk-Action: Playback")
		id := p.await(t, "StasisStart").Channel.ID
		p.must(t, "POST", "/channels/"+id+"/"+before, nil)
		p.must(t, "POST", "/channels/"+id+"/variable", url.Values{"variable": {"ASTERISM_REASON"}, "value": {"storage is away"}})
		p.must(t, "POST", "/channels/"+id+"/continue", url.Values{"context": {"refuse"}, "extension": {"503"}, "priority": {"1"}})
		m, _ := i.final(t)
		if text := m.headers.Get("P-Asserted-Identity"); m.status != 503 || !strings.HasPrefix(text, `"storage is away" <sip:refused@`) {
			t.Errorf("after %s: %s with the reason %q", before, m.start, text)
		}
	}
}

func TestTransferTellsItsOutcome(t *testing.T) {
	a := telephony.ForTest(t)
	p := subscribe(t, a)
	for _, c := range []struct {
		outcome string
		want    []string
	}{
		{"200 OK", []string{"transfer", "SUCCESS", "0", "end"}},
		{"486 Busy Here", []string{"transfer", "FAILURE", "486", "end"}},
	} {
		i, id, _ := answered(t, dial(t, "udp", "", a.SIPAddress()), p)
		p.must(t, "POST", "/channels/"+id+"/variable", url.Values{"variable": {"ASTERISM_TRANSFER"}, "value": {"PJSIP/sip:2000@edge.example"}})
		p.must(t, "POST", "/channels/"+id+"/continue", url.Values{"context": {"transfer"}, "extension": {"s"}, "priority": {"1"}})
		refer := i.request(t, "REFER", 5*time.Second)
		if got := refer.headers.Get("Refer-To"); !strings.Contains(got, "sip:2000@edge.example") {
			t.Errorf("Refer-To %q", got)
		}
		i.respond(t, refer, "202 Accepted")
		i.inDialog(t, "NOTIFY", []string{"Event: refer", "Subscription-State: terminated;reason=noresource", "Content-Type: message/sipfrag;version=2.0"}, "SIP/2.0 "+c.outcome+"\r\n")
		if e := p.await(t, "StasisStart"); !slices.Equal(e.Args, c.want) {
			t.Errorf("%s: arguments %q, want %q", c.outcome, e.Args, c.want)
		}
		p.must(t, "DELETE", "/channels/"+id, nil)
	}
}

func TestCallersOwnTransferIsRefused(t *testing.T) {
	a := telephony.ForTest(t)
	p := subscribe(t, a)
	i, id, _ := answered(t, dial(t, "udp", "", a.SIPAddress()), p)
	i.inDialog(t, "REFER", []string{"Refer-To: <sip:3000@evil.example>"}, "")
	if m := i.response(t); m.status < 400 {
		t.Errorf("REFER got %s, want a refusal", m.start)
	}
	p.must(t, "DELETE", "/channels/"+id, nil)
}

func TestVanishedCallerLeavesNoGhost(t *testing.T) {
	a := telephony.ForTest(t, func(o *telephony.Options) {
		o.Conf = func(p *asteriskconf.Params) { p.RTPTimeout = 1 }
	})
	p := subscribe(t, a)
	i, _, m := answered(t, dial(t, "udp", "", a.SIPAddress()), p, "Supported: timer", "Session-Expires: 600;refresher=uac")
	if got := m.headers.Get("Session-Expires"); got != "600;refresher=uac" {
		t.Errorf("Session-Expires %q", got)
	}
	i.respond(t, i.request(t, "BYE", 8*time.Second), "200 OK")
	p.await(t, "StasisEnd")
	eventually(t, "no channel is left", func() bool {
		out, err := a.Command(t.Context(), "core show channels concise")
		return err == nil && strings.TrimSpace(out) == ""
	})
}

func TestMediaOperationsWork(t *testing.T) {
	a := telephony.ForTest(t)
	p := subscribe(t, a)
	i, id, answer := answered(t, dial(t, "udp", "", a.SIPAddress()), p)
	for _, want := range []string{"c=IN IP4 " + a.Address(), "PCMU/8000", "telephone-event/8000"} {
		if !strings.Contains(answer.raw, want) {
			t.Errorf("the answer lacks %q:\n%s", want, answer.raw)
		}
	}
	for _, media := range []string{"sound:beep", "digits:1", "number:21", "characters:a", "tone:beep"} {
		p.must(t, "POST", "/channels/"+id+"/play", url.Values{"media": {media}, "playbackId": {"play-" + media[:5]}})
		if media == "tone:beep" {
			p.await(t, "PlaybackStarted")
			p.must(t, "DELETE", "/playbacks/play-tone:", nil)
		}
		if e := p.await(t, "PlaybackFinished"); !strings.Contains(e.Raw, `"state":"done"`) {
			t.Errorf("%s: %s", media, e.Raw)
		}
	}
	p.must(t, "POST", "/channels/"+id+"/record", url.Values{"name": {"box/message"}, "format": {"wav"}})
	p.await(t, "RecordingStarted")
	p.must(t, "POST", "/recordings/live/box%2Fmessage/stop", nil)
	p.await(t, "RecordingFinished")
	if _, err := os.Stat(filepath.Join(a.RecordingDir(), "box/message.wav")); err != nil {
		t.Errorf("the recording is not where everybody sees it: %v", err)
	}
	for _, kind := range []string{"mixing", "holding"} {
		p.must(t, "POST", "/bridges", url.Values{"type": {kind}, "bridgeId": {kind}})
		p.must(t, "POST", "/bridges/"+kind+"/addChannel", url.Values{"channel": {id}})
		p.await(t, "ChannelEnteredBridge")
		if kind == "mixing" {
			p.must(t, "POST", "/bridges/mixing/play", url.Values{"media": {"sound:beep"}})
			p.await(t, "PlaybackFinished")
		}
		p.must(t, "DELETE", "/bridges/"+kind, nil)
	}
	i.bye(t)
	p.await(t, "StasisEnd")
	if found := complaints(t, a); len(found) > 0 {
		t.Errorf("complaints:\n%s", strings.Join(found, "\n"))
	}
}

func TestLegsWeOriginate(t *testing.T) {
	a := telephony.ForTest(t)
	p := subscribe(t, a)
	// The socket that is called is at the same time the one that hears of it.
	c := dial(t, "udp", "127.0.20.5", a.SIPAddress())
	p.must(t, "POST", "/channels", url.Values{
		"endpoint": {"PJSIP/edge/sip:4000@" + c.conn.LocalAddr().String()}, "app": {"asterism"}, "channelId": {"leg-1"},
		"callerId": {"\"Desk\" <1234>"},
	})
	m, ok := c.read(t, 3*time.Second)
	if !ok || !strings.HasPrefix(m.start, "INVITE sip:4000@") {
		t.Fatalf("got %q", m.start)
	}
	if from := m.headers.Get("From"); !strings.Contains(from, "\"Desk\" <sip:1234@") {
		t.Errorf("From %q", from)
	}
	p.must(t, "DELETE", "/channels/leg-1", nil)
}
