package aritest_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"asterism/ari/aritest"
)

// FuzzRequest sends any request to a server with a call in a bridge that plays and records: it answers every one, with JSON if with anything, and
// goes on to serve.
func FuzzRequest(f *testing.F) {
	f.Add("GET", "/channels/C", "", "")
	f.Add("POST", "/channels/C/play/p", "media=sound:beep,&offsetms=-1", "")
	f.Add("POST", "/channels/C/record", "name=a&format=wav&maxDurationSeconds=1", "")
	f.Add("POST", "/channels/C/variables", "", `{"variables":{"A":{"value":"x"}}}`)
	f.Add("POST", "/bridges/b/addChannel", "channel=C", "")
	f.Add("POST", "/channels", "endpoint=PJSIP/x&app=asterism&callerId=<", `{"variables":[]}`)
	f.Add("PUT", "/applications/asterism/eventFilter", "", `{"allowed":[{"type":"x"}],"disallowed":null}`)
	f.Add("DELETE", "/channels/C", "reason_code=99999999999999999999", "")
	f.Add("POST", "/events/user/%00", "application=asterism&source=channel", "null")
	f.Fuzz(func(t *testing.T, method, path, query, body string) {
		s, err := aritest.NewServer(aritest.Options{Offline: true})
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = s.Close() }()
		defer s.Subscribe("asterism", func(ev []byte) {
			if !json.Valid(ev) {
				t.Errorf("event is no JSON: %q", ev)
			}
		})()
		ch := s.Call(aritest.Invite{Name: query, Args: []string{path}}).Channel()
		client := &http.Client{Transport: s.Transport()}
		send := func(method, path, query, body string) (int, error) {
			u := &url.URL{Scheme: "http", Host: "aritest", Path: "/ari" + strings.ReplaceAll(path, "C", ch), RawQuery: query}
			req, err := http.NewRequestWithContext(t.Context(), method, u.String(), strings.NewReader(body))
			if err != nil {
				return 0, err
			}
			req.SetBasicAuth("asterism", "secret")
			resp, err := client.Do(req)
			if err != nil {
				return 0, err
			}
			return resp.StatusCode, resp.Body.Close()
		}
		for _, line := range []string{"/bridges/b", "/bridges/b/addChannel?channel=C", "/channels/C/play/q?media=sound:x"} {
			path, query, _ := strings.Cut(line, "?")
			if _, err := send(http.MethodPost, path, strings.ReplaceAll(query, "C", ch), ""); err != nil {
				t.Fatal(err)
			}
		}
		client.Timeout = 5 * time.Millisecond
		_, _ = send(method, path, query, body) // it may wait for the playback, or be no request at all
		client.Timeout = 0
		if status, err := send(http.MethodGet, "/asterisk/ping", "", ""); status != http.StatusOK {
			t.Errorf("does not serve any more: %d, %v", status, err)
		}
	})
}
