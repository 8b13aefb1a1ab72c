package proxy

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"
)

// callsFor is a server with JetStream, on an address of its own, and what
// delivers records to it.
type callsFor struct {
	*testing.T
	nats  *Server
	o     ServerOptions
	conn  *Conn
	logs  *logStore
	k     *records
	lines *lockedBuffer
	stop  func()
}

// lockedBuffer is a log that is read while it is written.
type lockedBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

func newCallsFor(t *testing.T, store string) *callsFor {
	t.Helper()
	c := &callsFor{T: t, lines: &lockedBuffer{}, o: ServerOptions{
		Host: "127.0.75.1", Port: -1, StoreDir: store, Log: zerolog.Nop(),
		Passwords: map[Role]string{RoleGateway: "g", RoleReader: "r"},
	}}
	c.startNATS()
	c.o.Port = c.nats.srv.Addr().(*net.TCPAddr).Port
	t.Cleanup(func() { c.nats.Close() })
	c.conn = c.connect(RoleGateway, "g")
	c.openLogs(t.TempDir())
	c.start()
	return c
}

func (c *callsFor) startNATS() {
	c.Helper()
	var err error
	if c.nats, err = NewServer(c.Context(), c.o); err != nil {
		c.Fatal(err)
	}
}

func (c *callsFor) connect(role Role, password string) *Conn {
	c.Helper()
	conn, err := Connect(ConnOptions{URL: c.nats.URL(), User: string(role), Password: password, Log: zerolog.Nop()})
	if err != nil {
		c.Fatal(err)
	}
	c.Cleanup(conn.Close)
	return conn
}

func (c *callsFor) openLogs(dir string) {
	c.Helper()
	var err error
	if c.logs, err = openLogStore(dir, zerolog.Nop()); err != nil {
		c.Fatal(err)
	}
}

// start begins to deliver; stop, and the end of the test, ends it.
func (c *callsFor) start() {
	c.Helper()
	o := GatewayOptions{
		Node: "node", Conn: c.conn, Log: zerolog.New(c.lines),
		Calls: CallsOptions{Stream: CallsStream, MaxAge: time.Hour, MaxBytes: 1 << 20},
	}
	var err error
	if c.k, err = newRecords(o, c.logs, newGatewayMetrics(&Gateway{opts: o}, nil)); err != nil {
		c.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var run sync.WaitGroup
	run.Go(func() { c.k.run(ctx) })
	c.stop = sync.OnceFunc(func() { cancel(); run.Wait() })
	c.Cleanup(c.stop)
}

// close closes the n-th session, with a log.
func (c *callsFor) close(n int) CallRecord {
	c.Helper()
	session := fmt.Sprintf("s%d", n)
	if err := c.logs.append(session, LogStart{Session: session}); err != nil {
		c.Fatal(err)
	}
	r := CallRecord{Version: RecordVersion, ID: "node/" + session, Node: "node", Session: session}
	c.k.closed(&r)
	return r
}

func (c *callsFor) eventually(what string, ok func() bool) {
	c.Helper()
	for end := time.Now().Add(time.Minute); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			c.Fatalf("it never happened that %s; logged: %s", what, c.lines)
		}
	}
}

// delivered waits until nothing waits, and returns the ids on the stream.
func (c *callsFor) delivered() []string {
	c.Helper()
	c.eventually("all records were delivered", func() bool { return c.k.waiting() == 0 })
	conn := c.connect(RoleReader, "r")
	c.eventually("the reader is connected", conn.Up)
	return readCalls(c.T, conn)
}

// readCalls returns the ids of all records on the stream.
func readCalls(t *testing.T, conn *Conn) []string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	js, err := jetstream.New(natsOf(conn))
	if err != nil {
		t.Fatal(err)
	}
	stream, err := js.Stream(ctx, CallsStream)
	if err != nil {
		t.Fatal(err)
	}
	consumer, err := stream.OrderedConsumer(ctx, jetstream.OrderedConsumerConfig{})
	if err != nil {
		t.Fatal(err)
	}
	count := stream.CachedInfo().State.Msgs
	var ids []string
	for range count {
		m, err := consumer.Next()
		if err != nil {
			t.Fatal(err)
		}
		var r CallRecord
		if err := json.Unmarshal(m.Data(), &r); err != nil || m.Subject() != "calls.node" || m.Headers().Get(nats.MsgIdHdr) != r.ID {
			t.Errorf("on %s: %s, %v, %v", m.Subject(), m.Data(), m.Headers(), err)
		}
		ids = append(ids, r.ID)
	}
	return ids
}

func (c *callsFor) expect(want ...string) {
	c.Helper()
	if got := c.delivered(); strings.Join(got, " ") != strings.Join(want, " ") {
		c.Errorf("on the stream are %q, expected %q", got, want)
	}
	if saved, err := c.logs.load(); err != nil || len(saved) > 0 {
		c.Errorf("in the spool are %+v, %v", saved, err)
	}
}

func TestRecordsAreDeliveredInOrder(t *testing.T) {
	c := newCallsFor(t, t.TempDir())
	var want []string
	for n := range 300 {
		want = append(want, c.close(n).ID)
	}
	c.expect(want...)
}

// NATS is restarted while records wait; they arrive when it is back.
func TestRecordsOutliveARestartOfNATS(t *testing.T) {
	c := newCallsFor(t, t.TempDir())
	first := c.close(1).ID
	c.eventually("the first was delivered", func() bool { return c.k.waiting() == 0 })
	c.nats.Close()
	second, third := c.close(2).ID, c.close(3).ID
	if c.k.waiting() != 2 {
		t.Error("records were delivered to nobody")
	}
	c.startNATS()
	c.expect(first, second, third)
}

// The gateway is restarted: what waits is found again, and what had been
// delivered, but was not removed yet, is on the stream once.
func TestRecordsOutliveARestartOfTheGateway(t *testing.T) {
	c := newCallsFor(t, t.TempDir())
	first := c.close(1)
	c.eventually("the first was delivered", func() bool { return c.k.waiting() == 0 })
	c.stop()
	data, err := json.Marshal(first)
	if err != nil {
		t.Fatal(err)
	}
	// As if the gateway had died between the stream's answer and the removal.
	if err := c.logs.append("s1", LogStart{Session: "s1"}, LogRecord{Record: data}); err != nil {
		t.Fatal(err)
	}
	second := c.close(2) // nobody delivers it
	if err := c.logs.close(); err != nil {
		t.Fatal(err)
	}
	c.openLogs(c.logs.dir)
	saved, err := c.logs.load()
	if err != nil || len(saved) != 2 {
		t.Fatalf("found %+v, %v", saved, err)
	}
	c.start()
	for _, s := range saved {
		c.k.found(s.Start.Session, s.Record)
	}
	c.expect(first.ID, second.ID)
}

// Without JetStream records wait, which is said once.
func TestRecordsWaitForJetStream(t *testing.T) {
	c := newCallsFor(t, "")
	var want []string
	for n := range maxInMemory + 5 { // the last are read from their logs
		want = append(want, c.close(n).ID)
	}
	c.eventually("it is said", func() bool { return strings.Contains(c.lines.String(), "no JetStream") })
	time.Sleep(2 * minRetry)
	if n := strings.Count(c.lines.String(), "not delivered"); n != 1 || c.k.waiting() != len(want) {
		t.Errorf("said %d times, %d wait: %s", n, c.k.waiting(), c.lines)
	}
	c.nats.Close()
	c.o.StoreDir = t.TempDir()
	c.startNATS()
	c.expect(want...)
	if !strings.Contains(c.lines.String(), "delivered again") {
		t.Errorf("logged: %s", c.lines)
	}
}

// Of too many records that wait the oldest are dropped.
func TestRecordsThatWaitAreBounded(t *testing.T) {
	c := newCallsFor(t, t.TempDir())
	c.nats.Close()
	c.k.mu.Lock()
	c.k.most = 3
	c.k.mu.Unlock()
	var want []string
	for n := range 8 {
		want = append(want, c.close(n).ID)
	}
	if saved, err := c.logs.load(); err != nil || len(saved) != 3 || c.k.waiting() != 3 {
		t.Errorf("%d wait, in the spool are %+v, %v", c.k.waiting(), saved, err)
	}
	if n := strings.Count(c.lines.String(), "dropped"); n == 0 {
		t.Errorf("logged: %s", c.lines)
	}
	c.startNATS()
	c.expect(want[5:]...)
}

// The log of a call that has got the id of one that is over is left alone.
func TestRecordSparesANewSessionOfItsID(t *testing.T) {
	c := newCallsFor(t, t.TempDir())
	c.nats.Close()
	c.close(1)
	if err := c.logs.append("s1", LogStart{Session: "s1", CallID: "new"}); err != nil {
		t.Fatal(err)
	}
	c.startNATS()
	c.delivered()
	if saved, err := c.logs.load(); err != nil || len(saved) != 1 || saved[0].Start.CallID != "new" {
		t.Errorf("in the spool are %+v, %v", saved, err)
	}
}

func TestGatewayMayNotRemoveRecords(t *testing.T) {
	c := newCallsFor(t, t.TempDir())
	c.close(1)
	c.expect("node/s1")
	for role, conn := range map[Role]*Conn{RoleGateway: c.connect(RoleGateway, "g"), RoleReader: c.connect(RoleReader, "r")} {
		c.eventually("connected", conn.Up)
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		for _, subject := range []string{"$JS.API.STREAM.DELETE.CALLS", "$JS.API.STREAM.PURGE.CALLS", "$JS.API.STREAM.CREATE.OTHER"} {
			if m, err := natsOf(conn).RequestWithContext(ctx, subject, nil); err == nil {
				t.Errorf("%s: %s was answered with %s", role, subject, m.Data)
			}
		}
		cancel()
	}
	c.expect("node/s1")
}

// Of three servers one may be lost: records are delivered, and none is lost.
func TestRecordsOutliveTheLossOfOneServer(t *testing.T) {
	const servers = 3
	ports := make([]int, servers)
	routes := make([]string, servers)
	for i := range ports {
		l, err := net.Listen("tcp", "127.0.75.2:0") //nolint:noctx // local and immediate
		if err != nil {
			t.Fatal(err)
		}
		ports[i], routes[i] = l.Addr().(*net.TCPAddr).Port, l.Addr().String()
		l.Close()
	}
	all := make([]*Server, servers)
	urls := make([]string, servers)
	for i := range all {
		var err error
		all[i], err = NewServer(t.Context(), ServerOptions{
			Name: fmt.Sprintf("nats-%d", i), Host: "127.0.75.2", Port: -1, StoreDir: t.TempDir(), Log: zerolog.Nop(),
			Passwords: map[Role]string{RoleGateway: "g", RoleReader: "r"},
			Cluster:   &ClusterOptions{Host: "127.0.75.2", Port: ports[i], Routes: routes, Password: "c"},
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(all[i].Close)
		urls[i] = all[i].URL()
	}
	conn, err := Connect(ConnOptions{URL: strings.Join(urls, ","), User: "gateway", Password: "g", Log: zerolog.Nop()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	c := &callsFor{T: t, nats: all[0], conn: conn, lines: &lockedBuffer{}}
	c.openLogs(t.TempDir())
	c.start()
	c.k.o.Replicas = servers
	first := c.close(1).ID
	c.eventually("the first was delivered", func() bool { return c.k.waiting() == 0 }) // takes an election or two
	lost := natsOf(conn).ConnectedUrl()
	for i, url := range urls {
		if url == lost {
			all[i].Close()
		} else {
			c.nats = all[i]
		}
	}
	second := c.close(2).ID
	c.expect(first, second)
}

func TestClusterWantsAPassword(t *testing.T) {
	_, err := NewServer(t.Context(), ServerOptions{
		Host: "127.0.75.3", Port: -1, Log: zerolog.Nop(), Passwords: map[Role]string{RoleGateway: "g"}, Cluster: &ClusterOptions{Host: "127.0.75.3", Port: -1},
	})
	if err == nil || !strings.Contains(err.Error(), "no password") {
		t.Errorf("got %v", err)
	}
}

func TestRTPStats(t *testing.T) {
	const event = `{"type":"StasisEnd","channel":{"id":"c","channelvars":{"RTPAUDIOQOS":"ssrc=762954355;themssrc=663181126;lp=2;rxjitter=0.003000;rxcount=303;txjitter=0.000125;txcount=300;rlp=1;rtt=0.020500;rxmes=0.000000;txmes=88.087887"}}}`
	want := RTPStats{Received: RTPDirection{Packets: 303, Lost: 2, Jitter: 0.125}, Sent: RTPDirection{Packets: 300, Lost: 1, Jitter: 3}, RTT: 20.5}
	if got := rtpStats([]byte(event)); got == nil || *got != want {
		t.Errorf("got %+v, expected %+v", got, want)
	}
	for _, none := range []string{"", `{"channelvars":{"RTPAUDIOQOS":""}}`, `"RTPAUDIOQOS":"ssrc=1`, `"RTPAUDIOQOS":"nonsense"`, `"RTPAUDIOQOS":"lp=nan;rtt=-1;rxcount=1e99"`} {
		if got := rtpStats([]byte(none)); got != nil {
			t.Errorf("%s: %+v", none, got)
		}
	}
}
