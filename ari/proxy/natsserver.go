package proxy

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"math"
	"net/url"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/rs/zerolog"
	"golang.org/x/crypto/bcrypt"
)

// Role is one of the kinds of process that connect to NATS. Each has its own
// user, whose permissions let it do its part of the protocol and no more.
type Role string

// The roles.
const (
	RoleGateway Role = "gateway"
	RoleWorker  Role = "worker"
	RoleReader  Role = "reader" // reads call records; no process of ours
)

// Permissions returns the subjects that a role may publish and subscribe to,
// when call records go to the stream of that name. A NATS server that we do
// not start must be configured with the same; see docs/operations.md.
func (r Role) Permissions(stream string) (publish, subscribe []string) {
	switch r {
	case RoleGateway:
		// What is of JetStream is what delivering call records needs.
		return []string{"hb.g.*", "w.>", "calls.*", "$JS.API.STREAM.INFO." + stream, "$JS.API.STREAM.CREATE." + stream},
			[]string{"hb.w.*", "g.>", inboxPrefix + ".>"}
	case RoleWorker:
		return []string{"hb.w.*", "g.>"}, []string{"hb.g.*", "w.>"}
	case RoleReader:
		return []string{
			"$JS.API.INFO", "$JS.API.STREAM.NAMES", "$JS.API.STREAM.LIST",
			"$JS.API.STREAM.INFO." + stream, "$JS.API.STREAM.MSG.GET." + stream, "$JS.API.DIRECT.GET." + stream + ".>",
			"$JS.API.CONSUMER.*." + stream, "$JS.API.CONSUMER.*." + stream + ".>", "$JS.API.CONSUMER.MSG.NEXT." + stream + ".>",
			"$JS.API.CONSUMER.DURABLE.CREATE." + stream + ".>", "$JS.ACK." + stream + ".>",
		}, []string{"_INBOX.>", "calls.*"}
	}
	return nil, nil
}

// Roles are all roles.
func Roles() []Role { return []Role{RoleGateway, RoleWorker, RoleReader} }

// ServerOptions configure an embedded NATS server.
type ServerOptions struct {
	// Host and Port to listen on. With an empty Host the server does not
	// listen: only connections within the process reach it. Port -1 chooses a
	// free one.
	Host string
	Port int
	// Passwords holds a password for each role; roles without one cannot
	// connect.
	Passwords map[Role]string
	// TLS, when set, is required of every connection from outside the process.
	TLS *tls.Config
	// StoreDir is for JetStream, which keeps call records; empty switches it
	// off. No two servers may have the same.
	StoreDir string
	// CallsStream is the stream that gateways may create and write to; empty
	// is [CallsStream].
	CallsStream string
	// Name is that of the server, unique in its cluster; empty is "asterism".
	Name string
	// Cluster makes it one of several servers; nil is one on its own.
	Cluster *ClusterOptions
	Log     zerolog.Logger
}

// ClusterOptions make a server one of several that know one another and lose
// nothing together when one of three, or two of five, is lost.
type ClusterOptions struct {
	// Host and Port are where the other servers connect to. Port -1 chooses a
	// free one.
	Host string
	Port int
	// Routes are host:port of the other servers; of itself too does no harm.
	// One that can be reached is enough: it tells of the others.
	Routes []string
	// Password is the same in all servers.
	Password string
	// TLS, when set, is required between servers. It has the certificate and,
	// as RootCAs and ClientCAs, who signed those of the others.
	TLS *tls.Config
}

// clusterUser is who servers log in to one another as.
const clusterUser = "server"

// routeErrorReports is how often, in tries of about a second, it is said that
// another server is away.
const routeErrorReports = 60

// Server is an embedded NATS server with one account, in which every role has
// a user of its name.
type Server struct {
	srv *server.Server
}

// NewServer starts a server and waits until it accepts connections.
func NewServer(ctx context.Context, o ServerOptions) (*Server, error) {
	opts, err := o.server()
	if err != nil {
		return nil, err
	}
	srv, err := server.NewServer(opts)
	if err != nil {
		return nil, fmt.Errorf("starting NATS: %w", err)
	}
	srv.SetLoggerV2(serverLog{o.Log}, false, false, false)
	srv.Start()
	s := &Server{srv: srv}
	wait := 10 * time.Second
	if deadline, ok := ctx.Deadline(); ok {
		wait = min(wait, time.Until(deadline))
	}
	if !srv.ReadyForConnections(wait) {
		s.Close()
		return nil, fmt.Errorf("starting NATS on %s:%d: not ready after %v; is the port taken?", o.Host, o.Port, wait)
	}
	if o.StoreDir != "" {
		if err := s.enableJetStream(); err != nil {
			s.Close()
			return nil, fmt.Errorf("starting NATS: JetStream in %s: %w", o.StoreDir, err)
		}
	}
	return s, nil
}

// accountName is the one account that all roles are in.
const accountName = "ASTERISM"

// enableJetStream lets the account use JetStream, and reads what is stored.
func (s *Server) enableJetStream() error {
	account, err := s.srv.LookupAccount(accountName)
	if err != nil {
		return err
	}
	return account.EnableJetStream(nil, nil)
}

// server returns the options in the server's own terms.
func (o *ServerOptions) server() (*server.Options, error) {
	account := server.NewAccount(accountName)
	stream := o.CallsStream
	if stream == "" {
		stream = CallsStream
	}
	opts := &server.Options{
		ServerName: o.Name,
		Host:       o.Host,
		Port:       o.Port,
		DontListen: o.Host == "",
		NoSigs:     true,
		MaxPayload: 2 * MaxFrame,
		// Calls are text; a connection that cannot keep up for this long is
		// better closed and resynchronised.
		WriteDeadline: 5 * time.Second,
		MaxPending:    64 << 20,
		Accounts:      []*server.Account{account},
		JetStream:     o.StoreDir != "",
		StoreDir:      o.StoreDir,
		TLS:           o.TLS != nil,
		TLSConfig:     o.TLS,
	}
	if opts.ServerName == "" {
		opts.ServerName = "asterism"
	}
	if err := o.join(opts); err != nil {
		return nil, err
	}
	for _, role := range Roles() {
		pw, ok := o.Passwords[role]
		if !ok {
			continue
		}
		if pw == "" {
			return nil, fmt.Errorf("starting NATS: the password of role %s is empty", role)
		}
		// The server warns of passwords that it is given in the clear. The
		// least cost is enough for what never leaves this process.
		hash, err := bcrypt.GenerateFromPassword([]byte(pw), bcrypt.MinCost)
		if err != nil {
			return nil, fmt.Errorf("starting NATS: the password of role %s: %w", role, err)
		}
		pub, sub := role.Permissions(stream)
		opts.Users = append(opts.Users, &server.User{
			Username: string(role), Password: string(hash), Account: account,
			Permissions: &server.Permissions{
				Publish:   &server.SubjectPermission{Allow: pub},
				Subscribe: &server.SubjectPermission{Allow: sub},
			},
		})
	}
	if len(opts.Users) == 0 {
		return nil, errors.New("starting NATS: no role has a password, so everybody could connect; expected one for each role")
	}
	return opts, nil
}

// join makes the server one of a cluster.
func (o *ServerOptions) join(opts *server.Options) error {
	c := o.Cluster
	if c == nil {
		return nil
	}
	if c.Password == "" {
		return errors.New("starting NATS: the cluster has no password, so everybody could join it")
	}
	opts.Cluster = server.ClusterOpts{
		Name: "asterism", Host: c.Host, Port: c.Port, Username: clusterUser, Password: c.Password,
		TLSConfig: c.TLS, ConnectRetries: math.MaxInt32,
	}
	opts.ReconnectErrorReports = routeErrorReports
	for _, route := range c.Routes {
		opts.Routes = append(opts.Routes, &url.URL{Scheme: "nats", Host: route, User: url.UserPassword(clusterUser, c.Password)})
	}
	return nil
}

// URL returns where the server listens, "" when it does not.
func (s *Server) URL() string {
	if s.srv.Addr() == nil {
		return ""
	}
	return s.srv.ClientURL()
}

// Subscriptions returns how many subscriptions the clients have, and the
// server itself.
func (s *Server) Subscriptions() int { return int(s.srv.NumSubscriptions()) }

// Close stops the server and waits for it.
func (s *Server) Close() {
	s.srv.Shutdown()
	s.srv.WaitForShutdown()
}

// serverLog carries the server's log lines into ours.
type serverLog struct{ log zerolog.Logger }

func (l serverLog) Noticef(format string, v ...any) { l.log.Debug().Msgf("NATS: "+format, v...) }
func (l serverLog) Warnf(format string, v ...any)   { l.log.Warn().Msgf("NATS: "+format, v...) }
func (l serverLog) Errorf(format string, v ...any)  { l.log.Error().Msgf("NATS: "+format, v...) }
func (l serverLog) Fatalf(format string, v ...any)  { l.log.Error().Msgf("NATS: "+format, v...) }
func (l serverLog) Debugf(string, ...any)           {}
func (l serverLog) Tracef(string, ...any)           {}
