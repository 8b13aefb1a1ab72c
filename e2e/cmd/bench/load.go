package main

import (
	"bufio"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"asterism/e2e/measure"
)

//go:embed call.xml
var scenario []byte

// load is what SIPp has seen.
type load struct {
	setups []time.Duration // INVITE to 200, sorted
	failed int
}

// quantile returns the q-quantile of the set-up times.
func (l load) quantile(q float64) time.Duration {
	return measure.Quantile(l.setups, q)
}

// sipp places calls at a rate and waits for their end.
func (b *bench) sipp(ctx context.Context, target, user string, rate, calls int) (load, error) {
	dir, err := os.MkdirTemp(b.dir, "sipp")
	if err != nil {
		return load{}, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	if err := os.WriteFile(filepath.Join(dir, "call.xml"), scenario, 0o600); err != nil {
		return load{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, time.Duration(calls/rate+60)*time.Second)
	defer cancel()
	out, runErr := b.root.SIPp(ctx, dir, target, "-sf", "call.xml", "-s", user, "-i", "127.0.0.1",
		"-r", strconv.Itoa(rate), "-m", strconv.Itoa(calls), "-l", strconv.Itoa(20*rate+100),
		"-trace_rtt", "-rtt_freq", "1", "-trace_stat", "-fd", "1", "-nostdin", "-timer_resol", "1", "-cid_str", "bench-%u-%p@%s")
	l, err := readLoad(dir)
	if err != nil {
		return load{}, errors.Join(fmt.Errorf("sipp: %w; it printed:\n%s", err, tail(out)), runErr)
	}
	return l, nil
}

func tail(s string) string {
	return s[max(0, len(s)-2000):]
}

// readLoad reads the files that SIPp has left.
func readLoad(dir string) (load, error) {
	var l load
	rtt, err := filepath.Glob(filepath.Join(dir, "call_*_rtt.csv"))
	if err != nil || len(rtt) != 1 {
		return l, fmt.Errorf("%d files of response times", len(rtt))
	}
	lines, err := readCSV(rtt[0])
	if err != nil {
		return l, err
	}
	for _, f := range lines[1:] {
		ms, err := strconv.ParseFloat(f[1], 64)
		if err != nil {
			return l, fmt.Errorf("response time %q: %w", f[1], err)
		}
		l.setups = append(l.setups, time.Duration(ms*float64(time.Millisecond)))
	}
	slices.Sort(l.setups)
	stats, err := filepath.Glob(filepath.Join(dir, "call_*_.csv"))
	if err != nil || len(stats) != 1 {
		return l, fmt.Errorf("%d files of statistics", len(stats))
	}
	if lines, err = readCSV(stats[0]); err != nil {
		return l, err
	}
	column := slices.Index(lines[0], "FailedCall(C)")
	last := lines[len(lines)-1]
	if column < 0 || column >= len(last) {
		return l, errors.New("no column FailedCall(C) in the statistics")
	}
	l.failed, err = strconv.Atoi(last[column])
	return l, err
}

// readCSV reads a file of SIPp: fields separated by semicolons.
func readCSV(path string) ([][]string, error) {
	f, err := os.Open(path) //nolint:gosec // in our own directory
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	var out [][]string
	s := bufio.NewScanner(f)
	s.Buffer(nil, 1<<20)
	for s.Scan() {
		if line := strings.TrimSpace(s.Text()); line != "" {
			out = append(out, strings.Split(line, ";"))
		}
	}
	if len(out) < 2 {
		return nil, fmt.Errorf("%s is empty", filepath.Base(path))
	}
	return out, s.Err()
}
