//go:build e2e

package scenarios

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"

	"asterism/e2e/phone"
	"asterism/e2e/s3server"
	"asterism/e2e/stack"
)

// TestS3 is the platform with its prompts in S3, and without S3 for a while.
func TestS3(t *testing.T) {
	server := s3server.Start(t, "127.0.30.61")
	p := start(t, stack.Options{Storage: stack.Storage{S3: &stack.S3{
		Endpoint: server.Endpoint, Bucket: server.MakeBucket(t), Prefix: "site/",
		AccessKey: server.AccessKey, SecretKey: server.SecretKey,
	}}})
	t.Run("core", func(t *testing.T) { core(t, p, 1) })
	cached := p.prompt(t, "cached", 91, 2*time.Second)
	fresh := p.prompt(t, "fresh", 92, time.Second)
	long := p.prompt(t, "long", 93, 8*time.Second)
	p.plays(t, playback("cached"), cached)

	during := p.call(t, playback("long"))
	listen(t, during, 200*time.Millisecond)
	server.Stop()
	t.Run("down", func(t *testing.T) {
		t.Run("what is not cached is refused", func(t *testing.T) {
			t.Parallel()
			r := p.refused(t, 503, playback("fresh"))
			r.says(t, "fresh", "unavailable")
			p.logged(t, "run-1", r.callID, "call ended", `"status":503`, `"fault":"upstream"`)
		})
		t.Run("what is cached is heard", func(t *testing.T) {
			t.Parallel()
			p.plays(t, playback("cached"), cached)
		})
		t.Run("what Asterisk has is heard", func(t *testing.T) {
			t.Parallel()
			c := p.call(t, playback("sound:hello-world"))
			endedByFarEnd(t, c)
			if seconds(c.Heard()) < 0.5 {
				t.Errorf("%.1f s were heard", seconds(c.Heard()))
			}
		})
		t.Run("calls go on", func(t *testing.T) {
			t.Parallel()
			endedByFarEnd(t, during)
			// Not tried again: the storage is down only once.
			if err := hears(during, long); err != nil && during.Reception().LongestGap < stall {
				t.Error(err)
			}
		})
		t.Run("people are told", func(t *testing.T) {
			t.Parallel()
			eventually(t, "/readyz to tell of the storage", func() bool {
				ready, body := p.ready(t, "run-1")
				return ready && strings.Contains(body, `"storage": "`) && !strings.Contains(body, `"storage": "ok"`)
			})
			out, err := run(t, p.binary, "--config", p.ConfigPath(), "media", "ls")
			if err == nil {
				t.Errorf("media ls without storage says %q", out)
			}
		})
	})
	if err := server.Restart(t.Context(), ""); err != nil {
		t.Fatal(err)
	}
	eventually(t, "a call to be answered again", func() bool {
		c, err := p.dial(t, 1, playback("fresh"))
		if err != nil {
			return false
		}
		endedByFarEnd(t, c)
		return hears(c, fresh) == nil
	})
	p.nothingLeft(t)
}

// hold keeps an address from being listened on by anybody else; who connects
// is sent away.
func hold(t *testing.T, address string) (release func()) {
	t.Helper()
	var l net.Listener
	eventually(t, address+" to be free", func() bool {
		var err error
		var lc net.ListenConfig
		l, err = lc.Listen(t.Context(), "tcp", address)
		return err == nil
	})
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			_ = conn.Close()
		}
	}()
	return func() {
		_ = l.Close()
		<-done
	}
}

// TestNATSAway takes NATS away for 10 s in the middle of a call, once by
// killing it and once by freezing it.
func TestNATSAway(t *testing.T) {
	for name, take := range map[string]func(t *testing.T, p *platform, address string) (giveBack func()){
		"killed": func(t *testing.T, p *platform, address string) func() {
			t.Helper()
			signal(t, p, "nats-1", syscall.SIGKILL)
			return hold(t, address)
		},
		"frozen": func(t *testing.T, p *platform, _ string) func() {
			t.Helper()
			signal(t, p, "nats-1", syscall.SIGSTOP)
			return func() { signal(t, p, "nats-1", syscall.SIGCONT) }
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			address := freeAddress(t)
			p := start(t, stack.Options{Split: true, Workers: 2, NATS: address})
			prompt := p.prompt(t, "long", 101, 16*time.Second)
			heard(t, func() (*phone.Call, error) {
				c := p.call(t, playback("long"))
				listen(t, c, time.Second)
				giveBack := take(t, p, address)
				refused := make(chan error, 1)
				go func() {
					wait(t, time.Second)
					refused <- p.nobodyThere(t)
				}()
				wait(t, 10*time.Second)
				giveBack()
				if err := <-refused; err != nil {
					t.Error(err)
				}
				end := ended(t, c)
				if end.By != phone.FarEnd {
					t.Errorf("the call ended by %s (%s), want a BYE of the platform", end.By, end.Reason)
				}
				if end.At > 25*time.Second {
					t.Errorf("the call of 16 s ended after %v", end.At)
				}
				p.logged(t, "gateway-1", c.ID(), "call ended", `"result":"done"`)
				p.answersAgain(t)
				return c, hears(c, prompt)
			})
			p.nothingLeft(t)
		})
	}
}

// nobodyThere is an error unless a call is refused with 503, and soon.
func (p *platform) nobodyThere(t *testing.T) error {
	t.Helper()
	c, err := p.dial(t, 1, playback("sound:hello-world"))
	if err == nil {
		return errors.New("a call that no worker can take was answered; want 503")
	}
	r, ok := errors.AsType[*phone.RefusedError](err)
	if !ok || r.Status != 503 {
		return fmt.Errorf("a call that no worker can take: %w; want 503", err)
	}
	end, err := c.Wait(t.Context())
	if err != nil {
		return err
	}
	// 300 ms, and what a busy machine adds.
	if end.At > 1500*time.Millisecond {
		return fmt.Errorf("a call that no worker can take was refused after %v, want about 300 ms", end.At)
	}
	if reasonOf(r) == "" {
		return errors.New("the refusal carries no reason")
	}
	return nil
}

// answersAgain waits until a call is answered.
func (p *platform) answersAgain(t *testing.T) {
	t.Helper()
	eventually(t, "a call to be answered again", func() bool {
		c, err := p.dial(t, 1, playback("sound:hello-world"))
		if err != nil {
			return false
		}
		return c.Hangup(t.Context()) == nil
	})
}

func signal(t *testing.T, p *platform, process string, sig syscall.Signal) {
	t.Helper()
	if err := p.Process(process).Signal(sig); err != nil {
		t.Fatal(err)
	}
}

// stopped asks a process to end and waits until another one runs in its place.
func (p *platform) stopped(t *testing.T, process string, sig syscall.Signal) {
	t.Helper()
	before := p.Process(process).Restarts()
	signal(t, p, process, sig)
	eventually(t, process+" to be started again", func() bool { return p.Process(process).Restarts() > before })
	p.allReady(t)
}

// allReady waits until every process says that it is.
func (p *platform) allReady(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := p.Ready(ctx); err != nil {
		t.Fatal(err)
	}
}
