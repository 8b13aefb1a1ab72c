package main

import (
	"fmt"
	"io"
	"maps"
	"math"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"asterism/e2e/measure"
)

// What is to be reached.
const (
	mostMemory = 1 << 30 // bytes
	mostCores  = 1.0
	mostWait   = 50 * time.Millisecond
	// mostOther is up to which use of the machine by others the times can be
	// believed, in cores.
	mostOther = 0.2
)

func mib(bytes int64) string { return strconv.FormatInt(bytes>>20, 10) }

func cores(used, in time.Duration) string {
	return fmt.Sprintf("%.2f", used.Seconds()/in.Seconds())
}

func msOf(seconds float64) string {
	switch {
	case math.IsNaN(seconds):
		return "-"
	case math.IsInf(seconds, 1):
		return "> 5000"
	}
	return fmt.Sprintf("%.1f", seconds*1000)
}

// print writes the table and what it means; missed says that a target was not
// reached.
func (b *bench) print(w io.Writer) (missed bool, err error) {
	if err := b.table().Print(w); err != nil {
		return false, err
	}
	var out strings.Builder
	fmt.Fprintf(&out, "\n%d nodes; ARI %s; %d CPUs for the worker, NATS and the load together\n",
		b.o.nodes, b.transport(), runtime.NumCPU())
	last := b.phases[len(b.phases)-1]
	for _, p := range b.phases[1:] {
		if others := p.used.others().Seconds() / p.took.Seconds(); others > mostOther {
			fmt.Fprintf(&out, "with %d calls, other programs used %.1f cores: times and failures are worse than they need be\n", p.calls, others)
		}
	}
	b.tally.mu.Lock()
	fmt.Fprintf(&out, "%d calls heard their prompt to its end and were hung up by their flow; %d failed\n", b.tally.good, last.failed)
	for _, why := range slices.Sorted(maps.Keys(b.tally.failed)) {
		fmt.Fprintf(&out, "  %d %s\n", b.tally.failed[why], why)
	}
	b.tally.mu.Unlock()
	for _, v := range b.verdicts() {
		word := "met"
		if !v.met {
			word, missed = "MISSED", true
		}
		fmt.Fprintf(&out, "%-7s %s\n", word, v.text)
	}
	_, err = io.WriteString(w, out.String())
	return missed, err
}

func (b *bench) transport() string {
	if b.o.sockets {
		return "over TCP connections and websockets"
	}
	return "in memory, websockets over pipes"
}

// table has a column for each phase, and one for what the last call costs
// more than the one before.
func (b *bench) table() *measure.Table {
	t := &measure.Table{}
	row := func(name string, value func(p phase) string) {
		cells := []string{name}
		for _, p := range b.phases {
			cells = append(cells, value(p))
		}
		t.Row(cells...)
	}
	sum := func(metric string) func(phase) string {
		return func(p phase) string { return strconv.FormatFloat(p.metrics.Sum(metric), 'f', 0, 64) }
	}
	delta := func(metric string) func(phase) string {
		return func(p phase) string {
			return strconv.FormatFloat(p.metrics.Sum(metric)-p.earlier.Sum(metric), 'f', 0, 64)
		}
	}
	quantile := func(q float64) func(phase) string {
		return func(p phase) string { return msOf(p.metrics.Quantile(p.earlier, eventMetric, q)) }
	}
	back := func(q float64) func(phase) string {
		return func(p phase) string {
			if len(p.returns) == 0 {
				return "-"
			}
			return fmt.Sprintf("%.1f", measure.Quantile(p.returns, q).Seconds()*1000)
		}
	}
	row("calls at once", func(p phase) string { return strconv.Itoa(p.calls) })
	row("new calls a second", func(p phase) string { return fmt.Sprintf("%.0f", p.rate) })
	row("worker: resident memory, MiB", func(p phase) string { return mib(p.memory.Now) })
	row("  highest since its start, MiB", func(p phase) string { return mib(p.memory.Peak) })
	row("  resident bytes a call", func(p phase) string {
		if p.calls == 0 {
			return "-"
		}
		return strconv.FormatInt((p.memory.Now-b.phases[0].memory.Now)/int64(p.calls), 10)
	})
	row("  heap and stacks, MiB", func(p phase) string {
		return mib(int64(p.metrics.Sum("go_memstats_heap_alloc_bytes") + p.metrics.Sum("go_memstats_stack_inuse_bytes")))
	})
	row("  of which stacks, MiB", func(p phase) string { return mib(int64(p.metrics.Sum("go_memstats_stack_inuse_bytes"))) })
	row("  cores", func(p phase) string { return cores(p.used.worker, p.took) })
	row("  goroutines", sum(goroutinesMetric))
	row("  NATS subscriptions", sum(subscriptionsMetric))
	row("  time series in /metrics", func(p phase) string { return strconv.Itoa(p.metrics.Series()) })
	row("  commands sent again", delta(resendsMetric))
	row("  events asked for again", delta(resyncsMetric))
	row("event to flow, p50 ms", quantile(0.5))
	row("event to flow, p99 ms", quantile(0.99))
	row("end of prompt to hang-up, p50 ms", back(0.5))
	row("end of prompt to hang-up, p99 ms", back(0.99))
	row("NATS: cores", func(p phase) string { return cores(p.used.nats, p.took) })
	row("load (Asterisks, gateways): cores", func(p phase) string { return cores(p.used.load, p.took) })
	row("other programs: cores", func(p phase) string { return cores(p.used.others(), p.took) })
	row("somebody waited for a CPU, %", func(p phase) string { return fmt.Sprintf("%.0f", 100*p.used.waited.Seconds()/p.took.Seconds()) })
	row("calls failed since the start", func(p phase) string { return strconv.Itoa(p.failed) })
	return t
}

// verdict is one target.
type verdict struct {
	met  bool
	text string
}

// verdicts compares with what is to be reached.
func (b *bench) verdicts() []verdict {
	idle, small, large := b.phases[0], b.phases[1], b.phases[2]
	more := float64(large.calls - small.calls)
	growth := func(metric string) float64 { return large.metrics.Sum(metric) - small.metrics.Sum(metric) }
	used := large.used.worker.Seconds() / large.took.Seconds()
	p99 := large.metrics.Quantile(large.earlier, eventMetric, 0.99)
	leftBehind := b.left.Sum(goroutinesMetric) - idle.metrics.Sum(goroutinesMetric)
	return []verdict{
		{large.memory.Peak <= mostMemory, fmt.Sprintf("resident memory of the worker: %s MiB at most (≤ %s)", mib(large.memory.Peak), mib(mostMemory))},
		{used <= mostCores, fmt.Sprintf("CPU of the worker: %.2f cores (≤ %.1f)", used, mostCores)},
		{p99 <= mostWait.Seconds(), fmt.Sprintf("event to flow, p99: %s ms (≤ %d)", msOf(p99), mostWait.Milliseconds())},
		{
			math.Abs(growth(goroutinesMetric)-more) < more/100+50,
			fmt.Sprintf("from %d to %d calls: %.2f goroutines a call (1)", small.calls, large.calls, growth(goroutinesMetric)/more),
		},
		{growth(subscriptionsMetric) == 0, fmt.Sprintf("from %d to %d calls: %+.0f NATS subscriptions (0)", small.calls, large.calls, growth(subscriptionsMetric))},
		{large.metrics.Series()-small.metrics.Series() < 20, fmt.Sprintf("from %d to %d calls: %+d time series (< 20)", small.calls, large.calls, large.metrics.Series()-small.metrics.Series())},
		{large.failed == 0, fmt.Sprintf("calls failed: %d (0)", large.failed)},
		{
			b.left.Sum(sessionsMetric) == 0 && leftBehind < 20,
			fmt.Sprintf("left behind after the last call: %.0f sessions, %+.0f goroutines (none)", b.left.Sum(sessionsMetric), leftBehind),
		},
		{large.calls >= b.o.large*98/100, fmt.Sprintf("calls at once: %d (%d)", large.calls, b.o.large)},
	}
}
