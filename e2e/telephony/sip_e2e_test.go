//go:build e2e

package telephony_test

import (
	"bufio"
	"crypto/rand"
	"fmt"
	"io"
	"net"
	"net/textproto"
	"strconv"
	"strings"
	"testing"
	"time"
)

// caller speaks just enough raw SIP to say exactly what the tests want said,
// and to see exactly what comes back.
type caller struct {
	conn    net.Conn
	r       *bufio.Reader
	network string
	target  string
}

// dial opens a socket on the local address ("" for any) towards the target.
func dial(t testing.TB, network, local, target string) *caller {
	t.Helper()
	d := net.Dialer{Timeout: 2 * time.Second}
	if local != "" {
		ip := net.ParseIP(local)
		if network == "udp" {
			d.LocalAddr = &net.UDPAddr{IP: ip}
		} else {
			d.LocalAddr = &net.TCPAddr{IP: ip}
		}
	}
	conn, err := d.DialContext(t.Context(), network, target)
	if err != nil {
		t.Fatalf("dial %s %s: %v", network, target, err)
	}
	t.Cleanup(func() { conn.Close() })
	return &caller{conn: conn, r: bufio.NewReaderSize(conn, 65536), network: network, target: target}
}

// message is a SIP response or request as received.
type message struct {
	start   string
	status  int
	headers textproto.MIMEHeader
	raw     string
}

// invite is one INVITE and how to end it.
type invite struct {
	c                   *caller
	user, callID        string
	from, branch, toTag string
	cseq                int
}

// invite sends an INVITE to the user with the header lines given, each without
// line end.
func (c *caller) invite(t testing.TB, user string, headers ...string) *invite {
	t.Helper()
	i := &invite{c: c, user: user, callID: rand.Text(), from: rand.Text(), branch: "z9hG4bK" + rand.Text(), cseq: 1}
	host, _, _ := net.SplitHostPort(c.conn.LocalAddr().String())
	sdp := strings.Join([]string{
		"v=0", "o=- 1 1 IN IP4 " + host, "s=-", "c=IN IP4 " + host, "t=0 0",
		"m=audio 40000 RTP/AVP 0 101", "a=rtpmap:0 PCMU/8000", "a=rtpmap:101 telephone-event/8000", "",
	}, "\r\n")
	headers = append(headers, "Content-Type: application/sdp")
	i.send(t, "INVITE", i.branch, headers, sdp)
	return i
}

func (i *invite) send(t testing.TB, method, branch string, headers []string, body string) {
	t.Helper()
	local := i.c.conn.LocalAddr().String()
	uri := "sip:" + i.user
	if i.user != "" {
		uri += "@"
	}
	uri += i.c.target
	to := "<" + uri + ">"
	if i.toTag != "" {
		to += ";tag=" + i.toTag
	}
	lines := []string{
		method + " " + uri + " SIP/2.0",
		fmt.Sprintf("Via: SIP/2.0/%s %s;branch=%s;rport", strings.ToUpper(i.c.network), local, branch),
		"Max-Forwards: 70",
		fmt.Sprintf("From: \"Tester\" <sip:tester@%s>;tag=%s", local, i.from),
		"To: " + to,
		"Call-ID: " + i.callID,
		fmt.Sprintf("CSeq: %d %s", i.cseq, method),
		fmt.Sprintf("Contact: <sip:tester@%s;transport=%s>", local, i.c.network),
	}
	lines = append(lines, headers...)
	lines = append(lines, "Content-Length: "+strconv.Itoa(len(body)), "", body)
	if _, err := io.WriteString(i.c.conn, strings.Join(lines, "\r\n")); err != nil {
		t.Fatalf("send %s: %v", method, err)
	}
}

// read returns the next message of any kind; ok is false after the wait.
func (c *caller) read(t testing.TB, wait time.Duration) (message, bool) {
	t.Helper()
	if err := c.conn.SetReadDeadline(time.Now().Add(wait)); err != nil {
		t.Fatal(err)
	}
	var raw string
	if c.network == "udp" {
		b := make([]byte, 65536)
		n, err := c.conn.Read(b)
		if err != nil {
			return message{}, false
		}
		raw = string(b[:n])
	} else {
		var b strings.Builder
		length := 0
		for {
			line, err := c.r.ReadString('\n')
			if err != nil {
				return message{}, false
			}
			b.WriteString(line)
			if v, ok := strings.CutPrefix(line, "Content-Length:"); ok {
				length, _ = strconv.Atoi(strings.TrimSpace(v))
			}
			if strings.TrimSpace(line) == "" {
				break
			}
		}
		body := make([]byte, length)
		if _, err := io.ReadFull(c.r, body); err != nil {
			return message{}, false
		}
		raw = b.String() + string(body)
	}
	start, rest, _ := strings.Cut(raw, "\r\n")
	h, err := textproto.NewReader(bufio.NewReader(strings.NewReader(rest))).ReadMIMEHeader()
	if err != nil {
		t.Fatalf("malformed answer: %v\n%s", err, raw)
	}
	m := message{start: start, headers: h, raw: raw}
	if f := strings.Fields(start); len(f) > 1 && f[0] == "SIP/2.0" {
		m.status, _ = strconv.Atoi(f[1])
	}
	return m, true
}

// final returns the final response, acknowledged, and every one before it.
func (i *invite) final(t testing.TB) (message, []message) {
	t.Helper()
	var before []message
	for deadline := time.Now().Add(6 * time.Second); time.Now().Before(deadline); {
		m, ok := i.c.read(t, time.Until(deadline))
		if !ok {
			break
		}
		if m.status == 0 || m.headers.Get("Call-ID") != i.callID || !strings.Contains(m.headers.Get("CSeq"), "INVITE") {
			continue
		}
		if m.status < 200 {
			before = append(before, m)
			continue
		}
		_, i.toTag, _ = strings.Cut(m.headers.Get("To"), "tag=")
		branch := i.branch
		if m.status < 300 {
			branch += "ack"
		}
		i.send(t, "ACK", branch, nil, "")
		return m, before
	}
	t.Fatalf("no final response to %s within 6 s, got %d provisional", i.user, len(before))
	return message{}, nil
}

// bye ends an answered call.
func (i *invite) bye(t testing.TB) {
	t.Helper()
	i.inDialog(t, "BYE", nil, "")
}

// request waits for a request of the method from Asterisk within the dialog.
func (i *invite) request(t testing.TB, method string, wait time.Duration) message {
	t.Helper()
	for deadline := time.Now().Add(wait); time.Now().Before(deadline); {
		m, ok := i.c.read(t, time.Until(deadline))
		if ok && m.status == 0 && m.headers.Get("Call-ID") == i.callID && strings.HasPrefix(m.start, method+" ") {
			return m
		}
	}
	t.Fatalf("no %s within %v", method, wait)
	return message{}
}

// respond answers a request of Asterisk's.
func (i *invite) respond(t testing.TB, m message, status string) {
	t.Helper()
	lines := []string{"SIP/2.0 " + status}
	for _, name := range []string{"Via", "From", "To", "Call-ID", "CSeq"} {
		for _, v := range m.headers.Values(name) {
			lines = append(lines, name+": "+v)
		}
	}
	local := i.c.conn.LocalAddr().String()
	lines = append(lines, "Contact: <sip:tester@"+local+">", "Content-Length: 0", "", "")
	if _, err := io.WriteString(i.c.conn, strings.Join(lines, "\r\n")); err != nil {
		t.Fatalf("respond %s: %v", status, err)
	}
}

// inDialog sends a request of ours within the dialog.
func (i *invite) inDialog(t testing.TB, method string, headers []string, body string) {
	t.Helper()
	i.cseq++
	i.send(t, method, "z9hG4bK"+rand.Text(), headers, body)
}

// response waits for the response to our last request within the dialog.
func (i *invite) response(t testing.TB) message {
	t.Helper()
	for deadline := time.Now().Add(5 * time.Second); time.Now().Before(deadline); {
		m, ok := i.c.read(t, time.Until(deadline))
		if ok && m.status >= 200 && strings.HasPrefix(m.headers.Get("CSeq"), strconv.Itoa(i.cseq)+" ") {
			return m
		}
	}
	t.Fatal("no response within 5 s")
	return message{}
}

// cancel gives an unanswered call up.
func (i *invite) cancel(t testing.TB) {
	t.Helper()
	i.send(t, "CANCEL", i.branch, nil, "")
}
