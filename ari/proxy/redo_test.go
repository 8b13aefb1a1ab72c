package proxy

import (
	"context"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"

	"asterism/ari"
	"asterism/ari/aritest"
)

// A gateway that died between playing and writing that down leaves a command
// that its next life carries out again. Answering must not wait for the end of
// what is being played: the command would run out of time.
func TestAnsweringAgainDoesNotWaitForAPlayback(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv, err := aritest.NewServer(aritest.Options{
			App: App, Offline: true, Media: func(string) (time.Duration, bool) { return time.Minute, true },
		})
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = srv.Close() }()
		defer srv.Subscribe(App, func([]byte) {})()
		g, err := NewGateway(GatewayOptions{
			Node: "node", Boot: 2, Conn: NewBus(nil).Conn("gateway"), Log: zerolog.Nop(),
			ARI: ari.Options{
				BaseURL: srv.URL(), Username: srv.Options().User, Password: srv.Options().Password, Transport: srv.Transport(),
			},
		})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		c := srv.Call(aritest.Invite{})
		x := &execution{g: g, session: c.Channel(), unsure: true}
		answer := ARI(http.MethodPost, "/channels/"+c.Channel()+"/answer", nil)
		if r, err := x.ari(ctx, answer); err != nil || !r.OK() || !c.State().Answered {
			t.Fatalf("answering: %+v, %v", r, err)
		}
		play := ARI(http.MethodPost, "/channels/"+c.Channel()+"/play/p", []byte(`{"media":["sound:x"]}`))
		if r, err := g.roundTrip(ctx, play); err != nil || !r.OK() {
			t.Fatalf("playing: %+v, %v", r, err)
		}
		if r, err := x.ari(ctx, answer); err != nil || !r.OK() {
			t.Errorf("answering again: %+v, %v", r, err)
		}
		c.Hangup()
		if r, err := x.ari(ctx, answer); err != nil || r.Code != http.StatusNotFound {
			t.Errorf("answering a channel that is gone: %+v, %v", r, err)
		}
	})
}
