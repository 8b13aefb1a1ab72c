//go:build e2e

package ari_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	asteriskconf "asterism/asterisk-conf"

	"asterism/ari"
	"asterism/e2e/telephony"
)

// realARI is a client of a real Asterisk that listens to the application asterism.
type realARI struct {
	*ari.Client
	node   *telephony.Asterisk
	events chan ari.Event
	gone   chan error
}

func startReal(t *testing.T) *realARI {
	t.Helper()
	node := telephony.ForTest(t, func(o *telephony.Options) {
		o.Conf = func(p *asteriskconf.Params) {
			p.ExtraDialplan = "[aritest]\nexten => s,1,Answer()\n same => n,Wait(60)\nexten => app,1,Stasis(asterism,a,b c)\n same => n,Hangup()\n" +
				"exten => later,1,Wait(0.2)\n same => n,Set(SEEN=1)\n same => n,Wait(60)\n"
		}
	})
	client, err := ari.New(ari.Options{BaseURL: node.ARIURL(), Username: node.ARIUser(), Password: node.ARIPassword()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	r := &realARI{Client: client, node: node, events: make(chan ari.Event, 1000), gone: make(chan error, 10)}
	ctx, cancel := context.WithCancel(t.Context())
	connected := make(chan struct{}, 10)
	done := make(chan error, 1)
	go func() {
		done <- client.Listen(ctx, ari.ListenOptions{
			App: "asterism", SubscribeAll: true,
			OnConnect:    func(context.Context, bool) error { connected <- struct{}{}; return nil },
			OnDisconnect: func(err error) { r.gone <- err },
			OnEvent: func(raw []byte) {
				ev, err := ari.DecodeEvent(raw)
				if err != nil {
					t.Errorf("decode %s: %v", raw, err)
					return
				}
				if h, err := ari.Peek(raw); err != nil || h.Type != ev.Base().Type {
					t.Errorf("peek at %s: %v, %v", raw, h, err)
				}
				if _, unknown := ev.(*ari.UnknownEvent); unknown {
					t.Errorf("an event of Asterisk %s is unknown: %s", "22.10", raw)
				}
				r.events <- ev
			},
		})
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("Listen returned %v", err)
		}
	})
	select {
	case <-connected:
	case err := <-r.gone:
		t.Fatal(err)
	case <-time.After(10 * time.Second):
		t.Fatal("no websocket within 10 s")
	}
	return r
}

// await returns the next event of type E that ok accepts.
func await[E ari.Event](t *testing.T, r *realARI, ok func(E) bool) E {
	t.Helper()
	deadline := time.After(10 * time.Second)
	for {
		select {
		case ev := <-r.events:
			if e, is := ev.(E); is && (ok == nil || ok(e)) {
				return e
			}
		case <-deadline:
			t.Fatalf("no %T within 10 s", *new(E))
		}
	}
}

// leg originates a Local channel whose first half enters the application, and returns that half.
func (r *realARI) leg(t *testing.T, id string) *ari.Channel {
	t.Helper()
	ch, err := r.Channels().OriginateWithID(t.Context(), id, "Local/s@aritest", &ari.ChannelOriginateWithIDOptions{
		App: "asterism", AppArgs: "x,y z", CallerID: `"Ann, \"A\" Ω" <100>`,
		Variables: ari.VarSet{"PLAIN": {Value: "v,1"}, "SHOWN": {Value: "w", ReportEvents: true}},
	})
	if err != nil {
		t.Fatal(err)
	}
	start := await(t, r, func(e *ari.StasisStart) bool { return e.Channel.ID == ch.ID })
	if want := []string{"x", "y z"}; !slices.Equal(start.Args, want) {
		t.Errorf("arguments %q, expected %q", start.Args, want)
	}
	return ch
}

func writeWav(t *testing.T, path string, seconds int) {
	t.Helper()
	n := seconds * 16000
	var b bytes.Buffer
	b.WriteString("RIFF")
	for _, v := range []any{uint32(36 + n), [8]byte([]byte("WAVEfmt ")), uint32(16), uint16(1), uint16(1), uint32(8000), uint32(16000), uint16(2), uint16(16), [4]byte([]byte("data")), uint32(n)} {
		if err := binary.Write(&b, binary.LittleEndian, v); err != nil {
			t.Fatal(err)
		}
	}
	b.Write(make([]byte, n))
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, b.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestRealCall(t *testing.T) {
	r := startReal(t)
	ctx := t.Context()
	if v, err := r.CheckVersion(ctx); err != nil {
		t.Errorf("CheckVersion: %v", err)
	} else {
		t.Logf("version %q", v)
	}
	id := "call/1+2~ä"
	ch := r.leg(t, id)
	if ch.ID != id {
		t.Errorf("id %q, expected %q", ch.ID, id)
	}
	got, err := r.Channels().Get(ctx, id)
	if err != nil {
		t.Fatal(err)
	}
	if got.Caller.Name != `Ann, "A" Ω` || got.Caller.Number != "100" || got.State != ari.ChannelStateUp || time.Since(got.CreationTime.Time).Abs() > time.Minute {
		t.Errorf("channel %+v", got)
	}
	if !maps.Equal(got.ChannelVars, map[string]string{"SHOWN": "w", "RTPAUDIOQOS": ""}) { // the second is of ari.conf, for call records
		t.Errorf("channelvars %v", got.ChannelVars)
	}
	for name, want := range map[string]string{"PLAIN": "v,1", "SHOWN": "w", "CALLERID(num)": "100", "CHANNEL(state)": "Up"} {
		if v, err := r.Channels().GetVar(ctx, id, name); err != nil || v != want {
			t.Errorf("%s is %q, %v, expected %q", name, v, err, want)
		}
	}
	if err := r.Channels().SetVar(ctx, id, "EMPTY", "", nil); err != nil {
		t.Error(err)
	}
	if v, err := r.Channels().GetVar(ctx, id, "EMPTY"); err == nil || !ari.IsNotFound(err) {
		t.Logf("fact: EMPTY reads as %q, %v", v, err)
	} else {
		t.Logf("fact: a variable set to nothing reads as %v", err)
	}
	long := strings.Repeat("x", 5000)
	if err := r.Channels().SetVars(ctx, id, ari.Vars(map[string]string{"LONG": long, "A B": "1"})); err != nil {
		t.Error(err)
	}
	vars, err := r.Channels().GetVars(ctx, id, []string{"LONG", "PLAIN", "CALLERID(num)"})
	if err != nil || vars["LONG"] != long || vars["PLAIN"] != "v,1" || vars["CALLERID(num)"] != "100" {
		t.Errorf("variables %.60v…, %v", vars, err)
	}
	if _, err := r.Channels().GetVar(ctx, id, "NONE"); !ari.IsNotFound(err) {
		t.Errorf("reading a missing variable: %v, expected 404", err)
	}
	if err := r.Channels().SetVar(ctx, id, "REPORTED", "1", &ari.ChannelSetVarOptions{ReportEvents: true}); err != nil {
		t.Error(err)
	}
	if err := r.Channels().Ring(ctx, id); err != nil {
		t.Error(err)
	}
	if err := r.Channels().SendDTMF(ctx, id, "12", &ari.ChannelSendDTMFOptions{Before: 10, Between: new(0), Duration: new(60)}); err != nil {
		t.Error(err)
	}
	// The digits come out at the other half.
	digit := await(t, r, func(e *ari.ChannelDtmfReceived) bool { return e.Digit == "2" })
	if h, err := ari.Peek(digit.Raw); err != nil || h.Digit != "2" || h.DurationMS != digit.DurationMS || h.DurationMS < 50 || h.ChannelID != id+";2" {
		t.Errorf("header %+v, %v", h, err)
	}
	if err := r.Channels().Hangup(ctx, id, &ari.ChannelHangupOptions{ReasonCode: "17"}); err != nil {
		t.Error(err)
	}
	end := await(t, r, func(e *ari.ChannelDestroyed) bool { return e.Channel.ID == id })
	if end.Cause != 17 {
		t.Errorf("cause %d %s, expected 17", end.Cause, end.CauseText)
	}
	if err := r.Channels().Hangup(ctx, id, nil); !ari.IsNotFound(err) {
		t.Errorf("hanging up twice: %v, expected 404", err)
	}
}

func TestRealMedia(t *testing.T) {
	r := startReal(t)
	ctx := t.Context()
	prompt := filepath.Join(r.node.MediaDir(), "one,two")
	writeWav(t, prompt+".wav", 1)
	ch := r.leg(t, "m1")

	pb, err := r.Channels().PlayWithID(ctx, ch.ID, "p~1", []string{"sound:" + prompt, "sound:" + prompt}, &ari.ChannelPlayWithIDOptions{SkipMS: new(100)})
	if err != nil {
		t.Fatal(err)
	}
	if pb.ID != "p~1" || pb.TargetURI != "channel:m1" {
		t.Errorf("playback %+v", pb)
	}
	await[*ari.PlaybackStarted](t, r, nil)
	if err := r.Playbacks().Control(ctx, "p~1", "pause"); err != nil {
		t.Error(err)
	}
	if err := r.Playbacks().Control(ctx, "p~1", "unpause"); err != nil {
		t.Error(err)
	}
	await[*ari.PlaybackContinuing](t, r, nil)
	if err := r.Playbacks().Stop(ctx, "p~1"); err != nil {
		t.Error(err)
	}
	fin := await(t, r, func(e *ari.PlaybackFinished) bool { return e.Playback.ID == "p~1" })
	if h, err := ari.Peek(fin.Raw); err != nil || h.PlaybackID != "p~1" || h.TargetURI != "channel:m1" || h.State != ari.PlaybackStateDone {
		t.Errorf("header %+v, %v", h, err)
	}

	if _, err := r.Channels().Record(ctx, ch.ID, "dir/rec+1", "wav", &ari.ChannelRecordOptions{IfExists: "fail", MaxDurationSeconds: 30, TerminateOn: "#"}); err != nil {
		t.Fatal(err)
	}
	await[*ari.RecordingStarted](t, r, nil)
	live, err := r.Recordings().GetLive(ctx, "dir/rec+1")
	if err != nil || live.TargetURI != "channel:m1" {
		t.Errorf("live recording %+v, %v", live, err)
	}
	if err := r.Recordings().Stop(ctx, "dir/rec+1"); err != nil {
		t.Error(err)
	}
	rec := await[*ari.RecordingFinished](t, r, nil)
	if h, err := ari.Peek(rec.Raw); err != nil || h.RecordingName != "dir/rec+1" || h.TargetURI != "channel:m1" || h.State != ari.LiveRecordingStateDone {
		t.Errorf("header %+v, %v", h, err)
	}
	var file bytes.Buffer
	n, err := r.Recordings().GetStoredFile(ctx, "dir/rec+1", &file)
	if err != nil || n < 44 || !bytes.HasPrefix(file.Bytes(), []byte("RIFF")) {
		t.Errorf("stored file of %d bytes, %v", n, err)
	}
	if _, err := r.Channels().Record(ctx, ch.ID, "dir/rec+1", "wav", nil); !ari.IsConflict(err) {
		t.Errorf("recording a name twice: %v, expected 409", err)
	}
	if list, err := r.Recordings().ListStored(ctx); err != nil || len(list) != 1 || list[0].Name != "dir/rec+1" {
		t.Errorf("stored recordings %v, %v", list, err)
	}
	if err := r.Recordings().DeleteStored(ctx, "dir/rec+1"); err != nil {
		t.Error(err)
	}
	if _, err := r.Recordings().GetStored(ctx, "dir/rec+1"); !ari.IsNotFound(err) {
		t.Errorf("a deleted recording: %v, expected 404", err)
	}
}

func TestRealBridge(t *testing.T) {
	r := startReal(t)
	ctx := t.Context()
	a, b := r.leg(t, "b1"), r.leg(t, "b2")
	br, err := r.Bridges().CreateWithID(ctx, "room~1", &ari.BridgeCreateWithIDOptions{
		Type: "mixing,dtmf_events", Name: "Room Ω", Variables: ari.VarSet{"PLAIN": {Value: "p"}, "SHOWN": {Value: "s", ReportEvents: true}},
	})
	if err != nil || br.ID != "room~1" || br.Name != "Room Ω" || br.BridgeType != ari.BridgeBridgeTypeMixing {
		t.Fatalf("bridge %+v, %v", br, err)
	}
	if err := r.Bridges().AddChannel(ctx, "room~1", []string{a.ID, b.ID}, &ari.BridgeAddChannelOptions{Mute: true}); err != nil {
		t.Fatal(err)
	}
	in := await(t, r, func(e *ari.ChannelEnteredBridge) bool { return e.Channel != nil && e.Channel.ID == b.ID })
	if h, err := ari.Peek(in.Raw); err != nil || h.BridgeID != "room~1" || h.ChannelID != b.ID {
		t.Errorf("header %+v, %v", h, err)
	}
	if br, err = r.Bridges().Get(ctx, "room~1"); err != nil || len(br.Channels) != 2 || br.BridgeVars["SHOWN"] != "s" {
		t.Errorf("bridge %+v, %v", br, err)
	}
	if v, err := r.Bridges().GetVars(ctx, "room~1", []string{"PLAIN", "SHOWN"}); err != nil || v["PLAIN"] != "p" || v["SHOWN"] != "s" {
		t.Errorf("variables %v, %v", v, err)
	}
	if err := r.Bridges().SetVars(ctx, "room~1", ari.Vars(map[string]string{"PLAIN": "q"})); err != nil {
		t.Error(err)
	}
	if v, err := r.Bridges().GetVar(ctx, "room~1", "PLAIN"); err != nil || v != "q" {
		t.Errorf("PLAIN is %q, %v", v, err)
	}
	if err := r.Bridges().RemoveChannel(ctx, "room~1", []string{a.ID}); err != nil {
		t.Error(err)
	}
	await(t, r, func(e *ari.ChannelLeftBridge) bool { return e.Channel.ID == a.ID })
	if err := r.Bridges().Destroy(ctx, "room~1"); err != nil {
		t.Error(err)
	}
	await[*ari.BridgeDestroyed](t, r, nil)
}

func TestRealApplication(t *testing.T) {
	r := startReal(t)
	ctx := t.Context()
	app, err := r.Applications().Filter(ctx, "asterism", &ari.EventFilter{Disallowed: []string{ari.TypeChannelVarset, ari.TypeChannelDialplan}})
	if err != nil || len(app.EventsDisallowed) != 2 || app.EventsDisallowed[0].Type != ari.TypeChannelVarset {
		t.Fatalf("application %+v, %v", app, err)
	}
	if app, err = r.Applications().Filter(ctx, "asterism", &ari.EventFilter{Disallowed: []string{}}); err != nil || len(app.EventsDisallowed) != 0 {
		t.Errorf("application %+v, %v", app, err)
	}
	if app, err = r.Applications().Filter(ctx, "asterism", nil); err != nil {
		t.Errorf("application %+v, %v", app, err)
	}
	ch := r.leg(t, "a1")
	if _, err := r.Applications().Subscribe(ctx, "asterism", []string{"channel:" + ch.ID, "deviceState:Stasis:lamp"}); err != nil {
		t.Error(err)
	}
	if err := r.Events().User(ctx, "greeting", "asterism", &ari.EventUserOptions{
		Source: []string{"channel:" + ch.ID}, Variables: map[string]any{"n": 1, "list": []string{"a"}},
	}); err != nil {
		t.Fatal(err)
	}
	ev := await[*ari.ChannelUserevent](t, r, nil)
	if ev.EventName != "greeting" || !bytes.Contains(ev.UserEvent, []byte(`"list"`)) || ev.Channel == nil || ev.Channel.ID != ch.ID {
		t.Errorf("user event %s", ev.Raw)
	}
	if err := r.DeviceStates().Update(ctx, "Stasis:lamp", ari.DeviceStateInuse); err != nil {
		t.Error(err)
	}
	await(t, r, func(e *ari.DeviceStateChanged) bool { return e.DeviceState.State == ari.DeviceStateInuse })
	if _, err := r.Applications().Unsubscribe(ctx, "asterism", []string{"deviceState:Stasis:lamp"}); err != nil {
		t.Error(err)
	}
	if err := r.DeviceStates().Delete(ctx, "Stasis:lamp"); err != nil {
		t.Error(err)
	}
	if err := r.Channels().Continue(ctx, ch.ID, &ari.ChannelContinueOptions{Context: "aritest", Extension: "later", Priority: 1}); err != nil {
		t.Error(err)
	}
	await(t, r, func(e *ari.StasisEnd) bool { return e.Channel.ID == ch.ID })
	await(t, r, func(e *ari.ChannelVarset) bool { return e.Variable == "SEEN" })
}

func TestRealInformation(t *testing.T) {
	r := startReal(t)
	ctx := t.Context()
	info, err := r.Asterisk().Info(ctx, nil)
	if err != nil || info.Status == nil || info.Status.StartupTime.IsZero() || info.Config == nil || info.Build == nil {
		t.Errorf("information %+v, %v", info, err)
	}
	for name, do := range map[string]func() error{
		"ping":         func() error { _, err := r.Asterisk().Ping(ctx); return err },
		"modules":      func() error { _, err := r.Asterisk().ListModules(ctx); return err },
		"module":       func() error { _, err := r.Asterisk().Module(ctx, "res_stasis.so"); return err },
		"logging":      func() error { _, err := r.Asterisk().ListLogChannels(ctx); return err },
		"endpoints":    func() error { _, err := r.Endpoints().List(ctx); return err },
		"sounds":       func() error { _, err := r.Sounds().List(ctx, nil); return err },
		"deviceStates": func() error { _, err := r.DeviceStates().List(ctx); return err },
		"applications": func() error { _, err := r.Applications().List(ctx); return err },
		"bridges":      func() error { _, err := r.Bridges().List(ctx); return err },
		"global":       func() error { return r.Asterisk().SetVar(ctx, "ASTERISM_DRAINING", "1") },
	} {
		if err := do(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if v, err := r.Asterisk().GetVar(ctx, "ASTERISM_DRAINING"); err != nil || v != "1" {
		t.Errorf("global variable %q, %v", v, err)
	}
}

func TestRealErrors(t *testing.T) {
	r := startReal(t)
	ctx := t.Context()
	ch := r.leg(t, "e1")
	for _, tt := range []struct {
		name string
		want int
		do   func() error
	}{
		{"unknown channel", 404, func() error { return r.Channels().Answer(ctx, "none") }},
		{"taken id", 409, func() error {
			_, err := r.Channels().Create(ctx, "Local/s@aritest", "asterism", &ari.ChannelCreateOptions{ChannelID: ch.ID})
			return err
		}},
		{"bad reason", 400, func() error { return r.Channels().Hangup(ctx, ch.ID, &ari.ChannelHangupOptions{Reason: "tired"}) }},
		{"no media scheme", 0, func() error { _, err := r.Channels().Play(ctx, ch.ID, []string{"nonsense"}, nil); return err }},
		{"long query", 400, func() error { _, err := r.Channels().GetVar(ctx, ch.ID, strings.Repeat("x", 5000)); return err }},
		{"long body", 413, func() error { return r.Channels().SetVar(ctx, ch.ID, "X", strings.Repeat("x", 100000), nil) }},
		{"no mailboxes", 404, func() error { _, err := r.Mailboxes().List(ctx); return err }},
		{"bad recording format", 422, func() error { _, err := r.Channels().Record(ctx, ch.ID, "x", "mp17", nil); return err }},
	} {
		err := tt.do()
		t.Logf("fact: %s: %v", tt.name, err)
		if ari.StatusCode(err) != tt.want {
			t.Errorf("%s: %v, expected status %d", tt.name, err, tt.want)
		}
	}
	wrong, err := ari.New(ari.Options{BaseURL: r.node.ARIURL(), Username: r.node.ARIUser(), Password: "wrong"})
	if err != nil {
		t.Fatal(err)
	}
	defer wrong.Close()
	if _, err := wrong.Asterisk().Ping(ctx); !ari.IsUnauthorized(err) {
		t.Errorf("wrong password: %v, expected 401", err)
	} else {
		t.Log(err)
	}
	listenCtx, cancel := context.WithCancel(ctx)
	refused := 0
	if err := wrong.Listen(listenCtx, ari.ListenOptions{App: "other", OnEvent: func([]byte) {}, MinBackoff: time.Millisecond, OnDisconnect: func(err error) {
		t.Log(err)
		if !ari.IsUnauthorized(err) {
			t.Errorf("wrong password on the websocket: %v, expected 401", err)
		}
		if refused++; refused == 3 {
			cancel()
		}
	}}); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	cancel()
}

// TestRealReplaced pins what happens to a listener whose application another one takes over: it is told, and is left
// with an open websocket that stays silent.
func TestRealReplaced(t *testing.T) {
	r := startReal(t)
	other := make(chan error, 1)
	connected := make(chan struct{})
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		other <- r.Listen(ctx, ari.ListenOptions{App: "asterism", OnEvent: func([]byte) {}, OnConnect: func(context.Context, bool) error {
			close(connected)
			return nil
		}})
	}()
	<-connected
	replaced := await[*ari.ApplicationReplaced](t, r, nil)
	if replaced.Application != "asterism" {
		t.Errorf("event %s", replaced.Raw)
	}
	cancel()
	if err := <-other; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	select {
	case err := <-r.gone:
		t.Errorf("the replaced listener was cut off: %v", err)
	default:
	}
	log, err := r.node.Log()
	if err != nil || strings.Contains(log, "ERROR") || strings.Contains(log, "WARNING") {
		t.Errorf("coming and going of a listener left a mark in the log, %v:\n%s", err, log)
	}
}

// TestRealPause stops Asterisk for a moment: the pings, which Asterisk answers while it is well, notice, and the
// listener comes back and says so.
func TestRealPause(t *testing.T) {
	r := startReal(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	happened := make(chan string, 1000)
	done := make(chan error, 1)
	go func() {
		done <- r.Listen(ctx, ari.ListenOptions{
			App: "pinged", OnEvent: func([]byte) {},
			PingInterval: 50 * time.Millisecond, PingTimeout: 500 * time.Millisecond, DialTimeout: 500 * time.Millisecond,
			OnConnect: func(_ context.Context, first bool) error {
				happened <- map[bool]string{true: "first", false: "again"}[first]
				return nil
			},
			OnDisconnect: func(err error) {
				if errors.Is(err, ari.ErrNoPong) {
					happened <- "no pong"
				}
			},
		})
	}()
	step := func(want string, within time.Duration) {
		t.Helper()
		select {
		case got := <-happened:
			if got != want {
				t.Fatalf("happened %q, expected %q", got, want)
			}
		case <-time.After(within):
			t.Fatalf("not within %v: %q", within, want)
		}
	}
	step("first", 10*time.Second)
	select {
	case got := <-happened:
		t.Fatalf("happened %q while all was well", got)
	case <-time.After(1500 * time.Millisecond): // thirty pings
	}
	if err := r.node.Pause(); err != nil {
		t.Fatal(err)
	}
	step("no pong", 10*time.Second)
	if err := r.node.Resume(); err != nil {
		t.Fatal(err)
	}
	step("again", 20*time.Second)
	cancel()
	<-done
}
