package chaos

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"asterism/e2e/phone"
)

// listen calls once for each prompt, all at the same time; each must be heard.
func (r *round) listen(ctx context.Context, numbers []int) error {
	ph, err := phone.New(phone.Options{})
	if err != nil {
		return err
	}
	r.began = time.Now()
	errs := make([]error, len(numbers))
	var all sync.WaitGroup
	for i, n := range numbers {
		all.Go(func() {
			c := &callPlan{n: n, kind: single, items: []int{n}, loops: 1}
			if n >= shortPrompts { // its beginning is enough
				c.kind, c.hangs = leaves, time.Second
			}
			p := r.place(ctx, ph, c)
			v, heard := judge(p, window{fault: r.plan.fault}, r.prompts)
			if len(v.Problems) > 0 {
				errs[i] = fmt.Errorf("the prompt %s, without any fault: %s; heard %v in %.1f s", promptName(n), strings.Join(v.Problems, "; "), heard, float64(len(p.heard))/8000)
			}
		})
	}
	all.Wait()
	return errors.Join(errors.Join(errs...), ph.Close()) //nolint:contextcheck // closing has a bound of its own.
}

// clean waits until nothing is left of a round's calls, and says what is.
func (s *suite) clean(ctx context.Context, r *round) []string {
	ctx, cancel := context.WithTimeout(ctx, cleanWithin)
	defer cancel()
	for {
		left := s.left(ctx, r)
		if len(left) == 0 || !sleep(ctx, 100*time.Millisecond, nil) {
			return left
		}
	}
}

// left says what there is of calls.
func (s *suite) left(ctx context.Context, r *round) []string {
	var left []string
	out, err := s.stack.Asterisk(1).Command(ctx, "core show channels count")
	var channels int
	if _, scanErr := fmt.Sscanf(out, "%d active channel", &channels); err == nil && scanErr == nil && channels > 0 {
		left = append(left, fmt.Sprintf("%d channels of Asterisk", channels))
	}
	if n, err := metric(ctx, r.stack.Process("gateway-1").URL(), "asterism_calls"); err != nil {
		left = append(left, err.Error())
	} else if n > 0 {
		left = append(left, fmt.Sprintf("%.0f calls of the gateway", n))
	}
	logs, err := filepath.Glob(filepath.Join(s.o.Dir, "run", "asterisk-1", "spool", "sessions", "*"))
	if err != nil {
		return append(left, err.Error())
	}
	for _, name := range logs {
		info, err := os.Stat(name)
		if errors.Is(err, fs.ErrNotExist) || err == nil && info.IsDir() {
			continue
		}
		left = append(left, "the session log "+filepath.Base(name))
	}
	return left
}

// metric is the sum of a metric over its labels.
func metric(ctx context.Context, url, name string) (float64, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"/metrics", http.NoBody)
	if err != nil {
		return 0, err
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err != nil {
		return 0, fmt.Errorf("metrics: %w", err)
	}
	defer resp.Body.Close()
	sum := 0.0
	lines := bufio.NewScanner(io.LimitReader(resp.Body, 16<<20))
	for lines.Scan() {
		line := lines.Text()
		if !strings.HasPrefix(line, name+"{") && !strings.HasPrefix(line, name+" ") {
			continue
		}
		v, err := strconv.ParseFloat(line[strings.LastIndex(line, " ")+1:], 64)
		if err != nil {
			return 0, fmt.Errorf("metric %s: %w", name, err)
		}
		sum += v
	}
	return sum, lines.Err()
}
