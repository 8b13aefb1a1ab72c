package hear

import (
	"slices"
	"time"
)

const (
	// seedLength is how many samples in a row must be equal for a place to be looked at.
	seedLength = 8
	// seedStride is how far apart the places are by which a prompt is known.
	seedStride = 4
	// seedLevel is what most samples of such a place must exceed, so that it is not one of silence.
	seedLevel = 150
	// block is how many samples are compared at once, 5 ms of 8 kHz.
	block = 40
	// surest is how many samples must agree around a place before it is believed, 15 ms of 8 kHz.
	surest = 120
	// holes is how much may be missing in the middle of a prompt, as lost packets leave it: 0.2 s of 8 kHz.
	holes = 1600
	// soundLevel is what a sample must exceed to be a sound and not silence.
	soundLevel = 60
	// unknownLeast is how many samples a sound of no prompt has at least, 40 ms of 8 kHz.
	unknownLeast = 320
)

// Vocabulary knows prompts by heart and follows a recording through them: which prompt, and which part of it, is heard at
// what time. Unlike [Correlate] it takes one look at a recording, however many prompts there are, and finds parts of
// prompts too: where one was cut, paused, or begun anew in its middle.
//
// It compares samples, so prompts must be as the telephone delivers them: at the rate of the recording, and through its
// codec. All is reckoned for 8 kHz.
type Vocabulary struct {
	prompts [][]int16
	index   map[[seedLength]int16][]spot
}

// spot is a place in a prompt.
type spot struct {
	prompt, at int32
}

// Part is a piece of a recording.
type Part struct {
	Prompt   int           // Which of the prompts; [Unknown] for another sound.
	At       time.Duration // Where in the recording it begins.
	From, To time.Duration // Which part of the prompt it is; its ends are sounds, not the silence around them.
	Missing  time.Duration // How much of it did not agree: lost packets.
}

// Unknown is the prompt of a sound that is in no prompt.
const Unknown = -1

// End is where in the recording the part ends.
func (p Part) End() time.Duration { return p.At + p.To - p.From }

// NewVocabulary learns prompts at 8 kHz.
func NewVocabulary(prompts ...[]int16) *Vocabulary {
	v := &Vocabulary{prompts: prompts, index: map[[seedLength]int16][]spot{}}
	for n, prompt := range prompts {
		for at := 0; at+seedLength <= len(prompt); at += seedStride {
			if seed, ok := seedAt(prompt, at); ok {
				v.index[seed] = append(v.index[seed], spot{int32(n), int32(at)})
			}
		}
	}
	return v
}

// Bounds are where the first sound of a prompt begins and its last one ends.
func (v *Vocabulary) Bounds(prompt int) Span {
	pcm := v.prompts[prompt]
	from := slices.IndexFunc(pcm, loud)
	if from < 0 {
		return Span{}
	}
	to := len(pcm)
	for to > from && !loud(pcm[to-1]) {
		to--
	}
	return Span{From: timeOf(from), To: timeOf(to)}
}

// Silent reports whether there is no sound in a part of a prompt.
func (v *Vocabulary) Silent(prompt int, from, to time.Duration) bool {
	pcm := v.prompts[prompt]
	a, b := max(0, samplesIn(from)), min(len(pcm), samplesIn(to))
	return a >= b || !slices.ContainsFunc(pcm[a:b], loud)
}

// Follow finds what a recording consists of, in order of time. Silence is left out.
func (v *Vocabulary) Follow(heard []int16) []Part {
	var parts []Part
	unknown := -1 // where a sound of no prompt began
	flush := func(to int) {
		if unknown >= 0 && to-unknown >= unknownLeast {
			parts = append(parts, Part{Prompt: Unknown, At: timeOf(unknown), To: timeOf(to - unknown)})
		}
		unknown = -1
	}
	done, quiet := 0, 0
	for i := 0; i+seedLength <= len(heard); {
		if !loud(heard[i]) {
			if quiet++; quiet > block {
				flush(i - quiet)
			}
			i++
			continue
		}
		quiet = 0
		if m, ok := v.match(heard, i, done); ok {
			flush(m.begin)
			parts = append(parts, m.part())
			done, i = m.end, m.end
			continue
		}
		if unknown < 0 {
			unknown = i
		}
		i++
	}
	flush(len(heard))
	return parts
}

// run is a part in samples.
type run struct {
	prompt, shift   int // heard[i] is prompt[i-shift]
	begin, end, bad int
}

func (r run) part() Part {
	return Part{
		Prompt: r.prompt, At: timeOf(r.begin), From: timeOf(r.begin - r.shift), To: timeOf(r.end - r.shift), Missing: timeOf(r.bad),
	}
}

// match looks for the prompt that is heard at i, and how far back, at most to
// done, and forth it goes.
func (v *Vocabulary) match(heard []int16, i, done int) (best run, ok bool) {
	seed, fit := seedAt(heard, i)
	if !fit {
		return run{}, false
	}
	for _, s := range v.index[seed] {
		r := run{prompt: int(s.prompt), shift: i - int(s.at), begin: i, end: i}
		v.extend(heard, &r, done)
		if r.end-r.begin >= surest && r.end-r.begin > best.end-best.begin {
			best, ok = r, true
		}
	}
	return best, ok
}

// extend makes a run as long as recording and prompt agree.
func (v *Vocabulary) extend(heard []int16, r *run, done int) {
	prompt := v.prompts[r.prompt]
	last := min(len(heard), len(prompt)+r.shift)
	first := max(done, r.shift)
	for r.end < last {
		to := min(r.end+block, last)
		if !agree(heard, prompt, r.shift, r.end, to) {
			resume := v.resume(heard, r, last)
			if resume < 0 {
				break
			}
			r.bad += resume - r.end
			to = resume
		}
		r.end = to
	}
	for r.end < last && same(heard[r.end], prompt[r.end-r.shift]) {
		r.end++
	}
	for r.begin-block >= first && agree(heard, prompt, r.shift, r.begin-block, r.begin) {
		r.begin -= block
	}
	for r.begin > first && same(heard[r.begin-1], prompt[r.begin-1-r.shift]) {
		r.begin--
	}
	for r.end > r.begin && !loud(heard[r.end-1]) {
		r.end--
	}
	for r.begin < r.end && !loud(heard[r.begin]) {
		r.begin++
	}
}

// resume is where, after a hole that lost packets have left, recording and
// prompt agree again, with sound; -1 when they do not.
func (v *Vocabulary) resume(heard []int16, r *run, last int) int {
	prompt := v.prompts[r.prompt]
	for at := r.end + block; at+2*block <= last && at-r.end <= holes; at += block / 4 {
		sound := slices.ContainsFunc(heard[at:at+2*block], loud)
		if sound && agree(heard, prompt, r.shift, at, at+2*block) {
			return at
		}
	}
	return -1
}

// agree reports whether nearly all samples of a piece are those of a prompt.
func agree(heard, prompt []int16, shift, from, to int) bool {
	wrong := 0
	for i := from; i < to; i++ {
		if !same(heard[i], prompt[i-shift]) {
			wrong++
		}
	}
	return wrong*10 <= to-from
}

// same allows for a codec that rounds otherwise.
func same(a, b int16) bool {
	d, size := int(a)-int(b), int(b)
	return max(d, -d) <= 16+max(size, -size)/12
}

func loud(s int16) bool { return s > soundLevel || s < -soundLevel }

// seedAt is the samples by which a place is found; false where it is too quiet.
func seedAt(pcm []int16, at int) (seed [seedLength]int16, ok bool) {
	if at+seedLength > len(pcm) {
		return seed, false
	}
	strong := 0
	for i := range seed {
		s := pcm[at+i]
		seed[i] = s
		if s > seedLevel || s < -seedLevel {
			strong++
		}
	}
	return seed, strong >= seedLength-2
}

func timeOf(samples int) time.Duration { return time.Duration(samples) * time.Second / 8000 }
func samplesIn(d time.Duration) int    { return int(d * 8000 / time.Second) }
