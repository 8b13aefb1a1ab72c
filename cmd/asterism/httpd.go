package main

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/http/pprof"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/rs/zerolog"
	"golang.org/x/net/netutil"

	"asterism/cmd/asterism/internal/config"
)

const (
	// checkTimeout bounds all checks of one /readyz together.
	checkTimeout = 2 * time.Second
	// maxHTTPConns bounds connections; probes and one scraper need a few.
	maxHTTPConns = 128
)

// checks is the set of named conditions for readiness.
type checks struct {
	mu  sync.Mutex
	all map[string]condition
}

// condition says whether something is as it should be; nil means that it is.
type condition struct {
	check    func(context.Context) error
	required bool // for readiness; otherwise people are told, and that is all
}

func newChecks() *checks { return &checks{all: make(map[string]condition)} }

// set adds or replaces a condition without which the process is not ready.
func (c *checks) set(name string, check func(context.Context) error) {
	c.put(name, condition{check, true})
}

// inform adds or replaces a condition that people are told about.
func (c *checks) inform(name string, check func(context.Context) error) {
	c.put(name, condition{check, false})
}

func (c *checks) put(name string, cond condition) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.all[name] = cond
}

func (c *checks) remove(name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.all, name)
}

// report is the body of /readyz.
type report struct {
	Ready  bool              `json:"ready"`
	Checks map[string]string `json:"checks,omitempty"` // "ok", or what is wrong
}

// run tries all conditions at the same time, or those that are required.
func (c *checks) run(ctx context.Context, all bool) report {
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	c.mu.Lock()
	conditions := maps.Clone(c.all)
	c.mu.Unlock()
	maps.DeleteFunc(conditions, func(_ string, cond condition) bool { return !all && !cond.required })
	results := make(map[string]chan error, len(conditions))
	for name, cond := range conditions {
		result := make(chan error, 1)
		results[name] = result
		go func() { result <- cond.check(ctx) }()
	}
	r := report{Ready: true, Checks: make(map[string]string, len(results))}
	for name, result := range results {
		var err error
		select {
		case err = <-result:
		case <-ctx.Done():
			err = fmt.Errorf("no answer within %v", checkTimeout)
		}
		r.Checks[name] = "ok"
		if err != nil {
			r.Checks[name] = err.Error()
			r.Ready = r.Ready && !conditions[name].required
		}
	}
	return r
}

// newRegistry returns a registry with the metrics that every role has.
func newRegistry() *prometheus.Registry {
	registry := prometheus.NewRegistry()
	build := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "asterism_build_info", Help: "Always 1; the label is the version.",
		ConstLabels: prometheus.Labels{"version": currentVersion()},
	})
	build.Set(1)
	registry.MustRegister(build, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return registry
}

// httpd serves health, readiness and metrics.
type httpd struct {
	server   *http.Server
	listener net.Listener
	done     chan error
}

// startHTTP listens at once and serves until close.
func startHTTP(ctx context.Context, c config.HTTP, ready *checks, registry *prometheus.Registry, log zerolog.Logger) (*httpd, error) {
	var lc net.ListenConfig
	listener, err := lc.Listen(ctx, "tcp", c.Listen)
	if err != nil {
		return nil, fmt.Errorf("cannot listen on %s for HTTP: %w; expected a free address in http.listen", c.Listen, err)
	}
	h := &httpd{
		server: &http.Server{
			Handler:           handler(c, ready, registry),
			ReadHeaderTimeout: 5 * time.Second,
			ReadTimeout:       10 * time.Second,
			WriteTimeout:      90 * time.Second, // a CPU profile takes 30 s
			IdleTimeout:       time.Minute,
			MaxHeaderBytes:    16 << 10,
			ErrorLog:          httpLog(log),
		},
		listener: netutil.LimitListener(listener, maxHTTPConns),
		done:     make(chan error, 1),
	}
	go func() { h.done <- h.server.Serve(h.listener) }()
	return h, nil
}

// addr is where it listens.
func (h *httpd) addr() string { return h.listener.Addr().String() }

// close lets requests under way finish until ctx ends.
func (h *httpd) close(ctx context.Context) error {
	err := h.server.Shutdown(ctx)
	if err != nil {
		err = errors.Join(err, h.server.Close())
	}
	if served := <-h.done; !errors.Is(served, http.ErrServerClosed) {
		err = errors.Join(err, served)
	}
	return err
}

func handler(c config.HTTP, ready *checks, registry *prometheus.Registry) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintln(w, "ok")
	})
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		// A probe needs the status alone, and a stranger must not make us ask
		// the storage.
		details := authorized(c.Token, r)
		result := ready.run(r.Context(), details)
		if !details {
			result.Checks = nil
		}
		w.Header().Set("Content-Type", "application/json")
		if !result.Ready {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
		enc := json.NewEncoder(w)
		enc.SetIndent("", "  ")
		// An error here means that the client has gone.
		_ = enc.Encode(result)
	})
	mux.Handle("GET /metrics", guard(c.Token, promhttp.HandlerFor(registry, promhttp.HandlerOpts{
		Registry: registry, MaxRequestsInFlight: 4, Timeout: 10 * time.Second,
	})))
	if c.Pprof {
		mux.Handle("GET /debug/pprof/", guard(c.Token, http.HandlerFunc(pprof.Index)))
		mux.Handle("GET /debug/pprof/cmdline", guard(c.Token, http.HandlerFunc(pprof.Cmdline)))
		mux.Handle("GET /debug/pprof/profile", guard(c.Token, http.HandlerFunc(pprof.Profile)))
		mux.Handle("GET /debug/pprof/symbol", guard(c.Token, http.HandlerFunc(pprof.Symbol)))
		mux.Handle("GET /debug/pprof/trace", guard(c.Token, http.HandlerFunc(pprof.Trace)))
	}
	return mux
}

// guard lets a request pass that brings the token.
func guard(token config.Secret, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !authorized(token, r) {
			w.Header().Set("WWW-Authenticate", `Bearer realm="asterism"`)
			http.Error(w, "expected the token of http.token as Authorization: Bearer …", http.StatusUnauthorized)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// authorized compares in constant time; without a token everybody is.
func authorized(token config.Secret, r *http.Request) bool {
	if token == "" {
		return true
	}
	want := sha256.Sum256([]byte("Bearer " + token.Reveal()))
	got := sha256.Sum256([]byte(r.Header.Get("Authorization")))
	return subtle.ConstantTimeCompare(want[:], got[:]) == 1
}
