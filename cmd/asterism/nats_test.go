package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"asterism/ari/proxy"
	"asterism/cmd/asterism/internal/config"
)

// selfSigned writes a certificate for 127.0.70.2 and its key as PEM.
func selfSigned(t *testing.T) (cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 70, 2)}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalECPrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	cert, key = filepath.Join(t.TempDir(), "cert.pem"), filepath.Join(t.TempDir(), "key.pem")
	for name, block := range map[string]*pem.Block{cert: {Type: "CERTIFICATE", Bytes: der}, key: {Type: "EC PRIVATE KEY", Bytes: keyDER}} {
		if err := os.WriteFile(name, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return cert, key
}

// up waits for a connection; false after half a second without.
func up(t *testing.T, conn *proxy.Conn, patience time.Duration) bool {
	t.Helper()
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if conn.Up() {
			return true
		}
	}
	return false
}

// TestNATSOverTLS connects within the process, and from outside with the right
// certificate, without it, and with a wrong password.
func TestNATSOverTLS(t *testing.T) {
	cert, key := selfSigned(t)
	c := quiet()
	c.NATS.Server = config.NATSServer{
		Listen: "127.0.70.2:0", WorkerPassword: "sesame",
		TLS: config.TLS{CertFile: cert, KeyFile: key},
	}
	a := newApp(config.RoleRun, c, zerolog.Nop())
	defer func() {
		if err := a.Close(); err != nil {
			t.Error(err)
		}
	}()
	server, err := a.openNATSServer(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	url := strings.Replace(server.URL(), "nats://", "tls://", 1)
	for _, tc := range []struct {
		name     string
		embedded *natsServer
		ca, pw   string
		ok       bool
	}{
		{"within the process", server, "", "", true},
		{"from outside", nil, cert, "sesame", true},
		{"without the certificate", nil, "", "sesame", false},
		{"with a wrong password", nil, cert, "seesam", false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			a.cfg.NATS.URLs, a.cfg.NATS.TLS.CAFile, a.cfg.NATS.Password = []string{url}, tc.ca, config.Secret(tc.pw)
			conn, err := a.connect(proxy.RoleWorker, "w", tc.embedded)
			if err != nil {
				if tc.ok {
					t.Fatal(err)
				}
				return
			}
			patience := 5 * time.Second
			if !tc.ok {
				patience = 500 * time.Millisecond
			}
			if got := up(t, conn, patience); got != tc.ok {
				t.Errorf("connected: %v; want %v", got, tc.ok)
			}
			if ready := a.checks.run(context.Background(), true); (ready.Checks["nats worker"] == "ok") != tc.ok {
				t.Errorf("readiness says %q", ready.Checks["nats worker"])
			}
		})
	}
}
