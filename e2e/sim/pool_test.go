package sim

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"time"

	"github.com/rs/zerolog"

	"asterism/apps"
	"asterism/apps/session"
	"asterism/ari/proxy"
)

// worker is one place in the pool, where worker after worker lives.
type worker struct {
	w    *world
	name string
	life *life
	n    int       // lives so far
	held time.Time // paused until then
}

// life is one life of a worker.
type life struct {
	name string // of its connection
	conn *proxy.Conn
	wk   *proxy.Worker
	pool *session.Pool
	dead chan struct{} // closed by a crash
	gone bool          // crashed or told to stop
}

func (l *life) isDead() bool {
	select {
	case <-l.dead:
		return true
	default:
		return false
	}
}

// start begins a new life.
func (p *worker) start() {
	w := p.w
	p.n++
	l := &life{name: fmt.Sprintf("%s#%d", p.name, p.n), dead: make(chan struct{})}
	l.conn = w.bus.Conn(l.name)
	log := zerolog.New(&logSink{w: w, dead: l.isDead})
	var err error
	l.pool, err = session.NewPool(session.Options{
		Worker: p.name, Log: log, Lookup: w.lookup(l),
		Parse: func(args []string, _ session.Channel) (req apps.Request, warnings []string, err error) {
			raw, err := url.QueryUnescape(args[0])
			if err == nil {
				err = json.Unmarshal([]byte(raw), &req)
			}
			return req, nil, err
		},
	})
	if err != nil {
		w.t.Fatal(err)
	}
	l.wk, err = proxy.NewWorker(l.conn, proxy.WorkerOptions{Name: p.name, Capacity: 50, Open: l.pool.Open, Log: log})
	if err != nil {
		w.t.Fatal(err)
	}
	p.life, p.held = l, time.Time{}
	w.note("%s starts", l.name)
}

// crash ends the worker as SIGKILL does.
func (p *worker) crash() {
	l := p.life
	l.gone = true
	l.conn.Close() // first: what it says of its own death must not be heard
	close(l.dead)
	p.w.note("%s CRASHES", l.name)
	p.w.work.Go(func() {
		l.wk.Close()
		l.pool.Close()
	})
}

// stop ends the worker as SIGTERM does.
func (p *worker) stop() {
	l := p.life
	l.gone = true
	p.w.note("%s is told to stop", l.name)
	p.w.work.Go(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := l.wk.Drain(ctx); err != nil {
			p.w.note("%s: %v", l.name, err)
		}
		l.wk.Close()
		l.conn.Close()
		l.pool.Close()
		p.w.note("%s has stopped", l.name)
	})
}

// pause holds everything that the worker sends and is sent, as SIGSTOP does.
func (p *worker) pause(d time.Duration) {
	p.held = time.Now().Add(d)
	p.w.note("%s PAUSES for %v", p.life.name, d)
}

// heldUntil is until when a process sends and takes nothing.
func (w *world) heldUntil(name string) time.Time {
	for _, p := range w.workers {
		if p.life != nil && p.life.name == name {
			return p.held
		}
	}
	return time.Time{}
}
