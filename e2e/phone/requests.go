package phone

import (
	"context"
	"strconv"
	"strings"
	"time"

	"github.com/emiago/sipgo/sip"
)

// allowed are the methods that the phone takes.
const allowed = "INVITE, ACK, CANCEL, BYE, OPTIONS, UPDATE, INFO, NOTIFY, REFER"

// serve answers a request of the far end. It runs in a goroutine of the transaction layer.
func (p *Phone) serve(req *sip.Request, tx *sip.ServerTx) {
	p.mu.Lock()
	if p.stopped || p.closed && req.Method == sip.INVITE {
		p.mu.Unlock()
		tx.Terminate()
		return
	}
	p.wg.Add(1)
	p.mu.Unlock()
	defer p.wg.Done()
	callID, to := req.CallID(), req.To()
	if callID == nil || to == nil {
		p.reply(tx, req, 400, "Bad Request", nil)
		tx.TerminateGracefully()
		return
	}
	tag, _ := to.Params.Get("tag")
	c := p.find(callID.Value(), tag)
	if c != nil && c.gone.Load() {
		tx.Terminate()
		return
	}
	if req.Method == sip.INVITE {
		p.serveInvite(req, tx, c, tag)
		return
	}
	p.serveOther(req, tx, c, tag)
	tx.TerminateGracefully()
}

func (p *Phone) serveInvite(req *sip.Request, tx *sip.ServerTx, c *Call, tag string) {
	switch {
	case tag == "":
		p.ring(req, tx)
	case c == nil:
		p.reply(tx, req, 481, "Call/Transaction Does Not Exist", nil)
		awaitACK(tx)
	default:
		c.reinvited(req, tx)
	}
}

// awaitACK holds a refused INVITE until its ACK, or until the transaction is over.
func awaitACK(tx *sip.ServerTx) {
	select {
	case <-tx.Acks():
	case <-tx.Done():
	case <-time.After(byeWait):
	}
	tx.TerminateGracefully()
}

func (p *Phone) serveOther(req *sip.Request, tx *sip.ServerTx, c *Call, tag string) {
	switch {
	case req.Method == sip.ACK:
		if c != nil {
			c.acked(req)
		}
	case req.Method == sip.OPTIONS:
		p.reply(tx, req, 200, "OK", nil, [2]string{"Allow", allowed}, [2]string{"Accept", "application/sdp"})
	case req.Method == sip.NOTIFY && tag == "":
		p.reply(tx, req, 200, "OK", nil) // A lamp, or a qualification: nothing that a call depends on.
	case c == nil:
		p.reply(tx, req, 481, "Call/Transaction Does Not Exist", nil)
	case req.Method == sip.BYE:
		p.reply(tx, req, 200, "OK", nil)
		c.byed(req)
	case req.Method == sip.UPDATE:
		c.updated(req, tx)
	case req.Method == sip.REFER:
		c.referred(req, tx)
	case req.Method == sip.INFO, req.Method == sip.NOTIFY:
		c.note("%s", req.Method)
		p.reply(tx, req, 200, "OK", nil)
	default:
		p.reply(tx, req, 405, "Method Not Allowed", nil, [2]string{"Allow", allowed})
	}
}

func valueOf(msg interface{ GetHeader(string) sip.Header }, name string) string {
	if h := msg.GetHeader(name); h != nil {
		return h.Value()
	}
	return ""
}

// reply sends a response. A response that cannot be sent is lost like any other: the far end asks again.
func (p *Phone) reply(tx *sip.ServerTx, req *sip.Request, status int, phrase string, body []byte, headers ...[2]string) {
	_ = tx.Respond(p.response(req, status, phrase, body, headers...))
}

func (p *Phone) response(req *sip.Request, status int, phrase string, body []byte, headers ...[2]string) *sip.Response {
	res := sip.NewResponseFromRequest(req, status, phrase, body)
	if to := res.To(); to != nil && status > 100 {
		if _, ok := to.Params.Get("tag"); !ok {
			to.Params.Add("tag", sip.GenerateTagN(12))
		}
	}
	if body != nil {
		res.AppendHeader(sip.NewHeader("Content-Type", "application/sdp"))
	}
	if req.Method == sip.INVITE || req.Method == sip.UPDATE {
		res.AppendHeader(sip.NewHeader("Contact", p.contact(req.Transport())))
	}
	res.AppendHeader(sip.NewHeader("User-Agent", userAgent))
	for _, h := range headers {
		res.AppendHeader(sip.NewHeader(h[0], h[1]))
	}
	return res
}

// byed ends the call by the far end's BYE.
func (c *Call) byed(req *sip.Request) {
	c.note("BYE")
	headers := headersOf(req)
	reason, cause := causeOf(headers)
	c.finish(End{By: FarEnd, Reason: reason, Cause: cause, Headers: headers})
}

// answerOffer takes an offer of the far end within the call and returns the answer.
func (c *Call) answerOffer(body []byte) ([]byte, error) {
	if err := c.agree(body); err != nil {
		return nil, err
	}
	c.mu.Lock()
	s := c.offered
	c.version++
	version := c.version
	c.mu.Unlock()
	return describe(c.phone.host, c.media.port, c.sessionID, version, s.codecs[:1], s.remote.events, reverse(s.direction))
}

// offer writes an offer of the phone's own, for a far end that asks for one.
func (c *Call) offer() ([]byte, error) {
	c.mu.Lock()
	c.version++
	version := c.version
	c.mu.Unlock()
	return describe(c.phone.host, c.media.port, c.sessionID, version, c.codecs, telephoneEvents, "sendrecv")
}

// updated answers UPDATE (RFC 3311): a new session description, or a refresh of the session timer without one.
func (c *Call) updated(req *sip.Request, tx *sip.ServerTx) {
	c.note("UPDATE")
	c.dialog.retarget(req)
	timer := timerHeaders(req)
	if len(req.Body()) == 0 {
		c.phone.reply(tx, req, 200, "OK", nil, timer...)
		return
	}
	body, err := c.answerOffer(req.Body())
	if err != nil {
		c.note("%v", err)
		c.phone.reply(tx, req, 488, "Not Acceptable Here", nil)
		return
	}
	c.phone.reply(tx, req, 200, "OK", body, timer...)
}

// reinvited answers a re-INVITE, with an offer when it brings none.
func (c *Call) reinvited(req *sip.Request, tx *sip.ServerTx) {
	c.note("re-INVITE")
	c.dialog.retarget(req)
	var body []byte
	var err error
	if len(req.Body()) > 0 {
		body, err = c.answerOffer(req.Body())
	} else {
		body, err = c.offer()
	}
	if err != nil {
		c.note("%v", err)
		c.phone.reply(tx, req, 488, "Not Acceptable Here", nil)
		awaitACK(tx)
		return
	}
	res := c.phone.response(req, 200, "OK", body, append(timerHeaders(req), [2]string{"Allow", allowed})...)
	c.sendUntilACK(context.Background(), tx, res, req.CSeq().SeqNo, len(req.Body()) == 0)
}

// timerHeaders echo a session timer (RFC 4028): whoever asks for it refreshes it.
func timerHeaders(req *sip.Request) [][2]string {
	expires := valueOf(req, "Session-Expires")
	if expires == "" {
		return [][2]string{{"Supported", "timer"}}
	}
	if !strings.Contains(expires, "refresher") {
		expires += ";refresher=uac"
	}
	return [][2]string{{"Supported", "timer"}, {"Require", "timer"}, {"Session-Expires", expires}}
}

// refresh keeps the session timer going when the far end's 200 asks the phone to (RFC 4028, section 7.2).
func (c *Call) refresh(headers [][2]string) {
	value, params, _ := strings.Cut(headerOf(headers, "Session-Expires"), ";")
	seconds, err := strconv.Atoi(strings.TrimSpace(value))
	if err != nil || seconds <= 0 || !strings.Contains(strings.ToLower(params), "refresher=uac") {
		return
	}
	every := time.Duration(seconds) * time.Second / 2
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.timer != nil {
		c.timer.Stop()
	}
	c.timer = time.AfterFunc(every, func() { c.sendRefresh(seconds, headers) })
}

func (c *Call) sendRefresh(seconds int, headers [][2]string) {
	c.phone.mu.Lock()
	if c.phone.closed {
		c.phone.mu.Unlock()
		return
	}
	c.phone.wg.Add(1)
	c.phone.mu.Unlock()
	defer c.phone.wg.Done()
	ctx, cancel := context.WithTimeout(context.Background(), byeWait)
	defer cancel()
	c.note("UPDATE sent")
	req := c.phone.request(c.dialog, sip.UPDATE,
		[2]string{"Supported", "timer"}, [2]string{"Session-Expires", strconv.Itoa(seconds) + ";refresher=uac"})
	res, err := c.phone.do(ctx, req)
	switch {
	case err != nil:
		c.note("UPDATE: %v", err)
	case res.StatusCode == sip.StatusCallTransactionDoesNotExists || res.StatusCode == sip.StatusRequestTimeout:
		c.note("UPDATE: %d %s", res.StatusCode, res.Reason)
		c.finish(End{By: Nobody, Reason: "the far end no longer knows the call"})
	default:
		c.refresh(headers)
	}
}
