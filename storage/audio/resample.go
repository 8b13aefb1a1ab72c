package audio

import "math"

const (
	// zeroCrossings on either side of the filter's middle, and the Kaiser
	// window's beta: 80 dB in the stop band, which begins 8 % beyond the band edge.
	zeroCrossings = 32
	kaiserBeta    = 7.86
	// cutoff is the middle of the transition as a part of the lower of the two
	// rates: speech up to 3.4 kHz passes at 8 kHz, nothing above 4 kHz does.
	cutoff = 0.4625
	// maxPhases bounds the filter's table; rates with no better common divisor
	// are met within a thousandth of a sample.
	maxPhases = 1024
)

// resampler changes the sample rate with a windowed sinc, polyphase: the
// low-pass that keeps aliases out is part of the interpolation.
type resampler struct {
	emit func([]int16) error

	same     bool
	up, down int64 // Output rate : input rate, reduced.
	phases   int64
	taps     [][]float32 // One filter a phase; all of the same odd-free length.
	half     int64       // Taps before the position.

	history []float64 // Input from position base on.
	base    int64     // Input index of history[0].
	next    int64     // Index of the next output sample.
	end     int64     // Number of input samples; -1 until known.
	out     []int16
}

func newResampler(from, to int, emit func([]int16) error) *resampler {
	divisor := gcd(from, to)
	r := &resampler{emit: emit, same: from == to, up: int64(to / divisor), down: int64(from / divisor), end: -1}
	if r.same {
		return r
	}
	r.phases = min(r.up, maxPhases)
	fc := cutoff * min(1, float64(to)/float64(from)) // In cycles per input sample.
	r.half = int64(math.Ceil(zeroCrossings / (2 * fc)))
	r.taps = make([][]float32, r.phases)
	for phase := range r.taps {
		r.taps[phase] = lowPass(fc, r.half, float64(phase)/float64(r.phases))
	}
	r.base = -r.half
	r.history = make([]float64, r.half, 2*r.half+blockFrames) // Silence before the first sample.
	return r
}

// lowPass is the filter for a position offset of a sample after tap half-1.
func lowPass(fc float64, half int64, offset float64) []float32 {
	taps := make([]float32, 2*half)
	sum := 0.0
	values := make([]float64, len(taps))
	for i := range values {
		x := float64(int64(i)-half+1) - offset
		if w := x / float64(half); math.Abs(w) < 1 {
			values[i] = 2 * fc * sinc(2*fc*x) * bessel(kaiserBeta*math.Sqrt(1-w*w)) / bessel(kaiserBeta)
		}
		sum += values[i]
	}
	for i, v := range values {
		taps[i] = float32(v / sum) // Every phase passes a constant unchanged.
	}
	return taps
}

// write takes input; output is emitted as soon as its input is complete.
func (r *resampler) write(samples []float64) error {
	if r.same {
		return r.convert(samples)
	}
	r.history = append(r.history, samples...)
	return r.run()
}

// flush emits what waits for input that will not come.
func (r *resampler) flush() error {
	if r.same {
		return nil
	}
	r.end = r.base + int64(len(r.history))
	r.history = append(r.history, make([]float64, r.half+1)...)
	return r.run()
}

func (r *resampler) run() error {
	r.out = r.out[:0]
	have := r.base + int64(len(r.history))
	for {
		position := r.next * r.down / r.up
		if position+r.half >= have || r.end >= 0 && position >= r.end {
			break
		}
		phase := (r.next * r.down % r.up) * r.phases / r.up
		window := r.history[position-r.half+1-r.base:]
		sum := 0.0
		for i, tap := range r.taps[phase] {
			sum += float64(tap) * window[i]
		}
		r.out = append(r.out, toInt16(sum))
		r.next++
	}
	if keep := r.next*r.down/r.up - r.half + 1 - r.base; keep > 0 {
		keep = min(keep, int64(len(r.history)))
		r.history = append(r.history[:0], r.history[keep:]...)
		r.base += keep
	}
	return r.emit(r.out)
}

func (r *resampler) convert(samples []float64) error {
	r.out = r.out[:0]
	for _, x := range samples {
		r.out = append(r.out, toInt16(x))
	}
	return r.emit(r.out)
}

func toInt16(x float64) int16 {
	return int16(max(-32768, min(32767, math.Round(x*32768))))
}

func sinc(x float64) float64 {
	if x == 0 {
		return 1
	}
	return math.Sin(math.Pi*x) / (math.Pi * x)
}

// bessel is the modified Bessel function of the first kind and order zero.
func bessel(x float64) float64 {
	sum, term := 1.0, 1.0
	for k := 1.0; term > sum*1e-12; k++ {
		term *= x / (2 * k) * x / (2 * k)
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
