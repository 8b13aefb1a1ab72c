package main

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"

	"github.com/prometheus/client_golang/prometheus"

	"asterism/ari/proxy"
	"asterism/cmd/asterism/internal/config"
)

var errNATSDown = errors.New("no connection to NATS")

type natsCmd struct{}

// Run serves NATS until ctx ends.
func (natsCmd) Run(ctx context.Context, g *globals) error {
	cfg, log, err := g.load(config.RoleNATS)
	if err != nil {
		return err
	}
	return newApp(config.RoleNATS, cfg, log).Run(ctx, func(ctx context.Context, a *app) error {
		_, err := a.openNATSServer(ctx)
		return err
	})
}

// natsServer is the embedded server and how to log in to it.
type natsServer struct {
	*proxy.Server
	passwords map[proxy.Role]string
}

// openNATSServer starts the server. Roles without a configured password get a
// random one, which only this process knows.
func (a *app) openNATSServer(ctx context.Context) (*natsServer, error) {
	c := a.cfg.NATS.Server
	s := &natsServer{passwords: map[proxy.Role]string{
		proxy.RoleGateway: c.GatewayPassword.Reveal(),
		proxy.RoleWorker:  c.WorkerPassword.Reveal(),
		proxy.RoleReader:  c.ReaderPassword.Reveal(),
	}}
	for role, password := range s.passwords {
		if password == "" {
			s.passwords[role] = rand.Text()
		}
	}
	o := proxy.ServerOptions{
		Passwords: s.passwords, Name: c.Name, StoreDir: c.Store, CallsStream: a.cfg.Calls.Stream, Log: a.log,
	}
	var err error
	if o.TLS, err = serverTLS(c.TLS); err != nil {
		return nil, fmt.Errorf("nats.server.tls: %w", err)
	}
	if c.Listen != "" {
		if o.Host, o.Port, err = listenOn(c.Listen); err != nil {
			return nil, fmt.Errorf("nats.server.listen: %w", err)
		}
	}
	if o.Cluster, err = cluster(c.Cluster); err != nil {
		return nil, fmt.Errorf("nats.server.cluster: %w", err)
	}
	if s.Server, err = proxy.NewServer(ctx, o); err != nil {
		return nil, err
	}
	a.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "asterism_nats_subscriptions", Help: "Subscriptions of all clients of the NATS server in this process.",
	}, func() float64 { return float64(s.Subscriptions()) }))
	a.onClose("nats server", func(context.Context) error {
		s.Close()
		return nil
	})
	return s, nil
}

// listenOn takes an address to listen on apart, as the NATS server wants it:
// port -1 is any.
func listenOn(address string) (host string, port int, err error) {
	host, text, err := net.SplitHostPort(address)
	if err != nil {
		return "", 0, err
	}
	if host == "" {
		host = "0.0.0.0"
	}
	if port, err = strconv.Atoi(text); err != nil {
		return "", 0, fmt.Errorf("port: %w", err)
	}
	if port == 0 {
		port = -1
	}
	return host, port, nil
}

// cluster returns how the server is one of several; nil when it is not.
func cluster(c config.NATSCluster) (*proxy.ClusterOptions, error) {
	if c.Listen == "" {
		return nil, nil
	}
	o := &proxy.ClusterOptions{Routes: c.Routes, Password: c.Password.Reveal()}
	var err error
	if o.Host, o.Port, err = listenOn(c.Listen); err != nil {
		return nil, fmt.Errorf("listen: %w", err)
	}
	if o.TLS, err = serverTLS(c.TLS); err != nil {
		return nil, fmt.Errorf("tls: %w", err)
	}
	if o.TLS != nil {
		o.TLS.RootCAs = o.TLS.ClientCAs // each is a client of the others, too
	}
	return o, nil
}

// serverTLS reads the files; nil means without TLS.
func serverTLS(c config.TLS) (*tls.Config, error) {
	if c.CertFile == "" {
		return nil, nil
	}
	cert, err := tls.LoadX509KeyPair(c.CertFile, c.KeyFile)
	if err != nil {
		return nil, fmt.Errorf("cert_file and key_file: %w", err)
	}
	t := &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12}
	if c.CAFile == "" {
		return t, nil
	}
	pem, err := os.ReadFile(c.CAFile)
	if err != nil {
		return nil, fmt.Errorf("ca_file: %w", err)
	}
	t.ClientCAs, t.ClientAuth = x509.NewCertPool(), tls.RequireAndVerifyClientCert
	if !t.ClientCAs.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("ca_file: %s holds no certificate in PEM", c.CAFile)
	}
	return t, nil
}

// connect opens a role's connection, to the embedded server when there is one.
func (a *app) connect(role proxy.Role, name string, embedded *natsServer) (*proxy.Conn, error) {
	c := a.cfg.NATS
	o := proxy.ConnOptions{
		URL: strings.Join(c.URLs, ","), Name: string(role) + " " + name,
		User: c.User, Password: c.Password.Reveal(),
		CAFile: c.TLS.CAFile, CertFile: c.TLS.CertFile, KeyFile: c.TLS.KeyFile,
		Log: a.log,
	}
	if o.User == "" {
		o.User = string(role)
	}
	if embedded != nil {
		o.URL, o.Server, o.User, o.Password = "", embedded.Server, string(role), embedded.passwords[role]
		o.CAFile, o.CertFile, o.KeyFile = "", "", ""
	}
	conn, err := proxy.Connect(o)
	if err != nil {
		return nil, err
	}
	a.onClose("connection to NATS", func(context.Context) error {
		conn.Close()
		return nil
	})
	a.checks.set("nats "+string(role), func(context.Context) error {
		if !conn.Up() {
			return errNATSDown
		}
		return nil
	})
	return conn, nil
}
