package ari

import (
	"net"
	"net/http"
	"time"
)

// TransportOptions configure NewTransport.
type TransportOptions struct {
	// MaxIdleConns is how many connections to one Asterisk are kept between requests. Default 512. Asterisk's sessionlimit
	// (http.conf) must be above the number of requests in flight at once.
	MaxIdleConns int
	// IdleTimeout closes a connection not used for so long. Default 10 s, which is below the 15 s after which Asterisk
	// closes it (session_keep_alive of http.conf): the side that sends should be the one that closes.
	IdleTimeout time.Duration
	// DialTimeout bounds connecting. Default 3 s.
	DialTimeout time.Duration
}

// NewTransport returns a transport with a pool of kept connections, made for many requests at once to few Asterisks.
func NewTransport(opts TransportOptions) *http.Transport {
	idle := orDefault(opts.MaxIdleConns, 512)
	dialer := &net.Dialer{Timeout: orDefault(opts.DialTimeout, 3*time.Second), KeepAlive: 15 * time.Second}
	return &http.Transport{
		DialContext:         dialer.DialContext,
		MaxIdleConns:        0, // the limit per host is enough
		MaxIdleConnsPerHost: idle,
		IdleConnTimeout:     orDefault(opts.IdleTimeout, 10*time.Second),
		TLSHandshakeTimeout: 5 * time.Second,
		DisableCompression:  true, // Asterisk does not compress
		ReadBufferSize:      4 << 10,
		WriteBufferSize:     4 << 10,
	}
}
