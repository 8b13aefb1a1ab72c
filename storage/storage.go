package storage

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"time"
)

// Errors that callers tell apart with errors.Is. Every error of a [Bucket]
// other than these is a fault of configuration or of the caller's own reader.
var (
	// ErrNotFound says that no object has this key.
	ErrNotFound = errors.New("no such object")
	// ErrPrecondition says that a condition did not hold: the object exists
	// already, has changed, or is gone. Another writer was first.
	ErrPrecondition = errors.New("the object has been changed by someone else")
	// ErrInvalidKey says that the key can never name an object.
	ErrInvalidKey = errors.New("invalid object key")
	// ErrUnavailable says that the storage cannot be reached or cannot work at
	// the moment: network errors, time-outs, HTTP 5xx and 429, a full disk.
	// Trying again later may help. The outcome of a write is then unknown.
	ErrUnavailable = errors.New("storage is unavailable")
	// ErrNoConditionalWrites is what [ProbeConditional] says of a server that
	// ignores the conditions of a write.
	ErrNoConditionalWrites = errors.New("the storage does not honour conditional writes")
)

// Info describes one version of an object.
type Info struct {
	Key string
	// ETag identifies the version; without quotes, opaque, never empty.
	ETag string
	// Size in bytes.
	Size int64
	// Modified is when the version was written; S3 rounds it to a second.
	Modified time.Time
	// ContentType and Metadata are filled by Get, Stat and Put, not by List.
	ContentType string
	// Metadata has lower-case keys and is nil when there is none.
	Metadata map[string]string
}

// GetOptions selects what [Bucket.Get] reads; the zero value is all of it.
type GetOptions struct {
	// Offset is the first byte wanted, 0 or more. At or past the end the body
	// is empty.
	Offset int64
	// Length is the largest number of bytes wanted; 0 is up to the end.
	Length int64
	// IfMatch, when set, reads only the version that has this ETag; any other
	// is ErrPrecondition.
	IfMatch string
}

// PutOptions says how [Bucket.Put] writes; the zero value replaces whatever is
// there.
type PutOptions struct {
	// Size is the number of bytes the body must have; 0 says that it is not
	// known. A body of another length is an error and nothing is stored.
	Size int64
	// IfNoneMatch writes only when no object has the key. The one value allowed
	// is "*".
	IfNoneMatch string
	// IfMatch writes only over the version that has this ETag.
	IfMatch string
	// ContentType is a MIME type; empty is derived from the key's extension.
	ContentType string
	// Metadata are short strings kept with the object: keys of lower-case
	// letters, digits and "-", values of printable ASCII, 2,000 bytes in all.
	Metadata map[string]string
}

// ListOptions narrows [Bucket.List]; the zero value lists everything.
type ListOptions struct {
	// After leaves out every key up to and including this one.
	After string
	// Limit is the largest number of objects; 0 is no limit.
	Limit int
}

// Bucket holds objects under keys. See [ValidateKey] for what a key may be.
// A Bucket is safe for concurrent use.
//
// Methods return ErrInvalidKey for a key that is not valid, ErrUnavailable when
// the storage does not work, and the context's error when that ends first.
type Bucket interface {
	// Get opens an object for reading. Info describes the whole object, also
	// for a range. The caller closes the body. Errors: ErrNotFound,
	// ErrPrecondition.
	Get(ctx context.Context, key string, opts GetOptions) (io.ReadCloser, Info, error)
	// Stat describes an object. Errors: ErrNotFound.
	Stat(ctx context.Context, key string) (Info, error)
	// Put stores everything that body yields and describes the new version.
	// When body fails, its error is returned and nothing is stored. Errors:
	// ErrPrecondition.
	Put(ctx context.Context, key string, body io.Reader, opts PutOptions) (Info, error)
	// Delete removes an object; removing one that is not there succeeds.
	Delete(ctx context.Context, key string) error
	// List yields the objects whose keys begin with prefix, which need not end
	// at a "/", in byte order of the keys. An error ends the sequence.
	List(ctx context.Context, prefix string, opts ListOptions) iter.Seq2[Info, error]
	// Close ends the use of the bucket and waits for what it started.
	Close() error
}

// opError says what was being done to which key when err came up.
func opError(op, key string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s %q: %w", op, key, err)
}

// unavailable classifies err as an outage and keeps it for errors.As.
func unavailable(err error) error {
	if err == nil || errors.Is(err, ErrUnavailable) {
		return err
	}
	return fmt.Errorf("%w: %w", ErrUnavailable, err)
}

// contextError prefers the context's own error to the one it has caused.
func contextError(ctx context.Context, err error) error {
	if err != nil && ctx.Err() != nil {
		return fmt.Errorf("%w: %w", context.Cause(ctx), err)
	}
	return err
}
