package proxy

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/rs/zerolog"
)

func TestSubjectMatches(t *testing.T) {
	for _, tt := range []struct {
		pattern, subject string
		want             bool
	}{
		{"hb.w.*", "hb.w.one", true},
		{"hb.w.*", "hb.w", false},
		{"hb.w.*", "hb.w.one.two", false},
		{"w.a.1.>", "w.a.1.r.7", true},
		{"w.a.1.>", "w.a.1", false},
		{"w.a.1.>", "w.a.10.r.7", false},
		{"hb.g.n", "hb.g.n", true},
	} {
		if got := subjectMatches(tt.pattern, tt.subject); got != tt.want {
			t.Errorf("a subscription to %s hears %s: %v", tt.pattern, tt.subject, got)
		}
	}
}

// heard is what a subscription was given.
type heard struct{ all []string }

func (h *heard) take(m *nats.Msg) {
	if noResponders(m) {
		h.all = append(h.all, m.Subject+" nobody")
		return
	}
	h.all = append(h.all, m.Subject+" "+string(m.Data))
}

func (h *heard) want(t *testing.T, want ...string) {
	t.Helper()
	synctest.Wait()
	if len(h.all) != len(want) {
		t.Fatalf("heard %q, want %q", h.all, want)
	}
	for i := range want {
		if h.all[i] != want[i] {
			t.Fatalf("heard %q, want %q", h.all, want)
		}
	}
}

func TestBusDeliversInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bus := NewBus(nil)
		a, b := bus.Conn("a"), bus.Conn("b")
		var h heard
		for _, subject := range []string{"x.*", "r.>"} {
			if _, err := b.wire.subscribe(subject, h.take); err != nil {
				t.Fatal(err)
			}
		}
		var want []string
		for i := range 10 {
			data := string(rune('0' + i))
			want = append(want, "x.y "+data)
			if err := a.send("x.y", "", []byte(data)); err != nil {
				t.Fatal(err)
			}
		}
		h.want(t, want...)
		if err := b.send("nobody", "r.1", nil); err != nil {
			t.Fatal(err)
		}
		h.want(t, append(want, "r.1 nobody")...)
		b.Close()
		if err := b.send("x.y", "", nil); !isGone(err) {
			t.Errorf("sending on a closed connection: %v", err)
		}
	})
}

func TestBusLinks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var parcels []*Parcel
		bus := NewBus(func(p *Parcel) { parcels = append(parcels, p) })
		a, b := bus.Conn("a"), bus.Conn("b")
		var h heard
		if _, err := b.wire.subscribe("x", h.take); err != nil {
			t.Fatal(err)
		}
		changes, stop := b.wire.statusChanged()
		defer stop()
		send := func(text string) {
			t.Helper()
			if err := a.send("x", "", []byte(text)); err != nil {
				t.Fatal(err)
			}
		}
		send("one")
		send("two")
		parcels[1].Deliver()
		parcels[0].Deliver()
		parcels[0].Deliver()
		h.want(t, "x two", "x one", "x one")

		bus.SetLink(b, LinkSilent)
		start := time.Now()
		if !b.Up() || b.answers() || time.Since(start) != answerWithin {
			t.Errorf("a silent link is up %v", b.Up())
		}
		send("three")
		parcels[2].Deliver()
		bus.SetLink(b, LinkDown)
		if err := b.send("y", "", nil); !errors.Is(err, nats.ErrReconnectBufExceeded) || b.Up() || <-changes != nats.RECONNECTING {
			t.Errorf("a link that is down: %v", err)
		}
		send("four") // nobody is there
		bus.SetLink(b, LinkUp)
		if <-changes != nats.CONNECTED || !b.answers() || len(parcels) != 3 {
			t.Errorf("a link that is up again; %d parcels", len(parcels))
		}
		parcels[0].Deliver() // sent to the connection before
		send("five")
		parcels[3].Deliver()
		h.want(t, "x two", "x one", "x one", "x five")
	})
}

// An offer that arrives twice, or behind a later one, must not take the call
// away from its own run, which has already been given the events.
func TestOfferThatComesAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bus := NewBus(nil)
		var opened []Token
		w, err := NewWorker(bus.Conn("worker"), WorkerOptions{
			Name: "worker", Capacity: 1, Log: zerolog.Nop(),
			Open: func(s *Session, start Start) Runner {
				opened = append(opened, s.at.Load().token)
				return &testRunner{Session: s, start: start, flow: func(ctx context.Context, _ *testRunner) { <-ctx.Done() }}
			},
		})
		if err != nil {
			t.Fatal(err)
		}
		defer w.Close()
		gateway := bus.Conn("gateway")
		for _, epoch := range []uint64{2, 2, 1, 3, 2} {
			h := assignHeader{Session: "s", Token: Token{Boot: 1, Epoch: epoch}, Node: "node.1", First: 1}
			if err := gateway.publish("w."+w.key+"."+kindAssign, "", &h, nil, []byte("event")); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
		}
		if len(opened) != 2 || opened[0].Epoch != 2 || opened[1].Epoch != 3 {
			t.Errorf("the worker took %v", opened)
		}
	})
}
