//go:build e2e

package telephony_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"asterism/e2e/telephony"
)

// event is the part of an ARI event that these tests look at.
type event struct {
	Type    string   `json:"type"`
	Args    []string `json:"args"`
	Channel struct {
		ID         string `json:"id"`
		ProtocolID string `json:"protocol_id"`
	} `json:"channel"`
	Raw string `json:"-"`
}

// app is a Stasis application that only listens.
type app struct {
	a      *telephony.Asterisk
	events chan event
}

// subscribe registers the application and collects its events until the test ends.
func subscribe(t testing.TB, a *telephony.Asterisk) *app {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	u := "ws" + strings.TrimPrefix(a.ARIURL(), "http") + "/events?app=asterism&api_key=" +
		url.QueryEscape(a.ARIUser()+":"+a.ARIPassword())
	conn, res, err := websocket.Dial(ctx, u, nil)
	if err != nil {
		cancel()
		t.Fatalf("connect to ARI: %v", err)
	}
	if res.Body != nil {
		res.Body.Close()
	}
	conn.SetReadLimit(1 << 20)
	p := &app{a: a, events: make(chan event, 4096)}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			_, raw, err := conn.Read(ctx)
			if err != nil {
				return
			}
			var e event
			if json.Unmarshal(raw, &e) == nil {
				e.Raw = string(raw)
				p.events <- e
			}
		}
	}()
	t.Cleanup(func() {
		cancel()
		conn.CloseNow()
		<-ended
		http.DefaultClient.CloseIdleConnections()
	})
	return p
}

// await returns the next event of the type.
func (p *app) await(t testing.TB, typ string) event {
	t.Helper()
	deadline := time.After(5 * time.Second)
	for {
		select {
		case e := <-p.events:
			if e.Type == typ {
				return e
			}
		case <-deadline:
			t.Fatalf("no %s within 5 s; Asterisk's log:\n%s", typ, p.a.LogTail())
		}
	}
}

// none fails if an event of the type comes within the wait.
func (p *app) none(t testing.TB, typ string, wait time.Duration) {
	t.Helper()
	deadline := time.After(wait)
	for {
		select {
		case e := <-p.events:
			if e.Type == typ {
				t.Errorf("unwanted %s: %s", typ, e.Raw)
			}
		case <-deadline:
			return
		}
	}
}

// must is do, and fails for any status but 2xx.
func (p *app) must(t testing.TB, method, path string, query url.Values) string {
	t.Helper()
	status, body := p.do(t, method, path, query)
	if status < 200 || status > 299 {
		t.Fatalf("%s %s %v: %d %s", method, path, query, status, body)
	}
	return body
}

// do sends one request to ARI and returns its status and body.
func (p *app) do(t testing.TB, method, path string, query url.Values) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, p.a.ARIURL()+path+"?"+query.Encode(), nil)
	if err != nil {
		t.Fatal(err)
	}
	req.SetBasicAuth(p.a.ARIUser(), p.a.ARIPassword())
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatalf("%s %s: %v", method, path, err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatalf("%s %s: %v", method, path, err)
	}
	return res.StatusCode, string(b)
}
