package hear

import (
	"math"
	"time"
)

// Tone is the part of the sound's power that lies at one frequency, in Hz: about 1 for that tone alone, 0.5 for it and
// another one of equal strength, near 0 for speech. It is the Goertzel algorithm, whose width is rate/len(pcm).
func Tone(pcm []int16, rate int, frequency float64) float64 {
	if len(pcm) == 0 || rate <= 0 {
		return 0
	}
	coefficient := 2 * math.Cos(2*math.Pi*frequency/float64(rate))
	var s1, s2, power float64
	for _, sample := range pcm {
		v := float64(sample)
		s1, s2 = v+coefficient*s1-s2, s1
		power += v * v
	}
	n := float64(len(pcm))
	if power < quiet*n {
		return 0
	}
	return math.Min(1, (s1*s1+s2*s2-coefficient*s1*s2)*2/(n*power))
}

// Span is a part of a recording.
type Span struct {
	From, To time.Duration
}

// Length is how long it is.
func (s Span) Length() time.Duration { return s.To - s.From }

// toneWindow is how long a piece is judged at once.
const toneWindow = 20 * time.Millisecond

// Tones are the parts in which at least the share given of the power lies at one frequency, if they are as long as least.
func Tones(pcm []int16, rate int, frequency, share float64, least time.Duration) []Span {
	return spans(pcm, rate, 0, least, func(window []int16) bool { return Tone(window, rate, frequency) >= share })
}

// Sounds are the parts louder than a level in dB below full scale, such as −50. Pauses up to join belong to the sound
// around them.
func Sounds(pcm []int16, rate int, level float64, join time.Duration) []Span {
	return spans(pcm, rate, join, 0, func(window []int16) bool { return Level(window) > level })
}

// Level is the root mean square of the sound in dB relative to full scale; −200 for digital silence.
func Level(pcm []int16) float64 {
	power := 0.0
	for _, s := range pcm {
		power += float64(s) * float64(s)
	}
	if power == 0 {
		return -200
	}
	return 10 * math.Log10(power/float64(len(pcm))/(32768*32768))
}

// spans joins the windows that fit.
func spans(pcm []int16, rate int, join, least time.Duration, fits func([]int16) bool) []Span {
	size := max(1, int(toneWindow)*rate/int(time.Second))
	at := func(i int) time.Duration { return time.Duration(i) * time.Second / time.Duration(rate) }
	var found []Span
	for i := 0; i < len(pcm); i += size {
		end := min(i+size, len(pcm))
		if end-i < size/2 || !fits(pcm[i:end]) {
			continue
		}
		if n := len(found); n > 0 && at(i)-found[n-1].To <= join {
			found[n-1].To = at(end)
			continue
		}
		found = append(found, Span{From: at(i), To: at(end)})
	}
	kept := found[:0]
	for _, s := range found {
		if s.Length() >= least {
			kept = append(kept, s)
		}
	}
	return kept
}
