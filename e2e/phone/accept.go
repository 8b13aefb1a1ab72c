package phone

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/emiago/sipgo/sip"
)

const (
	retransmitFirst = 500 * time.Millisecond // T1 of RFC 3261.
	retransmitMost  = 4 * time.Second        // T2.
	ackWait         = 32 * time.Second       // 64 × T1.
)

// arrivedInvite is what an incoming call keeps of its INVITE until it is decided.
type arrivedInvite struct {
	req     *sip.Request
	tx      *sip.ServerTx
	decided sync.Mutex // Held while a final response is sent.
	final   bool
}

// Accept waits for an incoming call. [Options.Incoming] must be above 0.
func (p *Phone) Accept(ctx context.Context) (*Call, error) {
	if p.incoming == nil {
		return nil, fmt.Errorf("taking a call: this phone was made without Options.Incoming")
	}
	select {
	case c := <-p.incoming:
		return c, nil
	case <-ctx.Done():
		return nil, fmt.Errorf("waiting for a call: %w", context.Cause(ctx))
	}
}

// ring takes a new INVITE and puts it into the queue of [Phone.Accept]. It returns when the call is decided, because the
// transaction lives as long.
func (p *Phone) ring(req *sip.Request, tx *sip.ServerTx) {
	refuse := func(status int, phrase string) {
		p.reply(tx, req, status, phrase, nil)
		awaitACK(tx)
	}
	if p.incoming == nil {
		refuse(480, "Temporarily Unavailable")
		return
	}
	if req.Contact() == nil || req.CSeq() == nil || req.From() == nil {
		refuse(400, "Bad Request")
		return
	}
	c, err := p.arrive(req, tx)
	if err != nil {
		refuse(500, "Server Internal Error")
		return
	}
	tx.OnCancel(func(cancel *sip.Request) {
		headers := headersOf(cancel)
		c.wg.Go(func() { c.cancelled(headers) })
	})
	select {
	case p.incoming <- c:
	default:
		_ = c.Reject(context.Background(), 486, "Busy Here")
	}
	<-c.settled
}

// arrive makes a call of an INVITE.
func (p *Phone) arrive(req *sip.Request, tx *sip.ServerTx) (*Call, error) {
	c, err := newCall(p, nil)
	if err != nil {
		return nil, err
	}
	req = req.Clone() // The transaction goes on reading its own.
	c.inbound = true
	c.in = &arrivedInvite{req: req, tx: tx}
	c.request = headersOf(req)
	from, contact := req.From(), req.Contact()
	d := &dialog{
		callID: req.CallID().Value(), localTag: sip.GenerateTagN(12), transport: req.Transport(),
		remote: from.Value(), target: *contact.Address.Clone(), peer: req.Source(),
	}
	d.remoteTag, _ = from.Params.Get("tag")
	to := req.To()
	to.Params.Add("tag", d.localTag) // All responses bear it from here on.
	d.local = to.Value()
	for _, route := range req.GetHeaders("Record-Route") {
		d.routes = append(d.routes, route.Value())
	}
	c.dialog = d
	c.note("INVITE")
	if err := p.add(c); err != nil {
		c.media.close()
		return nil, err
	}
	if body := req.Body(); len(body) > 0 {
		if s, err := understand(body, c.codecs); err == nil {
			c.offered, c.agreed = s, true
		}
	}
	return c, nil
}

// Request are the headers of the INVITE of an incoming call, in their order; nil for a call that the phone placed.
func (c *Call) Request() [][2]string { return c.request }

// Ring sends 180 for an incoming call.
func (c *Call) Ring(ctx context.Context) error { return c.provisional(ctx, 180, "Ringing", nil) }

// Progress sends 183 with a session description for an incoming call: from then on both sides hear each other.
func (c *Call) Progress(ctx context.Context) error {
	body, err := c.answerDescription()
	if err != nil {
		return err
	}
	return c.provisional(ctx, 183, "Session Progress", body)
}

func (c *Call) provisional(ctx context.Context, status int, phrase string, body []byte) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("sending %d: %w", status, context.Cause(ctx))
	}
	if err := c.undecided(); err != nil {
		return err
	}
	c.in.decided.Lock()
	defer c.in.decided.Unlock()
	if c.in.final {
		return ErrCallEnded
	}
	c.note("%d %s sent", status, phrase)
	if err := c.in.tx.Respond(c.phone.response(c.in.req, status, phrase, body)); err != nil {
		return fmt.Errorf("sending %d: %w", status, err)
	}
	return nil
}

func (c *Call) undecided() error {
	if !c.inbound {
		return fmt.Errorf("the call was placed by this phone: only the far end can answer it")
	}
	select {
	case <-c.settled:
		return ErrCallEnded
	default:
		return nil
	}
}

// answerDescription is the answer to the INVITE's offer, or an offer when it had none.
func (c *Call) answerDescription() ([]byte, error) {
	if err := c.undecided(); err != nil {
		return nil, err
	}
	if body := c.in.req.Body(); len(body) > 0 {
		return c.answerOffer(body)
	}
	return c.offer()
}

// Answer sends 200 for an incoming call and returns when the ACK has come.
func (c *Call) Answer(ctx context.Context) error {
	body, err := c.answerDescription()
	if err != nil {
		return fmt.Errorf("answering: %w", err)
	}
	res := c.phone.response(c.in.req, 200, "OK", body, append(timerHeaders(c.in.req), [2]string{"Allow", allowed})...)
	c.in.decided.Lock()
	if c.in.final {
		c.in.decided.Unlock()
		return ErrCallEnded
	}
	c.in.final = true
	c.in.decided.Unlock()
	c.mu.Lock()
	c.answered, c.answerAt = true, time.Since(c.began)
	c.mu.Unlock()
	c.note("200 OK sent")
	acked := make(chan struct{})
	c.wg.Go(func() {
		defer close(acked)
		defer c.settleWith(nil)
		c.sendUntilACK(ctx, c.in.tx, res, c.in.req.CSeq().SeqNo, len(c.in.req.Body()) == 0)
	})
	select {
	case <-acked:
		select {
		case <-c.done:
			return ErrCallEnded
		default:
			return nil
		}
	case <-ctx.Done():
		return fmt.Errorf("waiting for the ACK: %w", context.Cause(ctx))
	}
}

// Reject refuses an incoming call with a final status above 299 and any headers.
func (c *Call) Reject(ctx context.Context, status int, phrase string, headers ...[2]string) error {
	if err := c.undecided(); err != nil {
		return err
	}
	c.in.decided.Lock()
	if c.in.final {
		c.in.decided.Unlock()
		return ErrCallEnded
	}
	c.in.final = true
	c.in.decided.Unlock()
	c.note("%d %s sent", status, phrase)
	err := c.in.tx.Respond(c.phone.response(c.in.req, status, phrase, nil, headers...))
	if err == nil {
		select {
		case <-c.in.tx.Acks():
		case <-c.in.tx.Done():
		case <-time.After(byeWait):
		case <-ctx.Done():
		}
	}
	c.in.tx.TerminateGracefully()
	c.settleWith(ErrCallEnded)
	c.finish(End{By: Us, Status: status})
	if err != nil {
		return fmt.Errorf("refusing the call: %w", err)
	}
	return nil
}

// cancelled ends an incoming call by the far end's CANCEL; the transaction layer has sent the 487.
func (c *Call) cancelled(headers [][2]string) {
	c.in.decided.Lock()
	already := c.in.final
	c.in.final = true
	c.in.decided.Unlock()
	if already {
		return // The 200 was faster: the far end will send ACK and BYE.
	}
	c.note("CANCEL")
	reason, cause := causeOf(headers)
	c.settleWith(ErrCallEnded)
	c.finish(End{By: FarEnd, Status: 487, Reason: reason, Cause: cause, Headers: headers})
}

// sendUntilACK sends a 2xx and repeats it until the ACK comes (RFC 3261, section 13.3.1.4). offered says that the ACK
// brings the answer to the phone's offer.
func (c *Call) sendUntilACK(ctx context.Context, tx *sip.ServerTx, res *sip.Response, seq uint32, offered bool) {
	ack := c.expectACK(seq)
	defer c.forgetACK(seq)
	defer tx.TerminateGracefully()
	wait, limit := time.NewTimer(retransmitFirst), time.NewTimer(ackWait)
	defer wait.Stop()
	defer limit.Stop()
	_ = tx.Respond(res) // Sent again below when it is lost.
	for every := retransmitFirst; ; {
		select {
		case body := <-ack:
			if offered && len(body) > 0 {
				if err := c.agree(body); err != nil {
					c.note("%v", err)
				}
			}
			return
		case <-wait.C:
			every = min(2*every, retransmitMost)
			wait.Reset(every)
			_ = tx.Respond(res)
		case <-limit.C:
			c.note("no ACK came")
			c.byeSoon(ctx, End{By: Nobody, Reason: "the far end never acknowledged the answer"})
			return
		case <-c.done:
			return
		}
	}
}

func (c *Call) expectACK(seq uint32) chan []byte {
	ch := make(chan []byte, 1)
	c.acksMu.Lock()
	defer c.acksMu.Unlock()
	c.acks[seq] = ch
	return ch
}

func (c *Call) forgetACK(seq uint32) {
	c.acksMu.Lock()
	defer c.acksMu.Unlock()
	delete(c.acks, seq)
}

// acked takes an ACK for a 2xx.
func (c *Call) acked(req *sip.Request) {
	cseq := req.CSeq()
	if cseq == nil {
		return
	}
	c.acksMu.Lock()
	ch := c.acks[cseq.SeqNo]
	c.acksMu.Unlock()
	select {
	case ch <- req.Body(): // A nil channel, when nobody waits, is never ready.
	default:
	}
}
