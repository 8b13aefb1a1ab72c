package storagetest

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"asterism/storage"
)

func list(t *testing.T, ctx context.Context, b storage.Bucket, prefix string, opts storage.ListOptions) []string {
	t.Helper()
	var keys []string
	for info, err := range b.List(ctx, prefix, opts) {
		if err != nil {
			t.Fatalf("List(%q): %v", prefix, err)
		}
		keys = append(keys, info.Key)
	}
	return keys
}

var listKeys = []string{
	"a", "a!", "b-1/x", "b.txt", "b/1", "b/10", "b/2", "b/c/1", "b/c/2", "b0", "c/d/e/f", "ä",
}

func putAll(t *testing.T, ctx context.Context, b storage.Bucket, keys []string) map[string]storage.Info {
	t.Helper()
	infos := map[string]storage.Info{}
	for _, i := range slices.Backward(keys) {
		infos[i] = put(t, ctx, b, i, "body "+i)
	}
	return infos
}

func testListOrder(t *testing.T, ctx context.Context, b storage.Bucket) {
	t.Helper()
	if keys := list(t, ctx, b, "", storage.ListOptions{}); len(keys) != 0 {
		t.Errorf("an empty bucket lists %q", keys)
	}
	infos := putAll(t, ctx, b, listKeys)
	if got := list(t, ctx, b, "", storage.ListOptions{}); !slices.Equal(got, listKeys) {
		t.Errorf("listed %q, want %q", got, listKeys)
	}
	for info, err := range b.List(ctx, "", storage.ListOptions{}) {
		want := infos[info.Key]
		if err != nil || info.ETag != want.ETag || info.Size != want.Size || info.Modified.IsZero() {
			t.Errorf("listed %+v (%v), Put said %+v", info, err, want)
		}
	}
}

func testListPrefixes(t *testing.T, ctx context.Context, b storage.Bucket) {
	t.Helper()
	putAll(t, ctx, b, listKeys)
	for _, prefix := range []string{"a", "b", "b/", "b/1", "b/c", "b/c/", "b/c/1", "b-", "c", "c/d/", "d", "b/d/", "b/1/", "ä", "a!", ".", "b/."} {
		var want []string
		for _, key := range listKeys {
			if len(key) >= len(prefix) && key[:len(prefix)] == prefix {
				want = append(want, key)
			}
		}
		if got := list(t, ctx, b, prefix, storage.ListOptions{}); !slices.Equal(got, want) {
			t.Errorf("prefix %q lists %q, want %q", prefix, got, want)
		}
	}
}

func testListPages(t *testing.T, ctx context.Context, b storage.Bucket) {
	t.Helper()
	putAll(t, ctx, b, listKeys)
	for limit := 1; limit <= len(listKeys)+1; limit++ {
		var got []string
		for {
			opts := storage.ListOptions{Limit: limit}
			if len(got) > 0 {
				opts.After = got[len(got)-1]
			}
			page := list(t, ctx, b, "", opts)
			if len(page) > limit {
				t.Fatalf("a page of %d has %d", limit, len(page))
			}
			if len(page) == 0 {
				break
			}
			got = append(got, page...)
		}
		if !slices.Equal(got, listKeys) {
			t.Errorf("in pages of %d: %q, want %q", limit, got, listKeys)
		}
	}
	for _, c := range []struct {
		prefix, after string
		want          []string
	}{
		{"", "b/15", []string{"b/2", "b/c/1", "b/c/2", "b0", "c/d/e/f", "ä"}},
		{"b/", "b/c", []string{"b/c/1", "b/c/2"}},
		{"b/", "b/c/1", []string{"b/c/2"}},
		{"b/", "a", []string{"b/1", "b/10", "b/2", "b/c/1", "b/c/2"}},
		{"b/", "b/zzz", nil},
		{"b/", "z", nil},
	} {
		if got := list(t, ctx, b, c.prefix, storage.ListOptions{After: c.after}); !slices.Equal(got, c.want) {
			t.Errorf("prefix %q after %q: %q, want %q", c.prefix, c.after, got, c.want)
		}
	}
}

func testListMany(t *testing.T, ctx context.Context, b storage.Bucket) {
	t.Helper()
	const n = 1100 // One more page than S3 gives at once.
	for i := range n {
		put(t, ctx, b, fmt.Sprintf("many/%04d", i), "x")
	}
	keys := list(t, ctx, b, "many/", storage.ListOptions{})
	if len(keys) != n || !slices.IsSorted(keys) {
		t.Errorf("listed %d, sorted %v", len(keys), slices.IsSorted(keys))
	}
	if keys = list(t, ctx, b, "many/", storage.ListOptions{Limit: 1050}); len(keys) != 1050 || keys[1049] != "many/1049" {
		t.Errorf("with a limit: %d", len(keys))
	}
}

func testListStops(t *testing.T, ctx context.Context, b storage.Bucket) {
	t.Helper()
	putAll(t, ctx, b, listKeys)
	n := 0
	for _, err := range b.List(ctx, "", storage.ListOptions{}) {
		if err != nil {
			t.Fatal(err)
		}
		if n++; n == 3 {
			break
		}
	}
	if n != 3 {
		t.Errorf("stopped after %d", n)
	}
	if err := b.Delete(ctx, listKeys[0]); err != nil {
		t.Error(err)
	}
}
