package storage_test

import (
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	"asterism/storage"
	"asterism/storage/storagetest"
)

// fakeServer is as much of an S3 server as the faults need.
type fakeServer struct {
	mu      sync.Mutex
	objects map[string]string
	etags   map[string]int
	version int
	// before may answer in place of the server.
	before func(w http.ResponseWriter, r *http.Request) bool
}

// ServeHTTP ignores the conditions of writes.
func (s *fakeServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	if s.before != nil && s.before(w, r) {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	key := r.URL.Path
	switch r.Method {
	case http.MethodPut:
		s.version++
		s.objects[key], s.etags[key] = string(body), s.version
		w.Header().Set("ETag", fmt.Sprintf("\"%d\"", s.version))
	case http.MethodDelete:
		delete(s.objects, key)
		w.WriteHeader(http.StatusNoContent)
	default:
		data, ok := s.objects[key]
		if !ok {
			s3Fault(w, http.StatusNotFound, "NoSuchKey")
			return
		}
		w.Header().Set("ETag", fmt.Sprintf("\"%d\"", s.etags[key]))
		w.Header().Set("Last-Modified", time.Now().UTC().Format(http.TimeFormat))
		w.Header().Set("Content-Length", fmt.Sprint(len(data)))
		if r.Method == http.MethodGet {
			_, _ = io.WriteString(w, data)
		}
	}
}

func s3Fault(w http.ResponseWriter, status int, code string) {
	w.Header().Set("Content-Type", "application/xml")
	w.WriteHeader(status)
	_ = xml.NewEncoder(w).Encode(struct {
		XMLName xml.Name `xml:"Error"`
		Code    string
	}{Code: code})
}

func openFake(t *testing.T, s *fakeServer) *storage.S3 {
	t.Helper()
	s.objects, s.etags = map[string]string{}, map[string]int{}
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	b, err := storage.OpenS3(storage.S3Config{
		Endpoint: strings.TrimPrefix(server.URL, "http://"), Insecure: true, Bucket: "bucket",
		AccessKey: "key", SecretKey: "secret", IdleTimeout: 200 * time.Millisecond,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.Close() })
	return b
}

func TestProbeRefusesServersThatIgnoreConditions(t *testing.T) {
	b := openFake(t, &fakeServer{})
	err := storage.ProbeConditional(t.Context(), b)
	if !errors.Is(err, storage.ErrNoConditionalWrites) || !strings.Contains(err.Error(), "If-None-Match: *") {
		t.Errorf("a server that ignores all: %v", err)
	}
	// One that knows If-None-Match only.
	halfway := &fakeServer{}
	halfway.before = func(w http.ResponseWriter, r *http.Request) bool {
		halfway.mu.Lock()
		defer halfway.mu.Unlock()
		if _, ok := halfway.objects[r.URL.Path]; ok && r.Header.Get("If-None-Match") == "*" {
			s3Fault(w, http.StatusPreconditionFailed, "PreconditionFailed")
			return true
		}
		return false
	}
	err = storage.ProbeConditional(t.Context(), openFake(t, halfway))
	if !errors.Is(err, storage.ErrNoConditionalWrites) || strings.Contains(err.Error(), "None") {
		t.Errorf("a server that ignores If-Match: %v", err)
	}
	unknown := &fakeServer{before: func(w http.ResponseWriter, r *http.Request) bool {
		if r.Header.Get("If-None-Match") == "" {
			return false
		}
		s3Fault(w, http.StatusNotImplemented, "NotImplemented")
		return true
	}}
	if err = storage.ProbeConditional(t.Context(), openFake(t, unknown)); !errors.Is(err, storage.ErrNoConditionalWrites) {
		t.Errorf("a server that answers 501: %v", err)
	}
	faulty := storagetest.NewFaulty(storage.NewMemory())
	faulty.Fail(storagetest.Outage(503))
	if err = storage.ProbeConditional(t.Context(), faulty); !errors.Is(err, storage.ErrUnavailable) || errors.Is(err, storage.ErrNoConditionalWrites) {
		t.Errorf("an outage: %v", err)
	}
}

// TestLostAnswer: the write is done, its answer is lost, and the repetition is
// told that the object exists. It was ours.
func TestLostAnswer(t *testing.T) {
	s := &fakeServer{}
	var writeID string
	s.before = func(w http.ResponseWriter, r *http.Request) bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		switch {
		case r.Method == http.MethodPut && writeID == "":
			writeID = r.Header.Get("X-Amz-Meta-Asterism-Write")
			s.objects[r.URL.Path], s.etags[r.URL.Path] = "x", 7
			s3Fault(w, http.StatusServiceUnavailable, "SlowDown")
			return true
		case r.Method == http.MethodPut:
			s3Fault(w, http.StatusPreconditionFailed, "PreconditionFailed")
			return true
		}
		w.Header().Set("X-Amz-Meta-Asterism-Write", writeID)
		return false
	}
	b := openFake(t, s)
	info, err := b.Put(t.Context(), "k", strings.NewReader("x"), storage.PutOptions{IfNoneMatch: "*"})
	if err != nil || info.ETag != "7" {
		t.Errorf("our own write counts as another's: %+v, %v", info, err)
	}
	if stat, err := b.Stat(t.Context(), "k"); err != nil || stat.Metadata != nil {
		t.Errorf("the write's id shows: %+v, %v", stat, err)
	}
	if _, err := b.Put(t.Context(), "k", strings.NewReader("x"), storage.PutOptions{IfNoneMatch: "*"}); !errors.Is(err, storage.ErrPrecondition) {
		t.Errorf("another write: %v", err)
	}
}

func TestS3Classification(t *testing.T) {
	for _, c := range []struct {
		status int
		code   string
		want   error
	}{
		{500, "InternalError", storage.ErrUnavailable},
		{502, "", storage.ErrUnavailable},
		{503, "SlowDown", storage.ErrUnavailable},
		{429, "TooManyRequests", storage.ErrUnavailable},
		{404, "NoSuchKey", storage.ErrNotFound},
		{403, "AccessDenied", nil},
	} {
		b := openFake(t, &fakeServer{before: func(w http.ResponseWriter, _ *http.Request) bool {
			s3Fault(w, c.status, c.code)
			return true
		}})
		_, _, err := b.Get(t.Context(), "k", storage.GetOptions{})
		for _, class := range []error{storage.ErrUnavailable, storage.ErrNotFound, storage.ErrPrecondition} {
			if got := errors.Is(err, class); err == nil || got != (class == c.want) { //nolint:errorlint // The classes themselves are compared.
				t.Errorf("%d %s: %v; is it %q: %v", c.status, c.code, err, class, got)
			}
		}
	}
}

// TestHungServer: a server that stops in the middle costs a bounded time.
func TestHungServer(t *testing.T) {
	release := make(chan struct{})
	s := &fakeServer{before: func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method == http.MethodGet {
			w.Header().Set("Content-Length", "1000")
			w.Header().Set("ETag", `"1"`)
			w.Header().Set("Last-Modified", time.Now().UTC().Format(http.TimeFormat))
			_, _ = io.WriteString(w, "some")
			_ = http.NewResponseController(w).Flush()
		}
		<-release
		return true
	}}
	b := openFake(t, s)
	t.Cleanup(func() { close(release) })
	if _, err := b.Stat(t.Context(), "k"); !errors.Is(err, storage.ErrUnavailable) {
		t.Errorf("no answer: %v", err)
	}
	body, _, err := b.Get(t.Context(), "k", storage.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer body.Close()
	if _, err := io.ReadAll(body); !errors.Is(err, storage.ErrUnavailable) {
		t.Errorf("half a body: %v", err)
	}
}

func TestDirSeesWhatHandsDo(t *testing.T) {
	path := t.TempDir()
	b := openDir(t, path)
	write := func(name, body string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(path, name), []byte(body), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	opts := storage.PutOptions{ContentType: "text/special", Metadata: map[string]string{"a": "b"}}
	one, err := b.Put(t.Context(), "a/x.json", strings.NewReader("one"), opts)
	if err != nil {
		t.Fatal(err)
	}
	write(".new", "two")
	if err := os.Rename(filepath.Join(path, ".new"), filepath.Join(path, "a/x.json")); err != nil {
		t.Fatal(err)
	}
	two, err := b.Stat(t.Context(), "a/x.json")
	if err != nil || two.ETag == one.ETag || two.Metadata != nil || two.ContentType != "application/json" {
		t.Errorf("replaced by hand: %+v, %v", two, err)
	}
	if _, err = b.Put(t.Context(), "a/x.json", strings.NewReader("three"), storage.PutOptions{IfMatch: one.ETag}); !errors.Is(err, storage.ErrPrecondition) {
		t.Errorf("swap over a replacement by hand: %v", err)
	}
	write("dropped.wav", "sound")
	if info, err := b.Stat(t.Context(), "dropped.wav"); err != nil || info.ContentType != "audio/wav" {
		t.Errorf("dropped by hand: %+v, %v", info, err)
	}
	if err := os.RemoveAll(filepath.Join(path, "a")); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Stat(t.Context(), "a/x.json"); !errors.Is(err, storage.ErrNotFound) {
		t.Errorf("removed by hand: %v", err)
	}
}

func TestDirStaysInside(t *testing.T) {
	path, outside := t.TempDir(), t.TempDir()
	b := openDir(t, path)
	secret := filepath.Join(outside, "secret")
	if err := os.WriteFile(secret, []byte("secret"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.Symlink(secret, filepath.Join(path, "file")), os.Symlink(outside, filepath.Join(path, "dir"))); err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"file", "dir/secret"} {
		if body, _, err := b.Get(t.Context(), key, storage.GetOptions{}); err == nil {
			_ = body.Close()
			t.Errorf("%s leads out of the directory", key)
		}
		_, _ = b.Put(t.Context(), key, strings.NewReader("overwritten"), storage.PutOptions{})
		_ = b.Delete(t.Context(), key)
	}
	for info, err := range b.List(t.Context(), "dir", storage.ListOptions{}) {
		t.Errorf("listed %+v, %v", info, err)
	}
	if data, err := os.ReadFile(secret); err != nil || string(data) != "secret" {
		t.Errorf("a file outside now holds %q, %v", data, err)
	}
}

func TestDirRemovesLeftovers(t *testing.T) {
	path := t.TempDir()
	openDir(t, path)
	old, young := filepath.Join(path, ".asterism/tmp/old"), filepath.Join(path, ".asterism/tmp/young")
	for _, name := range []string{old, young} {
		if err := os.WriteFile(name, nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chtimes(old, time.Time{}, time.Now().Add(-2*time.Hour)); err != nil {
		t.Fatal(err)
	}
	openDir(t, path)
	if _, err := os.Stat(old); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a leftover is still there: %v", err)
	}
	if _, err := os.Stat(young); err != nil {
		t.Errorf("a write under way has lost its file: %v", err)
	}
}

const counterEnv, countTo = "STORAGE_TEST_COUNTER", 50

// TestDirAcrossProcesses lets four processes count in one object.
func TestDirAcrossProcesses(t *testing.T) {
	if path := os.Getenv(counterEnv); path != "" {
		count(t, openDir(t, path))
		return
	}
	path := t.TempDir()
	b := openDir(t, path)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	const processes = 4
	var wg sync.WaitGroup
	for range processes {
		wg.Go(func() {
			child := exec.CommandContext(ctx, os.Args[0], "-test.run", "^TestDirAcrossProcesses$")
			child.Env = append(os.Environ(), counterEnv+"="+path)
			if output, err := child.CombinedOutput(); err != nil {
				t.Errorf("%v: %s", err, output)
			}
		})
	}
	wg.Wait()
	info, err := b.Stat(ctx, "counter")
	if err != nil || info.Size != processes*countTo {
		t.Errorf("%d counted, want %d (%v)", info.Size, processes*countTo, err)
	}
}

// count appends a byte at a time by compare and swap.
func count(t *testing.T, b storage.Bucket) {
	t.Helper()
	for done := 0; done < countTo; {
		opts, old := storage.PutOptions{IfNoneMatch: "*"}, []byte(nil)
		body, info, err := b.Get(t.Context(), "counter", storage.GetOptions{})
		switch {
		case err == nil:
			opts = storage.PutOptions{IfMatch: info.ETag}
			if old, err = io.ReadAll(body); err != nil {
				t.Fatal(err)
			}
			_ = body.Close()
		case !errors.Is(err, storage.ErrNotFound):
			t.Fatal(err)
		}
		_, err = b.Put(t.Context(), "counter", strings.NewReader(string(old)+"x"), opts)
		if err == nil {
			done++
		} else if !errors.Is(err, storage.ErrPrecondition) {
			t.Fatal(err)
		}
	}
}

func TestOpen(t *testing.T) {
	credentials := storage.Credentials{AccessKey: "a", SecretKey: "s"}
	dir := t.TempDir()
	for location, want := range map[string]string{
		dir: "*storage.Dir", "file://" + dir: "*storage.Dir", "memory:": "*storage.Memory", "s3://bucket": "*storage.S3",
		"s3://bucket/prefix?endpoint=127.0.30.1:7070&insecure=true&region=x&virtual-host=false": "*storage.S3",
	} {
		b, err := storage.Open(location, credentials)
		if err != nil || fmt.Sprintf("%T", b) != want {
			t.Errorf("%s: %T, %v; want %s", location, b, err, want)
			continue
		}
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	}
	for location, says := range map[string]string{
		"": "empty", "ftp://x": "ftp", "s3://": "bucket", "s3://b?endpont=x": "endpont", "s3://b?insecure=maybe": "insecure",
		"s3://key:hunter2@b": "credentials apart", "s3://b/../x": "prefix", "s3://b?endpoint=http://x": "without a scheme",
	} {
		_, err := storage.Open(location, credentials)
		if err == nil || !strings.Contains(err.Error(), says) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%q: %v; want a word of %q", location, err, says)
		}
	}
	if _, err := storage.Open("s3://bucket", storage.Credentials{}); err == nil {
		t.Error("opened without credentials")
	}
}

func FuzzValidateKey(f *testing.F) {
	for _, key := range append(storagetest.InvalidKeys, "a", "a/b.wav", "ä/日本", "..a", ".hidden") {
		f.Add(key)
	}
	base := f.TempDir()
	f.Fuzz(func(t *testing.T, key string) {
		if storage.ValidateKey(key) != nil {
			return
		}
		path := filepath.Join(base, key)
		switch {
		case !strings.HasPrefix(path, base+"/"), path != base+"/"+key:
			t.Errorf("%q leads to %q", key, path)
		case len(key) > storage.MaxKeyBytes, !utf8.ValidString(key), strings.ContainsAny(key, "\x00\r\n\\"):
			t.Errorf("%q was accepted", key)
		}
	})
}
