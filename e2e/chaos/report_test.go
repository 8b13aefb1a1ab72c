package chaos

import (
	"strings"
	"testing"
	"time"
)

// TestMarkdown is the table as it is pasted into docs/chaos.md.
func TestMarkdown(t *testing.T) {
	f, err := faultNamed("kill-worker")
	if err != nil {
		t.Fatal(err)
	}
	r := newReport(Options{Seed: 3, Calls: 2}, []*fault{f})
	if r.Good() {
		t.Error("a report without rounds is good")
	}
	good := &outcome{
		verdict: verdict{Repeated: 3, Refused: 4}, calls: make([]judged, 2),
		control: []time.Duration{3 * time.Second, time.Second, 2400 * time.Millisecond},
	}
	for i := range good.calls {
		good.calls[i].placed = &placed{}
	}
	r.Rows[0].add(good)
	r.Rows[0].Again, r.Took = 1, 65*time.Second
	want := `| fault | rounds | calls | dropped | prompts cut and not repeated | prompts repeated | double actions | keys lost | refused (503) | control back, median / longest | limit |
|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|
| SIGKILL worker | 1 | 2 | 0 | 0 | 3 | 0 | 0 | 4 | 2.40 / 3.00 s | 5 s |

Seed 3, 2 calls a round, 1 rounds in 1m5s. Run again, because the machine stood still: 1.
`
	if got := r.Markdown(); got != want || !r.Good() {
		t.Errorf("got (good: %v)\n%s\nwant\n%s", r.Good(), got, want)
	}
	bad := &outcome{verdict: verdict{Dropped: 1}, calls: []judged{{placed: &placed{}, verdict: verdict{Dropped: 1, Problems: []string{"died"}}}}}
	r.Rows[0].add(bad)
	if got := r.Markdown(); r.Good() || !strings.Contains(got, "| SIGKILL worker | 2 | 3 | 1 |") || !strings.Contains(got, "kill-worker: 1 of 2 rounds went wrong") {
		t.Errorf("a round that went wrong, got (good: %v)\n%s", r.Good(), got)
	}
}
