package media

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"asterism/storage"
	"asterism/storage/audio"
	"asterism/storage/audio/wav"
	"asterism/storage/storagetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// sound is a 16-bit mono file with a tone.
func sound(rate int, hertz float64, d time.Duration) []byte {
	n := int(float64(rate) * d.Seconds())
	data := wav.AppendHeader(nil, rate, int64(2*n))
	for i := range n {
		x := int16(16000 * math.Sin(2*math.Pi*hertz*float64(i)/float64(rate)))
		data = binary.LittleEndian.AppendUint16(data, uint16(x))
	}
	return data
}

type fixture struct {
	*Cache
	bucket *storagetest.Faulty
	dir    string
}

func newFixture(t *testing.T, change func(*Config)) *fixture {
	t.Helper()
	f := &fixture{bucket: storagetest.NewFaulty(storage.NewMemory()), dir: t.TempDir()}
	f.open(t, change)
	t.Cleanup(func() { f.close(t) })
	return f
}

func (f *fixture) open(t *testing.T, change func(*Config)) {
	t.Helper()
	config := Config{Bucket: f.bucket, Dir: f.dir}
	if change != nil {
		change(&config)
	}
	var err error
	if f.Cache, err = OpenCache(config); err != nil {
		t.Fatal(err)
	}
}

func (f *fixture) close(t *testing.T) {
	t.Helper()
	if f.Cache != nil {
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	}
	f.Cache = nil
}

func (f *fixture) put(t *testing.T, key string, data []byte) storage.Info {
	t.Helper()
	info, err := f.bucket.Put(t.Context(), key, bytes.NewReader(data), storage.PutOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return info
}

func (f *fixture) resolve(t *testing.T, name string, languages ...string) File {
	t.Helper()
	file, err := f.Resolve(t.Context(), name, languages)
	if err != nil {
		t.Fatalf("Resolve(%q, %q): %v", name, languages, err)
	}
	return file
}

// files lists the directory without the lock.
func (f *fixture) files(t *testing.T) []string {
	t.Helper()
	entries, err := os.ReadDir(f.dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		if e.Name() != ".lock" && e.Name() != silenceDir {
			names = append(names, e.Name())
		}
	}
	return names
}

func readHeader(t *testing.T, path string) wav.Header {
	t.Helper()
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	h, err := wav.ReadHeader(file)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func TestResolveMakesWhatAsteriskPlays(t *testing.T) {
	f := newFixture(t, nil)
	stereo := sound(44100, 440, time.Second)
	binary.LittleEndian.PutUint16(stereo[22:], 2) // Half as long, two channels.
	binary.LittleEndian.PutUint16(stereo[32:], 4)
	for _, c := range []struct {
		name     string
		data     []byte
		duration time.Duration
		wide     bool
	}{
		{"narrow", sound(8000, 440, time.Second), time.Second, false},
		{"wide", sound(16000, 440, time.Second), time.Second, true},
		{"hand/made", stereo, 500 * time.Millisecond, true},
	} {
		info := f.put(t, "media/"+c.name+".wav", c.data)
		file := f.resolve(t, c.name)
		if file.Duration != c.duration || file.Key != info.Key || file.ETag != info.ETag || file.Stale {
			t.Errorf("%s: %+v", c.name, file)
		}
		if h := readHeader(t, file.Path+".wav"); h.SampleRate != 8000 || h.Channels != 1 || h.Bits != 16 || h.Duration() != c.duration {
			t.Errorf("%s.wav: %+v", c.name, h)
		}
		if !c.wide {
			if _, err := os.Stat(file.Path + ".wav16"); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("%s has a .wav16: %v", c.name, err)
			}
			continue
		}
		if h := readHeader(t, file.Path+".wav16"); h.SampleRate != 16000 || h.Duration() != c.duration {
			t.Errorf("%s.wav16: %+v", c.name, h)
		}
	}
	again := f.resolve(t, "narrow.wav")
	if again.Path != f.resolve(t, "narrow").Path || f.bucket.Count(storagetest.OpGet) != 3 {
		t.Error("a sound in the cache was fetched again")
	}
	key, err := f.ResolveKey(t.Context(), "media/wide.wav")
	if err != nil || key.Path != f.resolve(t, "wide").Path {
		t.Errorf("by key: %+v, %v", key, err)
	}
}

func TestLanguages(t *testing.T) {
	f := newFixture(t, nil)
	keys := []string{"media/it-IT/x.wav", "media/it/x.wav", "media/en-GB/x.wav", "media/en/x.wav", "media/x.wav"}
	for _, key := range keys {
		f.put(t, key, sound(8000, 440, 10*time.Millisecond))
	}
	for i, want := range keys {
		if file := f.resolve(t, "x", "it_it", "", "en-GB"); file.Key != want {
			t.Errorf("with %q there, %q is played", keys[i:], file.Key)
		}
		// The better one is slow: it must be waited for all the same.
		f.bucket.SetHook(func(_ context.Context, op storagetest.Op, key string) error {
			if op == storagetest.OpStat && key == want {
				time.Sleep(20 * time.Millisecond)
			}
			return nil
		})
		if file := f.resolve(t, "x", "it-IT", "en-GB"); file.Key != want {
			t.Errorf("with a slow %q, %q is played", want, file.Key)
		}
		f.bucket.SetHook(nil)
		if err := f.bucket.Delete(t.Context(), want); err != nil {
			t.Fatal(err)
		}
	}
	_, err := f.Resolve(t.Context(), "x", []string{"it-IT"})
	if !errors.Is(err, ErrNotFound) || !strings.Contains(err.Error(), "media/it/x.wav") {
		t.Errorf("nothing there: %v", err)
	}
	for _, bad := range []string{"", "../x", "/x", "x/", "a//b", "a/../../etc/passwd", "a&b", "x:y", "a\x00", strings.Repeat("x", 300)} {
		if _, err := f.Resolve(t.Context(), bad, nil); !errors.Is(err, ErrInvalidName) {
			t.Errorf("name %.20q: %v", bad, err)
		}
		if _, err := f.ResolveKey(t.Context(), bad); bad != "a&b" && bad != "x:y" && !errors.Is(err, ErrInvalidName) {
			t.Errorf("key %.20q: %v", bad, err)
		}
	}
	for _, bad := range []string{"..", "i", "it/IT", "it-", "../..", "italian"} {
		if _, err := f.Resolve(t.Context(), "x", []string{bad}); !errors.Is(err, ErrInvalidName) {
			t.Errorf("language %q: %v", bad, err)
		}
	}
}

func TestChangeIsHeardAtOnce(t *testing.T) {
	f := newFixture(t, nil)
	for i := range 10 {
		d := time.Duration(i+1) * 10 * time.Millisecond
		f.put(t, "media/x.wav", sound(8000, 440, d))
		if file := f.resolve(t, "x"); file.Duration != d {
			t.Fatalf("version %d: %v is played", i, file.Duration)
		}
	}
	if err := f.bucket.Delete(t.Context(), "media/x.wav"); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Resolve(t.Context(), "x", nil); !errors.Is(err, ErrNotFound) {
		t.Errorf("removed: %v", err)
	}
}

// TestChangeDuringFetch: the version that was seen is gone when it is fetched.
func TestChangeDuringFetch(t *testing.T) {
	f := newFixture(t, nil)
	f.put(t, "media/x.wav", sound(8000, 440, 10*time.Millisecond))
	once := sync.Once{}
	f.bucket.SetHook(func(_ context.Context, op storagetest.Op, _ string) error {
		if op == storagetest.OpGet {
			once.Do(func() { f.put(t, "media/x.wav", sound(8000, 440, 20*time.Millisecond)) }) //nolint:contextcheck // It is another's write.
		}
		return nil
	})
	if file := f.resolve(t, "x"); file.Duration != 20*time.Millisecond {
		t.Errorf("%v is played", file.Duration)
	}
}

func TestOneFetchForAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, nil)
		f.put(t, "media/x.wav", sound(16000, 440, 100*time.Millisecond))
		f.bucket.SetHook(func(ctx context.Context, op storagetest.Op, _ string) error {
			if took := map[storagetest.Op]time.Duration{storagetest.OpStat: time.Second, storagetest.OpGet: 3 * time.Second}[op]; took > 0 {
				select {
				case <-time.After(took):
				case <-ctx.Done():
					return context.Cause(ctx)
				}
			}
			return nil
		})
		var wg sync.WaitGroup
		for i := range 100 {
			wg.Go(func() {
				ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
				if i%3 == 0 { // A third of the callers hang up; the others must not notice.
					ctx, cancel = context.WithTimeout(t.Context(), 2500*time.Millisecond)
				}
				defer cancel()
				_, err := f.Resolve(ctx, "x", nil)
				if i%3 != 0 && err != nil || i%3 == 0 && err != nil && !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("call %d: %v", i, err)
				}
			})
		}
		wg.Wait()
		if n := f.bucket.Count(storagetest.OpGet); n != 1 {
			t.Errorf("%d fetches for one version", n)
		}
		if n := f.bucket.Count(storagetest.OpStat); n > 2 {
			t.Errorf("%d checks, want one and one behind it", n)
		}
	})
}

func TestFetchEndsWithItsLastWaiter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, nil)
		f.put(t, "media/x.wav", sound(8000, 440, 10*time.Millisecond))
		var cancelled time.Time
		f.bucket.SetHook(func(ctx context.Context, op storagetest.Op, _ string) error {
			if op == storagetest.OpGet {
				<-ctx.Done()
				cancelled = time.Now()
				return ctx.Err()
			}
			return nil
		})
		start := time.Now()
		var wg sync.WaitGroup
		for i := range 3 {
			wg.Go(func() {
				ctx, cancel := context.WithTimeout(t.Context(), time.Duration(i+1)*time.Second)
				defer cancel()
				if _, err := f.Resolve(ctx, "x", nil); !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("waiter %d: %v", i, err)
				}
			})
		}
		wg.Wait()
		synctest.Wait()
		if after := cancelled.Sub(start); after != 3*time.Second {
			t.Errorf("the fetch was given up after %v, the last waiter left after 3s", after)
		}
		f.bucket.SetHook(nil)
		f.resolve(t, "x")
	})
}

// TestNoAnswerOlderThanTheQuestion: a resolve that begins while a check is
// under way must not take that check's answer.
func TestNoAnswerOlderThanTheQuestion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, func(c *Config) { c.StatTimeout = time.Minute })
		f.put(t, "media/x.wav", sound(8000, 440, 10*time.Millisecond))
		f.resolve(t, "x")
		// The check sees the old version and takes a second to say so.
		f.Cache.config.Bucket = slowAnswer{f.bucket}
		var wg sync.WaitGroup
		wg.Go(func() { f.resolve(t, "x") })
		time.Sleep(100 * time.Millisecond)
		f.put(t, "media/x.wav", sound(8000, 440, 20*time.Millisecond))
		for range 10 {
			wg.Go(func() {
				if file := f.resolve(t, "x"); file.Duration != 20*time.Millisecond {
					t.Errorf("asked after the change, the old version of %v is played", file.Duration)
				}
			})
		}
		wg.Wait()
		if n := f.bucket.Count(storagetest.OpStat); n != 3 {
			t.Errorf("%d checks, want 3", n)
		}
	})
}

type slowAnswer struct{ storage.Bucket }

func (b slowAnswer) Stat(ctx context.Context, key string) (storage.Info, error) {
	info, err := b.Bucket.Stat(ctx, key)
	time.Sleep(time.Second)
	return info, err
}

func TestStaleIfError(t *testing.T) {
	for _, c := range []struct {
		name  string
		stale time.Duration
		after time.Duration
		want  bool
	}{
		{"within", 10 * time.Minute, 9 * time.Minute, true},
		{"too old", 10 * time.Minute, 11 * time.Minute, false},
		{"never", 0, 0, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var told []string
				f := newFixture(t, func(config *Config) {
					config.StaleIfError = c.stale
					config.OnStale = func(key string, age time.Duration, err error) {
						told = append(told, fmt.Sprintf("%s %v %v", key, age, errors.Is(err, storage.ErrUnavailable)))
					}
				})
				f.put(t, "media/x.wav", sound(8000, 440, 10*time.Millisecond))
				f.resolve(t, "x", "it")
				time.Sleep(c.after)
				f.bucket.Fail(storagetest.Outage(503))
				file, err := f.Resolve(t.Context(), "x", []string{"it"})
				if !c.want {
					if !errors.Is(err, storage.ErrUnavailable) || len(told) != 0 {
						t.Errorf("%+v, %v, told %q; want an outage", file, err, told)
					}
					return
				}
				if err != nil || !file.Stale || file.Key != "media/x.wav" {
					t.Errorf("%+v, %v; want the last known version", file, err)
				}
				if want := []string{fmt.Sprintf("media/x.wav %v true", c.after)}; !slices.Equal(told, want) {
					t.Errorf("told %q, want %q", told, want)
				}
				if _, err := f.Resolve(t.Context(), "never/asked", nil); !errors.Is(err, storage.ErrUnavailable) || errors.Is(err, ErrNotFound) {
					t.Errorf("a sound nobody has asked for: %v", err)
				}
				f.bucket.Fail(nil)
				if file := f.resolve(t, "x"); file.Stale {
					t.Error("stale after the outage")
				}
			})
		})
	}
}

func TestHungStorage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, nil)
		f.bucket.SetHook(func(ctx context.Context, _ storagetest.Op, _ string) error {
			<-ctx.Done()
			return ctx.Err()
		})
		start := time.Now()
		_, err := f.Resolve(t.Context(), "x", nil)
		if !errors.Is(err, storage.ErrUnavailable) || time.Since(start) != defaultStatTimeout {
			t.Errorf("after %v: %v", time.Since(start), err)
		}
	})
}

// An outage costs the calls that it surprises one wait; after that a caller
// hears what there is at once, and what is new as soon as there is something.
func TestOutageIsWaitedForOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, func(config *Config) { config.StaleIfError = time.Hour })
		f.put(t, "media/x.wav", sound(8000, 440, 10*time.Millisecond))
		f.resolve(t, "x")
		took := func(name string) (File, time.Duration, error) {
			start := time.Now()
			file, err := f.Resolve(t.Context(), name, nil)
			return file, time.Since(start), err
		}
		slow := func(answer time.Duration) {
			f.bucket.SetHook(func(ctx context.Context, _ storagetest.Op, _ string) error {
				select {
				case <-ctx.Done():
					return ctx.Err()
				case <-time.After(answer):
					return nil
				}
			})
		}
		slow(time.Hour)
		for i, want := range []time.Duration{defaultStatTimeout, impatience, impatience} {
			if file, d, err := took("x"); err != nil || !file.Stale || d != want {
				t.Errorf("look-up %d of an outage: %+v, %v after %v; want the old version after %v", i+1, file, err, d, want)
			}
		}
		if _, d, err := took("y"); !errors.Is(err, storage.ErrUnavailable) || d != defaultStatTimeout {
			t.Errorf("what is not in the cache: %v after %v; want an outage after %v", err, d, defaultStatTimeout)
		}
		slow(0)
		f.put(t, "media/x.wav", sound(8000, 440, 30*time.Millisecond))
		slow(impatience + 50*time.Millisecond) // back, and slower than one waits in an outage
		if file, d, _ := took("x"); !file.Stale || d != impatience {
			t.Errorf("the first look-up after an outage: %+v after %v; want the old version after %v", file, d, impatience)
		}
		time.Sleep(5 * time.Second)
		if file, _, err := took("x"); err != nil || file.Stale || file.Duration != 30*time.Millisecond {
			t.Errorf("the second look-up after an outage: %+v, %v; want the new version", file, err)
		}
	})
}

func TestBroken(t *testing.T) {
	f := newFixture(t, func(c *Config) { c.MaxObjectBytes = 1 << 20; c.MaxDuration = time.Minute })
	whole := sound(8000, 440, 100*time.Millisecond)
	for name, data := range map[string][]byte{
		"cut": whole[:len(whole)/2], "empty": nil, "text": []byte("hello, this is not a sound"),
		"big": make([]byte, 1<<20+1), "long": sound(4000, 1, 61*time.Second),
	} {
		f.put(t, "media/"+name+".wav", data)
		gets := f.bucket.Count(storagetest.OpGet)
		for range 3 {
			if _, err := f.Resolve(t.Context(), name, nil); !errors.Is(err, ErrBroken) || errors.Is(err, storage.ErrUnavailable) {
				t.Errorf("%s: %v", name, err)
			}
		}
		if n := f.bucket.Count(storagetest.OpGet) - gets; n > 1 {
			t.Errorf("%s was fetched %d times", name, n)
		}
		f.put(t, "media/"+name+".wav", whole)
		f.resolve(t, name)
	}
	if n := len(f.files(t)); n != 5 {
		t.Errorf("%d files for five sounds: %q", n, f.files(t))
	}
}

func TestInterruptedFetch(t *testing.T) {
	f := newFixture(t, nil)
	f.put(t, "media/x.wav", sound(16000, 440, 10*time.Second))
	reads := 0
	f.bucket.SetHook(func(_ context.Context, op storagetest.Op, _ string) error {
		if op == storagetest.OpRead {
			if reads++; reads == 3 {
				return storagetest.Outage(0)
			}
		}
		return nil
	})
	if _, err := f.Resolve(t.Context(), "x", nil); !errors.Is(err, storage.ErrUnavailable) || errors.Is(err, ErrBroken) {
		t.Errorf("interrupted: %v", err)
	}
	if files := f.files(t); len(files) != 0 {
		t.Errorf("it left %q", files)
	}
	f.resolve(t, "x")
}

func TestDiskFull(t *testing.T) {
	full := false
	f := newFixture(t, func(c *Config) {
		c.openTemp = func(dir string) (*os.File, error) {
			if full {
				// A link, because the cache removes what it could not fill.
				link := filepath.Join(dir, tempPrefix+"full")
				if err := os.Symlink("/dev/full", link); err != nil {
					return nil, err
				}
				return os.OpenFile(link, os.O_WRONLY, 0)
			}
			return os.CreateTemp(dir, tempPrefix+"*")
		}
	})
	f.put(t, "media/x.wav", sound(8000, 440, time.Second))
	f.put(t, "media/y.wav", sound(8000, 440, time.Second))
	x := f.resolve(t, "x")
	full = true
	_, err := f.Resolve(t.Context(), "y", nil)
	if !errors.Is(err, syscall.ENOSPC) || errors.Is(err, ErrBroken) || !strings.Contains(err.Error(), f.dir) {
		t.Errorf("full disk: %v", err)
	}
	if f.resolve(t, "x").Path != x.Path {
		t.Error("what was in the cache is disturbed")
	}
	full = false
	f.resolve(t, "y")
}

func TestLeastRecentlyUsedGoes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		one := int64(len(sound(8000, 1, time.Second)))
		f := newFixture(t, func(c *Config) { c.MaxBytes = 3 * one; c.Hold = time.Minute })
		for _, name := range []string{"a", "b", "c", "d", "e"} {
			f.put(t, "media/"+name+".wav", sound(8000, 440, time.Second))
		}
		paths := map[string]string{}
		for _, name := range []string{"a", "b", "c"} {
			paths[name] = f.resolve(t, name).Path
			time.Sleep(time.Second)
		}
		has := func(name string) bool {
			_, err := os.Stat(paths[name] + ".wav")
			return err == nil
		}
		paths["d"] = f.resolve(t, "d").Path
		if !has("a") || !has("b") || !has("c") || !has("d") {
			t.Error("a file in use was removed")
		}
		time.Sleep(2 * time.Minute)
		f.resolve(t, "a")
		paths["e"] = f.resolve(t, "e").Path
		if !has("a") || has("b") || has("c") || !has("d") || !has("e") {
			t.Errorf("left are a %v, b %v, c %v, d %v, e %v; want a, d and e", has("a"), has("b"), has("c"), has("d"), has("e"))
		}
		if f.store.bytes != 3*one {
			t.Errorf("counted %d bytes, want %d", f.store.bytes, 3*one)
		}
		f.resolve(t, "b")
	})
}

func TestRestart(t *testing.T) {
	f := newFixture(t, nil)
	f.put(t, "media/x.wav", sound(16000, 440, time.Second))
	f.put(t, "media/y.wav", sound(8000, 440, time.Second))
	f.put(t, "media/z.wav", sound(16000, 440, time.Second))
	x, y, z := f.resolve(t, "x"), f.resolve(t, "y"), f.resolve(t, "z")
	if _, err := f.Silence(t.Context(), time.Second); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenCache(Config{Bucket: f.bucket, Dir: f.dir}); err == nil || !strings.Contains(err.Error(), "in use") {
		t.Errorf("a second cache in the directory: %v", err)
	}
	f.close(t)
	for name, data := range map[string]string{
		".tmp-123": "half a file", ".tmp-9": "", "orphan.wav16": "x", "junk.wav": "RIFF", "silence/5.wav": "",
	} {
		if err := os.WriteFile(filepath.Join(f.dir, name), []byte(data), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Truncate(z.Path+".wav16", 1000); err != nil {
		t.Fatal(err)
	}
	gets := f.bucket.Count(storagetest.OpGet)
	f.open(t, nil)
	want := []string{filepath.Base(x.Path) + ".wav", filepath.Base(x.Path) + ".wav16", filepath.Base(y.Path) + ".wav"}
	slices.Sort(want)
	if files := f.files(t); !slices.Equal(files, want) {
		t.Errorf("left are %q, want %q", files, want)
	}
	if again := f.resolve(t, "x"); again != x {
		t.Errorf("adopted as %+v, was %+v", again, x)
	}
	f.resolve(t, "y")
	if n := f.bucket.Count(storagetest.OpGet) - gets; n != 0 {
		t.Errorf("%d fetches of what was there", n)
	}
	f.resolve(t, "z")
	if n := f.bucket.Count(storagetest.OpGet) - gets; n != 1 {
		t.Errorf("%d fetches of what was damaged", n)
	}
	if err := os.Remove(x.Path + ".wav"); err != nil { // By a hand, while running.
		t.Fatal(err)
	}
	readHeader(t, f.resolve(t, "x").Path+".wav")
}

func TestSilence(t *testing.T) {
	f := newFixture(t, nil)
	for _, asked := range []time.Duration{time.Millisecond, 19 * time.Millisecond, 20 * time.Millisecond, 250 * time.Millisecond, 3 * time.Second} {
		for range 2 {
			file, err := f.Silence(t.Context(), asked)
			if err != nil {
				t.Fatal(err)
			}
			d := max(asked, 20*time.Millisecond) // Asterisk plays nothing shorter.
			if h := readHeader(t, file.Path+".wav"); h.Duration() != d || file.Duration != d || h.SampleRate != 8000 {
				t.Errorf("%v: %+v, %+v", d, file, h)
			}
			if want := filepath.Join(f.dir, "silence", fmt.Sprint(d.Milliseconds())); file.Path != want {
				t.Errorf("it is %s, want %s", file.Path, want)
			}
		}
	}
	for _, d := range []time.Duration{0, -time.Second, time.Microsecond, time.Hour} {
		if _, err := f.Silence(t.Context(), d); err == nil {
			t.Errorf("%v was accepted", d)
		}
	}
}

func TestClosed(t *testing.T) {
	f := newFixture(t, nil)
	f.put(t, "media/x.wav", sound(8000, 440, 10*time.Millisecond))
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Resolve(t.Context(), "x", []string{"it"}); !errors.Is(err, errClosed) {
		t.Errorf("after Close: %v", err)
	}
	f.Cache = nil
}

func TestMetrics(t *testing.T) {
	f := newFixture(t, nil)
	f.put(t, "media/x.wav", sound(8000, 440, 10*time.Millisecond))
	f.put(t, "media/bad.wav", []byte("x"))
	f.resolve(t, "x")
	f.resolve(t, "x")
	_, _ = f.Resolve(t.Context(), "bad", nil)
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(f.Cache)
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	for _, family := range families {
		for _, metric := range family.GetMetric() {
			name := strings.TrimPrefix(family.GetName(), "asterism_media_cache_")
			for _, label := range metric.GetLabel() {
				name += " " + label.GetValue()
			}
			got[name] = metric.GetCounter().GetValue() + metric.GetGauge().GetValue()
		}
	}
	want := map[string]float64{
		"lookups_total hit": 1, "lookups_total miss": 2, "fetches_total ok": 1, "fetches_total broken": 1,
		"fetches_total failed": 0, "evictions_total": 0, "stale_total": 0, "sounds": 1, "bytes": 204,
	}
	if !maps.Equal(got, want) {
		t.Errorf("metrics are %v, want %v", got, want)
	}
}

func TestLibrary(t *testing.T) {
	bucket := storage.NewMemory()
	l := NewLibrary(bucket, audio.Limits{Duration: time.Minute})
	e, format, err := l.Put(t.Context(), "greetings/welcome.wav", "it_it", bytes.NewReader(sound(44100, 440, time.Second)))
	if err != nil {
		t.Fatal(err)
	}
	if e.Name != "it-IT/greetings/welcome" || e.Key != "media/it-IT/greetings/welcome.wav" || e.Duration != time.Second ||
		e.Size != 32044 || format.SampleRate != 44100 {
		t.Errorf("stored %+v from %+v", e, format)
	}
	if _, _, err := l.Put(t.Context(), "zzz", "", bytes.NewReader(sound(8000, 440, time.Second))); err != nil {
		t.Fatal(err)
	}
	if _, _, err := l.Put(t.Context(), "zzz", "", strings.NewReader("%PDF-1.7")); !errors.Is(err, audio.ErrUnsupported) {
		t.Errorf("a PDF: %v", err)
	}
	body, got, err := l.Get(t.Context(), "zzz", "")
	if err != nil {
		t.Fatal(err)
	}
	if h, err := wav.ReadHeader(body); err != nil || h.SampleRate != 8000 || got.Duration != time.Second {
		t.Errorf("stored as %+v, %+v, %v", h, got, err)
	}
	_ = body.Close()
	var names []string
	for e, err := range l.List(t.Context(), "") {
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, e.Name)
	}
	if !slices.Equal(names, []string{"it-IT/greetings/welcome", "zzz"}) {
		t.Errorf("listed %q", names)
	}
	if err := l.Remove(t.Context(), "greetings/welcome", ""); !errors.Is(err, ErrNotFound) {
		t.Errorf("removing the wrong language: %v", err)
	}
	if err := l.Remove(t.Context(), "greetings/welcome", "it-IT"); err != nil {
		t.Error(err)
	}
	if _, _, err := l.Get(t.Context(), "greetings/welcome", "it-IT"); !errors.Is(err, ErrNotFound) {
		t.Errorf("after removing: %v", err)
	}
}

func BenchmarkWarmResolve(b *testing.B) {
	bucket, err := storage.OpenDir(b.TempDir())
	if err != nil {
		b.Fatal(err)
	}
	defer bucket.Close()
	if _, err := bucket.Put(b.Context(), "media/greetings/welcome.wav", bytes.NewReader(sound(16000, 440, time.Second)), storage.PutOptions{}); err != nil {
		b.Fatal(err)
	}
	c, err := OpenCache(Config{Bucket: bucket, Dir: b.TempDir(), StaleIfError: DefaultStaleIfError})
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	for name, languages := range map[string][]string{"one key": nil, "two languages": {"it", "en"}} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if _, err := c.Resolve(b.Context(), "greetings/welcome", languages); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
