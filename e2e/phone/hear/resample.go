package hear

import "math"

const (
	// lobes is how many zero crossings of the sinc function stand on each side of the filter's middle.
	lobes = 24
	// kaiserBeta makes the filter's stop band −80 dB.
	kaiserBeta = 8
	// passBand is the part of the lower half-rate that the filter leaves alone.
	passBand = 0.95
)

// Resample changes the sampling rate, both in Hz, by a windowed-sinc low-pass that takes away what the lower rate cannot
// hold. The result keeps its place in time: sample i stands for the instant i/to.
func Resample(pcm []int16, from, to int) []int16 {
	if from == to || from <= 0 || to <= 0 || len(pcm) == 0 {
		return pcm
	}
	g := gcd(from, to)
	up, down := to/g, from/g
	cutoff := passBand * math.Min(1, float64(to)/float64(from)) // Relative to half the source's rate.
	half := int(math.Ceil(lobes / cutoff))
	phases := make([][]float64, up)
	for p := range phases {
		phases[p] = kernel(float64(p)/float64(up), cutoff, half)
	}
	out := make([]int16, (len(pcm)*up+down-1)/down)
	for i := range out {
		at := i * down
		out[i] = convolve(pcm, at/up, phases[at%up], half)
	}
	return out
}

// kernel is the filter for an instant that lies a fraction of a source sample after a sample.
func kernel(fraction, cutoff float64, half int) []float64 {
	taps := make([]float64, 2*half+1)
	sum := 0.0
	for i := range taps {
		x := float64(i-half) - fraction
		window := 1 - math.Pow(x/float64(half+1), 2)
		taps[i] = sinc(cutoff*x) * bessel(kaiserBeta*math.Sqrt(math.Max(0, window)))
		sum += taps[i]
	}
	for i := range taps {
		taps[i] /= sum
	}
	return taps
}

func convolve(pcm []int16, at int, taps []float64, half int) int16 {
	sum := 0.0
	first, last := max(0, at-half), min(len(pcm)-1, at+half)
	for j := first; j <= last; j++ {
		sum += float64(pcm[j]) * taps[j-at+half]
	}
	return clip(sum)
}

func sinc(x float64) float64 {
	if x == 0 {
		return 1
	}
	return math.Sin(math.Pi*x) / (math.Pi * x)
}

// bessel is the modified Bessel function of the first kind and order 0, by its series.
func bessel(x float64) float64 {
	sum, term := 1.0, 1.0
	for k := 1.0; term > 1e-12*sum; k++ {
		term *= (x / 2 / k) * (x / 2 / k)
		sum += term
	}
	return sum
}

func gcd(a, b int) int {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}
