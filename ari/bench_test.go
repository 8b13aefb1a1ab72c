package ari

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
)

func benchEvent(b *testing.B) []byte {
	b.Helper()
	raw, err := os.ReadFile("testdata/events/StasisStart.json")
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(raw)))
	b.ReportAllocs()
	return raw
}

func BenchmarkPeek(b *testing.B) {
	raw := benchEvent(b)
	for b.Loop() {
		if _, err := Peek(raw); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDecodeEvent(b *testing.B) {
	raw := benchEvent(b)
	for b.Loop() {
		if _, err := DecodeEvent(raw); err != nil {
			b.Fatal(err)
		}
	}
}

// constant answers every request with 200 and a playback, without a network.
type constant struct{ body string }

func (c constant) RoundTrip(*http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: http.StatusOK, Body: io.NopCloser(strings.NewReader(c.body))}, nil
}

// BenchmarkRequest is everything but the network: building, decoding.
func BenchmarkRequest(b *testing.B) {
	c, err := New(Options{Username: "u", Password: "p", Transport: constant{`{"id":"s~p1","media_uri":"sound:/media/x","target_uri":"channel:1700000000.1","language":"en","state":"queued"}`}})
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := c.Channels().PlayWithID(b.Context(), "1700000000.1", "s~p1", []string{"sound:/media/x"}, &ChannelPlayWithIDOptions{Lang: "en"}); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkRoundTrip is a request over loopback; client and server together.
func BenchmarkRoundTrip(b *testing.B) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }))
	defer srv.Close()
	c, err := New(Options{BaseURL: srv.URL + "/ari", Username: "u", Password: "p"})
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	b.ReportAllocs()
	for b.Loop() {
		if err := c.Channels().Answer(b.Context(), "1700000000.1"); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkDecodeByReflection is what DecodeEvent is compared with.
func BenchmarkDecodeByReflection(b *testing.B) {
	raw := benchEvent(b)
	for b.Loop() {
		var ev StasisStart
		if err := json.Unmarshal(raw, &ev); err != nil {
			b.Fatal(err)
		}
	}
}
