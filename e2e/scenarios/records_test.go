//go:build e2e

package scenarios

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"asterism/ari/proxy"
	"asterism/e2e/stack"
)

// records reads the stream of call records as a person does, with the user
// reader.
func (p *platform) records(t *testing.T) jetstream.Stream {
	t.Helper()
	password, err := os.ReadFile(filepath.Join(p.dir, "secrets", "nats-reader"))
	if err != nil {
		t.Fatal(err)
	}
	nc, err := nats.Connect("nats://"+p.NATS(), nats.UserInfo("reader", strings.TrimSpace(string(password))), nats.MaxReconnects(-1))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	var s jetstream.Stream
	eventually(t, "the stream of call records to be there", func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		s, err = js.Stream(ctx, proxy.CallsStream)
		return err == nil
	})
	return s
}

// record waits for the record of a call, of which there must be one.
func record(t *testing.T, s jetstream.Stream, callID string) proxy.CallRecord {
	t.Helper()
	var found []proxy.CallRecord
	eventually(t, "the record of the call", func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		info, err := s.Info(ctx)
		if err != nil {
			return false
		}
		found = nil
		for n := info.State.FirstSeq; n <= info.State.LastSeq; n++ {
			m, err := s.GetMsg(ctx, n)
			var r proxy.CallRecord
			if err != nil || json.Unmarshal(m.Data, &r) != nil || r.CallID != callID {
				continue
			}
			found = append(found, r)
		}
		return len(found) > 0
	})
	if len(found) != 1 {
		t.Fatalf("there are %d records of one call: %+v", len(found), found)
	}
	return found[0]
}

// TestCallRecords reads the records of real calls: how they ended, how they
// sounded, and what the death of Asterisk leaves of them.
func TestCallRecords(t *testing.T) {
	p := start(t, stack.Options{Split: true})
	p.prompt(t, "long", 111, 4*time.Second)

	t.Run("heard to the end", func(t *testing.T) {
		c := p.call(t, playback("sound:hello-world"))
		endedByFarEnd(t, c)
		r := record(t, p.records(t), c.ID())
		if r.End != proxy.EndDone || r.By != proxy.ByPlatform || r.Cause != 16 || r.Action != "Playback" || r.Node != "asterisk-1" ||
			r.Answered == nil || r.Seconds < 1 || len(r.Workers) != 1 || len(r.Flow) == 0 {
			t.Errorf("record: %+v %s", r, r.Flow)
		}
		if r.RTP == nil || r.RTP.Sent.Packets < 40 || r.RTP.Received.Packets < 40 || r.RTP.Received.Lost != 0 {
			t.Errorf("RTP: %+v", r.RTP)
		}
	})
	t.Run("hung up by the caller", func(t *testing.T) {
		c := p.call(t, playback("long"))
		listen(t, c, time.Second)
		if err := c.Hangup(t.Context()); err != nil {
			t.Fatal(err)
		}
		r := record(t, p.records(t), c.ID())
		if r.End != proxy.EndHangup || r.By != proxy.ByCaller || r.Cause != 16 || r.RTP == nil || r.RTP.Sent.Packets < 30 {
			t.Errorf("record: %+v, RTP %+v, %s", r, r.RTP, r.Flow)
		}
	})
	t.Run("refused", func(t *testing.T) {
		c, err := p.dial(t, 1, playback("media:no-such-prompt"))
		refusedWith(t, c, err, 404)
		r := record(t, p.records(t), c.ID())
		if r.End != proxy.EndRefused || r.SIP != 404 || r.Answered != nil || !strings.Contains(r.Reason, "no-such-prompt") {
			t.Errorf("record: %+v %s", r, r.Flow)
		}
	})
	t.Run("NATS is away when the call ends", func(t *testing.T) {
		s := p.records(t)
		c := p.call(t, playback("long"))
		listen(t, c, 500*time.Millisecond)
		before := p.Process("nats-1").Restarts()
		signal(t, p, "nats-1", syscall.SIGKILL)
		if err := c.Hangup(t.Context()); err != nil {
			t.Fatal(err)
		}
		eventually(t, "NATS to be back", func() bool { return p.Process("nats-1").Restarts() > before })
		if r := record(t, s, c.ID()); r.By != proxy.ByCaller {
			t.Errorf("record: %+v %s", r, r.Flow)
		}
	})
	t.Run("Asterisk dies", func(t *testing.T) {
		p.allReady(t)
		s := p.records(t)
		c := p.call(t, playback("long", "Loop", "forever"))
		listen(t, c, time.Second)
		signal(t, p, "asterisk-1", syscall.SIGKILL)
		r := record(t, s, c.ID())
		if r.End != proxy.EndLost || r.By != proxy.ByNode || r.Reason == "" || r.Answered == nil || len(r.Workers) != 1 {
			t.Errorf("record: %+v %s", r, r.Flow)
		}
		_ = c.Hangup(context.WithoutCancel(t.Context())) // nobody answers it
	})
}
