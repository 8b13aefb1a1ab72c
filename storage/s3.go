package storage

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"strings"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
)

const (
	// defaultPartSize is how much of a body is held in memory, at most, for
	// each upload under way. S3 wants parts of at least 5 MiB.
	defaultPartSize = 8 << 20
	minPartSize     = 5 << 20
	// maxParts is S3's own limit.
	maxParts = 10_000
	// s3Tries is how often a request is tried; the pauses are under a second.
	s3Tries = 3
)

// S3Config says where the objects are and who we are there.
type S3Config struct {
	// Endpoint is host or host:port, without a scheme.
	Endpoint string
	// Insecure speaks HTTP instead of HTTPS.
	Insecure bool
	// Region defaults to us-east-1; most servers other than AWS ignore it.
	Region string
	// Bucket must exist.
	Bucket string
	// Prefix is put before every key; empty, or a path such as "telephony".
	Prefix string

	AccessKey, SecretKey, SessionToken string

	// VirtualHost addresses the bucket as a part of the host name, not of the path.
	VirtualHost bool
	// PartSize is the size of the parts of large uploads in bytes, and the
	// memory that one upload may take; 0 is 8 MiB, the least is 5 MiB.
	PartSize int64
	// ConnectTimeout bounds reaching the server, TLS included; 0 is 5 s.
	ConnectTimeout time.Duration
	// IdleTimeout is how long a request may go without a byte either way; 0 is 30 s.
	IdleTimeout time.Duration
	// RootCAs is a file of certificates in PEM that the server's may be signed
	// by; empty trusts what the system trusts.
	RootCAs string
}

// S3 is a [Bucket] on a server that speaks the S3 protocol.
type S3 struct {
	core      minio.Core
	transport *http.Transport
	bucket    string
	prefix    string // Ends with "/" unless empty.
	partSize  int64
}

var _ Bucket = (*S3)(nil)

// OpenS3 prepares the use of a bucket. It does not speak to the server, so that
// a program can start while the storage is down; [Bucket.Stat] of any key tells
// whether it answers. [S3.Close] closes the connections.
func OpenS3(config S3Config) (*S3, error) {
	config, err := config.withDefaults()
	if err != nil {
		return nil, fmt.Errorf("open S3 storage: %w", err)
	}
	transport, err := newTransport(config)
	if err != nil {
		return nil, fmt.Errorf("open S3 storage: %w", err)
	}
	lookup := minio.BucketLookupPath
	if config.VirtualHost {
		lookup = minio.BucketLookupDNS
	}
	client, err := minio.New(config.Endpoint, &minio.Options{
		Creds:        credentials.NewStaticV4(config.AccessKey, config.SecretKey, config.SessionToken),
		Secure:       !config.Insecure,
		Region:       config.Region,
		BucketLookup: lookup,
		Transport:    transport,
		MaxRetries:   s3Tries,
	})
	if err != nil {
		return nil, fmt.Errorf("open S3 storage at %s: %w", config.Endpoint, err)
	}
	client.SetAppInfo("asterism", "1")
	return &S3{
		core: minio.Core{Client: client}, transport: transport,
		bucket: config.Bucket, prefix: config.Prefix, partSize: config.PartSize,
	}, nil
}

func (c S3Config) withDefaults() (S3Config, error) {
	switch {
	case c.Endpoint == "":
		return c, errors.New("the endpoint is missing; give host or host:port")
	case strings.Contains(c.Endpoint, "/"):
		return c, fmt.Errorf("endpoint %q must be host or host:port, without a scheme or a path", c.Endpoint)
	case c.Bucket == "":
		return c, errors.New("the name of the bucket is missing")
	case c.AccessKey == "" || c.SecretKey == "":
		return c, errors.New("the access key or the secret key is missing")
	case c.PartSize != 0 && c.PartSize < minPartSize:
		return c, fmt.Errorf("part size is %d, the least that S3 takes is %d", c.PartSize, minPartSize)
	}
	if c.Prefix = strings.TrimSuffix(c.Prefix, "/"); c.Prefix != "" {
		if err := ValidateKey(c.Prefix); err != nil {
			return c, fmt.Errorf("prefix: %w", err)
		}
		c.Prefix += "/"
	}
	if c.Region == "" {
		c.Region = "us-east-1" // Also spares minio-go a request for the region.
	}
	if c.PartSize == 0 {
		c.PartSize = defaultPartSize
	}
	if c.ConnectTimeout <= 0 {
		c.ConnectTimeout = 5 * time.Second
	}
	if c.IdleTimeout <= 0 {
		c.IdleTimeout = 30 * time.Second
	}
	return c, nil
}

// Close implements [Bucket].
func (s *S3) Close() error {
	s.transport.CloseIdleConnections()
	return nil
}

// name is the key as the server has it.
func (s *S3) name(key string) (string, error) {
	if err := ValidateKey(key); err != nil {
		return "", err
	}
	if len(s.prefix)+len(key) > MaxKeyBytes {
		return "", fmt.Errorf("%w: with the prefix %q it has more than %d bytes", ErrInvalidKey, s.prefix, MaxKeyBytes)
	}
	return s.prefix + key, nil
}

// Get implements [Bucket].
func (s *S3) Get(ctx context.Context, key string, opts GetOptions) (io.ReadCloser, Info, error) {
	name, err := s.name(key)
	if err == nil {
		err = opts.validate(key)
	}
	if err != nil {
		return nil, Info{}, opError("get", key, err)
	}
	request, err := rangeRequest(opts)
	if err != nil {
		return nil, Info{}, opError("get", key, err)
	}
	body, object, header, err := s.core.GetObject(ctx, s.bucket, name, request)
	if statusOf(err) == http.StatusRequestedRangeNotSatisfiable {
		// Past the end, or an empty object: an empty body, as for a file.
		info, err := s.statMatch(ctx, key, opts.IfMatch)
		return http.NoBody, info, opError("get", key, err)
	}
	if err != nil {
		return nil, Info{}, opError("get", key, s3Error(ctx, err))
	}
	info := s3Info(key, object)
	if size, ok := sizeOfRange(header.Get("Content-Range")); ok {
		info.Size = size
	}
	return &s3Body{ReadCloser: body, ctx: ctx, key: key}, info, nil
}

// s3Body classifies what goes wrong while an object is being read.
type s3Body struct {
	io.ReadCloser
	ctx context.Context //nolint:containedctx // It tells a cancelled read from an outage.
	key string
}

func (b *s3Body) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		err = opError("read", b.key, s3Error(b.ctx, err))
	}
	return n, err
}

// Stat implements [Bucket].
func (s *S3) Stat(ctx context.Context, key string) (Info, error) {
	info, err := s.statMatch(ctx, key, "")
	return info, opError("stat", key, err)
}

func (s *S3) statMatch(ctx context.Context, key, etag string) (Info, error) {
	name, err := s.name(key)
	if err != nil {
		return Info{}, err
	}
	object, err := s.core.StatObject(ctx, s.bucket, name, minio.StatObjectOptions{})
	if err != nil {
		return Info{}, s3Error(ctx, err)
	}
	info := s3Info(key, object)
	if etag != "" && etag != info.ETag {
		return Info{}, ErrPrecondition
	}
	return info, nil
}

func s3Info(key string, object minio.ObjectInfo) Info {
	info := Info{
		Key: key, ETag: object.ETag, Size: object.Size, Modified: object.LastModified, ContentType: object.ContentType,
	}
	for name, value := range object.UserMetadata {
		if name = strings.ToLower(name); name == writeIDName {
			continue
		}
		if info.Metadata == nil {
			info.Metadata = map[string]string{}
		}
		info.Metadata[name] = value
	}
	return info
}

// Delete implements [Bucket].
func (s *S3) Delete(ctx context.Context, key string) error {
	name, err := s.name(key)
	if err != nil {
		return opError("delete", key, err)
	}
	err = s3Error(ctx, s.core.RemoveObject(ctx, s.bucket, name, minio.RemoveObjectOptions{}))
	if errors.Is(err, ErrNotFound) {
		err = nil
	}
	return opError("delete", key, err)
}

// List implements [Bucket].
func (s *S3) List(ctx context.Context, prefix string, opts ListOptions) iter.Seq2[Info, error] {
	return func(yield func(Info, error) bool) {
		if err := validatePrefix(prefix); err != nil {
			yield(Info{}, opError("list", prefix, err))
			return
		}
		request := minio.ListObjectsOptions{Prefix: s.prefix + prefix, Recursive: true}
		if opts.After != "" {
			request.StartAfter = s.prefix + opts.After
		}
		if opts.Limit > 0 {
			request.MaxKeys = min(opts.Limit, 1000)
		}
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		if ctx.Err() != nil {
			yield(Info{}, opError("list", prefix, context.Cause(ctx)))
			return
		}
		n := 0
		for object := range s.core.ListObjectsIter(ctx, s.bucket, request) {
			if object.Err != nil {
				yield(Info{}, opError("list", prefix, s3Error(ctx, object.Err)))
				return
			}
			key := strings.TrimPrefix(object.Key, s.prefix)
			if ValidateKey(key) != nil {
				continue // Made by another program; "directories" that end in "/", for one.
			}
			if !yield(Info{Key: key, ETag: object.ETag, Size: object.Size, Modified: object.LastModified}, nil) {
				return
			}
			if n++; n == opts.Limit {
				return
			}
		}
	}
}
