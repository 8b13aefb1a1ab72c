package storage

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"time"

	"github.com/minio/minio-go/v7"
)

// writeIDName is metadata that identifies a conditional write. When the answer
// to one is lost and it is sent again, the second answer says that the
// condition does not hold: it was our own first try that won. The id tells.
const writeIDName = "asterism-write"

// Put implements [Bucket]. A body of at most one part is one request, which is
// repeated when it fails; a larger one is a multipart upload. Either way the
// condition is judged by the request that makes the object appear.
func (s *S3) Put(ctx context.Context, key string, body io.Reader, opts PutOptions) (Info, error) {
	opts, err := opts.validate(key)
	if err != nil {
		return Info{}, opError("put", key, err)
	}
	if opts.Size > s.partSize*maxParts {
		return Info{}, opError("put", key, fmt.Errorf("it has %d bytes, at most %d are possible", opts.Size, s.partSize*maxParts))
	}
	name, err := s.name(key)
	if err != nil {
		return Info{}, opError("put", key, err)
	}
	up := upload{S3: s, name: name, opts: opts, body: &contextReader{ctx: ctx, Reader: body}}
	if opts.IfMatch != "" || opts.IfNoneMatch != "" {
		up.writeID = rand.Text()
	}
	etag, err := up.run(ctx)
	if err != nil && up.mayHaveWon(ctx, err, &etag) {
		err = nil
	}
	if err != nil {
		return Info{}, opError("put", key, err)
	}
	return Info{
		Key: key, ETag: etag, Size: up.size, Modified: time.Now(),
		ContentType: opts.ContentType, Metadata: maps.Clone(opts.Metadata),
	}, nil
}

// upload is one write under way.
type upload struct {
	*S3
	name    string
	opts    PutOptions
	body    io.Reader
	writeID string
	size    int64
}

func (u *upload) run(ctx context.Context) (etag string, _ error) {
	// Grows with the body: most objects are far smaller than a part.
	var part bytes.Buffer
	last, err := u.fill(&part)
	if err != nil {
		return "", err
	}
	if !last {
		return u.multipart(ctx, &part)
	}
	if err := checkSize(u.opts.Size, u.size); err != nil {
		return "", err
	}
	info, err := u.core.PutObject(ctx, u.bucket, u.name, bytes.NewReader(part.Bytes()), u.size, "", sum(&part), u.request())
	return info.ETag, u.conditionError(ctx, err)
}

// fill reads the next part; last says that the body has ended.
func (u *upload) fill(part *bytes.Buffer) (last bool, _ error) {
	part.Reset()
	n, err := io.CopyN(part, u.body, u.partSize)
	u.size += n
	if err != nil && !errors.Is(err, io.EOF) {
		return false, err
	}
	if u.opts.Size > 0 && u.size > u.opts.Size {
		return false, checkSize(u.opts.Size, u.size)
	}
	return err != nil, nil
}

// multipart is written out here because minio-go's own does not pass the
// condition on when it puts the parts together, and would allocate parts of
// 500 MB for a body of unknown size.
func (u *upload) multipart(ctx context.Context, part *bytes.Buffer) (etag string, err error) {
	id, err := u.core.NewMultipartUpload(ctx, u.bucket, u.name, u.unconditional())
	if err != nil {
		return "", s3Error(ctx, err)
	}
	defer func() {
		if err != nil {
			u.abort(ctx, id)
		}
	}()
	var parts []minio.CompletePart
	for last := false; ; {
		if len(parts) == maxParts {
			return "", fmt.Errorf("it has more than %d bytes", u.partSize*maxParts)
		}
		number := len(parts) + 1
		done, err := u.core.PutObjectPart(ctx, u.bucket, u.name, id, number,
			bytes.NewReader(part.Bytes()), int64(part.Len()), minio.PutObjectPartOptions{Sha256Hex: sum(part), DisableContentSha256: true})
		if err != nil {
			return "", s3Error(ctx, err)
		}
		parts = append(parts, minio.CompletePart{PartNumber: number, ETag: done.ETag})
		if last {
			break
		}
		if last, err = u.fill(part); err != nil {
			return "", err
		}
		if part.Len() == 0 {
			break
		}
	}
	if err := checkSize(u.opts.Size, u.size); err != nil {
		return "", err
	}
	info, err := u.core.CompleteMultipartUpload(ctx, u.bucket, u.name, id, parts, u.conditional(minio.PutObjectOptions{}))
	return info.ETag, u.conditionError(ctx, err)
}

// abort lets the server free the parts. It also has to work when the caller
// has given up; the server's life-cycle rules do the rest.
func (u *upload) abort(ctx context.Context, id string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	_ = u.core.AbortMultipartUpload(ctx, u.bucket, u.name, id)
}

func (u *upload) request() minio.PutObjectOptions { return u.conditional(u.unconditional()) }

func (u *upload) unconditional() minio.PutObjectOptions {
	metadata := maps.Clone(u.opts.Metadata)
	if u.writeID != "" {
		if metadata == nil {
			metadata = map[string]string{}
		}
		metadata[writeIDName] = u.writeID
	}
	return minio.PutObjectOptions{
		ContentType: u.opts.ContentType, UserMetadata: metadata, DisableMultipart: true, DisableContentSha256: true,
	}
}

// sum signs the whole payload. minio-go's default over plain HTTP, a signature
// for each chunk, leaves bytes on the connection when an empty body goes to a
// server that does not read it, and the next request fails.
func sum(part *bytes.Buffer) string {
	hash := sha256.Sum256(part.Bytes())
	return hex.EncodeToString(hash[:])
}

func (u *upload) conditional(request minio.PutObjectOptions) minio.PutObjectOptions {
	if u.opts.IfNoneMatch != "" {
		request.SetMatchETagExcept("*")
	}
	if u.opts.IfMatch != "" {
		request.SetMatchETag(u.opts.IfMatch)
	}
	return request
}

// conditionError also knows the answers that only a conditional write gets:
// 404 for If-Match on an object that is gone, 409 for two at the same moment.
func (u *upload) conditionError(ctx context.Context, err error) error {
	if u.writeID != "" {
		switch response := minio.ToErrorResponse(err); {
		case response.Code == minio.NoSuchBucket:
		case response.StatusCode == http.StatusNotFound, response.StatusCode == http.StatusConflict:
			return fmt.Errorf("%w: %w", ErrPrecondition, err)
		}
	}
	return s3Error(ctx, err)
}

// mayHaveWon looks whether the write that is said to have lost is there.
func (u *upload) mayHaveWon(ctx context.Context, err error, etag *string) bool {
	if u.writeID == "" || !errors.Is(err, ErrPrecondition) {
		return false
	}
	object, err := u.core.StatObject(ctx, u.bucket, u.name, minio.StatObjectOptions{})
	if err != nil {
		return false
	}
	for name, value := range object.UserMetadata {
		if http.CanonicalHeaderKey(name) == http.CanonicalHeaderKey(writeIDName) && value == u.writeID {
			*etag = object.ETag
			return true
		}
	}
	return false
}
