package aritest_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"
	"go.uber.org/goleak"

	"asterism/ari/aritest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// bench is a server with a client and everything that its application was told.
type bench struct {
	t      *testing.T
	server *aritest.Server
	client *http.Client

	mu     sync.Mutex
	events []event
	grown  chan struct{}
}

type event struct {
	Type string
	Raw  string
	All  map[string]any
}

// offline starts a server without sockets; it fits a synctest bubble.
func offline(t *testing.T, o aritest.Options) *bench {
	t.Helper()
	o.Offline = true
	s, err := aritest.NewServer(o)
	if err != nil {
		t.Fatal(err)
	}
	b := &bench{t: t, server: s, client: &http.Client{Transport: s.Transport()}, grown: make(chan struct{})}
	cancel := s.Subscribe(s.Options().App, b.take)
	t.Cleanup(func() {
		cancel()
		_ = s.Close()
	})
	return b
}

func (b *bench) take(raw []byte) {
	ev := event{Raw: string(raw)}
	if err := json.Unmarshal(raw, &ev.All); err != nil {
		b.t.Errorf("event is no JSON: %v: %s", err, raw)
	}
	ev.Type, _ = ev.All["type"].(string)
	b.mu.Lock()
	b.events = append(b.events, ev)
	close(b.grown)
	b.grown = make(chan struct{})
	b.mu.Unlock()
}

func (b *bench) types() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	var out []string
	for _, ev := range b.events {
		out = append(out, ev.Type)
	}
	return out
}

// await waits for the n-th event of a type.
func (b *bench) await(typ string, n int) event {
	b.t.Helper()
	limit := time.NewTimer(2 * time.Minute) // mostly of virtual time
	defer limit.Stop()
	for {
		b.mu.Lock()
		seen := 0
		for _, ev := range b.events {
			if ev.Type == typ {
				if seen++; seen == n {
					b.mu.Unlock()
					return ev
				}
			}
		}
		grown := b.grown
		b.mu.Unlock()
		select {
		case <-grown:
		case <-limit.C:
			b.t.Fatalf("no %s number %d; seen %v", typ, n, b.types())
		}
	}
}

func (b *bench) try(method, path string, q url.Values, body string) (int, string, error) {
	u := b.server.URL() + path
	if len(q) > 0 {
		u += "?" + q.Encode()
	}
	ctx, cancel := context.WithTimeout(b.t.Context(), time.Minute)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, u, strings.NewReader(body))
	if err != nil {
		return 0, "", err
	}
	req.SetBasicAuth(b.server.Options().User, b.server.Options().Password)
	resp, err := b.client.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer func() { _ = resp.Body.Close() }()
	raw, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(raw), err
}

func (b *bench) do(want int, method, path string, params ...string) string {
	b.t.Helper()
	q := url.Values{}
	for i := 0; i+1 < len(params); i += 2 {
		q.Add(params[i], params[i+1])
	}
	status, body, err := b.try(method, path, q, "")
	if err != nil {
		b.t.Fatalf("%s %s: %v", method, path, err)
	}
	if status != want {
		b.t.Fatalf("%s %s: status %d, want %d; %s", method, path, status, want, body)
	}
	return body
}

func TestAnswerPlayHangup(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := offline(t, aritest.Options{})
		c := b.server.Call(aritest.Invite{Args: []string{"1", "Action", "Action=Playback", "end"}, CallID: "cid"})
		ch := c.Channel()
		b.await("StasisStart", 1)
		b.do(204, "POST", "/channels/"+ch+"/answer")
		<-c.Answered()
		b.do(201, "POST", "/channels/"+ch+"/play/p1", "media", "sound:beep,sound:nope,sound:hello")
		b.await("PlaybackFinished", 1)
		b.do(204, "DELETE", "/channels/"+ch)
		<-c.Ended()
		synctest.Wait()
		want := []string{
			"StasisStart", "ChannelStateChange", "PlaybackStarted", "PlaybackContinuing", "PlaybackStarted",
			"PlaybackContinuing", "PlaybackStarted", "PlaybackFinished", "ChannelHangupRequest", "StasisEnd",
		}
		if got := b.types(); !slices.Equal(got, want) {
			t.Errorf("events\n got %v\nwant %v", got, want)
		}
		heard := c.Heard()
		if len(heard) != 2 || heard[0].Media != "sound:beep" || !heard[1].Completed || heard[1].Until.Sub(heard[1].From) != time.Second {
			t.Errorf("heard %+v", heard)
		}
	})
}

func TestNobodyThere(t *testing.T) {
	s, err := aritest.NewServer(aritest.Options{Offline: true})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	if c := s.Call(aritest.Invite{}); c.SIPStatus() != 503 {
		t.Errorf("status %d, want 503", c.SIPStatus())
	}
}

func TestWebsocket(t *testing.T) {
	for name, o := range map[string]aritest.Options{"tcp": {Addr: "127.0.50.10:0"}, "memory": {Offline: true}} {
		t.Run(name, func(t *testing.T) {
			s, err := aritest.NewServer(o)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = s.Close() }()
			hc := http.DefaultClient
			if o.Offline {
				hc = &http.Client{Transport: s.Transport()}
			}
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			conn, _, err := websocket.Dial(ctx, //nolint:bodyclose // the connection is the body
				s.URL()+"/events?app=asterism&api_key=asterism:secret", &websocket.DialOptions{HTTPClient: hc, Subprotocols: []string{"ari"}})
			if err != nil {
				t.Fatal(err)
			}
			c := s.Call(aritest.Invite{})
			_, raw, err := conn.Read(ctx)
			if err != nil || !strings.Contains(string(raw), c.Channel()) {
				t.Fatalf("first event %s, %v", raw, err)
			}
			s.Faults().DropSockets(0)
			if _, _, err = conn.Read(ctx); err == nil {
				t.Error("the connection outlived its drop")
			}
			_ = conn.CloseNow()
			http.DefaultClient.CloseIdleConnections()
		})
	}
}
