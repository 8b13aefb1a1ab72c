package storage

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strconv"
	"syscall"
	"time"
)

const (
	tmpDir  = controlDir + "/tmp"
	metaDir = controlDir + "/meta"
	lockDir = controlDir + "/lock"

	// staleTemp is the age at which a temporary file counts as left behind by
	// a process that died. A writer touches its file with every block.
	staleTemp = time.Hour
	// renameTries bounds how often a write makes the directories of its key
	// anew because a deleter has just removed them as empty.
	renameTries = 16
)

// Dir is a [Bucket] in a directory: the object "media/welcome.wav" is the file
// of that name, readable by any program. Files that people put there, replace
// or remove by hand are objects too. Put them there with a rename (mv from the
// same file system): a file that is still being copied is read as far as it is.
//
// The ETag is made of the file's modification time in nanoseconds, its size and
// its inode, so that a replacement by hand is a new version. Content type and
// metadata lie in ".asterism/meta", bound to the ETag: they do not outlive the
// version they were written with.
//
// Several processes of one machine may use one directory. Locks are flock(2)
// locks on files in ".asterism/lock"; a network file system must support them.
type Dir struct {
	root  *os.Root
	path  string
	locks keyLocks
}

var _ Bucket = (*Dir)(nil)

// OpenDir opens the directory dir, which is created when it is not there, and
// removes temporary files that dead processes have left in it.
func OpenDir(dir string) (*Dir, error) {
	if dir == "" {
		return nil, errors.New("open storage directory: its name is empty")
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("open storage directory: %w", err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("open storage directory: %w", err)
	}
	d := &Dir{root: root, path: dir}
	for _, sub := range []string{tmpDir, metaDir, lockDir} {
		if err := root.MkdirAll(sub, 0o755); err != nil {
			return nil, errors.Join(fmt.Errorf("prepare storage directory %s: %w", dir, err), root.Close())
		}
	}
	d.removeStaleTemps()
	return d, nil
}

// removeStaleTemps does what it can; a leftover costs only space.
func (d *Dir) removeStaleTemps() {
	entries, err := fs.ReadDir(d.root.FS(), tmpDir)
	if err != nil {
		return
	}
	for _, entry := range entries {
		if info, err := entry.Info(); err == nil && time.Since(info.ModTime()) > staleTemp {
			_ = d.root.Remove(path.Join(tmpDir, entry.Name()))
		}
	}
}

// Close implements [Bucket].
func (d *Dir) Close() error { return d.root.Close() }

// Get implements [Bucket].
func (d *Dir) Get(ctx context.Context, key string, opts GetOptions) (io.ReadCloser, Info, error) {
	if err := opts.validate(key); err != nil {
		return nil, Info{}, opError("get", key, err)
	}
	file, info, err := d.openVersion(ctx, key)
	if err != nil {
		return nil, Info{}, opError("get", key, err)
	}
	if opts.IfMatch != "" && opts.IfMatch != info.ETag {
		return nil, Info{}, errors.Join(opError("get", key, ErrPrecondition), file.Close())
	}
	length := info.Size - min(opts.Offset, info.Size)
	if opts.Length > 0 {
		length = min(length, opts.Length)
	}
	// A section keeps to the size that was announced when a hand appends.
	section := io.NewSectionReader(file, opts.Offset, length)
	return &fileBody{contextReader: contextReader{ctx: ctx, Reader: section}, file: file}, info, nil
}

// fileBody is the body of an object in a directory.
type fileBody struct {
	contextReader
	file *os.File
}

func (b *fileBody) Close() error { return b.file.Close() }

// openVersion opens the file of key and describes that very version. The
// metadata is a second file: when a writer replaces the object in between, the
// lookup is repeated.
func (d *Dir) openVersion(ctx context.Context, key string) (*os.File, Info, error) {
	for {
		if ctx.Err() != nil {
			return nil, Info{}, context.Cause(ctx)
		}
		// Without O_NONBLOCK a named pipe that somebody left there would hang us.
		file, err := d.root.OpenFile(key, os.O_RDONLY|syscall.O_NONBLOCK, 0)
		if err != nil {
			return nil, Info{}, dirError(err)
		}
		stat, err := file.Stat()
		if err == nil && !stat.Mode().IsRegular() {
			err = ErrNotFound
		}
		if err != nil {
			return nil, Info{}, errors.Join(dirError(err), file.Close())
		}
		info, ok, err := d.describe(key, stat)
		if err == nil && ok {
			return file, info, nil
		}
		if err := errors.Join(err, file.Close()); err != nil {
			return nil, Info{}, dirError(err)
		}
	}
}

// Stat implements [Bucket].
func (d *Dir) Stat(ctx context.Context, key string) (Info, error) {
	if err := ValidateKey(key); err != nil {
		return Info{}, opError("stat", key, err)
	}
	for {
		if ctx.Err() != nil {
			return Info{}, opError("stat", key, context.Cause(ctx))
		}
		stat, err := d.root.Stat(key)
		if err == nil && !stat.Mode().IsRegular() {
			err = ErrNotFound
		}
		if err != nil {
			return Info{}, opError("stat", key, dirError(err))
		}
		info, ok, err := d.describe(key, stat)
		if err != nil {
			return Info{}, opError("stat", key, dirError(err))
		}
		if ok {
			return info, nil
		}
	}
}

// Put implements [Bucket].
func (d *Dir) Put(ctx context.Context, key string, body io.Reader, opts PutOptions) (Info, error) {
	opts, err := opts.validate(key)
	if err != nil {
		return Info{}, opError("put", key, err)
	}
	// Spare the caller a long upload that cannot win; judged again under the lock.
	if err := d.checkCondition(key, opts); err != nil {
		return Info{}, opError("put", key, err)
	}
	temp := path.Join(tmpDir, rand.Text())
	info, err := d.writeTemp(ctx, temp, key, body, opts)
	if err == nil {
		err = d.publish(ctx, temp, info, opts)
	}
	if err != nil {
		_ = d.root.Remove(temp)
		return Info{}, opError("put", key, err)
	}
	return info, nil
}

func (d *Dir) writeTemp(ctx context.Context, temp, key string, body io.Reader, opts PutOptions) (_ Info, err error) {
	file, err := d.root.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return Info{}, dirError(err)
	}
	defer func() { err = errors.Join(err, file.Close()) }()

	// Not io.Copy(file, body) as it stands: it could not tell whose error it is.
	reader := &sourceReader{contextReader: contextReader{ctx: ctx, Reader: body}}
	size, err := io.Copy(file, reader)
	if reader.err != nil {
		return Info{}, reader.err
	}
	if err != nil {
		return Info{}, dirError(err)
	}
	if err := checkSize(opts.Size, size); err != nil {
		return Info{}, err
	}
	// The kernel's own time stamps are as coarse as its tick: two versions of
	// one size within a tick could share an ETag.
	now := time.Now()
	if err := d.root.Chtimes(temp, now, now); err != nil {
		return Info{}, dirError(err)
	}
	if err := file.Sync(); err != nil {
		return Info{}, dirError(err)
	}
	stat, err := file.Stat()
	if err != nil {
		return Info{}, dirError(err)
	}
	return Info{
		Key: key, ETag: fileETag(stat), Size: size, Modified: stat.ModTime(),
		ContentType: opts.ContentType, Metadata: opts.Metadata,
	}, nil
}

// publish gives the temporary file its name, if the condition holds.
func (d *Dir) publish(ctx context.Context, temp string, info Info, opts PutOptions) error {
	unlock, err := d.lock(ctx, info.Key)
	if err != nil {
		return err
	}
	defer unlock()
	old, err := d.currentETag(info.Key)
	if err != nil {
		return err
	}
	if err := opts.check(old); err != nil {
		return err
	}
	// Metadata first: whoever sees the new file must find what belongs to it.
	if err := d.writeMeta(info); err != nil {
		return err
	}
	if err := d.rename(temp, info.Key); err != nil {
		d.removeMeta(info.Key, info.ETag)
		return err
	}
	if old != "" {
		d.removeMeta(info.Key, old)
	}
	return d.syncDir(path.Dir(info.Key))
}

func (d *Dir) rename(temp, key string) error {
	var err error
	for range renameTries {
		if err = d.root.MkdirAll(path.Dir(key), 0o755); err != nil && !errors.Is(err, fs.ErrNotExist) {
			break
		}
		if err = d.root.Rename(temp, key); err == nil || !errors.Is(err, fs.ErrNotExist) {
			break
		}
	}
	switch {
	case errors.Is(err, syscall.ENOTDIR):
		return fmt.Errorf("%w: a part of its path is itself an object, which a directory cannot hold: %w", ErrInvalidKey, err)
	case errors.Is(err, syscall.EISDIR), errors.Is(err, syscall.EEXIST), errors.Is(err, syscall.ENOTEMPTY):
		return fmt.Errorf("%w: other objects lie under it as a directory: %w", ErrInvalidKey, err)
	}
	return dirError(err)
}

// Delete implements [Bucket].
func (d *Dir) Delete(ctx context.Context, key string) error {
	if err := ValidateKey(key); err != nil {
		return opError("delete", key, err)
	}
	unlock, err := d.lock(ctx, key)
	if err != nil {
		return opError("delete", key, err)
	}
	defer unlock()
	old, err := d.currentETag(key)
	if err != nil || old == "" {
		return opError("delete", key, err)
	}
	if err := d.root.Remove(key); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return opError("delete", key, dirError(err))
	}
	d.removeMeta(key, old)
	return opError("delete", key, d.prune(path.Dir(key)))
}

// prune removes directories that have become empty, as an object store has
// none, and makes the deletion last.
func (d *Dir) prune(dir string) error {
	for ; dir != "."; dir = path.Dir(dir) {
		// A link to a directory was made by a hand and is not ours to remove.
		if stat, err := d.root.Lstat(dir); err != nil || !stat.IsDir() || d.root.Remove(dir) != nil {
			break
		}
	}
	return d.syncDir(dir)
}

func (d *Dir) syncDir(name string) error {
	dir, err := d.root.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // Removed as empty by a deleter; what it held is gone.
	}
	if err != nil {
		return dirError(err)
	}
	return dirError(errors.Join(dir.Sync(), dir.Close()))
}

func (d *Dir) checkCondition(key string, opts PutOptions) error {
	if opts.IfMatch == "" && opts.IfNoneMatch == "" {
		return nil
	}
	etag, err := d.currentETag(key)
	if err != nil {
		return err
	}
	return opts.check(etag)
}

// currentETag is empty when there is no object.
func (d *Dir) currentETag(key string) (string, error) {
	stat, err := d.root.Stat(key)
	if err != nil {
		if err = dirError(err); errors.Is(err, ErrNotFound) {
			return "", nil
		}
		return "", err
	}
	if !stat.Mode().IsRegular() {
		return "", nil
	}
	return fileETag(stat), nil
}

// fileETag names the version that a file holds.
func fileETag(stat fs.FileInfo) string {
	var inode uint64
	if sys, ok := stat.Sys().(*syscall.Stat_t); ok {
		inode = sys.Ino
	}
	b := make([]byte, 0, 48)
	b = strconv.AppendInt(b, stat.ModTime().UnixNano(), 36)
	b = append(b, '-')
	b = strconv.AppendInt(b, stat.Size(), 36)
	b = append(b, '-')
	b = strconv.AppendUint(b, inode, 36)
	return string(b)
}

// dirError classifies an error of the file system.
func dirError(err error) error {
	switch {
	case err == nil, errors.Is(err, ErrNotFound), errors.Is(err, ErrPrecondition):
		return err
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ENOTDIR), errors.Is(err, syscall.EISDIR):
		return fmt.Errorf("%w: %w", ErrNotFound, err)
	case errors.Is(err, syscall.ENAMETOOLONG), errors.Is(err, syscall.EINVAL), errors.Is(err, syscall.ELOOP):
		return fmt.Errorf("%w: %w", ErrInvalidKey, err)
	case errors.Is(err, fs.ErrPermission), errors.Is(err, os.ErrClosed):
		return err
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return unavailable(fmt.Errorf("the disk is full: %w", err))
	}
	if _, ok := errors.AsType[syscall.Errno](err); ok {
		return unavailable(err)
	}
	return err // A symbolic link out of the directory, for one: os.Root says so.
}

// sourceReader remembers the error of a caller's reader, so that it is not
// taken for one of the storage.
type sourceReader struct {
	contextReader
	err error
}

func (r *sourceReader) Read(p []byte) (int, error) {
	n, err := r.contextReader.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		r.err = err
	}
	return n, err
}
