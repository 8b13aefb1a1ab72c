package aritest_test

import (
	"context"
	"encoding/binary"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"asterism/ari/aritest"
)

// inCall runs a test in virtual time with one answered call.
func inCall(t *testing.T, o aritest.Options, fn func(b *bench, c *aritest.Caller)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		b := offline(t, o)
		c := b.server.Call(aritest.Invite{Args: []string{"1", "end"}})
		b.do(204, "POST", "/channels/"+c.Channel()+"/answer")
		fn(b, c)
	})
}

func TestRecordingLengths(t *testing.T) {
	dir := t.TempDir()
	for _, tc := range []struct {
		name   string
		params []string
		script func(c *aritest.Caller)
		took   time.Duration // from request to RecordingFinished
		stored time.Duration
	}{
		{"longest", []string{"maxDurationSeconds", "3"}, func(*aritest.Caller) {}, 3 * time.Second, 3 * time.Second},
		{"beep", []string{"maxDurationSeconds", "1", "beep", "true"}, func(*aritest.Caller) {}, 1440 * time.Millisecond, time.Second},
		{"silence", []string{"maxSilenceSeconds", "2"}, func(*aritest.Caller) {}, 2 * time.Second, 200 * time.Millisecond},
		{"speech", []string{"maxSilenceSeconds", "2"}, func(c *aritest.Caller) {
			time.Sleep(time.Second)
			c.Say(3 * time.Second)
		}, 6 * time.Second, 4200 * time.Millisecond},
		{"speech goes on", []string{"maxSilenceSeconds", "1"}, func(c *aritest.Caller) {
			c.Say(time.Second)
			time.Sleep(900 * time.Millisecond)
			c.Say(time.Second)
		}, 2900 * time.Millisecond, 2100 * time.Millisecond},
		{"key", []string{"terminateOn", "#"}, func(c *aritest.Caller) {
			time.Sleep(1500 * time.Millisecond)
			c.Press("4#")
		}, 1500 * time.Millisecond, 1500 * time.Millisecond},
		{"hang-up", nil, func(c *aritest.Caller) {
			time.Sleep(2 * time.Second)
			c.Hangup()
		}, 2 * time.Second, 2 * time.Second},
	} {
		t.Run(tc.name, func(t *testing.T) {
			inCall(t, aritest.Options{Dir: dir}, func(b *bench, c *aritest.Caller) {
				t := b.t
				began := time.Now()
				b.do(201, "POST", "/channels/"+c.Channel()+"/record", append([]string{"name", "vm/" + tc.name, "format", "wav"}, tc.params...)...)
				tc.script(c)
				b.await("RecordingFinished", 1)
				if took := time.Since(began); took != tc.took {
					t.Errorf("took %s, want %s", took, tc.took)
				}
				raw, err := os.ReadFile(filepath.Join(dir, "vm", tc.name+".wav"))
				if err != nil {
					t.Fatal(err)
				}
				if size, want := len(raw)-44, int(16*tc.stored.Milliseconds()); size != want || int(binary.LittleEndian.Uint32(raw[40:])) != want {
					t.Errorf("file has %d bytes of sound, header says %d, want %d", size, binary.LittleEndian.Uint32(raw[40:]), want)
				}
			})
		})
	}
}

func TestRecordingHoldsTheSpeech(t *testing.T) {
	dir := t.TempDir()
	inCall(t, aritest.Options{Dir: dir}, func(b *bench, c *aritest.Caller) {
		t := b.t
		b.do(201, "POST", "/channels/"+c.Channel()+"/record", "name", "r", "format", "wav16")
		time.Sleep(time.Second)
		c.Say(time.Second)
		time.Sleep(500 * time.Millisecond)
		b.do(204, "POST", "/recordings/live/r/pause")
		time.Sleep(10 * time.Second)
		b.do(204, "DELETE", "/recordings/live/r/pause")
		time.Sleep(500 * time.Millisecond)
		b.do(204, "POST", "/recordings/live/r/stop")
		raw, err := os.ReadFile(filepath.Join(dir, "r.wav16"))
		if err != nil {
			t.Fatal(err)
		}
		if len(raw) != 44+2*2*16000 {
			t.Fatalf("%d bytes, want 2 s", len(raw))
		}
		loud := func(from, until time.Duration) bool {
			for at := from; at < until; at += time.Second / 16000 {
				if v := int16(binary.LittleEndian.Uint16(raw[44+2*int(at*16000/time.Second):])); v > 4000 || v < -4000 {
					return true
				}
			}
			return false
		}
		if loud(0, time.Second) || !loud(time.Second, 1500*time.Millisecond) || loud(1500*time.Millisecond, 2*time.Second) {
			t.Error("the speech is not where it was spoken")
		}
	})
}

func TestCrashLeavesAFileWithoutLength(t *testing.T) {
	dir := t.TempDir()
	inCall(t, aritest.Options{Dir: dir}, func(b *bench, c *aritest.Caller) {
		t := b.t
		b.do(201, "POST", "/channels/"+c.Channel()+"/record", "name", "r", "format", "wav")
		time.Sleep(3 * time.Second)
		b.server.Faults().Crash()
		<-c.Ended()
		if _, _, err := b.try("GET", "/asterisk/ping", nil, ""); err == nil {
			t.Error("a crashed server answered")
		}
		raw, err := os.ReadFile(filepath.Join(dir, "r.wav"))
		if err != nil || len(raw) != 44+48000 || binary.LittleEndian.Uint32(raw[40:]) != 0 {
			t.Fatalf("file of %d bytes, %v; want 48044 with a length of 0 in its header", len(raw), err)
		}
		if err := b.server.Faults().Restart(); err != nil {
			t.Fatal(err)
		}
		b.do(200, "GET", "/asterisk/ping")
		b.do(404, "GET", "/channels/"+c.Channel())
		b.do(200, "GET", "/recordings/stored/r")
	})
}

func TestTalkDetection(t *testing.T) {
	inCall(t, aritest.Options{}, func(b *bench, c *aritest.Caller) {
		t := b.t
		b.do(204, "POST", "/channels/"+c.Channel()+"/variable", "variable", "TALK_DETECT(set)", "value", "")
		c.Say(time.Second)
		time.Sleep(500 * time.Millisecond)
		c.Say(time.Second)
		b.await("ChannelTalkingFinished", 1)
		if ev := b.await("ChannelTalkingFinished", 1); ev.All["duration"] != 1500.0 {
			t.Errorf("talked for %v ms, want 1500", ev.All["duration"])
		}
		if n := strings.Count(strings.Join(b.types(), " "), "ChannelTalkingStarted"); n != 1 {
			t.Errorf("%d ChannelTalkingStarted, want 1", n)
		}
	})
}

func TestControlMovesTheEnd(t *testing.T) {
	for name, tc := range map[string]struct {
		op   string
		want time.Duration
	}{"forward": {"forward", 27 * time.Second}, "reverse": {"reverse", 33 * time.Second}, "restart": {"restart", 35 * time.Second}} {
		t.Run(name, func(t *testing.T) {
			inCall(t, aritest.Options{}, func(b *bench, c *aritest.Caller) {
				t := b.t
				began := time.Now()
				b.do(201, "POST", "/channels/"+c.Channel()+"/play/p", "media", "sound:demo-congrats")
				time.Sleep(4 * time.Second)
				b.do(204, "POST", "/playbacks/p/control", "operation", "pause")
				time.Sleep(time.Minute)
				b.do(204, "POST", "/playbacks/p/control", "operation", "unpause")
				time.Sleep(time.Second)
				b.do(204, "POST", "/playbacks/p/control", "operation", tc.op)
				b.await("PlaybackFinished", 1)
				if took := time.Since(began) - time.Minute; took != tc.want {
					t.Errorf("played for %s, want %s", took, tc.want)
				}
			})
		})
	}
}

func TestOriginate(t *testing.T) {
	far := map[string]aritest.FarAnswer{
		"PJSIP/edge/sip:yes@proxy":  {Ring: true, After: 2 * time.Second},
		"PJSIP/edge/sip:busy@proxy": {After: time.Second, Cause: 17},
		"PJSIP/edge/sip:none@proxy": {Ring: true, Never: true},
	}
	for name, tc := range map[string]struct {
		endpoint string
		events   []string
	}{
		"answers": {"PJSIP/edge/sip:yes@proxy", []string{"Dial", "ChannelStateChange", "Dial", "ChannelStateChange", "Dial", "ChannelVarset", "StasisStart"}},
		"busy":    {"PJSIP/edge/sip:busy@proxy", []string{"Dial", "ChannelHangupRequest", "Dial", "ChannelDestroyed"}},
		"nobody":  {"PJSIP/edge/sip:none@proxy", []string{"Dial", "ChannelStateChange", "Dial", "ChannelDestroyed"}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := offline(t, aritest.Options{Far: func(f aritest.FarCall) aritest.FarAnswer { return far[f.Endpoint] }})
				b.do(200, "POST", "/channels/leg", "endpoint", tc.endpoint, "app", "asterism", "appArgs", "a,b", "timeout", "10", "callerId", `"Bob" <77>`)
				b.do(409, "POST", "/channels/leg", "endpoint", tc.endpoint, "app", "asterism")
				time.Sleep(11 * time.Second)
				synctest.Wait()
				if got := b.types(); !slices.Equal(got, tc.events) {
					t.Errorf("events\n got %v\nwant %v", got, tc.events)
				}
				if c := b.server.CallerOf("leg"); c != nil {
					c.Press("5")
					b.await("ChannelDtmfReceived", 1)
					c.Hangup()
					b.await("StasisEnd", 1)
				}
			})
		})
	}
}

func TestCreateAndDial(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := offline(t, aritest.Options{})
		b.do(200, "POST", "/channels/create", "endpoint", "PJSIP/edge", "app", "asterism", "channelId", "k")
		b.await("StasisStart", 1)
		b.do(204, "POST", "/channels/k/dial", "timeout", "5")
		b.do(409, "POST", "/channels/k/dial")
		<-b.server.CallerOf("k").Answered()
		b.do(204, "DELETE", "/channels/k")
		b.await("ChannelDestroyed", 1)
	})
}

func TestFaults(t *testing.T) {
	inCall(t, aritest.Options{}, func(b *bench, c *aritest.Caller) {
		t := b.t
		f := b.server.Faults()
		ping := func(limit time.Duration) (int, time.Duration, error) {
			ctx, cancel := context.WithTimeout(t.Context(), limit)
			defer cancel()
			req, err := http.NewRequestWithContext(ctx, http.MethodGet, b.server.URL()+"/asterisk/ping", nil)
			if err != nil {
				t.Fatal(err)
			}
			req.SetBasicAuth("asterism", "secret")
			began := time.Now()
			resp, err := b.client.Do(req)
			if err != nil {
				return 0, time.Since(began), err
			}
			_ = resp.Body.Close()
			return resp.StatusCode, time.Since(began), nil
		}
		f.Slow("GET /asterisk/*", time.Second)
		if _, took, _ := ping(time.Minute); took != time.Second {
			t.Errorf("a slow request took %s", took)
		}
		f.Slow("GET /asterisk/*", 0)
		f.Fail("/asterisk/ping", 503, 1)
		if status, _, _ := ping(time.Minute); status != 503 {
			t.Errorf("status %d, want 503", status)
		}
		f.Hang("", 1)
		if _, took, err := ping(3 * time.Second); !errors.Is(err, context.DeadlineExceeded) || took != 3*time.Second {
			t.Errorf("a hanging request ended after %s with %v", took, err)
		}
		f.LoseEvents("ChannelDtmfReceived", 1)
		c.Press("12")
		if ev := b.await("ChannelDtmfReceived", 1); ev.All["digit"] != "2" {
			t.Errorf("digit %v came, want 2", ev.All["digit"])
		}
		f.Freeze()
		c.Press("3")
		if _, _, err := ping(time.Second); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a frozen server answered: %v", err)
		}
		synctest.Wait()
		if n := strings.Count(strings.Join(b.types(), " "), "Dtmf"); n != 1 {
			t.Errorf("%d keys came from a frozen server", n-1)
		}
		f.Thaw()
		b.await("ChannelDtmfReceived", 2)
		if status, _, err := ping(time.Second); status != 200 {
			t.Errorf("status %d, %v after the thaw", status, err)
		}
		if all := b.server.Requests(); all[len(all)-1].Path != "/asterisk/ping" {
			t.Errorf("last request %+v", all[len(all)-1])
		}
	})
}

func TestDropLosesEvents(t *testing.T) {
	inCall(t, aritest.Options{}, func(b *bench, c *aritest.Caller) {
		t := b.t
		b.server.Faults().DropSockets(0)
		c.Press("1")
		if st := b.server.Stats(); st.EventsLost == 0 || st.Channels != 1 {
			t.Errorf("stats %+v", st)
		}
		defer b.server.Subscribe("asterism", b.take)()
		c.Press("2")
		if ev := b.await("ChannelDtmfReceived", 1); ev.All["digit"] != "2" {
			t.Errorf("digit %v came, want 2", ev.All["digit"])
		}
	})
}

func TestReplacedApplication(t *testing.T) {
	inCall(t, aritest.Options{}, func(b *bench, _ *aritest.Caller) {
		defer b.server.Subscribe("asterism", func([]byte) {})()
		b.await("ApplicationReplaced", 1)
	})
}

func TestPasswordAndLimits(t *testing.T) {
	inCall(t, aritest.Options{}, func(b *bench, c *aritest.Caller) {
		t := b.t
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, b.server.URL()+"/asterisk/ping", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.SetBasicAuth("asterism", "wrong")
		resp, err := b.client.Do(req)
		if err != nil || resp.StatusCode != http.StatusUnauthorized {
			t.Fatalf("wrong password: %v, %v", resp, err)
		}
		_ = resp.Body.Close()
		vars := "/channels/" + c.Channel() + "/variables"
		if status, _, _ := b.try("POST", vars, nil, `{"variables":{"A":"`+strings.Repeat("x", 70000)+`"}}`); status != 413 {
			t.Errorf("long body: %d, want 413", status)
		}
		b.do(400, "GET", "/asterisk/variable", "variable", strings.Repeat("x", 4096))
	})
}

func TestTransfer(t *testing.T) {
	o := aritest.Options{Transfer: func(target string) (string, string) { return "FAILURE", "486 " + target }}
	inCall(t, o, func(b *bench, c *aritest.Caller) {
		t, ch := b.t, "/channels/"+c.Channel()
		b.do(204, "POST", ch+"/variable", "variable", "ASTERISM_TRANSFER", "value", "PJSIP/sip:7@edge")
		b.do(204, "POST", ch+"/continue", "context", "transfer", "extension", "s")
		ev := b.await("StasisStart", 2)
		want := []any{"transfer", "FAILURE", "486 sip:7@edge", "end"}
		if got, _ := ev.All["args"].([]any); !slices.Equal(got, want) {
			t.Errorf("came back with %v, want %v", got, want)
		}
		if got := c.State().ReferTo; got != "sip:7@edge" {
			t.Errorf("REFER to %q", got)
		}
		b.do(204, "DELETE", ch)
	})
}

func TestDraining(t *testing.T) {
	inCall(t, aritest.Options{}, func(b *bench, c *aritest.Caller) {
		t := b.t
		b.do(204, "POST", "/asterisk/variable", "variable", "ASTERISM_DRAINING", "value", "1")
		if got := b.server.Call(aritest.Invite{}).SIPStatus(); got != 503 {
			t.Errorf("a draining node answered %d, want 503", got)
		}
		if got := b.server.Call(aritest.Invite{Pinned: true}).SIPStatus(); got != 0 {
			t.Errorf("a pinned call got %d while draining", got)
		}
		if c.State().Ended {
			t.Error("draining ended a running call")
		}
	})
}
