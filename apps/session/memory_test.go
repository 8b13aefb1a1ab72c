package session

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"testing"

	"asterism/apps"
	"asterism/ari/proxy"
)

// idleLink answers every command as if it had been done.
type idleLink struct{ id string }

func (l *idleLink) ID() string   { return l.id }
func (l *idleLink) Node() string { return "n1" }
func (l *idleLink) Accept()      {}

func (l *idleLink) Do(ctx context.Context, c proxy.Command) (proxy.Result, error) {
	var r proxy.Result
	for range c.Steps {
		r.Steps = append(r.Steps, proxy.StepResult{Code: 200, Body: []byte(`{"ms":[600000]}`)})
	}
	return r, context.Cause(ctx)
}

const stasisStart = `{"type":"StasisStart","timestamp":"2026-01-02T03:04:05.678+0000","args":["1","Action,Sound","Action=Playback","Sound=welcome","end"],` +
	`"channel":{"id":%q,"name":"PJSIP/edge-00000001","state":"Ring","protocol_id":"a84b4c76e66710@192.0.2.1",` +
	`"caller":{"name":"Alice","number":"5551"},"connected":{"name":"","number":""},"accountcode":"",` +
	`"dialplan":{"context":"ingress","exten":"1000","priority":1,"app_name":"Stasis","app_data":"asterism"},` +
	`"creationtime":"2026-01-02T03:04:05.600+0000","language":"en"},"asterisk_id":"n1","application":"asterism"}`

// idleSessions starts calls that all hear a prompt, and returns how to end
// them.
func idleSessions(t testing.TB, calls int) (end func()) {
	t.Helper()
	pool, err := NewPool(Options{Parse: func(_ []string, ch Channel) (apps.Request, []string, error) {
		return apps.Request{Action: "Playback", Sounds: []string{"welcome"}, Called: ch.Called, Caller: apps.Party{Number: ch.CallerNumber}}, nil, nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	var runs, waits sync.WaitGroup
	for i := range calls {
		id := fmt.Sprintf("n1-1767323045.%d", i)
		s := pool.open(&idleLink{id}, proxy.Start{Event: fmt.Appendf(nil, stasisStart, id)})
		ctx, cancel := context.WithCancelCause(ctx) // as the fabric makes for each session
		runs.Go(func() { defer cancel(nil); s.Run(ctx) })
		waits.Go(func() {
			for s.listening() == "" {
				runtime.Gosched()
			}
		})
	}
	waits.Wait()
	return func() {
		cancel(proxy.ErrMoved)
		runs.Wait()
	}
}

func (s *session) listening() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.listens
}

// 50,000 calls that only hear something fit into 1 GiB: 21 KiB for each. What
// the fabric adds must fit in, too.
func TestIdleSessionIsSmall(t *testing.T) {
	const calls, most = 2000, (14 << 10) * raceFactor
	memory := func() uint64 {
		runtime.GC()
		runtime.GC() // stacks are shrunk at the next collection
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc + m.StackInuse
	}
	before := memory()
	end := idleSessions(t, calls)
	each := (memory() - before) / calls
	end()
	t.Logf("%d bytes for each idle session", each)
	if each > most {
		t.Errorf("an idle session takes %d bytes, more than %d", each, most)
	}
}
