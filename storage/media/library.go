package media

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"strconv"
	"strings"
	"time"

	"asterism/storage"
	"asterism/storage/audio"
)

// durationName is the metadata in which a sound's length is kept.
const durationName = "duration-ms"

// Library is the prompts in a bucket. It is safe for concurrent use.
type Library struct {
	bucket storage.Bucket
	limits audio.Limits
}

// NewLibrary returns the prompts of bucket; limits bound what [Library.Put] takes.
func NewLibrary(bucket storage.Bucket, limits audio.Limits) *Library {
	return &Library{bucket: bucket, limits: limits}
}

// Entry is one sound in the library.
type Entry struct {
	// Name as calls use it; that of a language's version begins with the
	// language: "it/greetings/welcome".
	Name     string
	Key      string
	ETag     string
	Size     int64
	Modified time.Time
	// Duration is 0 where it is not known: in lists, and for objects that
	// another program has put there.
	Duration time.Duration
}

// Put stores any sound file that package audio reads under a name, replacing
// what is there, as 16-bit mono WAV at 8 or 16 kHz. It says what the file was.
// Errors: ErrInvalidName, those of audio.Open and of storage.Bucket.
func (l *Library) Put(ctx context.Context, name, language string, r io.Reader) (_ Entry, _ audio.Format, err error) {
	key, err := Key(name, language)
	if err != nil {
		return Entry{}, audio.Format{}, err
	}
	temp, err := os.CreateTemp("", "asterism-sound-*")
	if err != nil {
		return Entry{}, audio.Format{}, fmt.Errorf("store sound %q: %w", name, err)
	}
	defer func() { err = errors.Join(err, temp.Close(), os.Remove(temp.Name())) }()

	format, duration, err := audio.Normalize(ctx, temp, r, l.limits)
	if err != nil {
		return Entry{}, format, fmt.Errorf("store sound %q: %w", name, err)
	}
	size, err := temp.Seek(0, io.SeekEnd)
	if err == nil {
		_, err = temp.Seek(0, io.SeekStart)
	}
	if err != nil {
		return Entry{}, format, fmt.Errorf("store sound %q: %w", name, err)
	}
	info, err := l.bucket.Put(ctx, key, temp, storage.PutOptions{
		Size: size, ContentType: "audio/wav",
		Metadata: map[string]string{durationName: strconv.FormatInt(duration.Milliseconds(), 10)},
	})
	if err != nil {
		return Entry{}, format, fmt.Errorf("store sound %q: %w", name, err)
	}
	return entry(info), format, nil
}

// Get opens a sound as it is stored; the caller closes it. Errors: ErrNotFound,
// ErrInvalidName, those of storage.Bucket.
func (l *Library) Get(ctx context.Context, name, language string) (io.ReadCloser, Entry, error) {
	key, err := Key(name, language)
	if err != nil {
		return nil, Entry{}, err
	}
	body, info, err := l.bucket.Get(ctx, key, storage.GetOptions{})
	if err != nil {
		return nil, Entry{}, notFound(name, language, err)
	}
	return body, entry(info), nil
}

// Remove removes a sound. Errors: ErrNotFound, ErrInvalidName, those of
// storage.Bucket.
func (l *Library) Remove(ctx context.Context, name, language string) error {
	key, err := Key(name, language)
	if err != nil {
		return err
	}
	if _, err := l.bucket.Stat(ctx, key); err != nil {
		return notFound(name, language, err)
	}
	return l.bucket.Delete(ctx, key)
}

// List yields the sounds whose names begin with prefix, in the order of the
// names; "it/" lists the Italian ones. An error ends it.
func (l *Library) List(ctx context.Context, prefix string) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		for info, err := range l.bucket.List(ctx, root+prefix, storage.ListOptions{}) {
			if err != nil {
				yield(Entry{}, fmt.Errorf("list sounds: %w", err))
				return
			}
			if strings.HasSuffix(info.Key, extension) && !yield(entry(info), nil) {
				return
			}
		}
	}
}

func entry(info storage.Info) Entry {
	ms, err := strconv.ParseInt(info.Metadata[durationName], 10, 64)
	if err != nil || ms < 0 {
		ms = 0
	}
	return Entry{
		Name: strings.TrimSuffix(strings.TrimPrefix(info.Key, root), extension), Key: info.Key, ETag: info.ETag,
		Size: info.Size, Modified: info.Modified, Duration: time.Duration(ms) * time.Millisecond,
	}
}

func notFound(name, language string, err error) error {
	if !errors.Is(err, storage.ErrNotFound) {
		return fmt.Errorf("sound %q: %w", name, err)
	}
	if language != "" {
		return fmt.Errorf("%w: %q in language %q (%w)", ErrNotFound, name, language, err)
	}
	return fmt.Errorf("%w: %q (%w)", ErrNotFound, name, err)
}
