package measure_test

import (
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"asterism/e2e/measure"
)

func TestUseOfThisProcess(t *testing.T) {
	before, machine := measure.CPU(os.Getpid()), measure.Machine()
	deadline := time.Now().Add(30 * time.Second)
	for measure.CPU(os.Getpid())-before < 30*time.Millisecond {
		if time.Now().After(deadline) {
			t.Fatal("no CPU time was counted for a busy process")
		}
	}
	if measure.Machine() <= machine {
		t.Error("no CPU time was counted for a busy machine")
	}
	m := measure.MemoryOf(os.Getpid())
	if m.Now < 1<<20 || m.Peak < m.Now {
		t.Errorf("memory %+v", m)
	}
	if gone := measure.MemoryOf(-1); gone != (measure.Memory{}) || measure.CPU(-1) != 0 {
		t.Errorf("a process that does not exist uses %+v", gone)
	}
}

func scrape(t *testing.T, page string) measure.Metrics {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(page)) }))
	defer s.Close()
	m, err := measure.Scrape(t.Context(), s.URL)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestMetrics(t *testing.T) {
	earlier := scrape(t, `# TYPE wait histogram
wait_bucket{e="a",le="1"} 10
wait_bucket{e="a",le="2"} 10
wait_bucket{e="a",le="+Inf"} 10
wait_sum{e="a"} 5
wait_count{e="a"} 10
`)
	m := scrape(t, `# TYPE calls gauge
calls{n="1"} 3
calls{n="2"} 4
# TYPE wait histogram
wait_bucket{e="a",le="1"} 60
wait_bucket{e="a",le="2"} 100
wait_bucket{e="a",le="+Inf"} 100
wait_sum{e="a"} 5
wait_count{e="a"} 100
wait_bucket{e="b",le="1"} 0
wait_bucket{e="b",le="2"} 9
wait_bucket{e="b",le="+Inf"} 10
wait_sum{e="b"} 5
wait_count{e="b"} 10
`)
	if got := m.Sum("calls"); got != 7 {
		t.Errorf("sum: %v", got)
	}
	if got := m.Series(); got != 12 {
		t.Errorf("series: %v", got)
	}
	// 50 up to 1, 49 up to 2, 1 beyond.
	for q, want := range map[float64]float64{0.25: 0.5, 0.5: 1, 0.745: 1.5, 1: math.Inf(1)} {
		if got := m.Quantile(earlier, "wait", q); got != want {
			t.Errorf("quantile %v: got %v, expected %v", q, got, want)
		}
	}
	if got := m.Quantile(m, "wait", 0.5); !math.IsNaN(got) {
		t.Errorf("quantile of nothing: %v", got)
	}
}

func TestTable(t *testing.T) {
	var table measure.Table
	table.Row("", "p99")
	table.Row("höchste", "1", "x")
	var out strings.Builder
	if err := table.Print(&out); err != nil {
		t.Fatal(err)
	}
	if want := "         p99\nhöchste    1  x\n"; out.String() != want {
		t.Errorf("got\n%q, expected\n%q", out.String(), want)
	}
	if got := measure.Quantile([]time.Duration{1, 2, 3, 4}, 0.99); got != 4 || measure.Quantile(nil, 0.5) != 0 {
		t.Errorf("quantile: %v", got)
	}
}
