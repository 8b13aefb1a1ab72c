package aritest_test

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"runtime"
	"testing"

	"asterism/ari/aritest"
)

// BenchmarkCall is one call with answer, play and hang-up, in memory.
func BenchmarkCall(b *testing.B) {
	s, err := aritest.NewServer(aritest.Options{Offline: true, RequestLog: -1})
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	defer s.Subscribe("asterism", func([]byte) {})()
	rt := s.Transport()
	send := func(method, path string) {
		req := &http.Request{Method: method, URL: &url.URL{Scheme: "http", Host: "aritest", Path: path}, Header: http.Header{}}
		if method == http.MethodPost {
			req.URL.RawQuery = "media=sound:hello"
		}
		req.SetBasicAuth("asterism", "secret")
		resp, err := rt.RoundTrip(req)
		if err != nil {
			b.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		_ = resp.Body.Close()
	}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		c := s.Call(aritest.Invite{Args: []string{"1", "Action", "Action=Playback", "end"}, CallID: "c"})
		ch := "/ari/channels/" + c.Channel()
		send(http.MethodPost, ch+"/answer")
		send(http.MethodPost, fmt.Sprintf("%s/play/p%d", ch, i))
		send(http.MethodDelete, ch)
	}
}

// BenchmarkIdleCalls measures what a call that plays something costs in memory while nothing happens.
func BenchmarkIdleCalls(b *testing.B) {
	const calls = 5000
	for b.Loop() {
		b.StopTimer()
		s, err := aritest.NewServer(aritest.Options{Offline: true, RequestLog: -1})
		if err != nil {
			b.Fatal(err)
		}
		cancel := s.Subscribe("asterism", func([]byte) {})
		before := heap()
		b.StartTimer()
		client := &http.Client{Transport: s.Transport()}
		kept := make([]*aritest.Caller, 0, calls)
		for i := range calls {
			c := s.Call(aritest.Invite{Args: []string{"1", "Action", "Action=Playback", "end"}})
			kept = append(kept, c)
			req, err := http.NewRequestWithContext(b.Context(), http.MethodPost, fmt.Sprintf("%s/channels/%s/play/p%d?media=tone:x", s.URL(), c.Channel(), i), nil)
			if err != nil {
				b.Fatal(err)
			}
			req.SetBasicAuth("asterism", "secret")
			resp, err := client.Do(req)
			if err != nil {
				b.Fatal(err)
			}
			_ = resp.Body.Close()
		}
		b.StopTimer()
		b.ReportMetric(float64(heap()-before)/calls, "B/call")
		b.ReportMetric(float64(runtime.NumGoroutine()), "goroutines")
		cancel()
		_ = s.Close()
		runtime.KeepAlive(kept)
		b.StartTimer()
	}
}

func heap() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
