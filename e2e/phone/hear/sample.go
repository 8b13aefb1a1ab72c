package hear

import (
	"math"
	"math/rand/v2"
	"time"
)

const (
	// bottomOfBand and topOfBand bound the band of a sample, in Hz: what a telephone passes.
	bottomOfBand = 200.0
	topOfBand    = 3400.0
	// sampleLevel is the root mean square of a sample, relative to full scale: −20 dB.
	sampleLevel = 0.1
)

// Sample makes speech-like sound: syllables of voiced harmonics with gliding pitch and of hissing, with pauses between words,
// all within 200 to 3,400 Hz. It depends on seed and duration only, and is the same sound at every rate of 7 kHz and above, so
// that a file at 44.1 kHz can be compared with what is heard at 8 kHz. Sounds of different seeds do not correlate.
func Sample(seed uint64, duration time.Duration, rate int) []int16 {
	n := int(int64(duration) * int64(rate) / int64(time.Second))
	sound := make([]float64, n)
	rng := rand.New(rand.NewPCG(seed, 0x61737465))
	for at := 0.0; at < duration.Seconds(); {
		length := 0.12 + 0.16*rng.Float64()
		kind := rng.Float64()
		s := syllable{at: at, length: length, gain: 0.5 + 0.5*rng.Float64(), rate: float64(rate)}
		switch {
		case kind < 0.62:
			s.voiced(sound, rng)
		case kind < 0.92:
			s.hissed(sound, rng)
		default:
			length = 0.06 + 0.1*rng.Float64()
		}
		at += length
	}
	return levelled(sound)
}

// levelled scales to the level of a sample and cuts rare peaks off.
func levelled(sound []float64) []int16 {
	power := 0.0
	for _, v := range sound {
		power += v * v
	}
	out := make([]int16, len(sound))
	if power == 0 {
		return out
	}
	scale := sampleLevel / math.Sqrt(power/float64(len(sound)))
	for i, v := range sound {
		out[i] = clip(32767 * max(-0.95, min(0.95, v*scale)))
	}
	return out
}

type syllable struct {
	at, length, gain, rate float64
}

// each calls add for each sample of the syllable with its time since the beginning and its envelope.
func (s syllable) each(sound []float64, add func(t float64) float64) {
	first := int(math.Ceil(s.at * s.rate))
	for i := first; i < len(sound); i++ {
		t := float64(i)/s.rate - s.at
		if t >= s.length {
			return
		}
		envelope := math.Sin(math.Pi * t / s.length)
		sound[i] += s.gain * envelope * add(t)
	}
}

// voiced adds harmonics of a gliding pitch, formed by two resonances.
func (s syllable) voiced(sound []float64, rng *rand.Rand) {
	pitch := 90 + 130*rng.Float64()
	glide := (rng.Float64() - 0.5) * 0.4 * pitch / s.length
	phase := 2 * math.Pi * rng.Float64()
	formants := [2]float64{300 + 500*rng.Float64(), 1000 + 1400*rng.Float64()}
	top := pitch + math.Max(0, glide*s.length)
	weights := make([]float64, 0, 40)
	for h := 1; float64(h)*top < topOfBand; h++ {
		f, w := float64(h)*pitch, 0.0
		if f > bottomOfBand {
			w = 0.08
			for _, formant := range formants {
				w += math.Exp(-((f - formant) / 180) * ((f - formant) / 180))
			}
		}
		weights = append(weights, w)
	}
	s.each(sound, func(t float64) float64 {
		// All harmonics from one sine and cosine, by the recurrence of Chebyshev.
		sin, cos := math.Sincos(2*math.Pi*(pitch+glide*t/2)*t + phase)
		sum, before, now := 0.0, 0.0, sin
		for _, w := range weights {
			sum += w * now
			before, now = now, 2*cos*now-before
		}
		return sum
	})
}

// hissed adds a band of noise: many partials of random frequency and phase.
func (s syllable) hissed(sound []float64, rng *rand.Rand) {
	const partials = 32
	from := 800 + 1200*rng.Float64()
	var frequencies, phases [partials]float64
	for i := range frequencies {
		frequencies[i] = from + (topOfBand-from)*rng.Float64()
		phases[i] = 2 * math.Pi * rng.Float64()
	}
	s.each(sound, func(t float64) float64 {
		sum := 0.0
		for i, f := range frequencies {
			sum += math.Sin(2*math.Pi*f*t + phases[i])
		}
		return sum * 0.2
	})
}
