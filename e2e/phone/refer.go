package phone

import (
	"context"
	"fmt"
	"strings"

	"github.com/emiago/sipgo/sip"
)

// Transfer says how a phone answers REFER (RFC 3515). It never places the new call: it only says that it did, and with
// which outcome.
type Transfer struct {
	// Refuse is the status with which REFER is refused, 603 when Refuse and Outcome are 0.
	Refuse int
	// Outcome is the status of the pretended new call that the far end is told in a NOTIFY after 202, such as 200 or 486.
	Outcome int
}

// Referred is where the far end asked the phone to go, as its Refer-To headers say; nil when it did not.
func (c *Call) Referred() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]string(nil), c.referredTo...)
}

// maxReferred bounds how many REFERs of a call are kept.
const maxReferred = 100

// referred answers REFER, and tells the outcome.
func (c *Call) referred(req *sip.Request, tx *sip.ServerTx) {
	to := strings.TrimSpace(valueOf(req, "Refer-To"))
	c.note("REFER %s", to)
	c.mu.Lock()
	if len(c.referredTo) < maxReferred {
		c.referredTo = append(c.referredTo, to)
	}
	c.mu.Unlock()
	t := c.phone.transfer
	if t.Outcome == 0 || t.Refuse != 0 {
		status := t.Refuse
		if status == 0 {
			status = 603
		}
		c.phone.reply(tx, req, status, "Decline", nil)
		return
	}
	c.phone.reply(tx, req, 202, "Accepted", nil)
	notify := c.phone.request(c.dialog, sip.NOTIFY,
		[2]string{"Event", "refer"}, [2]string{"Subscription-State", "terminated;reason=noresource"},
		[2]string{"Content-Type", "message/sipfrag;version=2.0"})
	notify.SetBody(fmt.Appendf(nil, "SIP/2.0 %d Outcome\r\n", t.Outcome))
	ctx, cancel := context.WithTimeout(context.Background(), byeWait)
	defer cancel()
	if _, err := c.phone.do(ctx, notify); err != nil {
		c.note("NOTIFY: %v", err)
	}
}
