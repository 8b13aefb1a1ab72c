package session

import (
	"context"
	"runtime"
	"sync"
	"testing"
	"time"

	"asterism/apps"
	"asterism/apps/calltest"
	"asterism/ari/aritest"
)

// A call on a node keeps the rules that the scripted call of calltest keeps.
func TestConformance(t *testing.T) {
	calltest.Conformance(t, func(t *testing.T) calltest.Bench {
		t.Helper()
		return newPhone(t)
	})
}

// So does one on the whole fabric: worker, NATS and gateway, all of them in
// virtual time.
func TestConformanceOnTheFabric(t *testing.T) {
	calltest.Conformance(t, func(t *testing.T) calltest.Bench {
		t.Helper()
		return newFabricPhone(t)
	})
}

// fabricPhone is a phone whose call runs on a fabric.
type fabricPhone struct {
	phone
	media  *shelf
	fabric *fabric
	drains sync.WaitGroup
}

// Drain drains the gateway, with no time for the calls that are there. What
// the gateway does once their farewell is over ends with the test.
func (p *fabricPhone) Drain() {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	p.drains.Go(func() { _ = p.fabric.gateway.Drain(ctx) })
}

func (p *fabricPhone) Media(sound string, length time.Duration, problem apps.MediaProblem) {
	p.media.mu.Lock()
	defer p.media.mu.Unlock()
	p.media.prompts[sound] = medium{length: length, problem: problem}
}

// newFabricPhone is newPhone on a fabric.
func newFabricPhone(t *testing.T) *fabricPhone {
	t.Helper()
	emptyPools()
	t.Cleanup(emptyPools)
	flow, hand, release := handOver()
	p := &fabricPhone{media: &shelf{prompts: make(map[string]medium)}}
	f := newFabric(t, func(ctx context.Context, env apps.Env, call apps.Call, req apps.Request) error {
		if len(req.Sounds) > 0 {
			return nil // the call that finds out whether the fabric is ready
		}
		return flow(ctx, env, call, req)
	}, p.media, true)
	p.fabric = f
	t.Cleanup(p.drains.Wait)
	p.caller = f.asterisk.Call(aritest.Invite{})
	h := <-hand
	p.ctx, p.call = h.ctx, h.call
	t.Cleanup(release)
	// Until the call is accepted, its gateway keeps what happens to itself; a
	// flow that has sent nothing yet is accepted after 50 ms.
	time.Sleep(100 * time.Millisecond)
	return p
}

// emptyPools collects twice, which empties every sync.Pool: the client of NATS
// keeps timers in one, and timers must not go from one bubble to another.
func emptyPools() {
	runtime.GC()
	runtime.GC()
}
