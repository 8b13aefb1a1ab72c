package aritest_test

import (
	"context"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"asterism/ari/aritest"
)

// scripts run against the imitation and against a real Asterisk. Both must leave the trace in testdata/conformance. `UPDATE=1 go test -tags e2e -run
// Real` writes it from the real one.
var scripts = []struct {
	name string
	run  func(*stage)
}{
	{"answer-play", func(s *stage) {
		s.call("A")
		s.do("GET /channels/<A>")
		s.do("POST /channels/<A>/ring")
		s.do("DELETE /channels/<A>/ring")
		s.do("POST /channels/<A>/answer")
		s.do("POST /channels/<A>/answer")
		s.do("POST /channels/<A>/play/p1", "media", "sound:beep")
		s.wait("PlaybackFinished", "p1", 1)
		s.settle()
		s.do("GET /playbacks/p1")
		s.do("DELETE /channels/<A>")
		s.wait("StasisEnd", "A", 1)
		s.settle()
		s.do("GET /channels/<A>")
		s.do("DELETE /channels/<A>")
	}},
	{"play-list", func(s *stage) {
		s.call("A")
		s.do("POST /channels/<A>/answer")
		s.do("POST /channels/<A>/play/p1", "media", "sound:beep,sound:beep")
		s.wait("PlaybackFinished", "p1", 1)
		s.do("POST /channels/<A>/play/p2", "media", "sound:beep,sound:nope,sound:beep", "lang", "it")
		s.wait("PlaybackFinished", "p2", 1)
		s.do("POST /channels/<A>/play/p3", "media", "sound:beep,sound:nope")
		s.wait("PlaybackFinished", "p3", 1)
		s.do("POST /channels/<A>/play/p4", "media", "sound:nope")
		s.wait("PlaybackFinished", "p4", 1)
		s.do("POST /channels/<A>/play/p5")
		s.do("POST /channels/<A>/play/p5", "media", "digits:")
		s.wait("PlaybackFinished", "p5", 1)
		s.do("DELETE /channels/<A>")
		s.wait("StasisEnd", "A", 1)
	}},
	{"play-twice", func(s *stage) {
		s.call("A")
		s.do("POST /channels/<A>/answer")
		s.do("POST /channels/<A>/play/p1", "media", "sound:beep")
		s.do("POST /channels/<A>/play/p1", "media", "sound:beep")
		s.wait("PlaybackFinished", "p1", 2)
		s.do("DELETE /channels/<A>")
		s.wait("StasisEnd", "A", 1)
	}},
	{"control", func(s *stage) {
		s.call("A")
		s.do("POST /channels/<A>/answer")
		s.do("POST /channels/<A>/play/p1", "media", "sound:demo-congrats")
		s.do("POST /channels/<A>/play/p2", "media", "sound:beep")
		s.wait("PlaybackStarted", "p1", 1)
		for _, op := range []string{"pause", "unpause", "forward", "reverse", "restart", "bogus"} {
			s.do("POST /playbacks/p2/control", "operation", op)
		}
		s.do("POST /playbacks/p1/control", "operation", "pause")
		s.do("GET /playbacks/p1")
		s.do("POST /playbacks/p1/control", "operation", "pause")
		s.do("POST /playbacks/p1/control", "operation", "unpause")
		s.wait("PlaybackStarted", "p1", 2)
		s.do("POST /playbacks/p1/control", "operation", "unpause")
		s.do("POST /playbacks/p1/control", "operation", "forward")
		s.do("POST /playbacks/p1/control", "operation", "reverse")
		s.do("POST /playbacks/p1/control", "operation", "restart")
		s.do("POST /playbacks/p1/control", "operation", "bogus")
		s.do("POST /playbacks/p1/control")
		s.do("GET /playbacks/p1")
		s.do("DELETE /playbacks/p2")
		s.do("DELETE /playbacks/p1")
		s.wait("PlaybackFinished", "p2", 1)
		s.settle()
		s.do("DELETE /playbacks/p1")
		s.do("POST /playbacks/p1/control", "operation", "pause")
		s.do("DELETE /channels/<A>")
		s.wait("StasisEnd", "A", 1)
	}},
	{"unknown", func(s *stage) {
		for _, line := range []string{
			"GET /channels/x", "DELETE /channels/x", "POST /channels/x/answer", "POST /channels/x/play", "POST /channels/x/ring",
			"POST /channels/x/continue", "GET /channels/x/variable", "GET /channels/x/bogus", "PUT /channels", "GET /nope", "GET /playbacks/x",
			"DELETE /playbacks/x", "GET /bridges/x", "DELETE /bridges/x", "POST /bridges/x/play", "GET /recordings/live/x", "DELETE /recordings/live/x",
			"POST /recordings/live/x/stop", "GET /recordings/stored/x", "DELETE /recordings/stored/x", "GET /recordings/stored/x/file",
			"GET /applications/x", "GET /sounds/nope", "GET /asterisk/modules/nope.so", "GET /asterisk/variable", "POST /asterisk/variable",
			"GET /endpoints/X", "GET /endpoints/PJSIP/nope", "GET /deviceStates/Stasis:x", "POST /events/user/foo",
			"POST /channels/x/mute", "POST /channels/x/dtmf", "POST /channels/x/redirect", "POST /channels/x/dial", "POST /channels/x/silence", "DELETE /channels/x/moh",
		} {
			s.do(line)
		}
		s.do("GET /channels/x/variable", "variable", "y")
		s.do("POST /channels/x/variable", "variable", "y", "value", "1")
		s.do("POST /channels/x/record", "name", "x", "format", "wav")
		s.do("POST /bridges/x/addChannel", "channel", "y")
		s.do("POST /channels/x/snoop", "app", "asterism")
		s.do("POST /channels/x/snoop", "app", "asterism", "spy", "both")
		s.do("POST /playbacks/x/control", "operation", "pause")
		s.do("GET /asterisk/info", "only", "bogus")
		s.do("GET /asterisk/ping")
	}},
	{"early-media", func(s *stage) {
		s.call("A")
		s.do("POST /channels/<A>/play/p1", "media", "sound:beep")
		s.wait("PlaybackFinished", "p1", 1)
		s.do("GET /channels/<A>")
		s.do("POST /channels/<A>/continue", "context", "refuse", "extension", "486")
		s.status("A")
		s.wait("StasisEnd", "A", 1)
	}},
	{"refuse", func(s *stage) {
		for _, status := range []string{"404", "503", "603"} {
			name := "A" + status
			s.call(name)
			s.do("POST /channels/<"+name+">/continue", "context", "refuse", "extension", status)
			s.status(name)
			s.wait("StasisEnd", name, 1)
		}
		for _, reason := range []string{"busy", "congestion", "no_answer", "timeout", "rejected", "normal", "unallocated", "interworking"} {
			s.call(reason)
			s.do("DELETE /channels/<"+reason+">", "reason", reason)
			s.status(reason)
			s.wait("StasisEnd", reason, 1)
		}
		s.call("A")
		s.do("DELETE /channels/<A>", "reason", "normal", "reason_code", "17")
		s.do("DELETE /channels/<A>", "reason", "bogus")
		s.do("DELETE /channels/<A>", "reason_code", "x")
		s.do("DELETE /channels/<A>", "reason_code", "27")
		s.status("A")
		s.wait("StasisEnd", "A", 1)
	}},
	{"redirect", func(s *stage) {
		s.call("A")
		s.do("POST /channels/<A>/redirect")
		s.do("POST /channels/<A>/redirect", "endpoint", "nope")
		s.do("POST /channels/<A>/redirect", "endpoint", "SIP/x")
		s.do("POST /channels/<A>/redirect", "endpoint", "PJSIP/sip:bob@127.0.50.9")
		s.status("A")
		s.wait("StasisEnd", "A", 1)
	}},
	{"record", func(s *stage) {
		s.call("A")
		s.do("POST /channels/<A>/record", "name", "conf-r1", "format", "wav")
		s.wait("RecordingStarted", "conf-r1", 1)
		s.do("GET /recordings/live/conf-r1")
		s.do("GET /recordings/stored/conf-r1")
		s.do("POST /channels/<A>/record", "name", "conf-r1", "format", "wav")
		s.do("POST /channels/<A>/record", "name", "conf-r2", "format", "bogus")
		s.do("POST /channels/<A>/record", "format", "wav")
		s.do("POST /channels/<A>/record", "name", "conf-r2", "format", "wav", "ifExists", "bad")
		s.do("POST /channels/<A>/record", "name", "conf-r2", "format", "wav", "terminateOn", "x")
		s.do("POST /channels/<A>/record", "name", "conf-r2", "format", "wav", "maxDurationSeconds", "-1")
		s.do("POST /recordings/live/conf-r1/pause")
		s.do("GET /recordings/live/conf-r1")
		s.do("POST /recordings/live/conf-r1/pause")
		s.do("DELETE /recordings/live/conf-r1/pause")
		s.do("POST /recordings/live/conf-r1/mute")
		s.do("DELETE /recordings/live/conf-r1/mute")
		s.do("POST /channels/<A>/play/p1", "media", "sound:beep")
		s.do("POST /recordings/live/conf-r1/stop")
		s.wait("PlaybackFinished", "p1", 1)
		s.settle()
		s.do("GET /recordings/live/conf-r1")
		s.do("POST /channels/<A>/record", "name", "conf-r1", "format", "wav")
		s.do("POST /recordings/stored/conf-r1/copy", "destinationRecordingName", "conf-r1b")
		s.do("POST /recordings/stored/conf-r1/copy", "destinationRecordingName", "conf-r1b")
		s.do("POST /recordings/stored/conf-r1/copy")
		s.do("DELETE /recordings/stored/conf-r1b")
		s.do("POST /channels/<A>/record", "name", "conf-r3", "format", "ulaw", "terminateOn", "#")
		s.wait("RecordingStarted", "conf-r3", 1)
		s.pause(300 * time.Millisecond)
		s.phones["A"].press(s.t, "5#")
		s.wait("RecordingFinished", "conf-r3", 1)
		s.do("POST /channels/<A>/record", "name", "conf-r4", "format", "wav")
		s.wait("RecordingStarted", "conf-r4", 1)
		s.pause(300 * time.Millisecond)
		s.do("DELETE /recordings/live/conf-r4")
		s.wait("RecordingFinished", "conf-r4", 1)
		s.settle()
		s.do("GET /recordings/stored/conf-r4")
		s.do("POST /channels/<A>/record", "name", "conf-r5", "format", "wav", "maxDurationSeconds", "1", "beep", "true")
		s.wait("RecordingFinished", "conf-r5", 1)
		s.do("POST /channels/<A>/record", "name", "conf-r6", "format", "wav")
		s.do("POST /channels/<A>/record", "name", "conf-r7", "format", "wav")
		s.wait("RecordingStarted", "conf-r6", 1)
		s.do("POST /recordings/live/conf-r7/pause")
		s.pause(300 * time.Millisecond)
		s.phones["A"].hangup(s.t)
		s.wait("StasisEnd", "A", 1)
		s.do("GET /recordings/live/conf-r6")
		for _, name := range []string{"conf-r1", "conf-r3", "conf-r5", "conf-r6", "conf-r7"} {
			s.do("GET /recordings/stored/" + name)
			s.do("DELETE /recordings/stored/" + name)
		}
	}},
	{"variables", func(s *stage) {
		s.call("A")
		s.do("POST /channels/<A>/answer")
		s.do("GET /channels/<A>/variable", "variable", "FOO")
		s.do("GET /channels/<A>/variable")
		s.do("POST /channels/<A>/variable")
		s.do("POST /channels/<A>/variable", "variable", "FOO", "value", "1")
		s.do("GET /channels/<A>/variable", "variable", "FOO")
		s.do("POST /channels/<A>/variable", "variable", "FOO")
		s.do("GET /channels/<A>/variable", "variable", "FOO")
		s.do("POST /channels/<A>/variables", `{"variables":{"A":"1","B":"2"}}`)
		s.do("POST /channels/<A>/variables", `{}`)
		s.do("POST /channels/<A>/variables")
		s.do("POST /channels/<A>/variables", `{bad`)
		s.do("POST /channels/<A>/variables", `{"variables":{"A":7}}`)
		s.do("GET /channels/<A>/variables", "variables", "A,B")
		s.do("GET /channels/<A>/variables", "variables", "A,ZZ")
		s.do("GET /channels/<A>/variables")
		s.do("POST /channels/<A>/variables", `{"variables":{"C":{"value":"x","report_events":true}}}`)
		s.do("GET /channels/<A>")
		s.do("GET /channels/<A>/variable", "variable", "CHANNEL(language)")
		s.do("GET /channels/<A>/variable", "variable", "NOSUCH(x)")
		s.do("POST /channels/<A>/play/p1", "media", "sound:demo-congrats")
		s.wait("PlaybackStarted", "p1", 1)
		join := s.later("POST /channels/<A>/variable", "variable", "LATE", "value", "9")
		s.pause(500 * time.Millisecond)
		s.do("GET /channels/<A>/variable", "variable", "LATE")
		s.do("DELETE /playbacks/p1")
		join()
		s.do("GET /channels/<A>/variable", "variable", "LATE")
		s.do("DELETE /channels/<A>")
		s.wait("StasisEnd", "A", 1)
		s.do("GET /asterisk/variable", "variable", "CONF_GLOBAL")
		s.do("POST /asterisk/variable", "variable", "CONF_GLOBAL", "value", "1")
		s.do("GET /asterisk/variable", "variable", "CONF_GLOBAL")
		s.do("POST /asterisk/variable", "variable", "CONF_GLOBAL")
	}},
	{"dtmf", func(s *stage) {
		s.call("A")
		s.do("POST /channels/<A>/answer")
		s.pause(200 * time.Millisecond)
		s.phones["A"].press(s.t, "1*0#")
		s.wait("ChannelDtmfReceived", "", 4)
		s.do("POST /channels/<A>/dtmf")
		s.do("POST /channels/<A>/dtmf", "dtmf", "12")
		s.do("POST /channels/<A>/mute")
		s.do("POST /channels/<A>/mute", "direction", "bad")
		s.do("POST /channels/<A>/mute", "direction", "in")
		s.do("DELETE /channels/<A>/mute", "direction", "in")
		s.do("POST /channels/<A>/silence")
		s.do("DELETE /channels/<A>/silence")
		s.do("POST /channels/<A>/progress")
		s.phones["A"].hangup(s.t)
		s.wait("StasisEnd", "A", 1)
	}},
	{"caller-gone", func(s *stage) {
		s.call("A")
		s.do("POST /channels/<A>/answer")
		s.do("POST /channels/<A>/play/p1", "media", "sound:demo-congrats")
		s.do("POST /channels/<A>/play/p2", "media", "sound:beep")
		s.wait("PlaybackStarted", "p1", 1)
		s.pause(200 * time.Millisecond)
		s.phones["A"].hangup(s.t)
		s.wait("StasisEnd", "A", 1)
		s.settle()
		s.do("GET /playbacks/p1")
		s.call("B")
		s.phones["B"].hangup(s.t)
		s.wait("StasisEnd", "B", 1)
		s.status("B")
	}},
	{"bridge", func(s *stage) {
		s.call("A")
		s.do("POST /channels/<A>/answer")
		s.call("B")
		s.do("POST /channels/<B>/answer")
		s.do("POST /bridges/conf-b1", "type", "mixing", "name", "room")
		s.do("POST /bridges/conf-b1", "type", "mixing")
		s.do("POST /bridges", "type", "bogus")
		s.do("POST /bridges/conf-b1/addChannel")
		s.do("POST /bridges/conf-b1/addChannel", "channel", "zz")
		s.do("POST /bridges/conf-b1/removeChannel", "channel", "<A>")
		s.do("POST /bridges/conf-b1/addChannel", "channel", "<A>")
		s.wait("ChannelEnteredBridge", "", 1)
		s.do("POST /bridges/conf-b1/addChannel", "channel", "<B>")
		s.wait("ChannelEnteredBridge", "", 2)
		s.pause(300 * time.Millisecond)
		s.do("GET /bridges/conf-b1")
		s.phones["A"].press(s.t, "7") // nobody is told of it
		s.pause(500 * time.Millisecond)
		s.do("POST /channels/<A>/play/p1", "media", "sound:beep")
		s.wait("PlaybackFinished", "p1", 1)
		s.do("POST /channels/<A>/record", "name", "conf-b", "format", "wav")
		s.wait("RecordingFailed", "", 1)
		s.do("POST /bridges/conf-b1/play/p2", "media", "sound:beep,sound:beep")
		s.wait("PlaybackFinished", "p2", 1)
		s.do("GET /bridges/conf-b1/variable", "variable", "V")
		s.do("POST /bridges/conf-b1/variable", "variable", "V", "value", "1")
		s.do("GET /bridges/conf-b1/variable", "variable", "V")
		s.do("DELETE /bridges/conf-b1/moh")
		s.do("POST /bridges/conf-b1/removeChannel", "channel", "<A>")
		s.wait("ChannelLeftBridge", "", 1)
		s.do("POST /bridges/conf-b1/addChannel", "channel", "<A>")
		s.wait("ChannelEnteredBridge", "", 3)
		s.pause(300 * time.Millisecond)
		s.phones["B"].hangup(s.t)
		s.wait("StasisEnd", "B", 1)
		s.pause(300 * time.Millisecond)
		s.do("GET /bridges/conf-b1")
		s.do("DELETE /channels/<A>")
		s.wait("StasisEnd", "A", 1)
		s.settle()
		s.do("DELETE /bridges/conf-b1")
		s.wait("BridgeDestroyed", "", 1)
		s.do("GET /bridges/conf-b1")
	}},
	{"bridge-order", func(s *stage) {
		s.call("A")
		s.do("POST /channels/<A>/answer")
		s.do("POST /bridges/conf-b2", "type", "mixing")
		s.do("POST /channels/<A>/play/p1", "media", "sound:demo-congrats")
		s.wait("PlaybackStarted", "p1", 1)
		join := s.later("POST /bridges/conf-b2/addChannel", "channel", "<A>")
		s.pause(500 * time.Millisecond)
		s.do("DELETE /playbacks/p1")
		join()
		s.wait("ChannelEnteredBridge", "", 1)
		s.do("POST /bridges/conf-b2/removeChannel", "channel", "<A>")
		s.wait("ChannelLeftBridge", "", 1)
		s.do("POST /channels/<A>/record", "name", "conf-b2", "format", "wav")
		s.wait("RecordingStarted", "", 1)
		s.do("POST /bridges/conf-b2/addChannel", "channel", "<A>")
		s.do("DELETE /recordings/live/conf-b2")
		s.wait("RecordingFinished", "", 1)
		s.settle()
		s.do("POST /bridges/conf-b2/addChannel", "channel", "<A>")
		s.wait("ChannelEnteredBridge", "", 2)
		s.do("DELETE /channels/<A>")
		s.wait("StasisEnd", "A", 1)
		s.do("DELETE /bridges/conf-b2")
		s.wait("BridgeDestroyed", "", 1)
	}},
	{"reconnect", func(s *stage) {
		s.call("A")
		s.do("POST /channels/<A>/answer")
		s.wait("ChannelStateChange", "", 1)
		s.do("POST /channels/<A>/play/p1", "media", "sound:demo-congrats")
		s.wait("PlaybackStarted", "p1", 1)
		s.disconnect()
		s.pause(300 * time.Millisecond)
		phone := s.in.dial(s.t) // nobody is there to take it
		if got := phone.status(s.t); got != http.StatusServiceUnavailable {
			s.t.Errorf("a call without an application got %d, want 503", got)
		}
		s.do("GET /playbacks/p1")
		s.do("DELETE /playbacks/p1")
		s.pause(300 * time.Millisecond)
		s.connect()
		s.do("GET /channels/<A>")
		s.do("POST /channels/<A>/play/p2", "media", "sound:beep")
		s.wait("PlaybackFinished", "p2", 1)
		s.do("DELETE /channels/<A>")
		s.wait("StasisEnd", "A", 1)
	}},
	{"filter", func(s *stage) {
		s.do("PUT /applications/asterism/eventFilter", `{"disallowed":[{"type":"ChannelVarset"},{"type":"ChannelDialplan"}]}`)
		s.do("PUT /applications/nope/eventFilter", `{}`)
		s.do("PUT /applications/asterism/eventFilter", `{"disallowed":"x"}`)
		s.do("PUT /applications/asterism/eventFilter", `{"allowed":[{"x":"y"}]}`)
		s.call("A")
		s.do("POST /channels/<A>/variable", "variable", "FOO", "value", "1")
		s.do("PUT /applications/asterism/eventFilter", `{"allowed":[{"type":"StasisEnd"}]}`)
		s.do("POST /channels/<A>/answer")
		s.do("DELETE /channels/<A>")
		s.wait("StasisEnd", "A", 1)
		s.do("PUT /applications/asterism/eventFilter", `{}`)
		s.do("POST /applications/asterism/subscription")
		s.do("POST /applications/asterism/subscription", "eventSource", "channel:zz")
		s.do("POST /applications/asterism/subscription", "eventSource", "bad:zz")
		s.do("DELETE /applications/asterism/subscription", "eventSource", "channel:zz")
		s.do("POST /events/user/foo", "application", "asterism", `{"variables":{"a":"1","n":{"x":1}}}`)
		s.wait("ChannelUserevent", "", 1)
		s.do("POST /events/user/foo", "application", "nope")
		s.do("POST /events/user/foo", "application", "asterism", "source", "channel:zz")
		s.do("POST /events/user/foo", "application", "asterism", "source", "bad:zz")
	}},
	{"originate", func(s *stage) {
		s.do("POST /channels")
		s.do("POST /channels", "endpoint", "Local/x@y")
		s.do("POST /channels", "endpoint", "bogus", "app", "asterism")
		s.do("POST /channels", "endpoint", "Bogus/x", "app", "asterism")
		yes := s.in.far(s.t, "answer")
		s.do("POST /channels/conf-yes", "endpoint", yes, "app", "asterism", "appArgs", "leg,1", "timeout", "9", `{"variables":{"FOO":"bar"}}`)
		s.wait("StasisStart", "conf-yes", 1)
		s.do("POST /channels/conf-yes", "endpoint", yes, "app", "asterism")
		s.do("GET /channels/conf-yes/variable", "variable", "FOO")
		s.do("POST /channels/conf-yes/dial")
		s.do("DELETE /channels/conf-yes")
		s.wait("ChannelDestroyed", "conf-yes", 1)
		s.do("POST /channels/conf-no", "endpoint", s.in.far(s.t, "refuse"), "app", "asterism")
		s.wait("ChannelDestroyed", "conf-no", 1)
		s.do("POST /channels/conf-late", "endpoint", s.in.far(s.t, "ring"), "app", "asterism", "timeout", "1")
		s.wait("ChannelDestroyed", "conf-late", 1)
	}},
	{"create-dial", func(s *stage) {
		s.do("POST /channels/create", "endpoint", s.in.far(s.t, "answer"), "app", "asterism", "channelId", "conf-c1")
		s.wait("StasisStart", "conf-c1", 1)
		s.do("GET /channels/conf-c1")
		s.do("POST /channels/conf-c1/dial", "timeout", "9")
		s.wait("Dial", "ANSWER", 1)
		s.do("POST /channels/conf-c1/dial", "timeout", "9")
		s.do("DELETE /channels/conf-c1")
		s.wait("ChannelDestroyed", "conf-c1", 1)
		s.do("POST /channels/create", "endpoint", s.in.far(s.t, "refuse"), "app", "asterism", "channelId", "conf-c2")
		s.wait("StasisStart", "conf-c2", 1)
		s.do("POST /channels/conf-c2/dial", "timeout", "9")
		s.wait("ChannelDestroyed", "conf-c2", 1)
		s.do("POST /channels/create", "endpoint", s.in.far(s.t, "ring"), "app", "asterism", "channelId", "conf-c3")
		s.wait("StasisStart", "conf-c3", 1)
		s.do("POST /channels/conf-c3/dial", "timeout", "1")
		s.wait("ChannelDestroyed", "conf-c3", 1)
	}},
	{"music", func(s *stage) {
		s.call("A")
		s.do("POST /channels/<A>/answer")
		s.do("POST /channels/<A>/moh")
		s.do("DELETE /channels/<A>/moh")
		s.do("POST /channels/<A>/hold")
		s.do("DELETE /channels/<A>/hold")
		s.do("POST /bridges/conf-m", "type", "holding")
		s.do("POST /bridges/conf-m/addChannel", "channel", "<A>")
		s.wait("ChannelEnteredBridge", "", 1)
		s.phones["A"].press(s.t, "4")
		s.wait("ChannelDtmfReceived", "", 1)
		s.do("POST /bridges/conf-m/removeChannel", "channel", "<A>")
		s.wait("ChannelLeftBridge", "", 1)
		s.do("POST /bridges/conf-n", "type", "mixing,dtmf_events")
		s.do("POST /bridges/conf-n/addChannel", "channel", "<A>")
		s.wait("ChannelEnteredBridge", "", 2)
		s.phones["A"].press(s.t, "5")
		s.wait("ChannelDtmfReceived", "", 2)
		s.do("POST /bridges/conf-o", "type", "mixing")
		s.do("POST /bridges/conf-o/addChannel", "channel", "<A>")
		s.wait("ChannelEnteredBridge", "", 3)
		s.phones["A"].press(s.t, "6")
		s.pause(500 * time.Millisecond)
		s.do("DELETE /channels/<A>")
		s.wait("StasisEnd", "A", 1)
		s.settle()
		for _, id := range []string{"conf-m", "conf-n", "conf-o"} {
			s.do("DELETE /bridges/" + id)
		}
	}},
	{"left", func(s *stage) {
		s.call("A")
		s.do("POST /applications/asterism/subscription", "eventSource", "channel:nope")
		s.do("POST /channels/<A>/answer")
		s.do("POST /channels/<A>/snoop/conf-sn", "spy", "both", "app", "asterism", "appArgs", "snoop,x")
		s.wait("StasisStart", "conf-sn", 1)
		s.do("POST /channels/<A>/snoop", "spy", "bad", "app", "asterism")
		s.do("POST /channels/<A>/snoop", "spy", "both")
		s.do("POST /channels/<A>/snoop/conf-sn", "spy", "both", "app", "asterism")
		s.do("POST /channels/<A>/dial")
		s.do("DELETE /channels/<A>")
		s.wait("StasisEnd", "conf-sn", 1)
	}},
}

// settle waits for what a real Asterisk does a moment after it has said that it is done: a channel can be seen after its StasisEnd,
// a playback after PlaybackFinished, and a channel counts as recording after RecordingFinished.
func (s *stage) settle() { s.pause(300 * time.Millisecond) }

// status writes the final SIP status of a call down.
func (s *stage) status(name string) {
	s.t.Helper()
	s.note("SIP " + name + " " + strconv.Itoa(s.phones[name].status(s.t)))
}

// TestConformance runs every script against the imitation, in virtual time.
func TestConformance(t *testing.T) {
	for _, script := range scripts {
		t.Run(script.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server, err := aritest.NewServer(aritest.Options{Offline: true, Dir: t.TempDir(), Far: func(f aritest.FarCall) aritest.FarAnswer {
					does := aritest.FarAnswer{Ring: true, After: 300 * time.Millisecond, Never: strings.Contains(f.Endpoint, "ring")}
					if strings.Contains(f.Endpoint, "refuse") {
						does.Cause = 17
					}
					return does
				}})
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { _ = server.Close() })
				o := server.Options()
				s := newStage(t, world{
					base: server.URL(), user: o.User, password: o.Password, client: &http.Client{Transport: server.Transport()},
					far: func(_ *testing.T, does string) string { return "PJSIP/edge/sip:" + does + "@proxy" },
					dial: func(*testing.T) telephone {
						return imitatedPhone{server.Call(aritest.Invite{Args: []string{"1", "", "end"}})}
					},
				})
				script.run(s)
				synctest.Wait()
				s.check(script.name)
			})
		})
	}
}

type imitatedPhone struct{ *aritest.Caller }

func (p imitatedPhone) press(_ *testing.T, digits string) { p.Press(digits) }
func (p imitatedPhone) hangup(*testing.T)                 { p.Hangup() }

func (p imitatedPhone) status(t *testing.T) int {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := p.Await(ctx, func(st aritest.CallState) bool { return st.SIPStatus != 0 }); err != nil {
		t.Fatalf("no final SIP status: %v", err)
	}
	return p.SIPStatus()
}
