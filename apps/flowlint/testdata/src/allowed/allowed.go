// Package allowed is what flows may do.
package allowed

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"slices"
	"sort"
	"strconv"
	"strings"
	"text/template"
	"time"

	"asterism/apps"

	"example.com/lib"
)

const round = 3 * time.Second

var (
	errBusy  = errors.New("busy")
	digits   = regexp.MustCompile(`^\d+$`)
	greeting = template.Must(template.New("greeting").Parse("hello"))
	numbers  = map[string]int{"one": 1}
)

func Flow(ctx context.Context, env apps.Env, call apps.Call, req apps.Request) error {
	at, err := call.Now(ctx)
	if err != nil {
		return err
	}
	rome, err := time.LoadLocation("Europe/Rome")
	if err != nil {
		return err
	}
	hour := at.In(rome).Hour() + int(round.Seconds()) + int(at.Sub(time.Unix(0, 0).UTC()).Hours())
	env.Note(at.Format(time.RFC3339), "hour", hour, "month", time.March)
	for _, k := range slices.Sorted(maps.Keys(req.Vars)) {
		env.Note(k, "value", req.Vars[k])
	}
	for _, v := range slices.Sorted(maps.Values(req.Vars)) {
		env.Note(v)
	}
	copied := maps.Collect(maps.All(req.Vars))
	clear(copied)
	for range req.Vars { // no key, no order
		env.Note("one more")
	}
	for i := range lib.Limit {
		env.Note(strconv.Itoa(i + numbers["one"]))
	}
	sort.Strings(req.Sounds)
	n, err := call.Random(ctx, 10)
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, os.ErrNotExist), errors.Is(err, fs.ErrNotExist), errors.Is(err, errBusy),
		errors.Is(err, context.Canceled):
		return fmt.Errorf("drawing: %w", err)
	case err != nil:
		return errors.New(err.Error())
	}
	var buf bytes.Buffer
	if err := greeting.Execute(&buf, n); err != nil {
		return err
	}
	u, err := url.Parse("http://example.com")
	if err != nil {
		return err
	}
	sum := sha256.Sum256([]byte(u.String()))
	raw, err := json.Marshal(struct{ Code int }{http.StatusOK})
	if err != nil || digits.MatchString(string(raw)) {
		return err
	}
	if net.ParseIP("127.0.0.1").IsLoopback() {
		env.Note(http.StatusText(http.StatusTeapot), "sum", sum[:])
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%d", n)
	ctx = context.WithValue(ctx, key{}, b.String())
	ctx, cancel := context.WithDeadline(ctx, at.Add(round))
	defer cancel()
	_, err = call.Pause(ctx, round, "1")
	return err
}

type key struct{}
