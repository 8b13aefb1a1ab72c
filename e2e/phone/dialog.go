package phone

import (
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"

	"github.com/emiago/sipgo/sip"
)

// dialog is the state that RFC 3261 (section 12) gives to one call leg.
type dialog struct {
	callID    string
	localTag  string
	transport string // "UDP" or "TCP".

	mu        sync.Mutex
	local     string // The own address with tag, as a From value.
	remote    string // The far end's address, with its tag once there is one, as a To value.
	remoteTag string
	target    sip.Uri  // Where requests go: the far end's Contact.
	routes    []string // The route set, nearest first.
	seq       uint32
	// peer is where the far end was heard to be, for requests over TCP: its connection is used rather than a new one.
	peer string
}

func dialogKey(callID, tag string) string { return callID + "\x00" + tag }

func (d *dialog) key() string { return dialogKey(d.callID, d.localTag) }

// learn takes the far end's tag, contact and route set from a response to the INVITE.
func (d *dialog) learn(res *sip.Response) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if to := res.To(); to != nil {
		if tag, ok := to.Params.Get("tag"); ok {
			d.remote, d.remoteTag = to.Value(), tag
		}
	}
	if contact := res.Contact(); contact != nil {
		d.target = *contact.Address.Clone()
	}
	if routes := res.GetHeaders("Record-Route"); len(routes) > 0 {
		d.routes = d.routes[:0]
		for _, route := range slices.Backward(routes) {
			d.routes = append(d.routes, route.Value())
		}
	}
}

// retarget follows the far end's Contact of a re-INVITE or UPDATE (RFC 3261, section 12.2.2).
func (d *dialog) retarget(req *sip.Request) {
	if contact := req.Contact(); contact != nil {
		d.mu.Lock()
		d.target = *contact.Address.Clone()
		d.mu.Unlock()
	}
}

// request builds the next request of the dialog.
func (p *Phone) request(d *dialog, method sip.RequestMethod, headers ...[2]string) *sip.Request {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.seq++
	return p.requestAt(d, method, d.seq, headers...)
}

// requestAt builds a request with a sequence number of its own: an ACK takes that of its INVITE. The dialog is locked.
func (p *Phone) requestAt(d *dialog, method sip.RequestMethod, seq uint32, headers ...[2]string) *sip.Request {
	req := sip.NewRequest(method, *d.target.Clone())
	req.AppendHeader(p.via(d.transport))
	for _, route := range d.routes {
		req.AppendHeader(sip.NewHeader("Route", route))
	}
	forwards := sip.MaxForwardsHeader(70)
	callID := sip.CallIDHeader(d.callID)
	req.AppendHeader(&forwards)
	req.AppendHeader(sip.NewHeader("From", d.local))
	req.AppendHeader(sip.NewHeader("To", d.remote))
	req.AppendHeader(&callID)
	req.AppendHeader(&sip.CSeqHeader{SeqNo: seq, MethodName: method})
	req.AppendHeader(sip.NewHeader("Contact", p.contact(d.transport)))
	req.AppendHeader(sip.NewHeader("User-Agent", userAgent))
	for _, h := range headers {
		req.AppendHeader(sip.NewHeader(h[0], h[1]))
	}
	p.address(req, d)
	req.SetBody(nil)
	return req
}

const userAgent = "asterism-phone"

// address says from which socket and to which address a request goes.
func (p *Phone) address(req *sip.Request, d *dialog) {
	req.SetTransport(d.transport)
	req.Laddr = sip.Addr{IP: net.IP(p.host.AsSlice())}
	if d.transport == "UDP" {
		req.Laddr.Port = p.port
	} else if d.peer != "" && len(d.routes) == 0 {
		req.SetDestination(d.peer)
	}
}

func (p *Phone) via(transport string) *sip.ViaHeader {
	via := &sip.ViaHeader{ProtocolName: "SIP", ProtocolVersion: "2.0", Transport: transport, Host: p.viaHost(), Port: p.port}
	via.Params.Add("branch", sip.GenerateBranchN(16))
	via.Params.Add("rport", "")
	return via
}

func (p *Phone) viaHost() string {
	if p.host.Is6() {
		return "[" + p.host.String() + "]"
	}
	return p.host.String()
}

// contact is the phone's own Contact value.
func (p *Phone) contact(transport string) string {
	uri := p.URI()
	if transport != "UDP" {
		uri += ";transport=" + strings.ToLower(transport)
	}
	return "<" + uri + ">"
}

// headersOf lists the headers of a message, in their order.
func headersOf(msg interface{ Headers() []sip.Header }) [][2]string {
	headers := msg.Headers()
	list := make([][2]string, 0, len(headers))
	for _, h := range headers {
		list = append(list, [2]string{h.Name(), h.Value()})
	}
	return list
}

// hostPort is the address of a SIP URI, with the default port when it names none.
func hostPort(uri *sip.Uri) string {
	port := uri.Port
	if port == 0 {
		port = 5060
	}
	if addr, err := netip.ParseAddr(strings.Trim(uri.Host, "[]")); err == nil {
		return netip.AddrPortFrom(addr, uint16(port)).String()
	}
	return net.JoinHostPort(uri.Host, "5060")
}
