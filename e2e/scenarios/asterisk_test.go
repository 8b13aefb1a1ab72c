//go:build e2e

package scenarios

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"asterism/ari/aritest"
	"asterism/asterisk-conf"
	"asterism/e2e/stack"
	"asterism/e2e/telephony"
)

// TestOtherAsterisk starts gateways beside an Asterisk that is not ours.
func TestOtherAsterisk(t *testing.T) {
	t.Parallel()
	for _, version := range []string{"20.9.3", "21.0.0", "22.9.0", "23.1.0", "certified/20.7-cert3"} {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			asterisk, err := aritest.NewServer(aritest.Options{Version: version, Password: "secret"})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = asterisk.Close() })
			dir := t.TempDir()
			config := filepath.Join(dir, "asterism.yaml")
			text := fmt.Sprintf(`
http: {listen: ""}
nodes:
  - name: node
    ari: {url: %q, password: secret}
    media: {dir: media}
    spool: {dir: spool}
storage: {kind: dir, dir: {path: storage}}
nats: {urls: ["nats://%s"], password: none}
`, asterisk.URL(), freeAddress(t))
			if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			out, err := run(t, program(t), "--config", config, "gateway")
			if err == nil {
				t.Fatalf("it ended without an error:\n%s", out)
			}
			last := out[strings.LastIndex(strings.TrimSpace(out), "\n")+1:]
			for _, text := range []string{"unsupported Asterisk version", version, "22.10 or later"} {
				if !strings.Contains(last, text) {
					t.Errorf("it says %q; want %q", last, text)
				}
			}
		})
	}
}

// TestWrongPassword gives Asterisk another ARI password under a running
// platform, and then the right one again.
func TestWrongPassword(t *testing.T) {
	t.Parallel()
	var wrong atomic.Bool
	p := start(t, stack.Options{Asterisk: func(_ int, o *telephony.Options) {
		o.Conf = func(c *asteriskconf.Params) {
			if wrong.Load() {
				c.ARIPassword = "another-one"
			}
		}
	}})
	wrong.Store(true)
	before := p.Process("asterisk-1").Restarts()
	signal(t, p, "asterisk-1", syscall.SIGKILL)
	eventually(t, "Asterisk to be started again", func() bool { return p.Process("asterisk-1").Restarts() > before })
	p.unready(t, "run-1", "gateway asterisk-1", "refuses the ARI user or password")
	line := p.logged(t, "run-1", "", "refuses the ARI user or password")
	if line["level"] != "error" || line["user"] != "asterism" || strings.Contains(fmt.Sprint(line), "another-one") {
		t.Errorf("logged %v; want an error with the user and without a password", line)
	}
	if status, body, err := get(t, p.Process("run-1").URL()+"/healthz"); err != nil || status != 200 {
		t.Errorf("/healthz answers %d %q, %v; want 200: a restart would mend nothing", status, body, err)
	}
	p.refused(t, 503, playback("sound:hello-world"))
	wrong.Store(false)
	p.stopped(t, "asterisk-1", syscall.SIGKILL)
	p.answersAgain(t)
	if n := p.Process("run-1").Restarts(); n != 0 {
		t.Errorf("asterism was started again %d times, want it to wait", n)
	}
}

// TestStrangers: whoever is not the edge gets no further than Asterisk's door.
func TestStrangers(t *testing.T) {
	t.Parallel()
	p := start(t, stack.Options{Asterisk: func(_ int, o *telephony.Options) { o.Edge = []string{"127.9.9.9"} }})
	c, err := p.dial(t, 1, playback("sound:hello-world"))
	refusedWith(t, c, err, 403)
	if n := p.metric(t, "run-1", "asterism_calls_total"); n != 0 {
		t.Errorf("%v calls came in", n)
	}
	for _, port := range []string{"8088"} {
		host, _, err := net.SplitHostPort(p.SIP(1))
		if err != nil {
			t.Fatal(err)
		}
		if status, _, err := get(t, "http://"+net.JoinHostPort(host, port)+"/ari/asterisk/info"); err != nil || status != 401 {
			t.Errorf("ARI without a password answers %d, %v; want 401", status, err)
		}
	}
}
