package ari

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"
)

// Defaults of Options.
const (
	DefaultBaseURL         = "http://127.0.0.1:8088/ari"
	DefaultRequestTimeout  = 5 * time.Second
	DefaultDownloadTimeout = 5 * time.Minute
	DefaultMaxResponse     = 16 << 20
)

// Options configure a Client. The zero value is a client of an Asterisk on this machine without a password.
type Options struct {
	// BaseURL is where ARI is, with http.conf's prefix. Default DefaultBaseURL.
	BaseURL string
	// Username and Password, if there is a Username, are sent with each request (basic authentication).
	Username, Password string
	// Transport carries the requests. Default NewTransport(TransportOptions{}), which the client then owns.
	Transport http.RoundTripper
	// RequestTimeout bounds each request whose context has no deadline. Default DefaultRequestTimeout. Some commands wait
	// behind a running playback (see the package comment): give those a context with a deadline of their own.
	RequestTimeout time.Duration
	// DownloadTimeout is RequestTimeout for GetStoredFile. Default DefaultDownloadTimeout.
	DownloadTimeout time.Duration
	// MaxResponse bounds a response's body in bytes, except a download's. Default DefaultMaxResponse, which is some 20,000 channels.
	MaxResponse int64
	// Observe, if not nil, is told of each request: the operation's ID ("channels.play"), the status (0 if there was no
	// response) and how long it took. It must be quick and safe for concurrent use.
	Observe func(operation string, status int, took time.Duration)
}

// Client speaks to one Asterisk. It is safe for concurrent use, and never makes one request wait for another.
type Client struct {
	base            *url.URL
	auth            []string // value of Authorization, or nil
	transport       http.RoundTripper
	owned           *http.Transport // to close, or nil
	requestTimeout  time.Duration
	downloadTimeout time.Duration
	maxResponse     int64
	observe         func(string, int, time.Duration)
}

// New returns a client. It does not connect; an error is a BaseURL that is none.
func New(opts Options) (*Client, error) {
	raw := opts.BaseURL
	if raw == "" {
		raw = DefaultBaseURL
	}
	base, err := url.Parse(strings.TrimRight(raw, "/"))
	if err != nil {
		return nil, fmt.Errorf("ari: base URL: %w", err)
	}
	if (base.Scheme != "http" && base.Scheme != "https") || base.Host == "" || base.User != nil || base.RawQuery != "" {
		return nil, fmt.Errorf("ari: base URL: %w: expected http://host:port/ari, found %s", ErrInvalidArgument, base.Redacted())
	}
	c := &Client{
		base:            base,
		transport:       opts.Transport,
		requestTimeout:  orDefault(opts.RequestTimeout, DefaultRequestTimeout),
		downloadTimeout: orDefault(opts.DownloadTimeout, DefaultDownloadTimeout),
		maxResponse:     orDefault(opts.MaxResponse, DefaultMaxResponse),
		observe:         opts.Observe,
	}
	if opts.Username != "" {
		c.auth = []string{"Basic " + base64.StdEncoding.EncodeToString([]byte(opts.Username+":"+opts.Password))}
	}
	if c.transport == nil {
		c.owned = NewTransport(TransportOptions{})
		c.transport = c.owned
	}
	return c, nil
}

func orDefault[T comparable](v, def T) T {
	var zero T
	if v == zero {
		return def
	}
	return v
}

// Close closes idle connections, if the transport is the client's own. Requests in flight go on.
func (c *Client) Close() {
	if c.owned != nil {
		c.owned.CloseIdleConnections()
	}
}

// Values of headers, shared by all requests: a RoundTripper must not change them (net/http says so).
var (
	jsonType  = []string{"application/json"}
	userAgent = []string{"asterism"}
)

// httpRequest turns r into a request for the transport.
func (c *Client) httpRequest(ctx context.Context, r *request) (*http.Request, error) {
	if r.err != nil {
		return nil, r.err
	}
	u := *c.base
	escaped := string(r.path)
	if r.escaped {
		plain, err := url.PathUnescape(escaped)
		if err != nil {
			return nil, fmt.Errorf("ari: %s: path: %w", r.op, err)
		}
		u.RawPath = c.base.EscapedPath() + escaped
		u.Path = c.base.Path + plain
	} else {
		u.Path = c.base.Path + escaped
	}
	u.RawQuery = string(r.query)
	req := &http.Request{
		Method: r.method, URL: &u, Host: u.Host, Header: make(http.Header, 4),
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
	}
	req.Header["User-Agent"] = userAgent
	if c.auth != nil {
		req.Header["Authorization"] = c.auth
	}
	if body := r.finishBody(); len(body) > 0 {
		req.Header["Content-Type"] = jsonType
		req.ContentLength = int64(len(body))
		req.Body = io.NopCloser(bytes.NewReader(body))
		// With GetBody the transport sends a request again whose kept connection turned out to be closed.
		req.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(body)), nil }
	}
	return req.WithContext(ctx), nil
}

// withDeadline gives ctx a deadline if it has none.
func withDeadline(ctx context.Context, timeout time.Duration) (context.Context, context.CancelFunc) {
	if _, ok := ctx.Deadline(); ok {
		return ctx, func() {}
	}
	return context.WithTimeout(ctx, timeout)
}

// send performs r and hands a successful response's body to read. It drains and closes the body, so that the connection
// can be used again.
func (c *Client) send(ctx context.Context, r *request, timeout time.Duration, read func(io.Reader) error) error {
	ctx, cancel := withDeadline(ctx, timeout)
	defer cancel()
	req, err := c.httpRequest(ctx, r)
	if err != nil {
		return err
	}
	start := time.Now()
	status := 0
	if c.observe != nil {
		defer func() { c.observe(r.op, status, time.Since(start)) }()
	}
	resp, err := c.transport.RoundTrip(req)
	if err != nil {
		return fmt.Errorf("ari: %s %s: %w", r.method, req.URL.Path, err)
	}
	status = resp.StatusCode
	defer func() {
		// What little is left must be read before the connection can serve the next request.
		_, _ = io.CopyN(io.Discard, resp.Body, 64<<10)
		_ = resp.Body.Close()
	}()
	if status < 200 || status > 299 {
		// The status is what counts: a body that cannot be read costs the message only.
		body, _ := io.ReadAll(io.LimitReader(resp.Body, 8<<10))
		return &Error{Method: r.method, Path: req.URL.Path, StatusCode: status, Message: errorMessage(status, body)}
	}
	if err := read(resp.Body); err != nil {
		return fmt.Errorf("ari: %s %s: read response: %w", r.method, req.URL.Path, err)
	}
	return nil
}

var buffers = sync.Pool{New: func() any { return new(bytes.Buffer) }}

// decode performs r and decodes its response with fn.
func (c *Client) decode(ctx context.Context, r *request, fn func(*scanner)) error {
	buf, ok := buffers.Get().(*bytes.Buffer)
	if !ok {
		buf = new(bytes.Buffer)
	}
	defer func() {
		if buf.Cap() <= 64<<10 { // do not keep the memory of one large list for ever
			buf.Reset()
			buffers.Put(buf)
		}
	}()
	return c.send(ctx, r, c.requestTimeout, func(body io.Reader) error {
		n, err := buf.ReadFrom(io.LimitReader(body, c.maxResponse+1))
		if err != nil {
			return err
		}
		if n > c.maxResponse {
			return fmt.Errorf("%w: more than %d bytes", ErrBodyTooLarge, c.maxResponse)
		}
		s := scanner{data: buf.Bytes()}
		fn(&s)
		return s.finish()
	})
}

// exec performs an operation without a result.
func (c *Client) exec(ctx context.Context, r *request) error {
	return c.send(ctx, r, c.requestTimeout, func(io.Reader) error { return nil })
}

// download performs an operation whose result is a file.
func (c *Client) download(ctx context.Context, r *request, w io.Writer) (n int64, err error) {
	err = c.send(ctx, r, c.downloadTimeout, func(body io.Reader) error {
		n, err = io.Copy(w, body)
		return err
	})
	return n, err
}

// fetch performs an operation whose result is one object.
func fetch[T any, P modelPointer[T]](ctx context.Context, c *Client, r *request) (*T, error) {
	v := new(T)
	if err := c.decode(ctx, r, func(s *scanner) { s.object(P(v)) }); err != nil {
		return nil, err
	}
	return v, nil
}

// fetchList performs an operation whose result is a list.
func fetchList[T any, P modelPointer[T]](ctx context.Context, c *Client, r *request) ([]T, error) {
	var list []T
	if err := c.decode(ctx, r, func(s *scanner) { decodeList[T, P](s, &list) }); err != nil {
		return nil, err
	}
	return list, nil
}
