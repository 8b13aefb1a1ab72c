package proxy

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"sync"
	"time"
)

const (
	dialTimeout = 2 * time.Second
	// idleTimeout is below the time after which Asterisk closes an idle
	// connection (session_keep_alive in http.conf, 15 s unless set), so that a
	// request never meets a closing one.
	idleTimeout = 10 * time.Second
	maxIdle     = 256 // connections kept for the next requests
)

// loopbackTransport is an [http.RoundTripper] for requests to the Asterisk
// beside the gateway: HTTP/1.1 over pooled keep-alive connections, written
// and read by the goroutine that asks. [http.Transport] has two goroutines a
// connection; the wake-ups between them were a quarter of what a playback
// call cost the gateway (make bench -profile). Requests have small bodies, are
// never sent twice, and answers are read whole.
type loopbackTransport struct {
	addr string
	dial net.Dialer

	mu     sync.Mutex
	idle   []*loopbackConn // most recently used last
	closed bool
}

type loopbackConn struct {
	net.Conn
	r    *bufio.Reader
	w    *bufio.Writer
	used time.Time
}

func newLoopbackTransport(addr string) *loopbackTransport {
	return &loopbackTransport{addr: addr, dial: net.Dialer{Timeout: dialTimeout}}
}

// RoundTrip implements [http.RoundTripper]. The body of the response is in
// memory, at most [maxAnswer] and one byte of it.
func (t *loopbackTransport) RoundTrip(req *http.Request) (*http.Response, error) {
	ctx := req.Context()
	c, err := t.take(ctx)
	if err != nil {
		return nil, err
	}
	deadline, _ := ctx.Deadline() // zero: none
	if err := c.SetDeadline(deadline); err != nil {
		_ = c.Close()
		return nil, err
	}
	// The end of ctx before its deadline interrupts reading and writing.
	stop := context.AfterFunc(ctx, func() { _ = c.SetDeadline(time.Unix(1, 0)) })
	resp, reuse, err := c.exchange(req)
	if !stop() || err != nil || !reuse {
		_ = c.Close()
	} else {
		t.give(c)
	}
	if err != nil {
		switch {
		case ctx.Err() != nil:
			return nil, context.Cause(ctx)
		case errors.Is(err, os.ErrDeadlineExceeded): // a moment before ctx noticed
			return nil, context.DeadlineExceeded
		}
		return nil, err
	}
	return resp, nil
}

// exchange sends a request and reads its answer.
func (c *loopbackConn) exchange(req *http.Request) (resp *http.Response, reuse bool, err error) {
	if err := req.Write(c.w); err != nil {
		return nil, false, err
	}
	if err := c.w.Flush(); err != nil {
		return nil, false, err
	}
	if resp, err = http.ReadResponse(c.r, req); err != nil { //nolint:bodyclose // closed below
		if errors.Is(err, io.ErrUnexpectedEOF) {
			err = fmt.Errorf("the connection was closed without an answer: %w", err)
		}
		return nil, false, err
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	if err = errors.Join(err, resp.Body.Close()); err != nil {
		return nil, false, err
	}
	resp.Body = io.NopCloser(bytes.NewReader(body))
	return resp, !resp.Close && len(body) <= maxAnswer, nil
}

// take returns an idle connection, or a new one.
func (t *loopbackTransport) take(ctx context.Context) (*loopbackConn, error) {
	t.mu.Lock()
	if t.closed {
		t.mu.Unlock()
		return nil, net.ErrClosed
	}
	var c *loopbackConn
	if n := len(t.idle); n > 0 {
		c, t.idle = t.idle[n-1], t.idle[:n-1]
	}
	t.mu.Unlock()
	if c != nil && time.Since(c.used) < idleTimeout {
		return c, nil
	}
	if c != nil {
		_ = c.Close()
		t.trim(time.Now())
	}
	conn, err := t.dial.DialContext(ctx, "tcp", t.addr)
	if err != nil {
		return nil, err
	}
	return &loopbackConn{Conn: conn, r: bufio.NewReader(conn), w: bufio.NewWriter(conn)}, nil
}

// give keeps a connection for the next request.
func (t *loopbackTransport) give(c *loopbackConn) {
	c.used = time.Now()
	t.mu.Lock()
	keep := !t.closed && len(t.idle) < maxIdle
	if keep {
		t.idle = append(t.idle, c)
	}
	t.mu.Unlock()
	if !keep {
		_ = c.Close()
	}
}

// trim closes connections that have been idle for too long.
func (t *loopbackTransport) trim(now time.Time) {
	t.mu.Lock()
	var old []*loopbackConn
	for len(t.idle) > 0 && now.Sub(t.idle[0].used) >= idleTimeout {
		old, t.idle = append(old, t.idle[0]), t.idle[1:]
	}
	t.mu.Unlock()
	for _, c := range old {
		_ = c.Close()
	}
}

// close closes the pool for good.
func (t *loopbackTransport) close() {
	t.mu.Lock()
	t.closed = true
	t.mu.Unlock()
	t.forget()
}

// forget closes the connections that are idle: the server may have closed its
// end of them.
func (t *loopbackTransport) forget() {
	t.mu.Lock()
	idle := t.idle
	t.idle = nil
	t.mu.Unlock()
	for _, c := range idle {
		_ = c.Close()
	}
}
