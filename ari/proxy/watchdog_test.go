package proxy

import (
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// The watchdog barks when the gateway's ticks stop, and at nothing else.
func TestWatchdog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var barked atomic.Int64
		start := time.Now()
		g := &Gateway{opts: GatewayOptions{OnHang: func() { barked.Store(int64(time.Since(start))) }}, arbiter: NewArbiter(1, 1)}
		g.mu.Lock()
		g.timer = time.AfterFunc(tickEvery, g.tick)
		g.mu.Unlock()
		defer g.timer.Stop()
		go g.watch(t.Context())
		time.Sleep(time.Minute + tickEvery/2)
		if d := time.Duration(barked.Load()); d != 0 {
			t.Fatalf("it barked after %v although the gateway works", d)
		}
		// As when its lock is never given back; virtual time would stop at a
		// goroutine that waits for a lock.
		g.timer.Stop()
		time.Sleep(2 * HangTime)
		if d := time.Duration(barked.Load()) - time.Minute; d < HangTime-watchEvery || d > HangTime+2*watchEvery {
			t.Errorf("it barked %v after the gateway hung, want %v", d, HangTime)
		}
	})
}
