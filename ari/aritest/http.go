package aritest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// Limits of Asterisk's HTTP server, measured on 22.10.
const (
	maxRequestLine = 4096
	maxBody        = 32 * 1024
)

// reply is what a handler answers. A nil body with status 204 is the usual success.
type reply struct {
	status int
	body   []byte
	kind   string // content type, when not JSON
}

var noContent = reply{status: http.StatusNoContent}

func ok(body []byte) reply { return reply{status: http.StatusOK, body: body} }

func fail(status int, message string) reply {
	b := appendField([]byte{'{'}, "message", message)
	return reply{status: status, body: append(b, '}')}
}

var (
	errNoResource = fail(http.StatusNotFound, "Resource not found")
	errMethod     = fail(http.StatusMethodNotAllowed, "Invalid method")
)

// request is a decoded REST request.
type request struct {
	ctx    context.Context //nolint:containedctx // lives as long as the request it belongs to
	method string
	seg    []string // path below /ari, unescaped
	query  url.Values
	raw    []byte
	fields map[string]json.RawMessage // body, when it is a JSON object
}

// param returns a parameter from the query or else the JSON body, as Asterisk does; the last of several counts.
func (r *request) param(name string) string {
	if v := r.query[name]; len(v) > 0 {
		return v[len(v)-1]
	}
	raw, found := r.fields[name]
	if !found {
		return ""
	}
	var s string
	if json.Unmarshal(raw, &s) == nil {
		return s
	}
	var list []string
	if json.Unmarshal(raw, &list) == nil {
		return strings.Join(list, ",")
	}
	return string(raw)
}

// number returns an integer parameter; what is no number counts as 0, as in Asterisk.
func (r *request) number(name string, def int) int {
	v := r.param(name)
	if v == "" {
		return def
	}
	n, err := strconv.Atoi(v)
	if err != nil {
		return 0
	}
	return n
}

func (r *request) flag(name string) bool {
	v := strings.ToLower(r.param(name))
	return v == "true" || v == "yes" || v == "1" || v == "on"
}

// list splits a comma separated parameter.
func (r *request) list(name string) []string {
	if v := r.param(name); v != "" {
		return strings.Split(v, ",")
	}
	return nil
}

// ServeHTTP implements [http.Handler].
func (s *Server) ServeHTTP(w http.ResponseWriter, hr *http.Request) {
	s.mu.Lock()
	crashed, down := s.crashed, s.down
	s.mu.Unlock()
	if down {
		panic(http.ErrAbortHandler) // the documented way to drop a connection
	}
	if strings.HasSuffix(hr.URL.Path, "/events") && strings.EqualFold(hr.Header.Get("Upgrade"), "websocket") {
		s.serveEvents(w, hr)
		return
	}
	rep, err := s.handle(hr.Context(), hr, crashed)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	h := w.Header()
	h["Server"] = []string{"Asterisk/" + s.opt.Version}
	h["Cache-Control"] = []string{"no-cache, no-store"}
	switch {
	case rep.kind != "":
		h["Content-Type"] = []string{rep.kind}
	case len(rep.body) > 0:
		h["Content-Type"] = []string{"application/json"}
	}
	if rep.status == http.StatusUnauthorized {
		h["Www-Authenticate"] = []string{`Basic realm="Asterisk REST Interface"`}
	}
	if rep.status != http.StatusNoContent {
		h["Content-Length"] = []string{strconv.Itoa(len(rep.body))}
	}
	w.WriteHeader(rep.status)
	_, _ = w.Write(rep.body)
}

// handle answers one request. An error means: break the connection off without an answer.
func (s *Server) handle(ctx context.Context, hr *http.Request, crashed <-chan struct{}) (reply, error) {
	began := time.Now()
	rep, err := s.faults.before(ctx, hr, crashed)
	if err != nil {
		return reply{}, err
	}
	if rep == nil {
		answer := s.answer(ctx, hr)
		rep = &answer
	}
	select {
	case <-crashed:
		return reply{}, ErrClosed
	default:
	}
	if ctx.Err() != nil {
		return reply{}, context.Cause(ctx)
	}
	s.mu.Lock()
	s.stats.Requests++
	s.mu.Unlock()
	s.log.add(Request{Method: hr.Method, Path: strings.TrimPrefix(hr.URL.Path, "/ari"), Query: hr.URL.RawQuery, Status: rep.status, At: began, Took: time.Since(began)})
	return *rep, nil
}

// answer checks what Asterisk checks before it looks at the resource, then routes.
func (s *Server) answer(ctx context.Context, hr *http.Request) reply {
	if len(hr.Method)+len(hr.URL.RequestURI())+len(" HTTP/1.1 ") >= maxRequestLine {
		return badRequestLine(s.opt.Version)
	}
	if !s.authorized(hr) {
		return fail(http.StatusUnauthorized, "Authentication required")
	}
	r := &request{ctx: ctx, method: hr.Method}
	path, found := strings.CutPrefix(hr.URL.EscapedPath(), "/ari")
	if !found {
		return reply{status: http.StatusNotFound, kind: "text/html", body: []byte("<html><head><title>404 Not Found</title></head></html>")}
	}
	for part := range strings.SplitSeq(strings.Trim(path, "/"), "/") {
		un, err := url.PathUnescape(part)
		if err != nil {
			return errNoResource
		}
		r.seg = append(r.seg, un)
	}
	if hr.URL.RawQuery != "" {
		r.query = hr.URL.Query()
	}
	if hr.Body != nil && hr.Body != http.NoBody {
		raw, err := io.ReadAll(io.LimitReader(hr.Body, maxBody+1))
		if err != nil {
			return fail(http.StatusBadRequest, "Error parsing request body")
		}
		if len(raw) > maxBody {
			return fail(http.StatusRequestEntityTooLarge, "Request body too large")
		}
		r.raw = raw
		if len(bytes.TrimSpace(raw)) > 0 {
			if err := json.Unmarshal(raw, &r.fields); err != nil && !json.Valid(raw) {
				return fail(http.StatusBadRequest, "Error parsing request body")
			}
		}
	}
	return s.route(r)
}

func badRequestLine(version string) reply {
	return reply{
		status: http.StatusBadRequest, kind: "text/html",
		body: []byte("<html><head>\r\n<title>400 Bad Request</title>\r\n</head><body>\r\n<h1>Bad Request</h1>\r\n<p>Request line too long</p>\r\n<hr />\r\n<address>Asterisk/" + version + "</address>\r\n</body></html>\r\n"),
	}
}

func (s *Server) authorized(hr *http.Request) bool {
	if user, pass, found := hr.BasicAuth(); found {
		return user == s.opt.User && pass == s.opt.Password
	}
	return hr.URL.Query().Get("api_key") == s.opt.User+":"+s.opt.Password
}

// route finds the resource.
func (s *Server) route(r *request) reply {
	switch r.seg[0] {
	case "channels":
		return s.routeChannels(r)
	case "playbacks":
		return s.routePlaybacks(r)
	case "bridges":
		return s.routeBridges(r)
	case "recordings":
		return s.routeRecordings(r)
	case "applications":
		return s.routeApplications(r)
	case "asterisk":
		return s.routeAsterisk(r)
	case "events":
		return s.routeEvents(r)
	case "sounds":
		return s.routeSounds(r)
	case "endpoints":
		return s.routeEndpoints(r)
	case "deviceStates":
		return s.routeDevices(r)
	case "":
		return errMethod
	}
	return errNoResource
}

// locked runs a handler that cannot block with the lock held.
func (s *Server) locked(fn func() reply) reply {
	s.mu.Lock()
	defer s.mu.Unlock()
	return fn()
}

// wait blocks until a command that the channel runs later has run.
func (s *Server) wait(ctx context.Context, done <-chan struct{}, rep reply) reply {
	select {
	case <-done:
	case <-ctx.Done():
	}
	return rep
}

// Transport returns a RoundTripper that reaches the server in memory, whatever the host in the URL.
// A request runs on its caller's goroutine; a websocket runs over [net.Pipe]. It may be used in a synctest bubble.
func (s *Server) Transport() http.RoundTripper { return &transport{server: s} }

type transport struct{ server *Server }

// RoundTrip implements [http.RoundTripper].
func (t *transport) RoundTrip(hr *http.Request) (*http.Response, error) {
	s := t.server
	if hr.Body != nil {
		defer func() { _ = hr.Body.Close() }()
	}
	s.mu.Lock()
	crashed, down := s.crashed, s.down
	s.mu.Unlock()
	if down {
		return nil, ErrClosed
	}
	if strings.EqualFold(hr.Header.Get("Upgrade"), "websocket") {
		return s.upgradeInMemory(hr)
	}
	rep, err := s.handle(hr.Context(), hr, crashed)
	if err != nil {
		if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
			return nil, err
		}
		return nil, ErrClosed
	}
	kind := rep.kind
	if kind == "" {
		kind = "application/json"
	}
	return &http.Response{
		Status: strconv.Itoa(rep.status) + " " + http.StatusText(rep.status), StatusCode: rep.status,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Request: hr,
		Header:        http.Header{"Content-Type": {kind}, "Server": {"Asterisk/" + s.opt.Version}},
		ContentLength: int64(len(rep.body)), Body: io.NopCloser(bytes.NewReader(rep.body)),
	}, nil
}
