package main

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/rs/zerolog"

	"asterism/cmd/asterism/internal/config"
)

// get asks a fresh HTTP server for one page.
func get(t *testing.T, c config.HTTP, ready *checks, path, token string) (int, string) {
	t.Helper()
	c.Listen = "127.0.70.1:0"
	h, err := startHTTP(t.Context(), c, ready, newRegistry(), zerolog.Nop())
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := h.close(t.Context()); err != nil {
			t.Error(err)
		}
	}()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+h.addr()+path, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

func TestHTTP(t *testing.T) {
	secret := config.HTTP{Token: "sesame", Pprof: true}
	for _, tc := range []struct {
		name, path, token string
		c                 config.HTTP
		status            int
		body              string
	}{
		{"alive", "/healthz", "", secret, 200, "ok"},
		{"metrics", "/metrics", "", config.HTTP{}, 200, "asterism_build_info"},
		{"metrics without token", "/metrics", "", secret, 401, "expected the token"},
		{"metrics with a wrong token", "/metrics", "seesam", secret, 401, "expected the token"},
		{"metrics with the token", "/metrics", "sesame", secret, 200, "go_goroutines"},
		{"pprof is off", "/debug/pprof/", "", config.HTTP{}, 404, ""},
		{"pprof without token", "/debug/pprof/heap", "", secret, 401, ""},
		{"pprof with the token", "/debug/pprof/", "sesame", secret, 200, "goroutine"},
		{"nothing else", "/", "", config.HTTP{}, 404, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			status, body := get(t, tc.c, newChecks(), tc.path, tc.token)
			if status != tc.status || !strings.Contains(body, tc.body) {
				t.Errorf("status %d, want %d with %q in %.300q", status, tc.status, tc.body, body)
			}
		})
	}
}

func TestReadyNamesWhatIsWrong(t *testing.T) {
	ready := newChecks()
	ready.set("nats", func(context.Context) error { return nil })
	if status, body := get(t, config.HTTP{}, ready, "/readyz", ""); status != 200 {
		t.Fatalf("status %d: %s", status, body)
	}
	ready.set("ari", func(context.Context) error { return errors.New("wrong password") })
	status, body := get(t, config.HTTP{}, ready, "/readyz", "")
	var r report
	if err := json.Unmarshal([]byte(body), &r); err != nil {
		t.Fatal(err)
	}
	if status != 503 || r.Ready || r.Checks["ari"] != "wrong password" || r.Checks["nats"] != "ok" {
		t.Errorf("status %d, %+v", status, r)
	}
	ready.set("ari", func(context.Context) error { return nil })
	ready.inform("storage", func(context.Context) error { return errors.New("away") })
	if status, body := get(t, config.HTTP{}, ready, "/readyz", ""); status != 200 || !strings.Contains(body, `"storage": "away"`) {
		t.Errorf("with a condition that is told only: status %d, %s; want 200 and the condition", status, body)
	}
	ready.set("ari", func(context.Context) error { return errors.New("wrong password") })
	ready.inform("storage", func(context.Context) error {
		t.Error("a stranger made us ask the storage")
		return nil
	})
	status, body = get(t, config.HTTP{Token: "sesame"}, ready, "/readyz", "")
	if status != 503 || strings.Contains(body, "password") {
		t.Errorf("to a stranger: status %d, body %s; want 503 without details", status, body)
	}
}

func TestPortTaken(t *testing.T) {
	h, err := startHTTP(t.Context(), config.HTTP{Listen: "127.0.70.1:0"}, newChecks(), newRegistry(), zerolog.Nop())
	if err != nil {
		t.Fatal(err)
	}
	defer h.close(t.Context())
	_, err = startHTTP(t.Context(), config.HTTP{Listen: h.addr()}, newChecks(), newRegistry(), zerolog.Nop())
	if err == nil || !strings.Contains(err.Error(), h.addr()) || !strings.Contains(err.Error(), "http.listen") {
		t.Errorf("error %v; want one that names the address and the key", err)
	}
}
