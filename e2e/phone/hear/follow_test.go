package hear

import (
	"slices"
	"testing"
	"time"
)

func TestFollow(t *testing.T) {
	var prompts [][]int16
	for seed := range uint64(6) {
		prompts = append(prompts, Sample(1000+seed, 2*time.Second, 8000))
	}
	v := NewVocabulary(prompts...)
	cut := func(n int, from, to float64) []int16 { return prompts[n][int(from*8000):int(to*8000)] }
	silence := make([]int16, 4000)
	stranger := Sample(77, 500*time.Millisecond, 8000)
	lost := slices.Clone(prompts[3])
	clear(lost[8000:8160])
	about := func(a, b time.Duration) bool { return (a - b).Abs() <= 170*time.Millisecond } // the longest silence in a sample
	type part struct {
		prompt       int
		at, from, to time.Duration
	}
	seconds := func(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }
	for _, tt := range []struct {
		name  string
		heard [][]int16
		want  []part
	}{
		{"one whole", [][]int16{silence, prompts[0], silence}, []part{{0, seconds(0.5), 0, seconds(2)}}},
		{"three in a row", [][]int16{prompts[0], prompts[1], prompts[0]}, []part{
			{0, 0, 0, seconds(2)}, {1, seconds(2), 0, seconds(2)}, {0, seconds(4), 0, seconds(2)},
		}},
		{"cut and begun anew", [][]int16{cut(2, 0, 1.1), silence, prompts[2]}, []part{
			{2, 0, 0, seconds(1.1)}, {2, seconds(1.6), 0, seconds(2)},
		}},
		{"paused", [][]int16{cut(4, 0, 0.9), silence, silence, cut(4, 0.9, 2)}, []part{
			{4, 0, 0, seconds(0.9)}, {4, seconds(1.9), seconds(0.9), seconds(2)},
		}},
		{"skipped", [][]int16{cut(4, 0, 0.5), cut(4, 1.2, 2)}, []part{
			{4, 0, 0, seconds(0.5)}, {4, seconds(0.5), seconds(1.2), seconds(2)},
		}},
		{"a lost packet", [][]int16{lost}, []part{{3, 0, 0, seconds(2)}}},
		{"a stranger", [][]int16{prompts[5], stranger, silence}, []part{{5, 0, 0, seconds(2)}, {Unknown, seconds(2), 0, seconds(0.5)}}},
		{"nothing", [][]int16{silence}, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := v.Follow(slices.Concat(tt.heard...))
			got = slices.DeleteFunc(got, func(p Part) bool { return p.Prompt == Unknown && p.To < 100*time.Millisecond })
			merged := got[:0]
			for _, p := range got {
				if n := len(merged); n > 0 && p.Prompt == Unknown && merged[n-1].Prompt == Unknown {
					merged[n-1].To = p.End() - merged[n-1].At
					continue
				}
				merged = append(merged, p)
			}
			if len(merged) != len(tt.want) {
				t.Fatalf("heard %+v; want %+v", merged, tt.want)
			}
			for i, want := range tt.want {
				p := merged[i]
				if p.Prompt != want.prompt || !about(p.At-p.From, want.at-want.from) || !about(p.From, want.from) || !about(p.To, want.to) {
					t.Errorf("part %d: %+v; want %+v", i, p, want)
				}
			}
		})
	}
	if b := v.Bounds(0); b.From < 0 || b.To > 2*time.Second || b.Length() < 1700*time.Millisecond {
		t.Errorf("bounds %+v", b)
	}
}
