package aritest

import (
	"slices"
	"sync"
	"time"
)

// app is a Stasis application: a name, at most one connection, and what it is subscribed to.
type app struct {
	name       string
	feed       *feed // nil: nobody is connected; the application exists but is inactive
	all        bool
	channels   map[string]int // explicit subscriptions by id
	bridges    map[string]int
	endpoints  map[string]bool
	devices    map[string]bool
	members    map[string]bool // channels in the application
	allowed    []string
	disallowed []string
}

func (a *app) wants(typ string) bool {
	if len(a.allowed) > 0 && !slices.Contains(a.allowed, typ) {
		return false
	}
	return len(a.disallowed) == 0 || !slices.Contains(a.disallowed, typ)
}

func (s *Server) appNamed(name string) *app {
	a := s.apps[name]
	if a == nil {
		a = &app{
			name: name, channels: map[string]int{}, bridges: map[string]int{}, endpoints: map[string]bool{},
			devices: map[string]bool{}, members: map[string]bool{},
		}
		s.apps[name] = a
	}
	return a
}

// connect makes f the connection of the application; a connection before it is told that it was replaced.
func (s *Server) connect(name string, f *feed, all bool) {
	a := s.appNamed(name)
	if a.feed != nil && a.feed != f {
		b := s.begin("ApplicationReplaced")
		s.deliver(a, "ApplicationReplaced", b)
	}
	a.feed = f
	a.all = a.all || all
}

// disconnect leaves channels and subscriptions alone: they serve the next connection.
func (s *Server) disconnect(f *feed) {
	for name, a := range s.apps {
		if a.feed != f {
			continue
		}
		a.feed, a.all = nil, false
		if len(a.members)+len(a.channels)+len(a.bridges)+len(a.endpoints)+len(a.devices) == 0 {
			delete(s.apps, name)
		}
	}
}

// active reports whether Stasis() would accept a channel for the application now.
func (s *Server) active(name string) bool {
	a := s.apps[name]
	return a != nil && a.feed != nil
}

// begin starts an event in the shared scratch buffer.
func (s *Server) begin(typ string) []byte {
	b := append(s.scratch[:0], `{"type":"`...)
	b = append(b, typ...)
	b = append(b, `","timestamp":`...)
	return appendTime(b, time.Now())
}

// deliver finishes the event for one application and queues it. The scratch buffer stays usable for the next application.
func (s *Server) deliver(a *app, typ string, b []byte) {
	s.scratch = b
	if !a.wants(typ) {
		return
	}
	if a.feed == nil || s.faults.losesLocked(typ) {
		s.stats.EventsLost++
		return
	}
	out := make([]byte, 0, len(b)+len(s.opt.EntityID)+len(a.name)+40)
	out = append(out, b...)
	out = appendField(out, "asterisk_id", s.opt.EntityID)
	out = appendField(out, "application", a.name)
	out = append(out, '}')
	s.stats.Events++
	if !a.feed.push(out) {
		s.stats.EventsLost++
	}
}

// audience calls fn for every application that is to hear of the channel or the bridge; either may be nil.
func (s *Server) audience(ch *channel, br *bridge, fn func(*app)) {
	for _, a := range s.apps {
		if a.all || (ch != nil && a.hearsChannel(ch)) || (br != nil && a.hearsBridge(br)) {
			fn(a)
		}
	}
}

func (a *app) hearsChannel(ch *channel) bool {
	if ch.app == a || a.channels[ch.id] > 0 {
		return true
	}
	return len(a.endpoints) > 0 && (a.endpoints[ch.tech] || a.endpoints[ch.tech+"/"+ch.resource])
}

// hearsBridge: an application is subscribed to a bridge as soon as one of its channels is in it.
func (a *app) hearsBridge(br *bridge) bool {
	return a.bridges[br.id] > 0 || a.bridges[allBridges] > 0
}

// emit sends an event about a channel; extra appends what comes before the channel and may be nil.
func (s *Server) emit(ch *channel, typ string, extra func([]byte) []byte) {
	s.publish(ch, nil, typ, func(b []byte) []byte {
		if extra != nil {
			b = extra(b)
		}
		return ch.appendJSON(appendKey(b, "channel"))
	})
}

// publish builds the event once, and only if somebody wants it.
func (s *Server) publish(ch *channel, br *bridge, typ string, body func([]byte) []byte) {
	var b []byte
	s.audience(ch, br, func(a *app) {
		if !a.wants(typ) {
			return
		}
		if b == nil {
			b = body(s.begin(typ))
		}
		s.deliver(a, typ, b)
	})
}

// feed is the queue before one connection. The server never waits for a reader.
type feed struct {
	max  int
	wake chan struct{}
	over chan struct{} // closed when the feed is closed

	mu     sync.Mutex
	queue  [][]byte
	closed bool
	abrupt bool
	frozen bool
}

func newFeed(limit int) *feed {
	return &feed{max: limit, wake: make(chan struct{}, 1), over: make(chan struct{})}
}

// push queues an event; false means that it was lost because the feed is closed or, being full, is closed now.
func (f *feed) push(ev []byte) bool {
	f.mu.Lock()
	if f.closed {
		f.mu.Unlock()
		return false
	}
	if len(f.queue) >= f.max {
		f.mu.Unlock()
		f.close(true)
		return false
	}
	f.queue = append(f.queue, ev)
	f.mu.Unlock()
	f.signal()
	return true
}

func (f *feed) signal() {
	select {
	case f.wake <- struct{}{}:
	default:
	}
}

// take returns everything queued, waiting for something; nil means that the feed is closed.
func (f *feed) take(done <-chan struct{}) [][]byte {
	for {
		f.mu.Lock()
		batch := f.queue
		if f.frozen {
			batch = nil
		}
		if len(batch) > 0 {
			f.queue = nil
		}
		closed := f.closed
		f.mu.Unlock()
		if closed {
			return nil
		}
		if len(batch) > 0 {
			return batch
		}
		select {
		case <-f.wake:
		case <-f.over:
			return nil
		case <-done:
			return nil
		}
	}
}

func (f *feed) freeze(on bool) {
	f.mu.Lock()
	f.frozen = on
	f.mu.Unlock()
	f.signal()
}

// close ends the feed; abrupt asks the connection to vanish without a closing handshake.
func (f *feed) close(abrupt bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.closed {
		f.closed, f.abrupt = true, abrupt
		close(f.over)
	}
}

// Subscribe connects to the application as a websocket would, without one: fn gets the events in order, one at a
// time, from a goroutine of its own. A connection that the application had before gets ApplicationReplaced.
// cancel disconnects and returns when fn is no longer running; it must not be called from fn.
func (s *Server) Subscribe(application string, fn func(event []byte)) (cancel func()) {
	f := newFeed(s.opt.EventQueue)
	s.mu.Lock()
	s.connect(application, f, false)
	s.mu.Unlock()
	finished := make(chan struct{})
	s.wg.Go(func() {
		defer close(finished)
		for batch := f.take(nil); batch != nil; batch = f.take(nil) {
			for _, ev := range batch {
				fn(ev)
			}
		}
	})
	return func() {
		s.mu.Lock()
		s.disconnect(f)
		s.mu.Unlock()
		f.close(false)
		<-finished
	}
}
