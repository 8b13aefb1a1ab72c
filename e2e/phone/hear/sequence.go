package hear

import (
	"fmt"
	"time"
)

// Heard is one part of a sequence.
type Heard struct {
	Match

	Gap time.Duration // The pause since the part before ended; negative when they overlap. 0 for the first.
}

// Sequence looks for the references one after the other, each with at least the correlation given, and each at the first
// place after the one before. The error says which part is missing and how near to it the recording comes; the parts up to
// there are returned.
func Sequence(heard []int16, rate int, least float64, references ...[]int16) ([]Heard, error) {
	parts := make([]Heard, 0, len(references))
	from := time.Duration(0)
	const overlap = 30 * time.Millisecond // Encoders and mixers blur where one sound ends.
	for i, reference := range references {
		skip := max(0, int((from-overlap)*time.Duration(rate)/time.Second))
		rest := heard[min(skip, len(heard)):]
		base := time.Duration(skip) * time.Second / time.Duration(rate)
		matches := Matches(rest, reference, rate, least)
		if len(matches) == 0 {
			r, at := Correlate(rest, reference, rate)
			return parts, fmt.Errorf("part %d of %d was not heard after %.2f s: the nearest is %.3f at %.2f s, expected at least %.3f",
				i+1, len(references), base.Seconds(), r, (base + at).Seconds(), least)
		}
		part := Heard{Match: matches[0]}
		part.At += base
		if i > 0 {
			part.Gap = part.At - from
		}
		parts = append(parts, part)
		from = part.End()
	}
	return parts, nil
}
