package aritest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"
)

// Errors that tests may meet.
var (
	// ErrClosed says that the server was closed or has crashed.
	ErrClosed = errors.New("aritest: server is down")
	// ErrEnded says that the call has ended before what was awaited happened.
	ErrEnded = errors.New("aritest: call has ended")
)

// Options configure a [Server]. The zero value is a usable server on a loopback port.
type Options struct {
	// App is the Stasis application that "ingress" hands calls to. Default "asterism".
	App string
	// User and Password must be sent with every request. Defaults "asterism" and "secret".
	User, Password string
	// Version is what GET /asterisk/info and the Server header say. Default "22.10.1".
	Version string
	// Name is Asterisk's systemname; channel ids start with it. Default "aritest".
	Name string
	// EntityID is the asterisk_id of every event. Default derived from Name.
	EntityID string

	// Addr is the TCP address to listen on. Default "127.0.0.1:0".
	Addr string
	// Offline opens no socket: use [Server.Transport]. Required inside a synctest bubble.
	Offline bool

	// Dir is Asterisk's recording directory. When empty, recordings are kept as lengths only
	// and their file cannot be fetched.
	Dir string
	// KeyLog is a file in which each key that a channel receives is written down, as Asterisk does with the logger.conf of
	// asterisk-conf. When empty, none is. Keys pressed at once have one time there, which those of people never have.
	KeyLog string
	// Media returns how long a media URI lasts; false means that Asterisk cannot find or decode it.
	// Default [DefaultMedia]. It is called with the server's lock held and must not call the server.
	Media func(uri string) (time.Duration, bool)
	// Sounds are the names that GET /sounds knows. Default "beep", "hello-world", "demo-congrats".
	Sounds []string
	// Far answers the calls that ARI originates. Default: rings at once and answers after 20 ms.
	// It is called with the server's lock held and must not call the server.
	Far func(FarCall) FarAnswer

	// Transfer is the outcome of a REFER, as TRANSFERSTATUS and TRANSFERSTATUSPROTOCOL. Default "SUCCESS", "0".
	// It is called with the server's lock held and must not call the server.
	Transfer func(target string) (status, protocol string)

	// EventQueue bounds the events waiting for one slow websocket; beyond it the connection is
	// dropped, as Asterisk does after 100 ms of a blocked write. Default 16384.
	EventQueue int
	// RequestLog bounds [Server.Requests]; the oldest are forgotten first. Default 1024, negative none.
	RequestLog int
	// HeardLimit bounds the list of what one caller heard; the oldest are forgotten first. Default 1000.
	HeardLimit int
	// RTPStats adds the five RTPAUDIOQOS ChannelVarset events that Asterisk sends when a call
	// with RTP statistics ends.
	RTPStats bool
}

func (o *Options) setDefaults() {
	def := func(p *string, v string) {
		if *p == "" {
			*p = v
		}
	}
	def(&o.App, "asterism")
	def(&o.User, "asterism")
	def(&o.Password, "secret")
	def(&o.Version, "22.10.1")
	def(&o.Name, "aritest")
	def(&o.EntityID, "entity-"+o.Name)
	def(&o.Addr, "127.0.0.1:0")
	if o.Media == nil {
		o.Media = DefaultMedia
	}
	if o.Sounds == nil {
		o.Sounds = []string{"beep", "hello-world", "demo-congrats"}
	}
	if o.Far == nil {
		o.Far = func(FarCall) FarAnswer { return FarAnswer{Ring: true, After: 20 * time.Millisecond} }
	}
	if o.Transfer == nil {
		o.Transfer = func(string) (string, string) { return "SUCCESS", "0" }
	}
	if o.EventQueue <= 0 {
		o.EventQueue = 16384
	}
	if o.HeardLimit <= 0 {
		o.HeardLimit = 1000
	}
	if o.RequestLog == 0 {
		o.RequestLog = 1024
	}
}

// Server is one imitated Asterisk. All methods may be called from any goroutine.
type Server struct {
	opt     Options
	started time.Time

	addr string         // that was bound, "" when offline
	wg   sync.WaitGroup // the HTTP server and every event connection

	faults *Faults
	log    requestLog

	mu        sync.Mutex
	http      *http.Server
	down      bool
	crashed   chan struct{} // closed by Crash and Close: requests in flight break off
	seq       uint64        // unique ids of channels
	names     uint64        // numbers in channel names
	apps      map[string]*app
	channels  map[string]*channel
	bridges   map[string]*bridge
	playbacks map[string]*playback
	live      map[string]*recording
	stored    map[string]*storedRecording
	devices   map[string]string
	globals   map[string]string
	stats     Stats
	scratch   []byte
}

// Stats counts what a server has now and has done since it started.
type Stats struct {
	Channels, Bridges, Playbacks, LiveRecordings int    // existing now
	Calls, Refused                               uint64 // offered by Call; of those, refused for want of an application
	Requests, Events, EventsLost                 uint64 // lost: nobody was connected, or the fault injection said so
}

// NewServer starts an imitated Asterisk. The caller closes it. The only error is an address that cannot be bound.
func NewServer(o Options) (*Server, error) {
	o.setDefaults()
	s := &Server{opt: o}
	s.faults = newFaults(s)
	s.log.max = o.RequestLog
	s.reset()
	if o.Offline {
		return s, nil
	}
	if err := s.listen(o.Addr); err != nil {
		return nil, err
	}
	return s, nil
}

// reset forgets everything, as a new Asterisk process does.
func (s *Server) reset() {
	s.started = time.Now()
	s.names = 0 // those of channels begin anew, their ids do not
	s.down = false
	s.crashed = make(chan struct{})
	s.apps = map[string]*app{}
	s.channels = map[string]*channel{}
	s.bridges = map[string]*bridge{}
	s.playbacks = map[string]*playback{}
	s.live = map[string]*recording{}
	if s.stored == nil {
		s.stored = map[string]*storedRecording{}
	}
	s.devices = map[string]string{}
	s.globals = map[string]string{}
}

func (s *Server) listen(addr string) error {
	ln, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", addr)
	if err != nil {
		return fmt.Errorf("aritest: listening on %s: %w", addr, err)
	}
	srv := &http.Server{Handler: s, ReadHeaderTimeout: 10 * time.Second}
	s.mu.Lock()
	s.http = srv
	s.mu.Unlock()
	s.wg.Go(func() { _ = srv.Serve(ln) })
	if s.addr == "" {
		s.addr = ln.Addr().String()
	}
	return nil
}

// URL is the base of the REST interface, for example "http://127.0.0.1:40213/ari".
// For an offline server it is a name that only [Server.Transport] understands.
func (s *Server) URL() string {
	if s.addr == "" {
		return "http://" + s.opt.Name + ".aritest/ari"
	}
	return "http://" + s.addr + "/ari"
}

// Options returns the options in force, defaults filled in.
func (s *Server) Options() Options { return s.opt }

// Stats returns the counters as they are now.
func (s *Server) Stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := s.stats
	st.Channels, st.Bridges = len(s.channels), len(s.bridges)
	st.Playbacks, st.LiveRecordings = len(s.playbacks), len(s.live)
	return st
}

// Faults returns the switches for misbehaviour.
func (s *Server) Faults() *Faults { return s.faults }

// Close ends every call, closes every connection and waits for what the server started.
func (s *Server) Close() error {
	s.stop()
	s.wg.Wait()
	return nil
}

// stop makes the server vanish: no good-bye on any connection.
func (s *Server) stop() {
	s.mu.Lock()
	if s.down {
		s.mu.Unlock()
		return
	}
	s.down = true
	close(s.crashed)
	for _, ch := range s.channels {
		ch.vanish()
	}
	for _, rec := range s.live {
		rec.cutOff()
	}
	for _, p := range s.playbacks {
		p.forget()
	}
	for _, a := range s.apps {
		if a.feed != nil {
			a.feed.close(true)
		}
	}
	clear(s.channels)
	clear(s.bridges)
	clear(s.playbacks)
	clear(s.live)
	srv := s.http
	s.mu.Unlock()
	if srv != nil {
		_ = srv.Close()
	}
}

// after runs fn with the lock held once d has passed, unless the server is down by then.
func (s *Server) after(d time.Duration, fn func()) *time.Timer {
	generation := s.crashed
	return time.AfterFunc(d, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if !s.down && s.crashed == generation {
			fn()
		}
	})
}

// newID returns an id in the form of Asterisk's unique ids: systemname-seconds.number.
func (s *Server) newID() string {
	n := s.seq
	s.seq++
	b := append(make([]byte, 0, 40), s.opt.Name...)
	b = append(b, '-')
	b = strconv.AppendInt(b, time.Now().Unix(), 10)
	b = append(b, '.')
	return string(strconv.AppendUint(b, n, 10))
}
