// Command bench measures what a playback call costs, beside the floor: the
// same prompt played by a plain dialplan on the same Asterisk, with the same
// SIPp calls, in the same run. It prints one table.
//
// Rows: the dialplan; Asterism as three processes (gateway, worker, NATS) on
// the same Asterisk; the dialplan and "asterism run" on a second one; and a
// skeleton that only exchanges NATS messages of the same number and size
// between three processes.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"time"

	"asterism/e2e/measure"
)

func main() {
	if len(os.Args) > 2 && os.Args[1] == "skeleton" {
		if err := skeletonRole(os.Args[2:]); err != nil {
			fmt.Fprintln(os.Stderr, "bench: skeleton:", err)
			os.Exit(1)
		}
		return
	}
	rates := flag.String("rates", "20,50,100", "calls a second, separated by commas")
	seconds := flag.Int("seconds", 20, "how long each measurement lasts")
	profiles := flag.String("profile", "", "an existing directory for CPU profiles of our processes; they cost some CPU themselves")
	against := flag.String("against", "", "another build of bin/asterism to measure beside this one")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	b := &bench{length: time.Duration(*seconds) * time.Second, profiles: *profiles, against: *against}
	for r := range strings.SplitSeq(*rates, ",") {
		n, err := strconv.Atoi(strings.TrimSpace(r))
		if err != nil || n < 1 || n > 1000 {
			fmt.Fprintf(os.Stderr, "bench: -rates %q: expected whole numbers from 1 to 1000, separated by commas\n", *rates)
			os.Exit(2)
		}
		b.rates = append(b.rates, n)
	}
	if err := b.run(ctx, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// row is one line of the table.
type row struct {
	what     string
	rate     int
	calls    int
	failed   int
	p50, p99 time.Duration // INVITE to 200
	asterisk time.Duration // CPU a call
	ours     []cpuShare
}

// cpuShare is what one of our processes costs a call.
type cpuShare struct {
	name string
	cpu  time.Duration
}

// total is the CPU a call of all our processes.
func (r row) total() time.Duration {
	var sum time.Duration
	for _, s := range r.ours {
		sum += s.cpu
	}
	return sum
}

const format = "%-26s %6s %6s %6s %9s %9s %11s %9s  %s\n"

func printTable(w io.Writer, rows []row) {
	fmt.Fprintf(w, "\n"+format, "", "", "", "", "INVITE→200", "", "CPU ms/call", "", "")
	fmt.Fprintf(w, format, "what", "call/s", "calls", "failed", "p50 ms", "p99 ms", "Asterisk", "Asterism", "of which")
	for _, r := range rows {
		var parts []string
		for _, s := range r.ours {
			parts = append(parts, fmt.Sprintf("%s %s", s.name, measure.Ms(s.cpu)))
		}
		p50, p99, failed, asterisk := measure.Ms(r.p50), measure.Ms(r.p99), strconv.Itoa(r.failed), measure.Ms(r.asterisk)
		if r.p50 == 0 {
			p50, p99, failed, asterisk = "-", "-", "-", "-"
		}
		ours := "-"
		if len(r.ours) > 0 {
			ours = measure.Ms(r.total())
		}
		fmt.Fprintf(w, format, r.what, strconv.Itoa(r.rate), strconv.Itoa(r.calls), failed, p50, p99, asterisk, ours, strings.Join(parts, ", "))
	}
}

// printRatios compares what is to be compared.
func printRatios(w io.Writer, rows []row) {
	byName := make(map[string]map[int]row)
	for _, r := range rows {
		if byName[r.what] == nil {
			byName[r.what] = make(map[int]row)
		}
		byName[r.what][r.rate] = r
	}
	fmt.Fprintln(w)
	for _, r := range rows {
		switch r.what {
		case splitName:
			skeleton, plain := byName[skeletonName][r.rate], byName[plainName+" A"][r.rate]
			fmt.Fprintf(w, "%3d/s, three processes: %s ms CPU a call (≤ 4.0), %.2f × the skeleton (≤ 1.5), p50 %+.1f ms against the dialplan (≤ 4), %d lost against %d\n",
				r.rate, measure.Ms(r.total()), float64(r.total())/float64(max(skeleton.total(), 1)),
				(r.p50-plain.p50).Seconds()*1000, r.failed, plain.failed)
			if other, ok := byName[otherName][r.rate]; ok {
				fmt.Fprintf(w, "%3d/s, three processes: %+.2f ms CPU a call, p50 %+.1f ms against the other build\n",
					r.rate, (r.total()-other.total()).Seconds()*1000, (r.p50-other.p50).Seconds()*1000)
			}
		case runName:
			plain := byName[plainName+" B"][r.rate]
			fmt.Fprintf(w, "%3d/s, asterism run:    %s ms CPU a call (≤ 2.0), p50 %+.1f ms against the dialplan (≤ 4), %d lost against %d\n",
				r.rate, measure.Ms(r.total()), (r.p50-plain.p50).Seconds()*1000, r.failed, plain.failed)
		}
	}
}
