package proxy

import (
	"context"
	"encoding/json"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go/jetstream"
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
