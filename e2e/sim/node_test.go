package sim

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"asterism/ari"
	"asterism/ari/aritest"
	"asterism/ari/proxy"
)

var errCut = errors.New("the simulated process is dead")

// gateway is one life of the node's gateway.
type gateway struct {
	w      *world
	name   string
	conn   *proxy.Conn
	gw     *proxy.Gateway
	spool  string
	cancel context.CancelFunc
	dead   chan struct{} // closed by its crash
	ended  chan struct{} // closed when Run has returned
}

// startGateway starts the gateway's next life on a spool.
func (w *world) startGateway(spool string) {
	w.boots++
	ctx, cancel := context.WithCancel(context.Background())
	g := &gateway{
		w: w, name: fmt.Sprintf("gateway#%d", w.boots), spool: spool, cancel: cancel,
		dead: make(chan struct{}), ended: make(chan struct{}),
	}
	g.conn = w.bus.Conn(g.name)
	var err error
	g.gw, err = proxy.NewGateway(proxy.GatewayOptions{
		Node: "node", Boot: w.boots, Conn: g.conn, Media: media{}, Spool: filepath.Join(spool, "sessions"),
		Log: zerolog.New(&logSink{w: w, dead: g.isDead, calls: true}),
		ARI: ari.Options{
			BaseURL: w.srv.URL(), Username: w.srv.Options().User, Password: w.srv.Options().Password,
			Transport: &wire{g: g, inner: w.srv.Transport()},
		},
	})
	if err != nil {
		w.t.Fatal(err)
	}
	w.gateway = g
	w.note("%s starts", g.name)
	go func() {
		defer close(g.ended)
		if err := g.gw.Run(ctx); err != nil && !g.isDead() {
			w.fault("%s ended: %v", g.name, err)
		}
	}()
}

func (g *gateway) isDead() bool {
	select {
	case <-g.dead:
		return true
	default:
		return false
	}
}

// crash ends the gateway as SIGKILL does: nothing that its goroutines do from
// now on reaches anybody. Its spool is left to the next life.
func (g *gateway) crash() (spool string) {
	spool = g.w.t.TempDir()
	if err := os.CopyFS(spool, os.DirFS(g.spool)); err != nil {
		g.w.t.Fatal(err)
	}
	g.conn.Close() // first: what it says of its own death must not be heard
	close(g.dead)
	g.cancel()
	g.w.work.Go(func() { <-g.ended })
	g.w.note("%s CRASHES", g.name)
	return spool
}

// wire carries the requests of a gateway to its Asterisk, and the events back.
type wire struct {
	g     *gateway
	inner http.RoundTripper
}

// RoundTrip implements [http.RoundTripper].
func (t *wire) RoundTrip(req *http.Request) (*http.Response, error) {
	if strings.HasSuffix(req.URL.Path, "/events") {
		return t.events(req)
	}
	path := strings.TrimPrefix(req.URL.Path, "/ari")
	source := t.g.name + "/ari/" + req.Method + path
	if err := t.travel(req.Context(), source); err != nil {
		return nil, err
	}
	resp, err := t.inner.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	t.g.w.requested(req.Method, path, req.URL.RawQuery, resp.StatusCode)
	if err := t.travel(req.Context(), source); err != nil {
		_ = resp.Body.Close()
		return nil, err
	}
	return resp, nil
}

// travel is the way of a request or an answer.
func (t *wire) travel(ctx context.Context, source string) error {
	w := t.g.w
	d := w.between(source, 10*time.Microsecond, 300*time.Microsecond)
	if w.chance(source, w.odds.late) {
		d += w.between(source, 0, 30*time.Millisecond)
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-t.g.dead:
		return errCut
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	if t.g.isDead() {
		return errCut
	}
	return nil
}

// events opens the websocket of the events.
func (t *wire) events(req *http.Request) (*http.Response, error) {
	if t.g.isDead() {
		return nil, errCut
	}
	resp, err := t.inner.RoundTrip(req)
	if err != nil || resp.StatusCode != http.StatusSwitchingProtocols {
		return resp, err
	}
	pipe, ok := resp.Body.(io.ReadWriteCloser)
	if !ok {
		return nil, errors.New("the websocket cannot be written to")
	}
	resp.Body = &socket{ReadWriteCloser: pipe, t: t}
	t.g.w.hears()
	return resp, nil
}

// socket is a websocket whose messages take a while.
type socket struct {
	io.ReadWriteCloser
	t *wire
}

// Read implements [io.Reader].
func (s *socket) Read(p []byte) (int, error) {
	n, err := s.ReadWriteCloser.Read(p)
	if err == nil {
		err = s.t.travel(context.Background(), s.t.g.name+"/events")
	}
	return n, err
}

// media is a cache that has every prompt whose name says how long it is.
type media struct{}

func (media) Open(_ context.Context, name string, _ bool, _ string) (proxy.MediaFile, error) {
	length, ok := lengthOf(name)
	if !ok {
		return proxy.MediaFile{}, &proxy.MediaTrouble{Problem: proxy.ProblemBroken, Message: "it is scratched"}
	}
	return proxy.MediaFile{Path: "/cache/" + name, Length: length}, nil
}

func (media) Silence(_ context.Context, d time.Duration) (proxy.MediaFile, error) {
	return proxy.MediaFile{Path: fmt.Sprintf("/cache/silence-%d", d.Milliseconds()), Length: d}, nil
}

// lengthOf is the length of a prompt such as "welcome-1500".
func lengthOf(name string) (time.Duration, bool) {
	_, ms, _ := strings.Cut(name, "-")
	n, err := strconv.Atoi(ms)
	return time.Duration(n) * time.Millisecond, err == nil
}

// soundOf is the prompt of an URI that Asterisk plays.
func soundOf(uri string) string { return strings.TrimPrefix(uri, "sound:/cache/") }

func newAsterisk(t interface{ Fatal(...any) }) *aritest.Server {
	srv, err := aritest.NewServer(aritest.Options{
		Offline: true, RequestLog: -1,
		Media: func(uri string) (time.Duration, bool) { return lengthOf(soundOf(uri)) },
	})
	if err != nil {
		t.Fatal(err)
	}
	return srv
}

// requested watches what is asked of Asterisk.
func (w *world) requested(method, path, query string, status int) {
	if method == http.MethodGet {
		return
	}
	w.note("» asterisk: %s %s %s %d", method, path, query, status)
	w.mu.Lock()
	w.requests++
	w.mu.Unlock()
	w.stir()
	if status >= 300 {
		return
	}
	parts := strings.Split(strings.Trim(path, "/"), "/")
	session := proxy.SessionOf(parts[min(1, len(parts)-1)])
	switch {
	case len(parts) == 4 && parts[2] == "play":
		w.did("played " + parts[3])
		if n := w.done("played " + parts[3]); n > 1 {
			w.fault("the playback %s was begun %d times", parts[3], n)
		}
	case len(parts) == 3 && parts[0] == "playbacks":
		w.did(session + " " + strings.TrimPrefix(query, "operation="))
	case len(parts) == 3 && parts[2] == "answer":
		w.did(session + " answer")
	}
}

// did counts what was done, done tells how often.
func (w *world) did(what string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.effects[what]++
}

func (w *world) done(what string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.effects[what]
}

// logSink reads the log of a process.
type logSink struct {
	w     *world
	dead  func() bool
	calls bool // it is a gateway's, with the call records
	mu    sync.Mutex
}

type logLine struct {
	Level, Message, Session, Error string
	Outcome                        json.RawMessage
	Panic                          any
}

// Write implements [io.Writer] with one line.
func (l *logSink) Write(p []byte) (int, error) {
	if l.dead() {
		return len(p), nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	var line logLine
	if err := json.Unmarshal(p, &line); err != nil {
		l.w.fault("a log line cannot be read: %s", p)
		return len(p), nil
	}
	switch {
	case line.Panic != nil:
		l.w.fault("panic: %s", p)
	case l.calls && line.Message == "call ended":
		l.w.recorded(line.Session, line.Outcome)
	case l.calls && line.Message == "call refused":
		l.w.refused(line.Session)
	case line.Level == "error" || line.Level == "warn":
		l.w.note("» %s: %s", line.Session, line.Message) // two limits of one moment may make its error differ
	}
	return len(p), nil
}
