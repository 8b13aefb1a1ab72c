package storagetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"asterism/storage"
)

const caseTimeout = 2 * time.Minute

// Conformance runs everything the documentation of storage.Bucket promises
// against the buckets that open returns. Each case gets an empty bucket of its
// own; open registers its clean-up with t.
func Conformance(t *testing.T, open func(t *testing.T) storage.Bucket) {
	t.Helper()
	cases := []struct {
		name string
		run  func(t *testing.T, ctx context.Context, b storage.Bucket)
	}{
		{"round trip", testRoundTrip},
		{"metadata", testMetadata},
		{"overwrite", testOverwrite},
		{"missing object", testMissing},
		{"delete", testDelete},
		{"ranges", testRanges},
		{"read one version", testGetIfMatch},
		{"reader keeps its version", testOpenReader},
		{"large streams", testLarge},
		{"failing source", testFailingSource},
		{"announced size", testAnnouncedSize},
		{"invalid keys", testInvalidKeys},
		{"odd keys", testOddKeys},
		{"create only", testIfNoneMatch},
		{"compare and swap", testIfMatch},
		{"large conditional writes", testLargeConditional},
		{"one creator wins", testCreateRace},
		{"one swapper wins", testSwapRace},
		{"probe", testProbe},
		{"list order", testListOrder},
		{"list pages", testListPages},
		{"list prefixes", testListPrefixes},
		{"list a thousand", testListMany},
		{"list stops early", testListStops},
		{"cancelled context", testCancelled},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), caseTimeout)
			defer cancel()
			c.run(t, ctx, open(t))
		})
	}
}

func put(t *testing.T, ctx context.Context, b storage.Bucket, key, body string) storage.Info {
	t.Helper()
	info, err := b.Put(ctx, key, strings.NewReader(body), storage.PutOptions{})
	if err != nil {
		t.Fatalf("Put(%q): %v", key, err)
	}
	return info
}

func get(t *testing.T, ctx context.Context, b storage.Bucket, key string, opts storage.GetOptions) (string, storage.Info) {
	t.Helper()
	body, info, err := b.Get(ctx, key, opts)
	if err != nil {
		t.Fatalf("Get(%q): %v", key, err)
	}
	data, err := io.ReadAll(body)
	if err = errors.Join(err, body.Close()); err != nil {
		t.Fatalf("reading %q: %v", key, err)
	}
	return string(data), info
}

func wantErr(t *testing.T, what string, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Fatalf("%s: error is %v, want %v", what, err, want)
	}
	for _, other := range []error{storage.ErrNotFound, storage.ErrPrecondition, storage.ErrInvalidKey, storage.ErrUnavailable} {
		if !errors.Is(want, other) && errors.Is(err, other) {
			t.Fatalf("%s: error %v is also %v", what, err, other)
		}
	}
}

func testRoundTrip(t *testing.T, ctx context.Context, b storage.Bucket) {
	t.Helper()
	for _, body := range []string{"", "x", "hello, world", strings.Repeat("0123456789abcdef", 4096)} {
		for _, size := range []int64{0, int64(len(body))} {
			key := fmt.Sprintf("round/%d/%d", len(body), size)
			before := time.Now().Add(-2 * time.Second)
			// A reader without Seek or WriteTo, as a network gives it.
			written, err := b.Put(ctx, key, iotest.OneByteReader(strings.NewReader(body)), storage.PutOptions{Size: size})
			if err != nil {
				t.Fatal(err)
			}
			stat, err := b.Stat(ctx, key)
			if err != nil {
				t.Fatal(err)
			}
			data, read := get(t, ctx, b, key, storage.GetOptions{})
			if data != body {
				t.Errorf("%s: read %d bytes, wrote %d", key, len(data), len(body))
			}
			for name, info := range map[string]storage.Info{"Put": written, "Stat": stat, "Get": read} {
				if info.Key != key || info.Size != int64(len(body)) || info.ETag == "" || info.ETag != written.ETag {
					t.Errorf("%s(%s) = %+v, want the ETag %q and the size %d", name, key, info, written.ETag, len(body))
				}
				if info.Modified.Before(before) || info.Modified.After(time.Now().Add(2*time.Second)) {
					t.Errorf("%s(%s) says it was modified at %v, it is %v", name, key, info.Modified, time.Now())
				}
				if strings.ContainsAny(info.ETag, `"`) {
					t.Errorf("ETag %s has quotes", info.ETag)
				}
			}
		}
	}
}

func testMetadata(t *testing.T, ctx context.Context, b storage.Bucket) {
	t.Helper()
	metadata := map[string]string{"caller": "+49 30 1234", "duration-ms": "2500"}
	opts := storage.PutOptions{ContentType: "audio/x-special", Metadata: metadata}
	written, err := b.Put(ctx, "m/one", strings.NewReader("1"), opts)
	if err != nil {
		t.Fatal(err)
	}
	stat, err := b.Stat(ctx, "m/one")
	if err != nil {
		t.Fatal(err)
	}
	_, read := get(t, ctx, b, "m/one", storage.GetOptions{Offset: 1})
	for name, info := range map[string]storage.Info{"Put": written, "Stat": stat, "Get": read} {
		if info.ContentType != "audio/x-special" || !maps.Equal(info.Metadata, metadata) {
			t.Errorf("%s: %q %v, want what was written", name, info.ContentType, info.Metadata)
		}
	}
	put(t, ctx, b, "m/one", "2") // Metadata belongs to a version, not to a key.
	if stat, err = b.Stat(ctx, "m/one"); err != nil || len(stat.Metadata) != 0 || stat.ContentType == "audio/x-special" {
		t.Errorf("the new version has the metadata of the old one: %+v, %v", stat, err)
	}
	put(t, ctx, b, "m/two.wav", "3")
	if stat, err = b.Stat(ctx, "m/two.wav"); err != nil || stat.ContentType != "audio/wav" {
		t.Errorf("content type of a .wav is %q, %v", stat.ContentType, err)
	}
	for _, bad := range []map[string]string{{"Caller": "x"}, {"a b": "x"}, {"": "x"}, {"a": ""}, {"a": "x\r\ny: z"}, {"a": "ü"}, {"a": strings.Repeat("x", 3000)}} {
		if _, err := b.Put(ctx, "m/bad", strings.NewReader(""), storage.PutOptions{Metadata: bad}); err == nil {
			t.Errorf("metadata %.40q was accepted", fmt.Sprint(bad))
		}
	}
	_, err = b.Stat(ctx, "m/bad")
	wantErr(t, "after refused metadata", err, storage.ErrNotFound)
}

func testOverwrite(t *testing.T, ctx context.Context, b storage.Bucket) {
	t.Helper()
	seen := map[string]bool{}
	for i := range 20 {
		body := fmt.Sprintf("version %02d", i)
		info := put(t, ctx, b, "o/x", body)
		if seen[info.ETag] {
			t.Fatalf("version %d has the ETag of an earlier one: %s", i, info.ETag)
		}
		seen[info.ETag] = true
		if data, _ := get(t, ctx, b, "o/x", storage.GetOptions{}); data != body {
			t.Fatalf("read %q after writing %q", data, body)
		}
	}
}

func testMissing(t *testing.T, ctx context.Context, b storage.Bucket) {
	t.Helper()
	put(t, ctx, b, "there/is/one", "x")
	for _, key := range []string{"nothing", "there/is/two", "there/is", "there"} {
		_, err := b.Stat(ctx, key)
		wantErr(t, "Stat "+key, err, storage.ErrNotFound)
		_, _, err = b.Get(ctx, key, storage.GetOptions{})
		wantErr(t, "Get "+key, err, storage.ErrNotFound)
		if !strings.Contains(err.Error(), key) {
			t.Errorf("error %q does not name the key", err)
		}
	}
}

func testDelete(t *testing.T, ctx context.Context, b storage.Bucket) {
	t.Helper()
	put(t, ctx, b, "d/a/1", "x")
	put(t, ctx, b, "d/a/2", "x")
	for range 2 { // The second time there is nothing to delete.
		if err := b.Delete(ctx, "d/a/1"); err != nil {
			t.Fatal(err)
		}
	}
	_, err := b.Stat(ctx, "d/a/1")
	wantErr(t, "Stat", err, storage.ErrNotFound)
	if err := b.Delete(ctx, "d/a/2"); err != nil {
		t.Fatal(err)
	}
	if err := b.Delete(ctx, "never/was"); err != nil {
		t.Fatal(err)
	}
	if keys := list(t, ctx, b, "", storage.ListOptions{}); len(keys) != 0 {
		t.Errorf("after deleting all, %v is left", keys)
	}
	put(t, ctx, b, "d/a", "an object where a directory was")
	put(t, ctx, b, "d/b", "x")
}

func testRanges(t *testing.T, ctx context.Context, b storage.Bucket) {
	t.Helper()
	const body = "0123456789"
	written := put(t, ctx, b, "r", body)
	put(t, ctx, b, "empty", "")
	for _, c := range []struct {
		key            string
		offset, length int64
		want           string
	}{
		{"r", 0, 0, body},
		{"r", 0, 3, "012"},
		{"r", 3, 0, "3456789"},
		{"r", 3, 4, "3456"},
		{"r", 9, 1, "9"},
		{"r", 8, 100, "89"},
		{"r", 10, 0, ""},
		{"r", 10, 5, ""},
		{"r", 1000, 0, ""},
		{"r", 0, 1, "0"},
		{"empty", 0, 0, ""},
		{"empty", 5, 0, ""},
		{"empty", 0, 5, ""},
	} {
		data, info := get(t, ctx, b, c.key, storage.GetOptions{Offset: c.offset, Length: c.length})
		if data != c.want {
			t.Errorf("%s from %d, %d bytes: %q, want %q", c.key, c.offset, c.length, data, c.want)
		}
		if c.key == "r" && (info.Size != 10 || info.ETag != written.ETag) {
			t.Errorf("from %d, %d bytes: info %+v does not describe the whole object", c.offset, c.length, info)
		}
	}
	for _, o := range []storage.GetOptions{{Offset: -1}, {Length: -1}} {
		if _, _, err := b.Get(ctx, "r", o); err == nil {
			t.Errorf("%+v was accepted", o)
		}
	}
}

func testGetIfMatch(t *testing.T, ctx context.Context, b storage.Bucket) {
	t.Helper()
	one := put(t, ctx, b, "g", "one")
	two := put(t, ctx, b, "g", "two")
	_, _, err := b.Get(ctx, "g", storage.GetOptions{IfMatch: one.ETag})
	wantErr(t, "Get of a version that is gone", err, storage.ErrPrecondition)
	if data, _ := get(t, ctx, b, "g", storage.GetOptions{IfMatch: two.ETag, Offset: 1}); data != "wo" {
		t.Errorf("read %q", data)
	}
	_, _, err = b.Get(ctx, "gone", storage.GetOptions{IfMatch: one.ETag})
	wantErr(t, "Get of an object that is gone", err, storage.ErrNotFound)
	_, _, err = b.Get(ctx, "g", storage.GetOptions{IfMatch: one.ETag, Offset: 100})
	wantErr(t, "Get past the end of a version that is gone", err, storage.ErrPrecondition)
}

func testOpenReader(t *testing.T, ctx context.Context, b storage.Bucket) {
	t.Helper()
	body := strings.Repeat("old ", 100_000)
	put(t, ctx, b, "v", body)
	r, _, err := b.Get(ctx, "v", storage.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = r.Close() }()
	head := make([]byte, 10)
	if _, err := io.ReadFull(r, head); err != nil {
		t.Fatal(err)
	}
	put(t, ctx, b, "v", strings.Repeat("new ", 100_000))
	rest, err := io.ReadAll(r)
	if err != nil || string(head)+string(rest) != body {
		t.Errorf("a reader saw two versions mixed (error %v)", err)
	}
}

// pattern yields n bytes that do not repeat with any buffer size.
func pattern(n int64, seed uint64) io.Reader {
	var key [32]byte
	key[0] = byte(seed)
	return io.LimitReader(rand.NewChaCha8(key), n)
}

func testLarge(t *testing.T, ctx context.Context, b storage.Bucket) {
	t.Helper()
	for i, size := range []int64{8 << 20, 8<<20 + 1, 17 << 20} {
		for _, announced := range []int64{0, size} {
			key := fmt.Sprintf("large/%d-%d", size, announced)
			// The wrapper hides everything but Read.
			body := struct{ io.Reader }{pattern(size, uint64(i))}
			info, err := b.Put(ctx, key, body, storage.PutOptions{Size: announced, Metadata: map[string]string{"n": "1"}})
			if err != nil {
				t.Fatalf("%s: %v", key, err)
			}
			if info.Size != size {
				t.Errorf("%s: size is %d", key, info.Size)
			}
			r, read, err := b.Get(ctx, key, storage.GetOptions{})
			if err != nil {
				t.Fatal(err)
			}
			if err := equalStreams(r, pattern(size, uint64(i))); err != nil {
				t.Errorf("%s: %v", key, err)
			}
			_ = r.Close()
			if read.ETag != info.ETag || read.Metadata["n"] != "1" {
				t.Errorf("%s: Get says %+v, Put said %+v", key, read, info)
			}
		}
	}
}

func equalStreams(a, b io.Reader) error {
	bufA, bufB := make([]byte, 64<<10), make([]byte, 64<<10)
	for at := 0; ; {
		n, errA := io.ReadFull(a, bufA)
		m, errB := io.ReadFull(b, bufB)
		if n != m || !bytes.Equal(bufA[:n], bufB[:m]) {
			return fmt.Errorf("differs in the 64 KiB from %d (%d and %d bytes)", at, n, m)
		}
		at += n
		if errA != nil || errB != nil {
			if errors.Is(errA, io.ErrUnexpectedEOF) || errors.Is(errA, io.EOF) {
				return nil
			}
			return errors.Join(errA, errB)
		}
	}
}

func testFailingSource(t *testing.T, ctx context.Context, b storage.Bucket) {
	t.Helper()
	broken := errors.New("the microphone is unplugged")
	for _, before := range []int64{0, 100, 10 << 20} {
		body := io.MultiReader(pattern(before, 1), iotest.ErrReader(broken))
		_, err := b.Put(ctx, "f", body, storage.PutOptions{})
		wantErr(t, fmt.Sprintf("source fails after %d bytes", before), err, broken)
		_, err = b.Stat(ctx, "f")
		wantErr(t, "Stat afterwards", err, storage.ErrNotFound)
	}
	put(t, ctx, b, "f", "good")
	_, err := b.Put(ctx, "f", iotest.ErrReader(broken), storage.PutOptions{})
	wantErr(t, "overwriting", err, broken)
	if data, _ := get(t, ctx, b, "f", storage.GetOptions{}); data != "good" {
		t.Errorf("a failed write left %q", data)
	}
}

func testAnnouncedSize(t *testing.T, ctx context.Context, b storage.Bucket) {
	t.Helper()
	for _, size := range []int64{1, 9, 11, 20 << 20} {
		if _, err := b.Put(ctx, "s", strings.NewReader("0123456789"), storage.PutOptions{Size: size}); err == nil {
			t.Errorf("10 bytes were accepted as %d", size)
		} else if errors.Is(err, storage.ErrUnavailable) {
			t.Errorf("10 bytes as %d: %v", size, err)
		}
	}
	if _, err := b.Put(ctx, "s", pattern(10<<20, 1), storage.PutOptions{Size: 9 << 20}); err == nil {
		t.Error("10 MiB were accepted as 9")
	}
	_, err := b.Stat(ctx, "s")
	wantErr(t, "Stat afterwards", err, storage.ErrNotFound)
}

// InvalidKeys are refused by every method of every bucket.
var InvalidKeys = []string{
	"", "/", "/a", "a/", "a//b", ".", "..", "../a", "a/..", "a/../b", "a/./b", "./a", "a\x00b", "a\nb", "a\rb", "a\x7fb", "a\u0085b",
	"a\u2028b", "\xff", "a/\xc3\x28", `a\b`, `..\a`, strings.Repeat("x", 256), strings.Repeat("abcdefgh/", 120) + "x", ".asterism", ".asterism/tmp/x",
}

func testInvalidKeys(t *testing.T, ctx context.Context, b storage.Bucket) {
	t.Helper()
	for _, key := range InvalidKeys {
		_, err := b.Put(ctx, key, strings.NewReader("x"), storage.PutOptions{})
		wantErr(t, fmt.Sprintf("Put %.40q", key), err, storage.ErrInvalidKey)
		_, err = b.Stat(ctx, key)
		wantErr(t, fmt.Sprintf("Stat %.40q", key), err, storage.ErrInvalidKey)
		_, _, err = b.Get(ctx, key, storage.GetOptions{})
		wantErr(t, fmt.Sprintf("Get %.40q", key), err, storage.ErrInvalidKey)
		wantErr(t, fmt.Sprintf("Delete %.40q", key), b.Delete(ctx, key), storage.ErrInvalidKey)
	}
	for _, prefix := range []string{"/", "../", "a/../", "a//", "\xff", ".asterism/", "..", "a/../b"} {
		var err error
		for _, err = range b.List(ctx, prefix, storage.ListOptions{}) {
			break
		}
		if prefix != ".." { // ".." may begin "..a".
			wantErr(t, fmt.Sprintf("List %q", prefix), err, storage.ErrInvalidKey)
		}
	}
	if keys := list(t, ctx, b, "", storage.ListOptions{}); len(keys) != 0 {
		t.Errorf("refused keys left %q", keys)
	}
}

func testOddKeys(t *testing.T, ctx context.Context, b storage.Bucket) {
	t.Helper()
	keys := []string{
		"a b", "a+b", "ä/ö/ü", "日本語", "a&b=c?d#e", "%2e%2e/x", "a..b", "...", ".hidden", "a/.b", "'\"<>|*:;", "~", "x/" + strings.Repeat("y", 255), "e\u0301",
	}
	for _, key := range keys {
		put(t, ctx, b, key, "body of "+key)
	}
	for _, key := range keys {
		if data, info := get(t, ctx, b, key, storage.GetOptions{}); data != "body of "+key || info.Key != key {
			t.Errorf("%q holds %q, info %+v", key, data, info)
		}
	}
	slices.Sort(keys)
	if got := list(t, ctx, b, "", storage.ListOptions{}); !slices.Equal(got, keys) {
		t.Errorf("listed %q, want %q", got, keys)
	}
}

func testCancelled(t *testing.T, ctx context.Context, b storage.Bucket) {
	t.Helper()
	put(t, ctx, b, "c", "x")
	ctx, cancel := context.WithCancel(ctx)
	cancel()
	_, err := b.Stat(ctx, "c")
	wantErr(t, "Stat", err, context.Canceled)
	_, _, err = b.Get(ctx, "c", storage.GetOptions{})
	wantErr(t, "Get", err, context.Canceled)
	_, err = b.Put(ctx, "c", strings.NewReader("y"), storage.PutOptions{})
	wantErr(t, "Put", err, context.Canceled)
	wantErr(t, "Delete", b.Delete(ctx, "c"), context.Canceled)
	for _, err = range b.List(ctx, "", storage.ListOptions{}) {
		break
	}
	wantErr(t, "List", err, context.Canceled)
	if data, _ := get(t, context.WithoutCancel(ctx), b, "c", storage.GetOptions{}); data != "x" {
		t.Errorf("a cancelled call changed the object to %q", data)
	}
}
