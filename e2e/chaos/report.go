package chaos

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"asterism/e2e/phone/hear"
)

// Report is what the suite found out.
type Report struct {
	Seed  uint64 `json:"seed"`
	Calls int    `json:"calls_per_round"`
	Rows  []*Row `json:"faults"`

	// Took is how long all rounds have taken so far, the start included.
	Took time.Duration `json:"took_ns"`
}

// newReport is a report of rounds that are to come.
func newReport(o Options, chosen []*fault) *Report {
	r := &Report{Seed: o.Seed, Calls: o.Calls}
	for _, f := range chosen {
		r.Rows = append(r.Rows, &Row{Fault: f.name, About: f.about, LimitMS: f.limit.Milliseconds()})
	}
	return r
}

// Row is one fault, all rounds of it.
type Row struct {
	Fault  string `json:"fault"`
	About  string `json:"about"`
	Rounds int    `json:"rounds"`
	Calls  int    `json:"calls"`
	Bad    int    `json:"bad_rounds"`
	Again  int    `json:"rounds_run_again"` // because the machine stood still

	verdict

	Left     int     `json:"left"` // rounds after which something was left of calls
	LimitMS  int64   `json:"control_limit_ms"`
	Control  []int64 `json:"control_ms"` // of each probe
	LastBad  string  `json:"last_bad,omitempty"`
	ControlN int     `json:"control_late"` // probes beyond the limit
}

// Good reports whether everything was as it must be.
func (r *Report) Good() bool {
	return !slices.ContainsFunc(r.Rows, func(row *Row) bool { return row.Bad > 0 || row.Rounds == 0 })
}

// outcome is one round as it was judged.
type outcome struct {
	verdict

	calls      []judged
	control    []time.Duration
	late       int // probes that were beyond the limit
	Left       []string
	trouble    string
	StoodStill time.Duration
}

// judged is one call with its verdict.
type judged struct {
	*placed

	verdict verdict
	heard   []reading
}

// judge judges all calls of a round.
func (r *round) judge(calls []*placed) *outcome {
	o := &outcome{trouble: r.trouble}
	w := window{fault: r.plan.fault, from: r.strikes, to: r.over()}
	for _, p := range calls {
		v, heard := judge(p, w, r.prompts)
		o.calls = append(o.calls, judged{p, v, heard})
		o.add(v)
		if p.plan.kind == probe && len(p.keys) > 0 && v.Dropped == 0 {
			o.probe(r, w, p)
		}
	}
	o.StoodStill = r.pauses.within(r.began, time.Now())
	return o
}

// probe measures how soon a probe's key was obeyed.
func (o *outcome) probe(r *round, w window, p *placed) {
	worker := strings.HasSuffix(w.fault.name, "-worker")
	if owner, ok := r.owners[p.id]; worker && ok && owner != r.victim {
		return // another worker's call, which the fault does not touch
	}
	base := w.from
	if w.fault.fromEnd {
		base = w.to
	}
	took := max(0, p.endAt().Sub(base)-r.pauses.within(base, p.endAt()))
	o.control = append(o.control, took)
	// The tone of the key itself lasts 100 ms, and the next one comes after 300.
	if took > w.fault.limit+probeEvery+100*time.Millisecond {
		o.late++
	}
}

func (v *verdict) add(w verdict) {
	v.Dropped += w.Dropped
	v.Refused += w.Refused
	v.Cut += w.Cut
	v.Repeated += w.Repeated
	v.Double += w.Double
	v.Lost += w.Lost
	v.Forbidden += w.Forbidden
}

func (o *outcome) ghosts(left []string) { o.Left = left }

// bad reports whether anything was as it must not be.
func (o *outcome) bad() bool {
	if o.trouble != "" || len(o.Left) > 0 || o.late > 0 {
		return true
	}
	return slices.ContainsFunc(o.calls, func(c judged) bool { return len(c.verdict.Problems) > 0 })
}

func (o *outcome) summary() string {
	text := fmt.Sprintf("%d calls, %d dropped, %d refused, %d prompts cut, %d repeated, %d double actions, %d keys lost, %d out of order; control back after %s",
		len(o.calls), o.Dropped, o.Refused, o.Cut, o.Repeated, o.Double, o.Lost, o.Forbidden, spread(o.control))
	if len(o.Left) > 0 {
		text += "; left: " + strings.Join(o.Left, ", ")
	}
	if o.trouble != "" {
		text += "; " + o.trouble
	}
	return text
}

func (o *outcome) brief() string {
	bad := 0
	for _, c := range o.calls {
		if len(c.verdict.Problems) > 0 {
			bad++
		}
	}
	text := fmt.Sprintf("%d calls went wrong", bad)
	if o.late > 0 {
		text += fmt.Sprintf(", %d probes were obeyed too late", o.late)
	}
	return text
}

// details tells of each call that went wrong what was expected, what was
// heard, and what the logs say.
func (o *outcome) details(r *round) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\nthe fault was from %.2f s to %.2f s of the round, at %s; worker struck: %s; the machine stood still for %v\n",
		o.summary(), r.strikes.Sub(r.began).Seconds(), r.over().Sub(r.began).Seconds(), r.strikes.Format("15:04:05.000"), r.victim, o.StoodStill)
	for _, c := range o.calls {
		late := c.plan.kind == probe && o.late > 0
		if len(c.verdict.Problems) == 0 && !late {
			continue
		}
		c.tell(&b, r)
	}
	return b.String()
}

func (c judged) tell(b *strings.Builder, r *round) {
	fmt.Fprintf(b, "\n%v\n  Call-ID %s, owner when it happened %q, INVITE at %s (%.2f s of the round)\n", c.plan, c.id, r.owners[c.id], c.began.Format("15:04:05.000"), c.began.Sub(r.began).Seconds())
	for _, p := range c.verdict.Problems {
		fmt.Fprintf(b, "  problem: %s\n", p)
	}
	fmt.Fprintf(b, "  ended %s; the first sound came at %.2f s, %.1f s were heard, longest gap between packets %v\n", c.ending(), c.heardAt.Sub(r.began).Seconds(), float64(len(c.placed.heard))/8000, c.rx.LongestGap)
	for _, k := range c.keys {
		fmt.Fprintf(b, "  key %s pressed at %.2f s of the sound (again: %v)\n", k.key, k.from.Sub(c.heardAt).Seconds(), k.again)
	}
	expected := c.plan.items
	fmt.Fprintf(b, "  expected prompts %v, %d times (0 is for ever)\n", expected, c.plan.loops)
	for _, h := range c.heard {
		if h.prompt != hear.Unknown || h.end-h.at > moved {
			fmt.Fprintf(b, "  heard %v\n", h)
		}
	}
	if c.call != nil {
		for _, e := range c.call.Events() {
			fmt.Fprintf(b, "  %8.3f s %s\n", e.At.Seconds(), e.What)
		}
	}
	b.WriteString(r.story(c.id))
}

// add adds a round to its row.
func (row *Row) add(o *outcome) {
	row.Rounds++
	row.Calls += len(o.calls)
	row.verdict.add(o.verdict)
	for _, d := range o.control {
		row.Control = append(row.Control, d.Milliseconds())
	}
	row.ControlN += o.late
	if len(o.Left) > 0 {
		row.Left++
	}
	if o.bad() {
		row.Bad++
		row.LastBad = o.summary()
	}
}

// spread is the median and the greatest of durations.
func spread(all []time.Duration) string {
	if len(all) == 0 {
		return "-"
	}
	sorted := slices.Sorted(slices.Values(all))
	return fmt.Sprintf("%.2f / %.2f s", sorted[(len(sorted)-1)/2].Seconds(), sorted[len(sorted)-1].Seconds())
}

// Markdown is the report as the table of docs/chaos.md, and what there is to be
// said of it.
func (r *Report) Markdown() string {
	var b strings.Builder
	fmt.Fprintf(&b, "| fault | rounds | calls | dropped | prompts cut and not repeated | prompts repeated | double actions | keys lost | refused (503) | control back, median / longest | limit |\n")
	fmt.Fprintf(&b, "|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|\n")
	for _, row := range r.Rows {
		control := make([]time.Duration, len(row.Control))
		for i, ms := range row.Control {
			control[i] = time.Duration(ms) * time.Millisecond
		}
		fmt.Fprintf(&b, "| %s | %d | %d | %d | %d | %d | %d | %d | %d | %s | %.0f s |\n", row.About, row.Rounds, row.Calls,
			row.Dropped, row.Cut+row.Forbidden, row.Repeated, row.Double, row.Lost, row.Refused, spread(control), float64(row.LimitMS)/1000)
	}
	rounds, again := 0, 0
	for _, row := range r.Rows {
		rounds, again = rounds+row.Rounds, again+row.Again
	}
	fmt.Fprintf(&b, "\nSeed %d, %d calls a round, %d rounds in %v. Run again, because the machine stood still: %d.\n", r.Seed, r.Calls, rounds, r.Took.Round(time.Second), again)
	for _, row := range r.Rows {
		if row.Bad > 0 {
			fmt.Fprintf(&b, "\n%s: %d of %d rounds went wrong; the last: %s\n", row.Fault, row.Bad, row.Rounds, row.LastBad)
		}
	}
	return b.String()
}
