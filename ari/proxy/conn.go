package proxy

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/rs/zerolog"
)

// ConnOptions say how to reach NATS.
type ConnOptions struct {
	// URL is one or more server URLs, separated by commas.
	URL string
	// Server is an embedded server to connect to within the process, instead
	// of URL.
	Server *Server
	// Name is shown in the server's list of connections.
	Name string
	// User and Password are those of the role.
	User, Password string
	// CAFile, CertFile and KeyFile are for TLS; empty means the system's
	// roots and no client certificate.
	CAFile, CertFile, KeyFile string
	Log                       zerolog.Logger
}

// inboxPrefix begins the subjects of JetStream's answers, which only gateways
// may listen to.
const inboxPrefix = "_INBOX.asterism"

// Conn is a connection to NATS that reconnects for ever and keeps nothing
// back for a server that is away: a command that was buffered would run after
// its caller's deadline. In tests it may be one to a [Bus].
type Conn struct {
	wire wire
}

// wire is what a Conn stands on: NATS, or a [Bus]. Messages are those of the
// NATS client, which a Bus makes itself.
type wire interface {
	// up reports whether the connection stands now.
	up() bool
	// answers reports whether the other end is alive; it may take up to
	// answerWithin.
	answers() bool
	// publish sends a message, or says why it was not sent.
	publish(m *nats.Msg) error
	// subscribe has handle called with the messages to a subject, one after
	// the other.
	subscribe(subject string, handle nats.MsgHandler) (subscription, error)
	// subscriptions counts them.
	subscriptions() int
	// statusChanged returns a channel that has something when the connection
	// was made or lost, and a function that ends it.
	statusChanged() (changes <-chan nats.Status, stop func())
	// close closes the connection after what was published has been sent.
	close()
}

// subscription is a [nats.Subscription] or one at a [Bus].
type subscription interface {
	Unsubscribe() error
	Pending() (messages, bytes int, err error)
}

// Connect starts connecting to NATS. It fails only when the options make no
// sense; a server that is not there yet is waited for, and [Conn.Up] tells.
func Connect(o ConnOptions) (*Conn, error) {
	opts := []nats.Option{
		nats.Name(o.Name),
		nats.UserInfo(o.User, o.Password),
		nats.ReconnectBufSize(-1),
		nats.MaxReconnects(-1),
		nats.RetryOnFailedConnect(true),
		nats.ReconnectWait(250 * time.Millisecond),
		nats.ReconnectJitter(250*time.Millisecond, 250*time.Millisecond),
		nats.Timeout(2 * time.Second),
		nats.CustomInboxPrefix(inboxPrefix),
		// A send may wait for a server that takes nothing; who sends holds locks.
		nats.FlusherTimeout(3 * time.Second),
		nats.PingInterval(2 * time.Second),
		nats.MaxPingsOutstanding(2),
		// An authentication error repeats until somebody mends the password;
		// the server may be the one that is wrong.
		nats.IgnoreAuthErrorAbort(),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
			if err != nil {
				o.Log.Warn().Err(err).Msg("connection to NATS lost; reconnecting")
			}
		}),
		nats.ReconnectHandler(func(nc *nats.Conn) {
			o.Log.Info().Str("server", nc.ConnectedUrlRedacted()).Msg("connected to NATS")
		}),
		nats.ErrorHandler(func(_ *nats.Conn, sub *nats.Subscription, err error) {
			e := o.Log.Error().Err(err)
			if sub != nil {
				e = e.Str("subject", sub.Subject)
			}
			e.Msg("NATS reported an error")
		}),
	}
	if o.Server != nil {
		opts = append(opts, nats.InProcessServer(o.Server.srv))
	}
	if o.CAFile != "" {
		opts = append(opts, nats.RootCAs(o.CAFile))
	}
	if o.CertFile != "" {
		opts = append(opts, nats.ClientCert(o.CertFile, o.KeyFile))
	}
	nc, err := nats.Connect(o.URL, opts...)
	if err != nil {
		return nil, fmt.Errorf("connecting to NATS at %s: %w", redact(o.URL), err)
	}
	return &Conn{wire: &natsWire{Conn: nc}}, nil
}

// natsWire is a connection to a NATS server.
type natsWire struct{ *nats.Conn }

func (c *natsWire) up() bool { return c.IsConnected() }

func (c *natsWire) answers() bool { return c.up() && c.FlushTimeout(answerWithin) == nil }

func (c *natsWire) publish(m *nats.Msg) error { return c.PublishMsg(m) }

func (c *natsWire) subscribe(subject string, handle nats.MsgHandler) (subscription, error) {
	return c.Subscribe(subject, handle)
}

func (c *natsWire) subscriptions() int { return c.NumSubscriptions() }

func (c *natsWire) statusChanged() (changes <-chan nats.Status, stop func()) {
	ch := c.StatusChanged()
	return ch, func() { c.RemoveStatusListener(ch) }
}

func (c *natsWire) close() {
	if c.up() {
		_ = c.FlushTimeout(2 * time.Second)
	}
	c.Close()
}

// redact hides user information in URLs.
func redact(urls string) string {
	parts := strings.Split(urls, ",")
	for i, u := range parts {
		if scheme, rest, ok := strings.Cut(u, "://"); ok {
			if at := strings.LastIndexByte(rest, '@'); at >= 0 {
				parts[i] = scheme + "://" + rest[at+1:]
			}
		}
	}
	return strings.Join(parts, ",")
}

// answerWithin is how long NATS may take to answer a ping. With [lookEvery] it
// must be well below the lease less the second between two renewals.
const answerWithin = time.Second

// Up reports whether the connection stands now.
func (c *Conn) Up() bool { return c.wire.up() }

// answers reports whether the server at the other end is alive, which a
// connection that merely stands does not tell. It takes up to answerWithin.
func (c *Conn) answers() bool { return c.wire.answers() }

// Close closes the connection after what was published has been sent, or
// after two seconds.
func (c *Conn) Close() { c.wire.close() }

// publish sends a frame. An error means that it was not sent; it may be tried
// again.
func (c *Conn) publish(subject, reply string, header any, parts ...[]byte) error {
	data, err := encodeFrame(header, parts...)
	if err != nil {
		return err
	}
	return c.send(subject, reply, data)
}

// send sends an encoded frame.
func (c *Conn) send(subject, reply string, data []byte) error {
	if err := c.wire.publish(&nats.Msg{Subject: subject, Reply: reply, Data: data}); err != nil {
		return fmt.Errorf("publishing to %s: %w", subject, err)
	}
	return nil
}

// noResponders reports whether a message says that nobody listens on the
// subject of the request it answers.
func noResponders(m *nats.Msg) bool {
	return len(m.Data) == 0 && m.Header.Get("Status") == "503"
}

// newBoot returns a name for this start of a process, unique on its host.
func newBoot() string {
	return fmt.Sprintf("%x-%x", time.Now().UnixNano(), os.Getpid())
}

// isGone tells errors that a caller cannot mend by trying again.
func isGone(err error) bool {
	return errors.Is(err, nats.ErrConnectionClosed) || errors.Is(err, ErrFrame)
}
