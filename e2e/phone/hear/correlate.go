package hear

import (
	"math"
	"slices"
	"time"
)

const (
	// fineSteps is into how many parts a sample is divided when a place is sought more exactly. Two resamplers rarely agree on
	// the fraction of a sample, and half a sample costs a quarter of the correlation of telephone speech.
	fineSteps = 16
	fineTaps  = 24
	// quiet is the mean power under which a window counts as silent, so that its noise is not scaled up: −80 dBFS.
	quiet = 10.0
)

// Match is a place where a reference was heard.
type Match struct {
	R      float64       // Normalised cross-correlation, −1 to 1.
	At     time.Duration // Where the reference begins; negative when its beginning lies before the recording.
	Length time.Duration // How long the reference is.
}

// End is where the match ends.
func (m Match) End() time.Duration { return m.At + m.Length }

// Correlate looks for the reference, both at the rate given in Hz, anywhere in what was heard. r is the highest normalised
// cross-correlation (Pearson's, over the whole length of the reference) and at is where the reference begins.
//
// 1 is the very same sound at any volume; G.711 leaves more than 0.99; a prompt of which half is missing gives about 0.7 and
// one that is not there less than 0.3. at is negative when the reference begins before the recording. Of two equally good
// places either may be meant: see [Matches]. Without samples, or when either side is silent, r is 0.
func Correlate(heard, reference []int16, rate int) (r float64, at time.Duration) {
	c := newCorrelation(heard, reference, rate)
	if c == nil {
		return 0, 0
	}
	best := c.peak(0, len(c.r))
	m := c.match(best)
	return m.R, m.At
}

// Matches returns all places where the reference was heard with at least the correlation given, in order of time. Two
// matches are at least half the reference apart.
func Matches(heard, reference []int16, rate int, least float64) []Match {
	c := newCorrelation(heard, reference, rate)
	if c == nil {
		return nil
	}
	var matches []Match
	r := slices.Clone(c.r)
	apart := max(1, len(c.reference)/2)
	for len(matches) < 1000 {
		best := highest(r)
		// The fine search gains at most the loss of half a sample.
		if r[best] < least*0.6 || r[best] <= 0 {
			break
		}
		if m := c.match(best); m.R >= least {
			matches = append(matches, m)
		}
		for i := max(0, best-apart+1); i < min(len(r), best+apart); i++ {
			r[i] = -1
		}
	}
	slices.SortFunc(matches, func(a, b Match) int { return int(a.At - b.At) })
	return matches
}

// correlation is the normalised cross-correlation at all places.
type correlation struct {
	rate      int
	reference []float64 // Without its mean.
	energy    float64   // Of the reference.
	raw       []float64 // Not normalised; index i is the place i−(len(reference)−1).
	r         []float64
	sums      []float64 // Running sums of what was heard, and of its squares.
	squares   []float64
}

// newCorrelation returns nil when there is nothing to compare.
func newCorrelation(heard, reference []int16, rate int) *correlation {
	if len(heard) == 0 || len(reference) == 0 || rate <= 0 {
		return nil
	}
	c := &correlation{rate: rate, reference: centred(reference)}
	for _, v := range c.reference {
		c.energy += v * v
	}
	if c.energy < quiet*float64(len(reference)) {
		return nil
	}
	h := make([]float64, len(heard))
	c.sums, c.squares = make([]float64, len(heard)+1), make([]float64, len(heard)+1)
	for i, s := range heard {
		v := float64(s)
		h[i] = v
		c.sums[i+1], c.squares[i+1] = c.sums[i]+v, c.squares[i]+v*v
	}
	if c.squares[len(heard)] < quiet*float64(min(len(heard), len(reference))) {
		return nil
	}
	c.raw = crossCorrelation(h, c.reference)
	c.r = make([]float64, len(c.raw))
	for i, v := range c.raw {
		c.r[i] = v / c.norm(i)
	}
	return c
}

// norm is what a raw value at index i is divided by: the reference's energy and the variance of the window under it.
func (c *correlation) norm(i int) float64 {
	n := len(c.reference)
	start := i - (n - 1)
	from, to := max(0, start), min(len(c.sums)-1, start+n)
	sum, square := c.sums[to]-c.sums[from], c.squares[to]-c.squares[from]
	window := math.Max(square-sum*sum/float64(n), quiet*float64(n))
	return math.Sqrt(c.energy * window)
}

func centred(pcm []int16) []float64 {
	out, mean := make([]float64, len(pcm)), 0.0
	for i, s := range pcm {
		out[i] = float64(s)
		mean += out[i]
	}
	mean /= float64(len(pcm))
	for i := range out {
		out[i] -= mean
	}
	return out
}

// peak is the index of the highest value from one index up to, not including, another.
func (c *correlation) peak(from, to int) int { return from + highest(c.r[from:to]) }

func highest(v []float64) int {
	best := 0
	for i := range v {
		if v[i] > v[best] {
			best = i
		}
	}
	return best
}

// match looks around an index for the best place between samples, by sinc interpolation of the raw correlation.
func (c *correlation) match(index int) Match {
	best, r := 0.0, c.r[index]
	for step := -fineSteps + 1; step < fineSteps; step++ {
		offset := float64(step) / fineSteps
		if v := c.between(index, offset) / c.norm(index); v > r {
			best, r = offset, v
		}
	}
	place := float64(index-(len(c.reference)-1)) + best
	return Match{
		R:      math.Min(1, r),
		At:     time.Duration(place / float64(c.rate) * float64(time.Second)),
		Length: time.Duration(len(c.reference)) * time.Second / time.Duration(c.rate),
	}
}

func (c *correlation) between(index int, offset float64) float64 {
	sum := 0.0
	for i := max(0, index-fineTaps); i <= min(len(c.raw)-1, index+fineTaps); i++ {
		x := float64(i-index) - offset
		sum += c.raw[i] * sinc(x) * (0.5 + 0.5*math.Cos(math.Pi*x/(fineTaps+1)))
	}
	return sum
}
