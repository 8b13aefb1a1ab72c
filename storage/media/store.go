package media

import (
	"cmp"
	"container/list"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"asterism/storage/audio"
	"asterism/storage/audio/wav"
)

const (
	narrowExt  = ".wav"   // 8 kHz.
	wideExt    = ".wav16" // 16 kHz.
	tempPrefix = ".tmp-"
	silenceDir = "silence"
	maxSilence = 10 * time.Minute
)

// fileName is where a version lies, without its extension. Equal names have
// equal contents, so files of an earlier run can be used unseen.
func fileName(key, etag string) string {
	sum := sha256.Sum256([]byte(key + "\x00" + etag))
	return hex.EncodeToString(sum[:16])
}

// held is a version in the store.
type held struct {
	name     string
	bytes    int64
	duration time.Duration
}

// store is the files and the order in which they were last used.
type store struct {
	config Config
	counts *counts

	mu      sync.Mutex
	entries map[string]*list.Element // Of *stored.
	order   *list.List               // Most recently used first.
	bytes   int64
}

type stored struct {
	held
	keepUntil time.Time
}

func newStore(config Config, counts *counts) *store {
	return &store{config: config, counts: counts, entries: map[string]*list.Element{}, order: list.New()}
}

// use hands an entry out and keeps it from being removed meanwhile.
func (s *store) use(name string) (held, bool) {
	s.mu.Lock()
	element, ok := s.entries[name]
	s.mu.Unlock()
	if !ok {
		return held{}, false
	}
	// The volume may have been emptied by a hand.
	if _, err := os.Lstat(filepath.Join(s.config.Dir, name+narrowExt)); err != nil {
		s.forget(name)
		return held{}, false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.entries[name] != element {
		return held{}, false
	}
	return s.lease(element), true
}

func (s *store) lease(element *list.Element) held {
	e := element.Value.(*stored)
	e.keepUntil = time.Now().Add(e.duration + s.config.Hold)
	s.order.MoveToFront(element)
	return e.held
}

func (s *store) forget(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if element, ok := s.entries[name]; ok {
		s.drop(element)
	}
}

// publish gives temporary files their names and makes room for them. The
// narrow file comes last and is removed first: where it is, the version is
// complete.
func (s *store) publish(name string, files converted, duration time.Duration) (held, error) {
	base := filepath.Join(s.config.Dir, name)
	bytes, err := totalSize(files)
	if err == nil && files.wide != "" {
		err = os.Rename(files.wide, base+wideExt)
	}
	if err == nil {
		err = os.Rename(files.narrow, base+narrowExt)
	}
	if err != nil {
		files.remove()
		return held{}, fmt.Errorf("media cache: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if element, ok := s.entries[name]; ok {
		s.bytes -= element.Value.(*stored).bytes
		s.order.Remove(element)
	}
	element := s.add(held{name: name, bytes: bytes, duration: duration})
	result := s.lease(element)
	s.evict()
	return result, nil
}

func totalSize(files converted) (int64, error) {
	var total int64
	for _, name := range []string{files.narrow, files.wide} {
		if name == "" {
			continue
		}
		info, err := os.Stat(name)
		if err != nil {
			return 0, err
		}
		total += info.Size()
	}
	return total, nil
}

func (s *store) add(h held) *list.Element {
	element := s.order.PushFront(&stored{held: h})
	s.entries[h.name] = element
	s.bytes += h.bytes
	return element
}

// evict removes what has not been used for longest and is not in use.
func (s *store) evict() {
	now := time.Now()
	for element := s.order.Back(); element != nil && s.bytes > s.config.MaxBytes; {
		e, previous := element.Value.(*stored), element.Prev()
		if now.After(e.keepUntil) {
			s.drop(element)
			s.counts.evictions.Add(1)
		}
		element = previous
	}
}

func (s *store) drop(element *list.Element) {
	e := element.Value.(*stored)
	base := filepath.Join(s.config.Dir, e.name)
	_ = os.Remove(base + narrowExt) // What cannot be removed is adopted at the next start.
	_ = os.Remove(base + wideExt)
	s.order.Remove(element)
	delete(s.entries, e.name)
	s.bytes -= e.bytes
}

// adopt takes over the files of an earlier run, oldest first, and removes
// whatever is not a complete version.
func (s *store) adopt() error {
	type found struct {
		held
		modified time.Time
	}
	var all []found
	for _, sub := range []string{"", silenceDir} {
		entries, err := os.ReadDir(filepath.Join(s.config.Dir, sub))
		if err != nil {
			return err
		}
		for _, entry := range entries {
			path := filepath.Join(sub, entry.Name())
			name, narrow := strings.CutSuffix(path, narrowExt)
			switch {
			case entry.IsDir() || entry.Name() == ".lock":
			case narrow && !strings.HasPrefix(entry.Name(), "."):
				if h, modified, err := s.inspect(name); err == nil {
					all = append(all, found{h, modified})
					continue
				}
				s.discard(name)
			case strings.HasPrefix(entry.Name(), tempPrefix):
				_ = os.Remove(filepath.Join(s.config.Dir, path))
			case strings.HasSuffix(path, wideExt):
				base := strings.TrimSuffix(path, wideExt)
				if _, err := os.Lstat(filepath.Join(s.config.Dir, base+narrowExt)); errors.Is(err, fs.ErrNotExist) {
					s.discard(base)
				}
			}
		}
	}
	slices.SortFunc(all, func(a, b found) int { return cmp.Compare(a.modified.UnixNano(), b.modified.UnixNano()) })
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, f := range all {
		// A call of the time before may still be about to play it.
		s.lease(s.add(f.held))
	}
	s.evict()
	return nil
}

func (s *store) discard(name string) {
	_ = os.Remove(filepath.Join(s.config.Dir, name+narrowExt))
	_ = os.Remove(filepath.Join(s.config.Dir, name+wideExt))
}

// inspect checks that the files of a version are as long as they say.
func (s *store) inspect(name string) (held, time.Time, error) {
	base := filepath.Join(s.config.Dir, name)
	h := held{name: name}
	bytes, duration, modified, err := inspectFile(base+narrowExt, audio.Narrow)
	if err != nil {
		return h, modified, err
	}
	h.bytes, h.duration = bytes, duration
	bytes, _, _, err = inspectFile(base+wideExt, audio.Wide)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return h, modified, err
	}
	h.bytes += bytes
	return h, modified, nil
}

func inspectFile(path string, rate int) (int64, time.Duration, time.Time, error) {
	file, err := os.Open(path)
	if err != nil {
		return 0, 0, time.Time{}, err
	}
	defer func() { _ = file.Close() }()
	info, err := file.Stat()
	if err != nil {
		return 0, 0, time.Time{}, err
	}
	header, err := wav.ReadHeader(file)
	if err != nil {
		return 0, 0, time.Time{}, err
	}
	if header.SampleRate != rate || header.DataBytes <= 0 || header.DataBytes+wav.HeaderBytes != info.Size() {
		return 0, 0, time.Time{}, fmt.Errorf("%s is not as long as it says", path)
	}
	return info.Size(), header.Duration(), info.ModTime(), nil
}

// makeSilence writes a file of ms milliseconds.
func (c *Cache) makeSilence(name string, ms int64) (held, error) {
	temp, err := c.config.openTemp(c.config.Dir)
	if err != nil {
		return held{}, err
	}
	files := converted{narrow: temp.Name()}
	err = writeSilence(temp, ms)
	if err = errors.Join(err, finish(temp, err)); err != nil {
		files.remove()
		return held{}, err
	}
	return c.store.publish(name, files, time.Duration(ms)*time.Millisecond)
}

func writeSilence(file *os.File, ms int64) error {
	w, err := wav.NewWriter(file, audio.Narrow)
	if err != nil {
		return err
	}
	block := make([]int16, audio.Narrow)
	for left := ms * audio.Narrow / 1000; left > 0; left -= int64(len(block)) {
		if err := w.Write(block[:min(left, int64(len(block)))]); err != nil {
			return err
		}
	}
	return w.Close()
}
