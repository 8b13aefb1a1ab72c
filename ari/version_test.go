package ari_test

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"asterism/ari"
)

func TestCheckVersion(t *testing.T) {
	for version, ok := range map[string]bool{
		"22.10.0":                              true,
		"22.10.1+dfsg+~cs6.17.60671434-1":      true,
		"22.11.0-rc1":                          true,
		"22.10":                                true,
		"certified/22.10-cert1":                true,
		"certified-22.10-cert1":                true,
		"GIT-22.12-1a2b3c":                     true,
		"Asterisk 22.10.2":                     true,
		"22.9.3":                               false,
		"22.1.0":                               false,
		"22":                                   false,
		"certified/20.7-cert2":                 false,
		"20.20.0":                              false,
		"23.4.0":                               false,
		"23.10.0":                              false,
		"21.12.0":                              false,
		"UNKNOWN__and_probably_unsupported__x": false,
		"":                                     false,
		"-22.10":                               false,
	} {
		err := ari.CheckVersion(&ari.AsteriskInfo{System: &ari.SystemInfo{Version: version}})
		if (err == nil) != ok || (err != nil && !errors.Is(err, ari.ErrUnsupportedVersion)) {
			t.Errorf("version %q: %v, expected accepted: %v", version, err, ok)
		}
	}
	for _, info := range []*ari.AsteriskInfo{nil, {}} {
		if err := ari.CheckVersion(info); !errors.Is(err, ari.ErrUnsupportedVersion) {
			t.Errorf("no version: %v", err)
		}
	}
}

func TestClientCheckVersion(t *testing.T) {
	version := "22.9.0"
	c := newClient(t, func(w http.ResponseWriter, r *http.Request) {
		if r.RequestURI != "/ari/asterisk/info?only=system" {
			t.Errorf("asked for %s", r.RequestURI)
		}
		_, _ = io.WriteString(w, `{"system":{"version":"`+version+`","entity_id":"x"}}`)
	})
	want := "this is Asterisk 22.9.0, but Asterism is made for 22.10 or later in the 22 LTS series"
	if v, err := c.CheckVersion(t.Context()); v != version || !errors.Is(err, ari.ErrUnsupportedVersion) || !strings.HasSuffix(err.Error(), want) {
		t.Errorf("%q, %v, expected: %s", v, err, want)
	}
	version = "22.10.1"
	if v, err := c.CheckVersion(t.Context()); v != version || err != nil {
		t.Errorf("%q, %v", v, err)
	}
	c = newClient(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusUnauthorized) })
	if _, err := c.CheckVersion(t.Context()); !ari.IsUnauthorized(err) {
		t.Errorf("a wrong password: %v", err)
	}
	c = newClient(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "{}") })
	if _, err := c.CheckVersion(t.Context()); !errors.Is(err, ari.ErrUnsupportedVersion) {
		t.Errorf("no version: %v", err)
	}
}
