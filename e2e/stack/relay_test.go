package stack

import (
	"bufio"
	"fmt"
	"net"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// echo is a server that sends every line back.
func echo(t *testing.T) string {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				lines := bufio.NewReader(conn)
				for {
					line, err := lines.ReadString('\n')
					if err != nil {
						return
					}
					fmt.Fprint(conn, line)
				}
			}()
		}
	}()
	return l.Addr().String()
}

type client struct {
	net.Conn

	lines *bufio.Reader
}

func dial(t *testing.T, r *Relay) *client {
	t.Helper()
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", r.Addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return &client{conn, bufio.NewReader(conn)}
}

// says sends a line and returns what came back within the limit.
func (c *client) says(line string, limit time.Duration) (string, error) {
	fmt.Fprint(c, line)
	_ = c.SetReadDeadline(time.Now().Add(limit))
	return c.lines.ReadString('\n')
}

const (
	soon  = 5 * time.Second
	while = 100 * time.Millisecond
)

func TestRelay(t *testing.T) {
	r, err := openRelay(t.Context(), "127.0.0.1:0", echo(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.close(); err != nil {
			t.Error(err)
		}
	})
	c := dial(t, r)
	if got, err := c.says("one\n", soon); got != "one\n" {
		t.Fatalf("%q, %v", got, err)
	}
	r.Cut()
	if got, err := c.says("two\n", while); err == nil {
		t.Errorf("through a hole came %q", got)
	}
	late := dial(t, r)
	if got, err := late.says("late\n", while); err == nil {
		t.Errorf("through a hole came %q", got)
	}
	r.Heal()
	if got, err := c.says("three\n", soon); got != "two\n" {
		t.Errorf("after the hole: %q, %v; want what was sent meanwhile", got, err)
	}
	if got, err := late.says("", soon); got != "late\n" {
		t.Errorf("after the hole: %q, %v; want what was sent meanwhile", got, err)
	}
	r.Drop(func(sent []byte) bool { return string(sent) == "late\n" || string(sent) == "refused\n" })
	if got, err := late.says("", soon); err == nil {
		t.Errorf("a dropped connection answers %q", got)
	}
	if got, err := c.says("", soon); got != "three\n" {
		t.Errorf("a connection that was not meant: %q, %v", got, err)
	}
	again := dial(t, r)
	if got, err := again.says("refused\n", soon); err == nil {
		t.Errorf("a refused connection answers %q", got)
	}
	r.Heal()
	r.Reset()
	if got, err := c.says("four\n", soon); err == nil {
		t.Errorf("after a reset: %q", got)
	}
	r.Heal()
	if got, err := dial(t, r).says("five\n", soon); got != "five\n" {
		t.Errorf("%q, %v", got, err)
	}
}

func TestWebsocket(t *testing.T) {
	for text, want := range map[string]bool{
		"GET /ari/events?app=x HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n": true,
		"GET /ari/channels HTTP/1.1\r\nHost: a\r\n\r\n":                                                  false,
		"POST /x HTTP/1.1\r\nHost: a\r\n\r\nbody\r\nUpgrade: websocket\r\n\r\n":                          false,
	} {
		if Websocket([]byte(text)) != want {
			t.Errorf("%q: want %v", text, want)
		}
	}
}
