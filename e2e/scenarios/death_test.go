//go:build e2e

package scenarios

import (
	"errors"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"asterism/e2e/phone"
	"asterism/e2e/stack"
	"asterism/e2e/telephony"
)

// TestDeaths lets parts of a split platform die and drain under calls.
func TestDeaths(t *testing.T) {
	p := start(t, stack.Options{Split: true, Workers: 2, Drain: 20 * time.Second})
	prompt := p.prompt(t, "long", 111, 6*time.Second)
	endless := playback("long", "Loop", "forever")
	waiting := playback("long", "Loop", "forever", "Digits-Stop", "5")

	t.Run("worker killed", func(t *testing.T) {
		c := p.call(t, waiting)
		listen(t, c, time.Second)
		owner := p.workerOf(t, c)
		signal(t, p, owner, syscall.SIGKILL)
		died := time.Now()
		for range 4 { // The dead one must cost new calls nothing but a moment.
			next := p.call(t, playback("sound:hello-world"))
			endedByFarEnd(t, next)
		}
		p.logged(t, "gateway-1", c.ID(), "lost its worker", owner)
		press(t, c, "5") // it may come while nobody owns the call
		end := ended(t, c)
		if took := time.Since(died); end.By != phone.FarEnd || took > 15*time.Second {
			t.Errorf("the call ended by %s after %v; want its key obeyed", end.By, took)
		}
		p.logged(t, "gateway-1", c.ID(), "call ended", `"digit":"5"`)
		eventually(t, owner+" to be started again", func() bool { return p.Process(owner).Restarts() == 1 })
	})
	t.Run("worker drains", func(t *testing.T) {
		heard(t, func() (*phone.Call, error) {
			p.allReady(t)
			c := p.call(t, playback("long"))
			listen(t, c, time.Second)
			owner := p.workerOf(t, c)
			before := p.Process(owner).Restarts()
			signal(t, p, owner, syscall.SIGTERM)
			eventually(t, owner+" to end long before its call", func() bool { return p.Process(owner).Restarts() > before })
			p.logged(t, "gateway-1", c.ID(), "lost its worker", "goes out of service")
			endedByFarEnd(t, c)
			p.logged(t, "gateway-1", c.ID(), "call ended", `"ended":"complete"`)
			return c, hears(c, prompt)
		})
	})
	t.Run("gateway drains", func(t *testing.T) {
		heard(t, func() (*phone.Call, error) {
			p.allReady(t)
			c := p.call(t, playback("long"))
			listen(t, c, time.Second)
			before := p.Process("gateway-1").Restarts()
			signal(t, p, "gateway-1", syscall.SIGTERM)
			eventually(t, "the gateway to be unready", func() bool {
				ready, _ := p.ready(t, "gateway-1")
				return !ready
			})
			p.refused(t, 503, playback("sound:hello-world"))
			endedByFarEnd(t, c)
			eventually(t, "the gateway to end", func() bool { return p.Process("gateway-1").Restarts() > before })
			p.answersAgain(t)
			return c, hears(c, prompt)
		})
	})
	t.Run("gateway killed", func(t *testing.T) {
		heard(t, func() (*phone.Call, error) {
			p.allReady(t)
			c := p.call(t, playback("long"))
			listen(t, c, time.Second)
			p.stopped(t, "gateway-1", syscall.SIGKILL)
			endedByFarEnd(t, c)
			p.answersAgain(t)
			p.logged(t, "gateway-1", c.ID(), "call ended", `"ended":"complete"`)
			return c, hears(c, prompt)
		})
	})
	t.Run("gateway killed under a call that waits for a key", func(t *testing.T) {
		p.allReady(t)
		c := p.call(t, waiting)
		listen(t, c, time.Second)
		p.stopped(t, "gateway-1", syscall.SIGKILL)
		p.answersAgain(t)
		press(t, c, "5")
		if end := ended(t, c); end.By != phone.FarEnd {
			t.Errorf("the call ended by %s; want its key obeyed", end.By)
		}
		p.logged(t, "gateway-1", c.ID(), "call ended", `"digit":"5"`)
	})
	t.Run("asterisk killed", func(t *testing.T) {
		c := p.call(t, endless)
		listen(t, c, time.Second)
		p.stopped(t, "asterisk-1", syscall.SIGKILL)
		p.logged(t, "gateway-1", c.ID(), "call ended", "Asterisk was restarted")
		c.Abandon()
		p.answersAgain(t)
	})
	p.nothingLeft(t)
}

// workerOf is the process that runs a call.
func (p *platform) workerOf(t *testing.T, c *phone.Call) string {
	t.Helper()
	line := p.logged(t, "gateway-1", c.ID(), "worker took the call")
	worker, _ := line["worker"].(string)
	name, _, _ := strings.Cut(worker, ".")
	if p.Process(name) == nil {
		t.Fatalf("the gateway says that %q took the call", worker)
	}
	return name
}

// TestNoWorker freezes and kills the only worker.
func TestNoWorker(t *testing.T) {
	t.Parallel()
	// A worker that is started again after a second would take calls on a
	// machine that needs longer for them.
	p := start(t, stack.Options{Split: true, Workers: 1, NoRestart: true})
	signal(t, p, "worker-1", syscall.SIGSTOP)
	p.nobodyTakes(t, "a stopped worker")
	signal(t, p, "worker-1", syscall.SIGCONT)
	p.answersAgain(t)
	p.nothingLeft(t)
	signal(t, p, "worker-1", syscall.SIGKILL)
	p.nobodyTakes(t, "a dead worker")
	if n := p.metric(t, "gateway-1", "asterism_calls_refused_total"); n < 12 {
		t.Errorf("%.0f refusals were counted, want at least 12", n)
	}
	eventually(t, "Asterisk without a channel", func() bool { return p.channels(t, 1) == 0 })
	eventually(t, "no call left", func() bool { return p.metric(t, "gateway-1", "asterism_calls") == 0 })
}

// nobodyTakes places one call, then five at once: calls do not pile up behind
// the one that waits.
func (p *platform) nobodyTakes(t *testing.T, with string) {
	t.Helper()
	if err := p.nobodyThere(t); err != nil {
		t.Errorf("with %s: %v", with, err)
	}
	var all sync.WaitGroup
	for range 5 {
		all.Go(func() {
			if err := p.nobodyThere(t); err != nil {
				t.Errorf("with %s: %v", with, err)
			}
		})
	}
	all.Wait()
}

// TestVanishedCaller lets callers vanish without a word.
func TestVanishedCaller(t *testing.T) {
	t.Parallel()
	p := start(t, stack.Options{Asterisk: func(_ int, o *telephony.Options) {
		o.Conf = chain(o.Conf, rtpTimeout(3))
	}})
	p.prompt(t, "long", 121, 4*time.Second)
	for _, headers := range [][][2]string{playback("long", "Loop", "forever"), playback("silence:600000")} {
		c := p.call(t, headers)
		listen(t, c, 500*time.Millisecond)
		c.Abandon()
		p.logged(t, "run-1", c.ID(), "call ended", `"result":"hangup"`)
	}
	// Before the answer there is no stream to miss: CANCEL and the end of the
	// announcement are what ends such a call.
	early, err := newPhone(t).Start(t.Context(), p.to(1, playback("long", "Loop", "forever", "Early-Media", "yes")))
	if err != nil {
		t.Fatal(err)
	}
	listen(t, early, 500*time.Millisecond)
	if err := early.Hangup(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := early.Answered(t.Context()); !errors.Is(err, phone.ErrNoAnswer) {
		t.Errorf("the cancelled call: %v", err)
	}
	p.logged(t, "run-1", early.ID(), "call ended", `"result":"hangup"`)
	p.nothingLeft(t)
}
