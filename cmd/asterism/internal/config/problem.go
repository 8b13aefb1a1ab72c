package config

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"
)

// Origin is where a value comes from.
type Origin struct {
	File         string // "" when it does not come from a file
	Line, Column int    // from 1
	Other        string // "environment variable X", "--set x", "default"
}

// order is the line, with what is in no line last.
func (o Origin) order() int {
	if o.Line == 0 {
		return math.MaxInt
	}
	return o.Line
}

// String is "file:line:column", or what else the value comes from.
func (o Origin) String() string {
	switch {
	case o.File != "" && o.Line > 0:
		return fmt.Sprintf("%s:%d:%d", o.File, o.Line, o.Column)
	case o.File != "":
		return o.File
	default:
		return o.Other
	}
}

// Problem is one thing wrong with the configuration.
type Problem struct {
	Origin Origin
	Path   string // such as nodes[0].ari.url; "" when it is about the file
	Text   string // what is wrong and what was expected
}

// String is one line for a person.
func (p Problem) String() string {
	var b strings.Builder
	for _, part := range []string{p.Origin.String(), p.Path} {
		if part != "" {
			b.WriteString(part + ": ")
		}
	}
	return b.String() + p.Text
}

// Problems is every mistake found, in the order of the file. It is an error.
type Problems []Problem

// Error lists the problems, one a line.
func (ps Problems) Error() string {
	lines := make([]string, len(ps))
	for i, p := range ps {
		lines[i] = p.String()
	}
	return strings.Join(lines, "\n")
}

func (ps Problems) sort() {
	slices.SortStableFunc(ps, func(a, b Problem) int {
		return cmp.Or(
			cmp.Compare(a.Origin.order(), b.Origin.order()),
			cmp.Compare(a.Origin.Column, b.Origin.Column),
			cmp.Compare(a.Path, b.Path),
		)
	})
}

// nearest returns the one of names that was most likely meant by got, or "".
func nearest(got string, names []string) string {
	best, least := "", len(got)/2+1
	for _, name := range names {
		if d := distance(strings.ToLower(got), name); d < least {
			best, least = name, d
		}
	}
	return best
}

// distance is the number of letters to insert, delete, replace or swap with
// their neighbour that turns a into b (optimal string alignment).
func distance(a, b string) int {
	before, prev := make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range prev {
		prev[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row := make([]int, len(b)+1)
		row[0] = i
		for j := 1; j <= len(b); j++ {
			change := 1
			if a[i-1] == b[j-1] {
				change = 0
			}
			row[j] = min(prev[j]+1, row[j-1]+1, prev[j-1]+change)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, prev = prev, row
	}
	return prev[len(b)]
}
