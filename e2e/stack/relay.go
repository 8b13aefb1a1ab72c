package stack

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"
)

// relayDial bounds a relay's own connecting.
const relayDial = 2 * time.Second

// Relay is a stretch of network between two processes that can be broken: TCP
// connections to its address are carried on to another one.
type Relay struct {
	listener net.Listener
	target   string
	over     sync.WaitGroup

	mu     sync.Mutex
	conns  map[*relayed]struct{}
	hole   chan struct{} // while not nil nothing passes; closed by Heal
	refuse func(sent []byte) bool
	closed bool
}

// relayed is one connection.
type relayed struct {
	near, far *net.TCPConn // far is nil until it is connected

	mu     sync.Mutex
	sent   []byte // how the near end began its newest message, as far as one read goes
	closed bool
}

// openRelay begins to listen on an address.
func openRelay(ctx context.Context, address, target string) (*Relay, error) {
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("relay to %s: %w", target, err)
	}
	r := &Relay{listener: l, target: target, conns: map[*relayed]struct{}{}}
	r.over.Go(r.serve)
	return r, nil
}

// Addr is where the relay listens.
func (r *Relay) Addr() string { return r.listener.Addr().String() }

// Cut makes the network swallow everything: connections stay as they are and
// nothing passes, as when a cable is pulled. What was sent meanwhile passes
// after [Relay.Heal], as TCP sends it again.
func (r *Relay) Cut() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.hole == nil {
		r.hole = make(chan struct{})
	}
}

// Reset ends all connections at once, and those that are made from now on,
// until [Relay.Heal].
func (r *Relay) Reset() { r.Drop(func([]byte) bool { return true }) }

// Drop ends the connections whose near end has sent something that fits,
// and every later one that does, until [Relay.Heal]. It is shown what one
// read returned, from its beginning.
func (r *Relay) Drop(fits func(sent []byte) bool) {
	r.mu.Lock()
	r.refuse = fits
	var hit []*relayed
	for c := range r.conns {
		if c.fits(fits) {
			hit = append(hit, c)
		}
	}
	r.mu.Unlock()
	for _, c := range hit {
		c.reset()
	}
}

// Heal makes everything pass again.
func (r *Relay) Heal() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.refuse = nil
	if r.hole != nil {
		close(r.hole)
		r.hole = nil
	}
}

// Websocket fits a request for a websocket, for [Relay.Drop].
func Websocket(sent []byte) bool {
	head, _, _ := bytes.Cut(sent, []byte("\r\n\r\n"))
	return bytes.Contains(bytes.ToLower(head), []byte("\r\nupgrade: websocket"))
}

// close ends everything and waits.
func (r *Relay) close() error {
	r.mu.Lock()
	r.closed = true
	all := make([]*relayed, 0, len(r.conns))
	for c := range r.conns {
		all = append(all, c)
	}
	r.mu.Unlock()
	err := r.listener.Close()
	for _, c := range all {
		c.reset()
	}
	r.Heal()
	r.over.Wait()
	return err
}

func (r *Relay) serve() {
	for {
		conn, err := r.listener.Accept()
		if err != nil {
			return
		}
		c := &relayed{near: conn.(*net.TCPConn)}
		r.mu.Lock()
		if r.closed {
			r.mu.Unlock()
			c.reset()
			return
		}
		r.conns[c] = struct{}{}
		r.over.Go(func() { r.carry(c) })
		r.mu.Unlock()
	}
}

// carry carries one connection to its end.
func (r *Relay) carry(c *relayed) {
	defer func() {
		c.reset()
		r.mu.Lock()
		delete(r.conns, c)
		r.mu.Unlock()
	}()
	r.wait()
	if r.refused(nil) {
		return
	}
	conn, err := (&net.Dialer{Timeout: relayDial}).Dial("tcp", r.target) //nolint:noctx // it has a timeout, and reset ends what comes of it.
	if err != nil {
		return
	}
	if !c.connected(conn.(*net.TCPConn)) {
		return
	}
	var back sync.WaitGroup
	back.Go(func() { r.copy(c, c.near, c.far, false) })
	r.copy(c, c.far, c.near, true)
	back.Wait()
}

// copy carries one direction. Its end is that of the connection, unless the
// one end has only said that it will send no more.
func (r *Relay) copy(c *relayed, to, from *net.TCPConn, near bool) {
	buf := make([]byte, 64<<10)
	for {
		n, err := from.Read(buf)
		if n > 0 {
			if near {
				c.note(buf[:n])
				if r.refused(buf[:n]) {
					c.reset()
					return
				}
			}
			r.wait()
			if _, werr := to.Write(buf[:n]); werr != nil {
				c.reset()
				return
			}
		}
		if errors.Is(err, io.EOF) {
			r.wait()
			_ = to.CloseWrite() // The other direction sees what becomes of it.
			return
		}
		if err != nil {
			c.reset()
			return
		}
	}
}

// wait waits while the network swallows everything.
func (r *Relay) wait() {
	r.mu.Lock()
	hole := r.hole
	r.mu.Unlock()
	if hole != nil {
		<-hole
	}
}

func (r *Relay) refused(sent []byte) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.refuse != nil && r.refuse(sent)
}

// noted is how much of a message is looked at.
const noted = 4096

func (c *relayed) note(sent []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if Websocket(c.sent) {
		return // what follows are frames
	}
	c.sent = append(c.sent[:0], sent[:min(len(sent), noted)]...)
}

func (c *relayed) fits(fits func([]byte) bool) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return fits(c.sent)
}

func (c *relayed) connected(far *net.TCPConn) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		_ = far.Close()
		return false
	}
	c.far = far
	return true
}

// reset ends both ends of the connection, with RST.
func (c *relayed) reset() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return
	}
	c.closed = true
	for _, conn := range []*net.TCPConn{c.near, c.far} {
		if conn != nil {
			_ = conn.SetLinger(0)
			_ = conn.Close()
		}
	}
}
