package hear

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

const rate = 8000

// silence makes digital silence.
func silence(d time.Duration) []int16 { return make([]int16, int(d.Seconds()*rate)) }

func join(parts ...[]int16) []int16 { return slices.Concat(parts...) }

// noisy adds noise at a level relative to full scale.
func noisy(pcm []int16, level float64) []int16 {
	rng := rand.New(rand.NewPCG(1, 2))
	out := slices.Clone(pcm)
	for i := range out {
		out[i] = clip(float64(out[i]) + rng.NormFloat64()*level*32768)
	}
	return out
}

func near(t *testing.T, what string, got, want, by time.Duration) {
	t.Helper()
	if d := got - want; d < -by || d > by {
		t.Errorf("%s: got %v, want %v within %v", what, got, want, by)
	}
}

func TestCorrelateFindsAndJudges(t *testing.T) {
	prompt, other := Sample(1, 3*time.Second, rate), Sample(2, 3*time.Second, rate)
	half := slices.Clone(prompt)
	clear(half[len(half)/2:])
	garbled := slices.Clone(prompt)
	for i := 0; i+320 < len(garbled); i += 320 { // Every other frame is another sound.
		copy(garbled[i:i+160], other[i:i+160])
	}
	quiet := slices.Clone(prompt)
	for i := range quiet {
		quiet[i] /= 8
	}
	lead := silence(700 * time.Millisecond)
	tests := []struct {
		name        string
		heard       []int16
		least, most float64
		at          time.Duration
	}{
		{"itself", prompt, 0.9999, 1, 0},
		{"after silence", join(lead, prompt, lead), 0.9999, 1, 700 * time.Millisecond},
		{"quieter", join(lead, quiet), 0.999, 1, 700 * time.Millisecond},
		{"in the midst of another", join(other, prompt, other), 0.9999, 1, 3 * time.Second},
		{"with noise at -40 dB", join(lead, noisy(prompt, 0.01)), 0.985, 0.999, 700 * time.Millisecond},
		{"beginning missing", prompt[800:], 0.95, 0.9999, -100 * time.Millisecond},
		{"second half silent", join(lead, half), 0.5, 0.85, 700 * time.Millisecond},
		{"cut at half", join(lead, prompt[:len(prompt)/2]), 0.5, 0.85, 700 * time.Millisecond},
		{"every other frame wrong", join(lead, garbled), 0.3, 0.85, 700 * time.Millisecond},
		{"another sound", join(lead, other), -1, 0.3, -1},
		{"silence", silence(5 * time.Second), 0, 0, -1},
		{"nothing", nil, 0, 0, -1},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			r, at := Correlate(test.heard, prompt, rate)
			if r < test.least || r > test.most {
				t.Errorf("r is %.4f, want %.4f to %.4f", r, test.least, test.most)
			}
			if test.at != -1 {
				near(t, "at", at, test.at, time.Millisecond)
			}
		})
	}
}

func TestCorrelateBetweenSamples(t *testing.T) {
	// The prompt at 48 kHz, moved by parts of a sample of 8 kHz.
	prompt := Sample(3, 2*time.Second, 48_000)
	reference := Resample(prompt, 48_000, rate)
	for shift := range 6 {
		heard := Resample(join(make([]int16, shift), prompt), 48_000, rate)
		r, at := Correlate(heard, reference, rate)
		if r < 0.995 {
			t.Errorf("moved by %d/6 of a sample: r is %.4f", shift, r)
		}
		near(t, "at", at, time.Duration(shift)*time.Second/48_000, 15*time.Microsecond)
	}
}

func TestSampleIsTheSameSoundAtEveryRate(t *testing.T) {
	want := Sample(7, 2*time.Second, rate)
	for _, r := range []int{16_000, 44_100, 48_000} {
		wide := Sample(7, 2*time.Second, r)
		stereo := make([]int16, 0, 2*len(wide))
		for _, s := range wide {
			stereo = append(stereo, s, s)
		}
		got := Audio{Rate: r, Channels: 2, Samples: stereo}.At(rate)
		if c, at := Correlate(got, want, rate); c < 0.999 || at.Abs() > 100*time.Microsecond {
			t.Errorf("from %d Hz: r is %.5f at %v", r, c, at)
		}
	}
	for seed := range uint64(12) {
		if c, _ := Correlate(Sample(seed+100, 2*time.Second, rate), want, rate); c > 0.3 {
			t.Errorf("seed %d resembles seed 7: r is %.3f", seed+100, c)
		}
	}
	if got := Level(want); got < -21 || got > -19 {
		t.Errorf("a sample's level is %.1f dB, want -20", got)
	}
}

func TestResampleTakesAwayWhatDoesNotFit(t *testing.T) {
	tone := func(f float64, r int) []int16 {
		out := make([]int16, r)
		for i := range out {
			out[i] = clip(10_000 * math.Sin(2*math.Pi*f*float64(i)/float64(r)))
		}
		return out
	}
	if got := Level(Resample(tone(6000, 44_100), 44_100, rate)[400:7600]); got > -70 {
		t.Errorf("6 kHz is still there at 8 kHz: %.1f dB", got)
	}
	low := Resample(tone(1000, 44_100), 44_100, rate)
	if len(low) != rate {
		t.Errorf("one second has %d samples", len(low))
	}
	if got := Tone(low[400:7600], rate, 1000); got < 0.999 {
		t.Errorf("1 kHz is no longer pure: %.4f", got)
	}
	if got, want := Level(low[400:7600]), Level(tone(1000, rate)); math.Abs(got-want) > 0.05 {
		t.Errorf("1 kHz has %.2f dB, want %.2f", got, want)
	}
}

func TestMatchesAndSequence(t *testing.T) {
	a, b := Sample(1, 1500*time.Millisecond, rate), Sample(2, 2*time.Second, rate)
	heard := join(silence(200*time.Millisecond), a, silence(300*time.Millisecond), b, a, silence(time.Second))
	matches := Matches(heard, a, rate, 0.95)
	if len(matches) != 2 {
		t.Fatalf("the sound was heard twice, found %v", matches)
	}
	near(t, "first", matches[0].At, 200*time.Millisecond, time.Millisecond)
	near(t, "second", matches[1].At, 4*time.Second, time.Millisecond)
	parts, err := Sequence(heard, rate, 0.95, a, b, a)
	if err != nil {
		t.Fatal(err)
	}
	near(t, "gap before b", parts[1].Gap, 300*time.Millisecond, time.Millisecond)
	near(t, "gap before a", parts[2].Gap, 0, time.Millisecond)
	if _, err := Sequence(heard, rate, 0.95, b, b); err == nil {
		t.Error("b was heard once only")
	} else {
		t.Log(err)
	}
	if _, err := Sequence(heard, rate, 0.95, b, a, a); err == nil {
		t.Error("after b, a was heard once only")
	}
}

func TestTonesAndSounds(t *testing.T) {
	beep := make([]int16, rate/2)
	for i := range beep {
		beep[i] = clip(8000 * math.Sin(2*math.Pi*440*float64(i)/rate))
	}
	speech := Sample(5, 2*time.Second, rate)
	heard := join(silence(300*time.Millisecond), speech, beep, silence(time.Second))
	tones := Tones(heard, rate, 440, 0.8, 100*time.Millisecond)
	if len(tones) != 1 {
		t.Fatalf("one beep, found %v", tones)
	}
	near(t, "beep", tones[0].From, 2300*time.Millisecond, 25*time.Millisecond)
	near(t, "beep's length", tones[0].Length(), 500*time.Millisecond, 25*time.Millisecond)
	if got := Tone(beep, rate, 1000); got > 0.01 {
		t.Errorf("there is %.3f of 1 kHz in a tone of 440 Hz", got)
	}
	sounds := Sounds(heard, rate, -50, 400*time.Millisecond)
	if len(sounds) != 1 {
		t.Fatalf("one sound, found %v", sounds)
	}
	near(t, "sound", sounds[0].From, 300*time.Millisecond, 60*time.Millisecond)
	near(t, "sound's end", sounds[0].To, 2800*time.Millisecond, 25*time.Millisecond)
}

func BenchmarkCorrelateMinute(b *testing.B) {
	heard, prompt := Sample(1, time.Minute, rate), Sample(2, 20*time.Second, rate)
	for b.Loop() {
		Correlate(heard, prompt, rate)
	}
}
