package storagetest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"

	"asterism/storage"
)

const (
	raceRounds  = 200
	raceWriters = 8
)

func testIfNoneMatch(t *testing.T, ctx context.Context, b storage.Bucket) {
	t.Helper()
	create := storage.PutOptions{IfNoneMatch: "*"}
	first, err := b.Put(ctx, "n/x", strings.NewReader("first"), create)
	if err != nil {
		t.Fatal(err)
	}
	_, err = b.Put(ctx, "n/x", strings.NewReader("second"), create)
	wantErr(t, "second create", err, storage.ErrPrecondition)
	if data, info := get(t, ctx, b, "n/x", storage.GetOptions{}); data != "first" || info.ETag != first.ETag {
		t.Errorf("the second create changed it to %q", data)
	}
	if err := b.Delete(ctx, "n/x"); err != nil {
		t.Fatal(err)
	}
	if _, err = b.Put(ctx, "n/x", strings.NewReader("third"), create); err != nil {
		t.Errorf("create after delete: %v", err)
	}
	if _, err = b.Put(ctx, "n/y", strings.NewReader(""), storage.PutOptions{IfNoneMatch: "abc"}); err == nil {
		t.Error("an IfNoneMatch other than * was accepted")
	}
	if _, err = b.Put(ctx, "n/y", strings.NewReader(""), storage.PutOptions{IfNoneMatch: "*", IfMatch: "abc"}); err == nil {
		t.Error("two conditions were accepted")
	}
}

func testIfMatch(t *testing.T, ctx context.Context, b storage.Bucket) {
	t.Helper()
	one := put(t, ctx, b, "i/x", "one")
	two, err := b.Put(ctx, "i/x", strings.NewReader("two"), storage.PutOptions{IfMatch: one.ETag})
	if err != nil {
		t.Fatal(err)
	}
	_, err = b.Put(ctx, "i/x", strings.NewReader("late"), storage.PutOptions{IfMatch: one.ETag})
	wantErr(t, "swap of an old version", err, storage.ErrPrecondition)
	if data, info := get(t, ctx, b, "i/x", storage.GetOptions{}); data != "two" || info.ETag != two.ETag {
		t.Errorf("a lost swap changed it to %q", data)
	}
	_, err = b.Put(ctx, "i/none", strings.NewReader("x"), storage.PutOptions{IfMatch: one.ETag})
	wantErr(t, "swap of a missing object", err, storage.ErrPrecondition)
	_, err = b.Stat(ctx, "i/none")
	wantErr(t, "Stat afterwards", err, storage.ErrNotFound)
}

// testLargeConditional writes bodies of several upload parts: S3 judges the
// condition when the parts are put together.
func testLargeConditional(t *testing.T, ctx context.Context, b storage.Bucket) {
	t.Helper()
	large := func(seed uint64) io.Reader { return pattern(9<<20, seed) }
	one, err := b.Put(ctx, "l", large(1), storage.PutOptions{IfNoneMatch: "*"})
	if err != nil {
		t.Fatal(err)
	}
	_, err = b.Put(ctx, "l", large(2), storage.PutOptions{IfNoneMatch: "*"})
	wantErr(t, "second create", err, storage.ErrPrecondition)
	two, err := b.Put(ctx, "l", large(3), storage.PutOptions{IfMatch: one.ETag})
	if err != nil {
		t.Fatal(err)
	}
	_, err = b.Put(ctx, "l", large(4), storage.PutOptions{IfMatch: one.ETag})
	wantErr(t, "swap of an old version", err, storage.ErrPrecondition)

	// The object changes while the upload is under way.
	body := io.MultiReader(large(5), &hookReader{hook: func() error {
		_, err := b.Put(ctx, "l", strings.NewReader("quick"), storage.PutOptions{IfMatch: two.ETag})
		return err
	}})
	_, err = b.Put(ctx, "l", body, storage.PutOptions{IfMatch: two.ETag})
	wantErr(t, "swap overtaken by another", err, storage.ErrPrecondition)
	if data, _ := get(t, ctx, b, "l", storage.GetOptions{Length: 10}); data != "quick" {
		t.Errorf("the slow upload won: %q", data)
	}
	body = io.MultiReader(large(6), &hookReader{hook: func() error {
		_, err := b.Put(ctx, "new", strings.NewReader("quick"), storage.PutOptions{IfNoneMatch: "*"})
		return err
	}})
	_, err = b.Put(ctx, "new", body, storage.PutOptions{IfNoneMatch: "*"})
	wantErr(t, "create overtaken by another", err, storage.ErrPrecondition)
}

// hookReader is an empty reader that does something when it is reached.
type hookReader struct {
	hook func() error
	done bool
}

func (r *hookReader) Read([]byte) (int, error) {
	if !r.done {
		r.done = true
		if err := r.hook(); err != nil {
			return 0, err
		}
	}
	return 0, io.EOF
}

func testCreateRace(t *testing.T, ctx context.Context, b storage.Bucket) {
	t.Helper()
	for round := range raceRounds {
		key := fmt.Sprintf("race/create/%03d", round)
		race(t, ctx, b, key, storage.PutOptions{IfNoneMatch: "*"})
	}
}

func testSwapRace(t *testing.T, ctx context.Context, b storage.Bucket) {
	t.Helper()
	etag := put(t, ctx, b, "race/swap", "start").ETag
	for range raceRounds {
		etag = race(t, ctx, b, "race/swap", storage.PutOptions{IfMatch: etag})
	}
}

// race lets all writers try the same conditional write and returns the ETag of
// the one that won.
func race(t *testing.T, ctx context.Context, b storage.Bucket, key string, opts storage.PutOptions) string {
	t.Helper()
	var wg sync.WaitGroup
	infos, errs := make([]storage.Info, raceWriters), make([]error, raceWriters)
	start := make(chan struct{})
	for i := range raceWriters {
		wg.Go(func() {
			<-start
			infos[i], errs[i] = b.Put(ctx, key, strings.NewReader(fmt.Sprintf("writer %d of %s %s", i, key, opts.IfMatch)), opts)
		})
	}
	close(start)
	wg.Wait()
	winner := -1
	for i, err := range errs {
		switch {
		case err == nil && winner >= 0:
			t.Fatalf("%s: writers %d and %d both won", key, winner, i)
		case err == nil:
			winner = i
		case !errors.Is(err, storage.ErrPrecondition):
			t.Fatalf("%s: writer %d: %v", key, i, err)
		}
	}
	if winner < 0 {
		t.Fatalf("%s: nobody won: %v", key, errors.Join(errs...))
	}
	data, info := get(t, ctx, b, key, storage.GetOptions{})
	if !strings.HasPrefix(data, fmt.Sprintf("writer %d ", winner)) || info.ETag != infos[winner].ETag {
		t.Fatalf("%s: writer %d won, but it holds %q", key, winner, data)
	}
	return info.ETag
}

func testProbe(t *testing.T, ctx context.Context, b storage.Bucket) {
	t.Helper()
	if err := storage.ProbeConditional(ctx, b); err != nil {
		t.Fatal(err)
	}
	if keys := list(t, ctx, b, "", storage.ListOptions{}); len(keys) != 0 {
		t.Errorf("the probe left %q", keys)
	}
}
