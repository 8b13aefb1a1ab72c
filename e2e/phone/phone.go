package phone

import (
	"context"
	"errors"
	"fmt"
	"log/slog" //nolint:depguard // The SIP stack logs with it; it is made silent here.
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/emiago/sipgo/sip"
)

// init sets what the SIP stack has only as globals. The limit of 1,300 bytes for a datagram goes: a test sends what RFC 3261
// (18.1.1) would move to TCP, because it must find out what the far end makes of it. And the stack's own log is silent: what
// matters of a call is on its timeline.
func init() {
	sip.UDPMTUSize = 65_000
	sip.SetDefaultLogger(slog.New(slog.DiscardHandler))
}

// Options of a phone. The zero value is a phone on 127.0.0.1 that calls and does not take calls.
type Options struct {
	// Addr is the SIP address, "host:port"; UDP and TCP are bound alike. "127.0.0.1:0", on a free port, when empty. The host
	// must be an IP address; RTP is bound on it too.
	Addr string
	// User is the user part of the phone's own address; "phone" when empty.
	User string
	// Incoming is how many calls may wait for [Phone.Accept]; more are refused with 486. With 0 all are refused with 480.
	Incoming int
	// Transfer is what the phone does when it is asked to go elsewhere (REFER).
	Transfer Transfer
}

// Phone is one SIP address with any number of calls. Its methods may be used by several goroutines.
type Phone struct {
	host     netip.Addr
	port     int
	user     string
	transfer Transfer
	log      *slog.Logger
	udp      *net.UDPConn
	tcp      *net.TCPListener
	tpl      *sip.TransportLayer
	txl      *sip.TransactionLayer
	incoming chan *Call

	mu      sync.Mutex
	calls   map[string]*Call // By Call-ID and own tag.
	closed  bool             // No new calls.
	stopped bool             // No requests at all.
	wg      sync.WaitGroup
}

// New binds a phone's addresses and begins to listen. It must be closed.
func New(opts Options) (*Phone, error) {
	if opts.Addr == "" {
		opts.Addr = "127.0.0.1:0"
	}
	at, err := netip.ParseAddrPort(opts.Addr)
	if err != nil {
		return nil, fmt.Errorf("phone address %q: expected an IP address and a port such as 127.0.0.1:0: %w", opts.Addr, err)
	}
	p := &Phone{host: at.Addr(), user: opts.User, transfer: opts.Transfer, log: slog.New(slog.DiscardHandler), calls: map[string]*Call{}}
	if p.user == "" {
		p.user = "phone"
	}
	if err := p.bind(at); err != nil {
		return nil, err
	}
	if opts.Incoming > 0 {
		p.incoming = make(chan *Call, opts.Incoming)
	}
	p.tpl = sip.NewTransportLayer(net.DefaultResolver, sip.NewParser(), nil, sip.WithTransportLayerLogger(p.log))
	p.tpl.OnMessage(p.observe) // Before the transaction layer: in the order of arrival, and alone with the message.
	p.txl = sip.NewTransactionLayer(p.tpl, sip.WithTransactionLayerLogger(p.log),
		sip.WithTransactionLayerUnhandledResponseHandler(func(*sip.Response) {}))
	p.txl.OnRequest(p.serve)
	p.wg.Go(func() { _ = p.tpl.ServeUDP(p.udp) })
	p.wg.Go(func() { _ = p.tpl.ServeTCP(p.tcp) })
	if err := p.awaitServing(); err != nil {
		return nil, errors.Join(err, p.release())
	}
	return p, nil
}

// awaitServing waits until the stack knows the UDP socket: before that it would bind one of its own for a request.
func (p *Phone) awaitServing() error {
	deadline := time.NewTimer(5 * time.Second)
	defer deadline.Stop()
	look := time.NewTicker(100 * time.Microsecond)
	defer look.Stop()
	for p.tpl.Pool("udp").Size() == 0 {
		select {
		case <-look.C:
		case <-deadline.C:
			return errors.New("the SIP stack did not begin to serve its UDP socket within 5 s")
		}
	}
	return nil
}

// bind finds a port that is free for UDP and TCP.
func (p *Phone) bind(at netip.AddrPort) error {
	for attempt := 0; ; attempt++ {
		udp, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(at))
		if err != nil {
			return fmt.Errorf("binding the phone's SIP address %s over UDP: %w", at, err)
		}
		port := udp.LocalAddr().(*net.UDPAddr).AddrPort().Port()
		tcp, err := net.ListenTCP("tcp", net.TCPAddrFromAddrPort(netip.AddrPortFrom(at.Addr(), port)))
		if err == nil {
			p.udp, p.tcp, p.port = udp, tcp, int(port)
			return nil
		}
		_ = udp.Close()
		if at.Port() != 0 || attempt == 50 {
			return fmt.Errorf("binding the phone's SIP address %s over TCP: %w", at, err)
		}
	}
}

// Addr is the phone's SIP address, "127.0.0.1:40001", the same for UDP and TCP.
func (p *Phone) Addr() string { return netip.AddrPortFrom(p.host, uint16(p.port)).String() }

// URI is how the phone is called, "sip:phone@127.0.0.1:40001".
func (p *Phone) URI() string { return "sip:" + p.user + "@" + p.Addr() }

// Close hangs up what still goes on, and waits until nothing of the phone is left.
func (p *Phone) Close() error {
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		return nil
	}
	p.closed = true
	calls := make([]*Call, 0, len(p.calls))
	for _, c := range p.calls {
		calls = append(calls, c)
	}
	p.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
	defer cancel()
	var hangups sync.WaitGroup
	for _, c := range calls {
		hangups.Go(func() {
			_ = c.Hangup(ctx) // What cannot be ended politely is ended by the next line.
			c.finish(End{By: Nobody, Reason: ErrClosed.Error()})
		})
	}
	hangups.Wait()
	err := p.release()
	for _, c := range calls {
		c.wg.Wait()
	}
	return err
}

// release closes the sockets and waits for the stack.
func (p *Phone) release() error {
	p.mu.Lock()
	p.stopped = true
	p.mu.Unlock()
	p.txl.Close()
	err := errors.Join(p.udp.Close(), p.tcp.Close(), p.tpl.Close())
	p.wg.Wait()
	if err != nil && !errors.Is(err, net.ErrClosed) {
		return fmt.Errorf("closing the phone: %w", err)
	}
	return nil
}

// add puts a call under the phone's care.
func (p *Phone) add(c *Call) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return ErrClosed
	}
	p.calls[c.dialog.key()] = c
	return nil
}

func (p *Phone) remove(c *Call) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.calls, c.dialog.key())
}

func (p *Phone) find(callID, tag string) *Call {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.calls[dialogKey(callID, tag)]
}

// observe sees every SIP message before the transaction layer does, one at a time and in the order of arrival. The
// transaction layer hands responses to goroutines of their own, so that a 183 can overtake or be lost behind a 200.
func (p *Phone) observe(msg sip.Message) {
	res, ok := msg.(*sip.Response)
	if !ok {
		return
	}
	cseq, callID, from := res.CSeq(), res.CallID(), res.From()
	if cseq == nil || cseq.MethodName != sip.INVITE || callID == nil || from == nil {
		return
	}
	tag, _ := from.Params.Get("tag")
	if c := p.find(callID.Value(), tag); c != nil && !c.inbound {
		c.responded(res)
	}
}
