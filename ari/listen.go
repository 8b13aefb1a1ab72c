package ari

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coder/websocket"
)

// ErrQueueFull is the reason for a disconnect when OnEvent was so slow that the queue filled up. Nothing is dropped
// silently: what was queued is delivered, then OnDisconnect is called, and after the next OnConnect its user reconciles.
var ErrQueueFull = errors.New("event queue is full because the handler is too slow")

// ErrNoPong is the reason for a disconnect when Asterisk did not answer a ping in time.
var ErrNoPong = errors.New("no answer to a ping")

// ListenOptions configure Client.Listen. Only App and OnEvent are needed.
//
// The three callbacks are never called at the same time. For each successful OnConnect there is exactly one later
// OnDisconnect, and all events between belong to that connection, in Asterisk's order and without a gap.
type ListenOptions struct {
	// App is the Stasis application, or several separated by commas.
	App string
	// SubscribeAll asks for the events of everything in Asterisk, not only of what entered the application.
	SubscribeAll bool

	// OnConnect is called when the socket is up, before the first event; first is true until it has succeeded once. Events
	// of channels that ended while there was no connection are gone: this is the place to set the event filter, list the
	// channels and reconcile. Meanwhile events queue up. ctx ends with the connection. An error ends the connection, and
	// is the reason given to OnDisconnect.
	OnConnect func(ctx context.Context, first bool) error
	// OnEvent is called for each event with the message's bytes, which it may keep. It should be quick, see QueueEvents.
	// After an ApplicationReplaced the connection stays open, but has no further events: another listener has them.
	OnEvent func(raw []byte)
	// OnDisconnect is called with the reason for each end of a connection and for each failed attempt. An *Error in it is
	// Asterisk's answer, so that IsUnauthorized(err) means a wrong user or password. Listen goes on trying.
	OnDisconnect func(err error)

	// QueueEvents and QueueBytes bound the queue between socket and OnEvent. Default 8192 events and 64 MiB. The queue keeps
	// the socket read at all times: Asterisk gives up a websocket that takes nothing for 100 ms. Full means ErrQueueFull.
	QueueEvents int
	QueueBytes  int64
	// ReadLimit bounds one message in bytes. Default 1 MiB. A larger one ends the connection.
	ReadLimit int64
	// DialTimeout bounds connecting and the handshake. Default 5 s.
	DialTimeout time.Duration
	// PingInterval is the time between pings, default 5 s, and PingTimeout that until the answer, default 5 s.
	PingInterval, PingTimeout time.Duration
	// MinBackoff and MaxBackoff are the first and the longest pause between attempts, default 100 ms and 5 s. It doubles
	// with each attempt, less a random part of up to a half, and starts again after a connection of at least MaxBackoff.
	MinBackoff, MaxBackoff time.Duration
}

func (o ListenOptions) withDefaults() ListenOptions {
	o.QueueEvents = orDefault(o.QueueEvents, 8192)
	o.QueueBytes = orDefault(o.QueueBytes, 64<<20)
	o.ReadLimit = orDefault(o.ReadLimit, 1<<20)
	o.DialTimeout = orDefault(o.DialTimeout, 5*time.Second)
	o.PingInterval = orDefault(o.PingInterval, 5*time.Second)
	o.PingTimeout = orDefault(o.PingTimeout, 5*time.Second)
	o.MinBackoff = orDefault(o.MinBackoff, 100*time.Millisecond)
	o.MaxBackoff = max(orDefault(o.MaxBackoff, 5*time.Second), o.MinBackoff)
	if o.OnConnect == nil {
		o.OnConnect = func(context.Context, bool) error { return nil }
	}
	if o.OnDisconnect == nil {
		o.OnDisconnect = func(error) {}
	}
	return o
}

// Listen receives the events of a Stasis application until ctx ends, and connects again whenever the connection is lost.
// While it is connected the application exists in Asterisk. It returns the cause of ctx's end, or at once an error
// wrapping ErrInvalidArgument. The client's transport must be able to upgrade to a websocket, as *http.Transport is.
func (c *Client) Listen(ctx context.Context, opts ListenOptions) error {
	if opts.App == "" || opts.OnEvent == nil {
		return fmt.Errorf("ari: listen: %w: App and OnEvent are required", ErrInvalidArgument)
	}
	l := &listener{client: c, opts: opts.withDefaults(), first: true}
	backoff := l.opts.MinBackoff
	for ctx.Err() == nil {
		start := time.Now()
		l.run(ctx)
		if time.Since(start) >= l.opts.MaxBackoff {
			backoff = l.opts.MinBackoff
		}
		select {
		case <-ctx.Done():
		// The clock's nanoseconds are random enough, and in virtual time they are the same in every run.
		case <-time.After(backoff/2 + time.Duration(time.Now().UnixNano())%(backoff/2+1)):
		}
		backoff = min(2*backoff, l.opts.MaxBackoff)
	}
	return context.Cause(ctx)
}

// listener is one Listen.
type listener struct {
	client *Client
	opts   ListenOptions
	first  bool // no connection yet
}

// run is one connection, or one failed attempt.
func (l *listener) run(ctx context.Context) {
	conn, err := l.dial(ctx)
	if err != nil {
		if ctx.Err() == nil {
			l.opts.OnDisconnect(err)
		}
		return
	}
	connCtx, cancel := context.WithCancelCause(ctx)
	// Reading has a context of its own: when it ends, coder/websocket drops the connection without saying goodbye.
	readCtx, stopReading := context.WithCancel(context.WithoutCancel(ctx))
	defer stopReading()
	s := &socket{conn: conn, opts: &l.opts, queue: make(chan []byte, l.opts.QueueEvents), end: cancel}
	var wg sync.WaitGroup
	wg.Go(func() { s.read(readCtx) })
	wg.Go(func() { s.ping(connCtx) })

	err = l.opts.OnConnect(connCtx, l.first)
	if err == nil {
		l.first = false
		s.deliver(ctx)
	} else {
		cancel(fmt.Errorf("ari: listen: on connect: %w", err))
	}
	cancel(context.Cause(ctx)) // stops the ping; a reason given before stands
	goodbye := time.AfterFunc(500*time.Millisecond, stopReading)
	_ = conn.Close(websocket.StatusNormalClosure, "") // it is closed either way
	goodbye.Stop()
	wg.Wait()
	l.opts.OnDisconnect(context.Cause(connCtx))
}

// dial opens the websocket.
func (l *listener) dial(ctx context.Context) (*websocket.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, l.opts.DialTimeout)
	defer cancel()
	u := *l.client.base
	u.Path += "/events"
	query := appendEscaped([]byte("app="), l.opts.App)
	if l.opts.SubscribeAll {
		query = append(query, "&subscribeAll=true"...)
	}
	u.RawQuery = string(query)
	header := http.Header{"User-Agent": userAgent}
	if l.client.auth != nil {
		header["Authorization"] = l.client.auth
	}
	conn, resp, err := websocket.Dial(ctx, u.String(), &websocket.DialOptions{
		HTTPClient: &http.Client{Transport: l.client.transport}, HTTPHeader: header,
	})
	if err == nil {
		conn.SetReadLimit(l.opts.ReadLimit)
		return conn, nil
	}
	if resp != nil && resp.StatusCode != http.StatusSwitchingProtocols {
		var body []byte
		if resp.Body != nil {
			body, _ = io.ReadAll(resp.Body) // at most 1 KiB; it costs the message only
			_ = resp.Body.Close()
		}
		return nil, fmt.Errorf("ari: listen: %w", &Error{
			Method: http.MethodGet, Path: u.Path, StatusCode: resp.StatusCode, Message: errorMessage(resp.StatusCode, body),
		})
	}
	return nil, fmt.Errorf("ari: listen: connect to %s: %w", u.Host, err)
}

// socket is one connection with its queue.
type socket struct {
	conn   *websocket.Conn
	opts   *ListenOptions
	queue  chan []byte
	queued atomic.Int64 // bytes
	end    context.CancelCauseFunc
}

// read moves messages from the socket into the queue, without ever waiting for room, and closes the queue at the end.
func (s *socket) read(ctx context.Context) {
	defer close(s.queue)
	var buf bytes.Buffer
	for {
		_, r, err := s.conn.Reader(ctx)
		if err == nil {
			buf.Reset()
			_, err = buf.ReadFrom(r)
		}
		if err != nil {
			s.end(fmt.Errorf("ari: listen: connection lost: %w", err))
			return
		}
		if s.queued.Add(int64(buf.Len())) > s.opts.QueueBytes {
			s.overflow()
			return
		}
		select {
		case s.queue <- bytes.Clone(buf.Bytes()):
		default:
			s.overflow()
			return
		}
	}
}

func (s *socket) overflow() {
	s.end(fmt.Errorf("ari: listen: %w", ErrQueueFull))
	_ = s.conn.CloseNow()
}

// ping notices a connection that is dead without saying so.
func (s *socket) ping(ctx context.Context) {
	ticker := time.NewTicker(s.opts.PingInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		pingCtx, cancel := context.WithTimeout(ctx, s.opts.PingTimeout)
		err := s.conn.Ping(pingCtx)
		cancel()
		if err != nil {
			if ctx.Err() == nil {
				s.end(fmt.Errorf("ari: listen: %w within %v", ErrNoPong, s.opts.PingTimeout))
				_ = s.conn.CloseNow()
			}
			return
		}
	}
}

// deliver calls the handler until the queue is empty and the connection has ended, or ctx ends.
func (s *socket) deliver(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case raw, ok := <-s.queue:
			if !ok {
				return
			}
			s.queued.Add(-int64(len(raw)))
			s.opts.OnEvent(raw)
		}
	}
}
