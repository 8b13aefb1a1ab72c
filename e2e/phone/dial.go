package phone

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"syscall"
	"time"

	"github.com/emiago/sipgo/sip"
)

const (
	// cancelWait is how long a cancelled call waits for its 487 before it is forgotten.
	cancelWait = 5 * time.Second
	// silentWait is how long a call is still held to which nothing came back: before that it must not be cancelled.
	silentWait = time.Second
	// probeAfter is how long the far end may be silent before the phone looks whether anybody is there.
	probeAfter = 500 * time.Millisecond
	// byeWait bounds a BYE that the phone sends on its own.
	byeWait = 3 * time.Second
)

// DialOptions say whom to call and how.
type DialOptions struct {
	// Target is the SIP URI, "sip:1000@127.0.0.2:5060". Its host is an IP address. ";transport=tcp" calls over TCP.
	Target string
	// From is the caller, "sip:alice@example.com" or `"Alice" <sip:alice@example.com>`; the phone's own address when empty.
	From string
	// Headers are added to the INVITE as they are, in this order; nothing is checked, because a test may want them broken.
	Headers [][2]string
	// Codecs are offered in this order; PCMU and PCMA when empty.
	Codecs []Codec
	// CallID is made up when empty.
	CallID string
	// Decorate, when set, adds headers to those given once the Call-ID is known: a signature covers it.
	Decorate func(callID string, headers [][2]string) ([][2]string, error)
}

// Dial calls and waits until the call is answered. When ctx ends before that, the call is cancelled, and the error is
// [ErrNoAnswer] and the cause of ctx. A refusal is a *[RefusedError]; [ErrUnreachable] says that nobody listens there.
//
// The call is returned with an error too, once its INVITE was sent: there may have been early media to hear.
func (p *Phone) Dial(ctx context.Context, opts DialOptions) (*Call, error) {
	c, err := p.Start(ctx, opts)
	if err != nil {
		return c, err
	}
	<-c.settled
	if err := c.Answered(context.WithoutCancel(ctx)); err != nil {
		<-c.done // What was heard in early media is complete.
		return c, err
	}
	return c, nil
}

// Start calls and returns at once; [Call.Answered] waits for the outcome. When ctx ends before the call is answered it is
// cancelled; afterwards ctx does not matter to it.
func (p *Phone) Start(ctx context.Context, opts DialOptions) (*Call, error) {
	c, err := newCall(p, opts.Codecs)
	if err != nil {
		return nil, err
	}
	req, err := p.invite(c, opts)
	if err == nil {
		err = p.add(c)
	}
	if err != nil {
		c.media.close()
		return nil, err
	}
	target := req.Recipient
	c.note("INVITE")
	tx, err := p.txl.Request(ctx, req)
	if err != nil {
		err = unreachable(&target, err)
		c.settleWith(err)
		c.finish(End{By: Nobody, Reason: err.Error()})
		return c, err
	}
	c.wg.Go(func() { c.setUp(ctx, tx, target) })
	return c, nil
}

func unreachable(target *sip.Uri, err error) error {
	for _, errno := range []syscall.Errno{syscall.ECONNREFUSED, syscall.EHOSTUNREACH, syscall.ENETUNREACH} {
		if errors.Is(err, errno) {
			return fmt.Errorf("%w at %s: %w", ErrUnreachable, hostPort(target), errno)
		}
	}
	return fmt.Errorf("calling %s: %w", hostPort(target), err)
}

// invite builds the INVITE and the dialog that it may begin.
func (p *Phone) invite(c *Call, opts DialOptions) (*sip.Request, error) {
	var target sip.Uri
	if err := sip.ParseUri(opts.Target, &target); err != nil || target.Host == "" || !strings.HasPrefix(strings.ToLower(opts.Target), "sip:") {
		return nil, fmt.Errorf("target %q: expected a SIP URI such as sip:1000@127.0.0.2:5060", opts.Target)
	}
	transport := "UDP"
	if t, ok := target.UriParams.Get("transport"); ok {
		transport = strings.ToUpper(t)
	}
	if transport != "UDP" && transport != "TCP" {
		return nil, fmt.Errorf("target %q: transport %s is not spoken here: expected udp or tcp", opts.Target, strings.ToLower(transport))
	}
	from := opts.From
	if from == "" {
		from = p.URI()
	}
	if !strings.Contains(from, "<") {
		from = "<" + from + ">"
	}
	to := target.Clone()
	to.UriParams = nil
	d := &dialog{
		callID: opts.CallID, localTag: sip.GenerateTagN(12), transport: transport,
		remote: "<" + to.String() + ">", target: target, seq: 1,
	}
	if d.callID == "" {
		d.callID = sip.GenerateTagN(24)
	}
	d.local = from + ";tag=" + d.localTag
	c.dialog = d
	headers := opts.Headers
	if opts.Decorate != nil {
		var err error
		if headers, err = opts.Decorate(d.callID, headers); err != nil {
			return nil, fmt.Errorf("adding headers to the call: %w", err)
		}
	}
	body, err := describe(p.host, c.media.port, c.sessionID, c.version, c.codecs, telephoneEvents, "sendrecv")
	if err != nil {
		return nil, err
	}
	req := p.requestAt(d, sip.INVITE, d.seq, append([][2]string{
		{"Allow", allowed}, {"Supported", "timer"}, {"Content-Type", "application/sdp"},
	}, headers...)...)
	req.SetBody(body)
	return req, nil
}

// setUp waits for the final response to the INVITE.
func (c *Call) setUp(ctx context.Context, tx *sip.ClientTx, target sip.Uri) {
	probe := time.NewTimer(probeAfter)
	defer probe.Stop()
	for {
		select {
		case res := <-tx.Responses():
			if res.IsProvisional() {
				continue
			}
			c.final(ctx, tx, res)
			return
		case <-tx.Done():
			err := fmt.Errorf("%w: %s did not answer the INVITE: %w", ErrNoAnswer, hostPort(&target), tx.Err())
			c.settleWith(err)
			c.finish(End{By: Nobody, Reason: err.Error()})
			return
		case <-ctx.Done():
			c.withdraw(ctx, tx, context.Cause(ctx))
			return
		case <-c.cancel:
			c.withdraw(ctx, tx, errors.New("hung up before the answer"))
			return
		case <-probe.C:
			if err := c.probe(&target); err != nil {
				tx.Terminate()
				c.settleWith(err)
				c.finish(End{By: Nobody, Reason: err.Error()})
				return
			}
			probe.Reset(probeAfter)
		}
	}
}

// probe looks, when nothing at all came back over UDP, whether the far end's port is open: a keep-alive (RFC 5626, 4.4.1)
// from a connected socket shows the ICMP error that the phone's own, unconnected one never does.
func (c *Call) probe(target *sip.Uri) error {
	c.mu.Lock()
	status := c.status
	c.mu.Unlock()
	if status != 0 || c.dialog.transport != "UDP" {
		return nil
	}
	conn, err := net.Dial("udp", hostPort(target)) //nolint:noctx // A UDP socket connects at once.
	if err != nil {
		return unreachable(target, err)
	}
	defer conn.Close()
	if _, err := conn.Write([]byte("\r\n\r\n")); err != nil {
		return unreachable(target, err)
	}
	_ = conn.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
	if _, err := conn.Read(make([]byte, 16)); errors.Is(err, syscall.ECONNREFUSED) {
		return unreachable(target, err)
	}
	return nil
}

// responded takes a response to the INVITE in the order of arrival: the timeline, and media from the first description on.
func (c *Call) responded(res *sip.Response) {
	if res.StatusCode >= 200 {
		c.mu.Lock()
		again := c.seen[res.StatusCode]
		c.seen[res.StatusCode] = true
		c.mu.Unlock()
		if again {
			return
		}
	}
	c.note("%d %s", res.StatusCode, res.Reason)
	c.mu.Lock()
	c.status = res.StatusCode
	c.mu.Unlock()
	if res.StatusCode > 100 && res.StatusCode < 300 {
		c.dialog.learn(res)
		if body := res.Body(); len(body) > 0 {
			if err := c.agree(body); err != nil {
				c.note("%v", err)
			} else if res.IsProvisional() {
				c.mu.Lock()
				c.early = true
				c.mu.Unlock()
			}
		}
	}
	if res.IsSuccess() {
		c.mu.Lock()
		if !c.answered {
			c.answered, c.answerAt = true, time.Since(c.began)
		}
		c.mu.Unlock()
	}
}

// agree takes a session description of the far end and begins, or goes on, to send where it says.
func (c *Call) agree(body []byte) error {
	s, err := understand(body, c.codecs)
	if err != nil {
		return err
	}
	c.mu.Lock()
	c.offered, c.agreed = s, true
	c.mu.Unlock()
	c.media.speakTo(s.remote)
	return nil
}

// final acts on the final response to the INVITE.
func (c *Call) final(ctx context.Context, tx *sip.ClientTx, res *sip.Response) {
	headers := headersOf(res)
	if !res.IsSuccess() {
		err := &RefusedError{Status: res.StatusCode, Phrase: res.Reason, Headers: headers}
		reason, cause := causeOf(headers)
		c.settleWith(err)
		c.finish(End{By: FarEnd, Status: res.StatusCode, Reason: reason, Cause: cause, Headers: headers})
		return
	}
	c.acknowledge(tx)
	c.mu.Lock()
	agreed := c.agreed
	c.mu.Unlock()
	if !agreed {
		err := errors.New("the call was answered without a session description that the phone understands")
		c.settleWith(err)
		c.byeSoon(ctx, End{By: Us, Reason: err.Error()}, [2]string{"Reason", `Q.850;cause=65;text="No usable session description"`})
		return
	}
	c.refresh(headers) //nolint:contextcheck // It outlives the dialling.
	c.settleWith(nil)
}

// byeSoon hangs up within its own bound, independent of any caller.
func (c *Call) byeSoon(ctx context.Context, end End, headers ...[2]string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), byeWait)
	defer cancel()
	_ = c.bye(ctx, end, headers...) // The call is over in any case.
}

// acknowledge sends the ACK, and sends it again for each 200 that is sent again (RFC 3261, section 13.2.2.4).
func (c *Call) acknowledge(tx *sip.ClientTx) {
	c.dialog.mu.Lock()
	ack := c.phone.requestAt(c.dialog, sip.ACK, 1)
	c.dialog.mu.Unlock()
	again := ack.Clone()
	tx.OnRetransmission(func(*sip.Response) { _ = c.phone.tpl.WriteMsg(again.Clone()) })
	if err := c.phone.tpl.WriteMsg(ack); err != nil {
		c.note("ACK: %v", err)
	}
}

// withdraw cancels the call (RFC 3261, section 9.1), and hangs up when the answer was faster.
func (c *Call) withdraw(ctx context.Context, tx *sip.ClientTx, cause error) {
	err := fmt.Errorf("%w%s: %w", ErrNoAnswer, c.lastWord(), cause)
	c.note("CANCEL sent")
	deadline := time.NewTimer(silentWait)
	defer deadline.Stop()
	sent := false
	for {
		c.mu.Lock()
		status := c.status
		c.mu.Unlock()
		if status != 0 && !sent {
			sent = true
			deadline.Reset(cancelWait)
			c.sendCancel(ctx, tx)
		}
		select {
		case res := <-tx.Responses():
			if res.IsProvisional() {
				continue
			}
			if res.IsSuccess() {
				c.acknowledge(tx)
				c.settleWith(err)
				c.byeSoon(ctx, End{By: Us, Reason: err.Error()})
				return
			}
			c.settleWith(err)
			c.finish(End{By: Us, Status: res.StatusCode, Reason: err.Error()})
			return
		case <-tx.Done():
		case <-deadline.C:
			tx.Terminate()
		}
		c.settleWith(err)
		c.finish(End{By: Us, Reason: err.Error()})
		return
	}
}

func (c *Call) lastWord() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.status == 0 {
		return " (not a single response came)"
	}
	return fmt.Sprintf(" (the last response was %d)", c.status)
}

// sendCancel cancels the INVITE of a transaction. It is sent in the background: what counts is the INVITE's own response.
func (c *Call) sendCancel(ctx context.Context, tx *sip.ClientTx) {
	invite := tx.Origin()
	req := sip.NewRequest(sip.CANCEL, invite.Recipient)
	req.AppendHeader(sip.HeaderClone(invite.Via()))
	for _, name := range []string{"Route", "From", "To", "Call-ID"} {
		sip.CopyHeaders(name, invite, req)
	}
	forwards := sip.MaxForwardsHeader(70)
	req.AppendHeader(&forwards)
	req.AppendHeader(&sip.CSeqHeader{SeqNo: 1, MethodName: sip.CANCEL})
	c.phone.address(req, c.dialog)
	req.SetBody(nil)
	c.wg.Go(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cancelWait)
		defer cancel()
		_, _ = c.phone.do(ctx, req)
	})
}
