package proxy

import (
	"context"
	"time"
)

const (
	// HangTime is how long a gateway may do nothing before its watchdog takes
	// it for hung.
	HangTime = 10 * time.Second
	// watchEvery is how often the watchdog looks.
	watchEvery = time.Second
)

// watch calls OnHang once when ticks have stopped although time goes on for
// this goroutine: something holds the gateway's lock for ever. A process that
// was stopped as a whole is not hung; it sees that it has slept itself.
func (g *Gateway) watch(ctx context.Context) {
	looks := 0 // since the last tick, one a second
	for last := g.alive.Load(); sleep(ctx, watchEvery); {
		if now := g.alive.Load(); now != last {
			last, looks = now, 0
			continue
		}
		if looks++; looks >= int(HangTime/watchEvery) {
			g.opts.OnHang()
			return
		}
	}
}
