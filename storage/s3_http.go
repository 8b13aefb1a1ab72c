package storage

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/minio/minio-go/v7"
)

// maxIdleConns is how many connections are kept open: enough for a burst of
// calls whose media are looked up at once.
const maxIdleConns = 64

func newTransport(config S3Config) (*http.Transport, error) {
	dialer := &net.Dialer{Timeout: config.ConnectTimeout, KeepAlive: 30 * time.Second}
	transport := &http.Transport{
		Proxy: http.ProxyFromEnvironment,
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			conn, err := dialer.DialContext(ctx, network, address)
			if err != nil {
				return nil, err
			}
			return &idleConn{Conn: conn, timeout: config.IdleTimeout}, nil
		},
		TLSHandshakeTimeout:   config.ConnectTimeout,
		ResponseHeaderTimeout: config.IdleTimeout,
		ExpectContinueTimeout: time.Second,
		IdleConnTimeout:       min(config.IdleTimeout, 90*time.Second),
		MaxIdleConns:          maxIdleConns,
		MaxIdleConnsPerHost:   maxIdleConns,
		// Objects are stored as they are; a stored .gz must arrive as .gz.
		DisableCompression: true,
		ForceAttemptHTTP2:  false, // One connection for all requests would be one queue.
	}
	if config.RootCAs != "" {
		pem, err := os.ReadFile(config.RootCAs)
		if err != nil {
			return nil, fmt.Errorf("read the certificates: %w", err)
		}
		pool := x509.NewCertPool()
		if !pool.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("certificate file %s holds no certificate in PEM", config.RootCAs)
		}
		transport.TLSClientConfig = &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
	}
	return transport, nil
}

// idleConn fails when nothing moves for a while. A body that stops arriving
// would otherwise hold its reader for as long as the reader's context lasts.
type idleConn struct {
	net.Conn
	timeout time.Duration
}

func (c *idleConn) Read(p []byte) (int, error) {
	if err := c.SetReadDeadline(time.Now().Add(c.timeout)); err != nil {
		return 0, err
	}
	return c.Conn.Read(p)
}

// Write also puts off the deadline of the read that waits for the response.
func (c *idleConn) Write(p []byte) (int, error) {
	if err := c.SetDeadline(time.Now().Add(c.timeout)); err != nil {
		return 0, err
	}
	return c.Conn.Write(p)
}

// s3Error classifies an error of the client library.
func s3Error(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		return contextError(ctx, err)
	}
	response, ok := errors.AsType[minio.ErrorResponse](err)
	if !ok {
		if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
			return fmt.Errorf("the server's certificate is not trusted: %w", err)
		}
		return unavailable(err) // No answer, or one cut short.
	}
	return responseError(response)
}

func responseError(response minio.ErrorResponse) error {
	switch status := response.StatusCode; {
	case response.Code == minio.NoSuchBucket:
		return fmt.Errorf("the bucket %q does not exist: %w", response.BucketName, response)
	case status == http.StatusNotFound:
		return fmt.Errorf("%w: %w", ErrNotFound, response)
	case status == http.StatusPreconditionFailed:
		return fmt.Errorf("%w: %w", ErrPrecondition, response)
	case status == http.StatusNotImplemented:
		return fmt.Errorf("%w: %w", errNotImplemented, response)
	case status == http.StatusForbidden, status == http.StatusUnauthorized:
		return fmt.Errorf("the server refuses our credentials (%s): %w", response.Code, response)
	case status >= http.StatusInternalServerError, status == http.StatusTooManyRequests, status == http.StatusRequestTimeout:
		return unavailable(response)
	case status == 0 && response.Code != "":
		return unavailable(response) // minio-go's word for an answer that is not S3.
	}
	return response
}

func statusOf(err error) int {
	response, _ := errors.AsType[minio.ErrorResponse](err)
	return response.StatusCode
}

// rangeRequest puts our options into the form of the client library.
func rangeRequest(opts GetOptions) (minio.GetObjectOptions, error) {
	var request minio.GetObjectOptions
	if opts.IfMatch != "" {
		if err := request.SetMatchETag(opts.IfMatch); err != nil {
			return request, err
		}
	}
	if opts.Offset == 0 && opts.Length == 0 {
		return request, nil
	}
	end := ""
	if opts.Length > 0 {
		end = strconv.FormatInt(opts.Offset+opts.Length-1, 10)
	}
	// Not SetRange: it reads an offset without an end as "from zero".
	request.Set("Range", "bytes="+strconv.FormatInt(opts.Offset, 10)+"-"+end)
	return request, nil
}

// sizeOfRange takes the size of the whole object from a Content-Range header
// (RFC 9110, 14.4).
func sizeOfRange(header string) (int64, bool) {
	_, total, ok := strings.Cut(header, "/")
	if !ok {
		return 0, false
	}
	size, err := strconv.ParseInt(total, 10, 64)
	return size, err == nil && size >= 0
}
