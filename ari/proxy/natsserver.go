package proxy

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
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
)

// Permissions returns the subjects that a role may publish and subscribe to.
// A NATS server that we do not start must be configured with the same; see
// docs/operations.md.
func (r Role) Permissions() (publish, subscribe []string) {
	switch r {
	case RoleGateway:
		return []string{"hb.g.*", "w.>"}, []string{"hb.w.*", "g.>"}
	case RoleWorker:
		return []string{"hb.w.*", "g.>"}, []string{"hb.g.*", "w.>"}
	}
	return nil, nil
}

// Roles are all roles.
func Roles() []Role { return []Role{RoleGateway, RoleWorker} }

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
	// StoreDir is for JetStream; empty switches it off.
	StoreDir string
	Log      zerolog.Logger
}

// Server is an embedded NATS server with one account, in which every role has
// a user of its name.
type Server struct {
	srv *server.Server
}

// NewServer starts a server and waits until it accepts connections.
func NewServer(ctx context.Context, o ServerOptions) (*Server, error) {
	account := server.NewAccount("ASTERISM")
	opts := &server.Options{
		ServerName: "asterism",
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
		pub, sub := role.Permissions()
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
	srv, err := server.NewServer(opts)
	if err != nil {
		return nil, fmt.Errorf("starting NATS: %w", err)
	}
	srv.SetLoggerV2(serverLog{o.Log}, false, false, false)
	srv.Start()
	wait := 10 * time.Second
	if deadline, ok := ctx.Deadline(); ok {
		wait = min(wait, time.Until(deadline))
	}
	if !srv.ReadyForConnections(wait) {
		srv.Shutdown()
		srv.WaitForShutdown()
		return nil, fmt.Errorf("starting NATS on %s:%d: not ready after %v; is the port taken?", o.Host, o.Port, wait)
	}
	return &Server{srv: srv}, nil
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
