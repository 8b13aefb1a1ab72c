package sip

import (
	"fmt"
	"strings"
)

// didYouMean returns " (did you mean X?)" for the nearest of the names, or ""
// when none is near.
func didYouMean(name string, names []string) string {
	if len(name) > 40 {
		return ""
	}
	nearest, least := "", 3 // at most two letters wrong
	for _, candidate := range names {
		if d := distance(strings.ToLower(name), strings.ToLower(candidate)); d < least && d < len(candidate) {
			nearest, least = candidate, d
		}
	}
	if nearest == "" {
		return ""
	}
	return fmt.Sprintf(" (did you mean %s?)", nearest)
}

// distance is how many letters must be added, left out or changed to make b
// out of a (Levenshtein).
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := diagonal
			if a[i] != b[j] {
				change++
			}
			diagonal = row[j+1]
			row[j+1] = min(change, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
