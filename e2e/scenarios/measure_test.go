//go:build e2e

package scenarios

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// get fetches a page of a process.
func get(t *testing.T, url string) (int, string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(body), err
}

// metric is the sum of a metric over its labels, 0 when there is none.
func (p *platform) metric(t *testing.T, process, name string) float64 {
	t.Helper()
	_, page, err := get(t, p.Process(process).URL()+"/metrics")
	if err != nil {
		t.Fatal(err)
	}
	sum := 0.0
	lines := bufio.NewScanner(strings.NewReader(page))
	for lines.Scan() {
		line := lines.Text() // name{label="…"} value
		if !strings.HasPrefix(line, name+"{") && !strings.HasPrefix(line, name+" ") {
			continue
		}
		v, err := strconv.ParseFloat(line[strings.LastIndex(line, " ")+1:], 64)
		if err != nil {
			t.Fatalf("metric %s: %v", name, err)
		}
		sum += v
	}
	return sum
}

// ready is what /readyz of a process says.
func (p *platform) ready(t *testing.T, process string) (bool, string) {
	t.Helper()
	status, body, err := get(t, p.Process(process).URL()+"/readyz")
	if err != nil {
		return false, err.Error()
	}
	return status == http.StatusOK, body
}

// unready waits until /readyz of a process is red and says why.
func (p *platform) unready(t *testing.T, process string, texts ...string) {
	t.Helper()
	last := ""
	if !within(t, patience, func() bool {
		ready, body := p.ready(t, process)
		last = body
		return !ready && !slices.ContainsFunc(texts, func(text string) bool { return !strings.Contains(body, text) })
	}) {
		t.Fatalf("/readyz of %s says %s; want it red, with %q", process, last, texts)
	}
}

// channels is how many channels the n-th Asterisk has.
func (p *platform) channels(t *testing.T, n int) int {
	t.Helper()
	out, err := p.Asterisk(n).Command(t.Context(), "core show channels count")
	if err != nil {
		t.Fatal(err)
	}
	var count int
	if _, err := fmt.Sscanf(out, "%d active channel", &count); err != nil {
		t.Fatalf("Asterisk says %q: %v", out, err)
	}
	return count
}

// openFiles is how many files a process has open.
func openFiles(t *testing.T, pid int) int {
	t.Helper()
	entries, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}
