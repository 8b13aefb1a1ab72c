package storage

import (
	"context"
	"errors"
	"io/fs"
	"iter"
	"path"
	"slices"
	"strings"
)

// List implements [Bucket]. Files that appear or vanish while it runs may be
// missing or present, others are yielded exactly once. Symbolic links to
// directories are not followed.
func (d *Dir) List(ctx context.Context, prefix string, opts ListOptions) iter.Seq2[Info, error] {
	return func(yield func(Info, error) bool) {
		if err := validatePrefix(prefix); err != nil {
			yield(Info{}, opError("list", prefix, err))
			return
		}
		w := dirWalk{dir: d, prefix: prefix, after: opts.After, left: opts.Limit, yield: yield}
		if opts.Limit <= 0 {
			w.left = -1
		}
		start := "."
		if i := strings.LastIndexByte(prefix, '/'); i > 0 {
			start = prefix[:i]
		}
		if _, err := w.walk(ctx, start); err != nil {
			yield(Info{}, opError("list", prefix, err))
		}
	}
}

type dirWalk struct {
	dir           *Dir
	prefix, after string
	left          int // Objects still wanted, negative for no limit.
	yield         func(Info, error) bool
}

// walk yields what lies under the directory name; more is false when the
// caller has had enough.
func (w *dirWalk) walk(ctx context.Context, name string) (more bool, _ error) {
	entries, err := w.read(name)
	if err != nil {
		return false, err
	}
	for _, entry := range entries {
		if ctx.Err() != nil {
			return false, context.Cause(ctx)
		}
		key := path.Join(name, entry.Name())
		if entry.IsDir() {
			if !w.mayHold(key + "/") {
				continue
			}
			if more, err := w.walk(ctx, key); err != nil || !more {
				return false, err
			}
			continue
		}
		if !strings.HasPrefix(key, w.prefix) || key <= w.after || ValidateKey(key) != nil {
			continue
		}
		stat, err := w.dir.root.Stat(key)
		if err != nil || !stat.Mode().IsRegular() {
			continue // Gone meanwhile, a link that leads nowhere or out, a socket.
		}
		if w.left == 0 {
			return false, nil
		}
		w.left--
		if !w.yield(Info{Key: key, ETag: fileETag(stat), Size: stat.Size(), Modified: stat.ModTime()}, nil) {
			return false, nil
		}
	}
	return true, nil
}

// mayHold says whether any key under the directory can be wanted.
func (w *dirWalk) mayHold(dir string) bool {
	if dir == controlDir+"/" {
		return false
	}
	if !strings.HasPrefix(dir, w.prefix) && !strings.HasPrefix(w.prefix, dir) {
		return false
	}
	return dir > w.after || strings.HasPrefix(w.after, dir)
}

// read lists one directory in the order of the keys under it, in which the
// directory "a" comes as "a/", after "a.txt".
func (w *dirWalk) read(name string) ([]fs.DirEntry, error) {
	entries, err := fs.ReadDir(w.dir.root.FS(), name)
	if err = dirError(err); err != nil {
		if errors.Is(err, ErrNotFound) {
			return nil, nil
		}
		return nil, err
	}
	order := func(e fs.DirEntry) string {
		if e.IsDir() {
			return e.Name() + "/"
		}
		return e.Name()
	}
	slices.SortFunc(entries, func(a, b fs.DirEntry) int { return strings.Compare(order(a), order(b)) })
	return entries, nil
}
