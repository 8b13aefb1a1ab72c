package proxy

import (
	"context"
	"encoding/json"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go/jetstream"

	"asterism/ari"
)

// lastRecord waits for the n-th record on the stream and returns it.
func (f *fabric) lastRecord(n uint64) CallRecord {
	f.t.Helper()
	js, err := jetstream.New(natsOf(f.connect(RoleReader, "r")))
	if err != nil {
		f.t.Fatal(err)
	}
	var r CallRecord
	f.eventually("a call record is on the stream", func() bool {
		ctx, cancel := context.WithTimeout(f.t.Context(), time.Second)
		defer cancel()
		s, err := js.Stream(ctx, CallsStream)
		if err != nil {
			return false
		}
		m, err := s.GetMsg(ctx, n)
		return err == nil && json.Unmarshal(m.Data, &r) == nil
	})
	return r
}

func TestCallRecords(t *testing.T) {
	spool := t.TempDir()
	f := newFabric(t, func(o *GatewayOptions) {
		o.Spool, o.Calls = spool, CallsOptions{Stream: CallsStream}
		o.Parties = func(in Inbound) Parties { return Parties{Action: in.Args[0], Caller: in.Number} }
		o.Admit = func(in Inbound) *Refusal {
			if in.Args[0] == "bad" {
				return &Refusal{Status: 403, Reason: "not signed", Label: "signature"}
			}
			return nil
		}
	})
	// The fabric's server has no JetStream otherwise; the records wait for it.
	if err := f.nats.srv.EnableJetStream(&server.JetStreamConfig{StoreDir: t.TempDir()}); err != nil {
		t.Fatal(err)
	}
	if err := f.nats.enableJetStream(); err != nil {
		t.Fatal(err)
	}
	check := func(n uint64, got CallRecord, want CallRecord) {
		t.Helper()
		if got.Version != RecordVersion || got.Node != "node" || got.ID == "" || got.Session == "" || got.CallID == "" || got.Ended.Before(got.Started) || got.Seconds < 0 {
			t.Errorf("record %d lacks something: %+v", n, got)
		}
		if got.End != want.End || got.By != want.By || got.Cause != want.Cause || got.SIP != want.SIP || got.Reason != want.Reason ||
			got.Action != want.Action || got.Caller != want.Caller || (got.Answered != nil) != (want.Answered != nil) || len(got.Workers) != len(want.Workers) || string(got.Flow) != string(want.Flow) {
			t.Errorf("record %d: got\n%+v %s, expected\n%+v %s", n, got, got.Flow, want, want.Flow)
		}
	}

	f.eventually("Asterisk is connected", func() bool { return f.gateway.Ready() == nil })
	f.ended(f.call("bad"))
	check(1, f.lastRecord(1), CallRecord{End: EndRefused, By: ByPlatform, SIP: 403, Reason: "not signed", Action: "bad", Caller: "100"})
	f.ended(f.call("nobody"))
	check(2, f.lastRecord(2), CallRecord{End: EndRefused, By: ByPlatform, SIP: 503, Reason: "no worker took the call", Action: "nobody", Caller: "100"})

	const outcome = `{"action":"Test","caller":"anna","result":"done","answered":true}`
	var waits atomic.Bool // for the caller to hang up
	f.worker("w1", func(ctx context.Context, r *testRunner) {
		answer := Command{ID: "answer", Steps: []Step{ARI("POST", "/channels/"+r.ID()+"/answer", nil)}}
		if _, err := r.Do(ctx, answer); err != nil {
			t.Error(err)
		}
		last := Command{ID: "end", Final: true, Outcome: []byte(outcome), Steps: []Step{ARI("DELETE", "/channels/"+r.ID(), nil)}}
		if waits.Load() {
			last.Steps, last.Outcome = nil, []byte(`{"action":"Test","result":"hangup"}`)
			if err := r.await(ctx, "ChannelHangupRequest"); err != nil {
				t.Error(err)
			}
		}
		if _, err := r.Do(ctx, last); err != nil {
			t.Error(err)
		}
	})
	f.ended(f.call("done"))
	check(3, f.lastRecord(3), CallRecord{End: EndDone, By: ByPlatform, Cause: 16, Action: "Test", Caller: "anna", Answered: new(time.Time), Workers: []string{"w1"}, Flow: json.RawMessage(outcome)})

	waits.Store(true)
	caller := f.call("hangup")
	f.eventually("the call is answered", func() bool { return caller.State().Answered })
	caller.Hangup()
	f.ended(caller)
	check(4, f.lastRecord(4), CallRecord{End: EndHangup, By: ByCaller, Cause: 16, Action: "Test", Answered: new(time.Time), Workers: []string{"w1"}, Flow: json.RawMessage(`{"action":"Test","result":"hangup"}`)})

	f.eventually("the spool is empty", func() bool {
		s, err := openLogStore(spool, f.gateway.opts.Log)
		if err != nil {
			t.Fatal(err)
		}
		saved, err := s.load()
		return err == nil && len(saved) == 0
	})
}

// What ChannelHangupRequest says of who hung up, as Asterisk 22.10.1 says it.
func TestWhoHungUp(t *testing.T) {
	const (
		bye       = `{"type":"ChannelHangupRequest","channel":{"id":"c"}}`
		busy      = `{"type":"ChannelHangupRequest","cause":17,"channel":{"id":"c"}}`
		cancelled = `{"type":"ChannelHangupRequest","cause":127,"tech_cause":487,"channel":{"id":"c"}}`
		command   = `{"type":"ChannelHangupRequest","cause":32,"soft":true,"channel":{"id":"c"}}`
		timeout   = `{"type":"ChannelHangupRequest","cause":2,"soft":true,"channel":{"id":"c"}}`
		left      = `{"type":"StasisEnd","channel":{"id":"c","channelvars":{"RTPAUDIOQOS":"rxcount=5;txcount=7"}}}`
	)
	for _, c := range []struct {
		name   string
		events []string
		by     EndedBy
		cause  int
		sip    int
	}{
		{"BYE", []string{bye, left}, ByCaller, 16, 0},
		{"BYE with a Reason", []string{busy, left}, ByCaller, 17, 0},
		{"CANCEL", []string{cancelled, left}, ByCaller, 127, 487},
		{"command", []string{command, left}, ByPlatform, 0, 0},
		{"Asterisk itself", []string{timeout, left}, ByNode, 0, 0},
		{"sent to the dialplan", []string{left}, ByPlatform, 0, 0},
		{"the first counts", []string{bye, command, left}, ByCaller, 16, 0},
		{"nothing heard", nil, "", 0, 0},
	} {
		var f callFacts
		for _, e := range c.events {
			h, err := ari.Peek([]byte(e))
			if err != nil {
				t.Fatal(err)
			}
			f.heard(h.Type, []byte(e))
		}
		if f.by != c.by || f.cause != c.cause || f.sip != c.sip {
			t.Errorf("%s: by %q, cause %d, SIP %d; expected %q, %d, %d", c.name, f.by, f.cause, f.sip, c.by, c.cause, c.sip)
		}
		if (f.rtp != nil) != (len(c.events) > 0) || f.ended.IsZero() != (len(c.events) == 0) {
			t.Errorf("%s: RTP %+v, ended %v", c.name, f.rtp, f.ended)
		}
	}
}

// What each kind of end says.
func TestHowCallsEnd(t *testing.T) {
	g := &Gateway{opts: GatewayOptions{Node: "n"}}
	ran := History{Workers: []string{"w.1"}}
	for _, c := range []struct {
		name    string
		facts   callFacts
		outcome string
		ending  Ending
		want    CallRecord
	}{
		{"gave up early", callFacts{by: ByCaller, cause: 127, sip: 487}, "", Ending{Lost: "gave up"}, CallRecord{End: EndAbandoned, By: ByCaller, Cause: 127, SIP: 487, Reason: "gave up"}},
		{"Asterisk died", callFacts{}, `{"result":"hangup"}`, Ending{Reason: reasonDead, History: ran}, CallRecord{End: EndLost, By: ByNode, Reason: reasonDead}},
		{"unheard", callFacts{}, `{"result":"hangup","error":"x"}`, Ending{Reason: reasonUnheard, History: ran}, CallRecord{End: EndHangup, Reason: reasonUnheard}},
		{"flow lost", callFacts{by: ByPlatform}, "", Ending{Lost: "no worker", History: ran}, CallRecord{End: EndLost, By: ByPlatform, Reason: "no worker"}},
		{"flow refused", callFacts{by: ByPlatform}, `{"result":"refused","error":"no sound","status":404}`, Ending{History: ran}, CallRecord{End: EndRefused, By: ByPlatform, SIP: 404, Reason: "no sound"}},
		{"flow failed later", callFacts{by: ByPlatform, answered: logTime}, `{"result":"failed","error":"storage","status":503,"answered":true}`, Ending{History: ran}, CallRecord{End: "failed", By: ByPlatform, Reason: "storage"}},
		{"malformed report", callFacts{by: ByCaller, cause: 16}, `{"result":`, Ending{History: ran}, CallRecord{End: EndLost, By: ByCaller, Cause: 16}},
	} {
		r := g.record(&call{id: "i", channel: "c", started: logTime, facts: c.facts}, []byte(c.outcome), c.ending)
		if r.End != c.want.End || r.By != c.want.By || r.Cause != c.want.Cause || r.SIP != c.want.SIP || r.Reason != c.want.Reason {
			t.Errorf("%s: got %+v, expected %+v", c.name, r, c.want)
		}
	}
}

func FuzzRTPStats(f *testing.F) {
	f.Add([]byte(`"RTPAUDIOQOS":"ssrc=1;lp=2;rxjitter=0.003000;rxcount=303;txjitter=0.000125;txcount=300;rlp=1;rtt=0.020500"`))
	f.Fuzz(func(t *testing.T, event []byte) {
		s := rtpStats(event)
		if s == nil {
			return
		}
		if _, err := json.Marshal(s); err != nil {
			t.Fatalf("%+v: %v", s, err)
		}
		if s.Received.Packets < 0 || s.Received.Lost < 0 || s.Sent.Packets < 0 || s.Sent.Lost < 0 || s.RTT < 0 || s.Sent.Jitter < 0 || s.Received.Jitter < 0 {
			t.Fatalf("%+v", s)
		}
	})
}
