//go:build e2e

package scenarios

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"asterism/e2e/phone"
	"asterism/e2e/phone/hear"
	"asterism/e2e/stack"
)

// TestPlayback is everything that the Playback action offers.
func TestPlayback(t *testing.T) {
	p := start(t, stack.Options{})
	t.Run("core", func(t *testing.T) { core(t, p, 1) })
	t.Run("formats", func(t *testing.T) { formats(t, p) })
	t.Run("sounds", func(t *testing.T) { kindsOfSound(t, p) })
	t.Run("languages", func(t *testing.T) { languages(t, p) })
	t.Run("loops", func(t *testing.T) { loops(t, p) })
	t.Run("keys", func(t *testing.T) { stopKeys(t, p) })
	t.Run("controls", func(t *testing.T) { controls(t, p) })
	t.Run("command line", func(t *testing.T) { commandLine(t, p) })
	t.Run("changed", func(t *testing.T) { changed(t, p) })
}

// plays is a call that must be heard.
func (p *platform) plays(t *testing.T, headers [][2]string, prompt []int16) {
	t.Helper()
	heard(t, func() (*phone.Call, error) {
		c := p.call(t, headers)
		endedByFarEnd(t, c)
		return c, hears(c, prompt)
	})
}

// times is an error unless a prompt was heard so often.
func times(c *phone.Call, n int, prompt []int16) error {
	if found := hear.Matches(c.Heard(), prompt, rate, least); len(found) != n {
		return fmt.Errorf("it was heard %d times, want %d", len(found), n)
	}
	return nil
}

// formats puts files of other programs; each holds hear.Sample(77, 1.5 s).
func formats(t *testing.T, p *platform) {
	t.Helper()
	want := hear.Sample(77, 1500*time.Millisecond, rate)
	for _, kind := range []string{"mp3", "flac", "ogg"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			out := p.asterism(t, "media", "put", "testdata/sample."+kind, "from/"+kind)
			if !strings.Contains(out, "from/"+kind+": 1.") {
				t.Errorf("media put says %q; want the name and the length", out)
			}
			p.plays(t, playback("from/"+kind), want)
		})
	}
}

// kindsOfSound plays what Asterisk brings.
func kindsOfSound(t *testing.T, p *platform) {
	t.Helper()
	one := p.prompt(t, "one", 21, time.Second)
	two := p.prompt(t, "two", 22, time.Second)
	for _, test := range []struct {
		sounds   string
		from, to float64 // how many seconds are loud
	}{
		{"sound:hello-world", 0.6, 2},
		{"hello-world", 0.6, 2}, // not in storage
		{"digits:12", 0.5, 2.5},
		{"number:42", 0.5, 2.5},
		{"characters:ab", 0.4, 2.5},
	} {
		t.Run(test.sounds, func(t *testing.T) {
			t.Parallel()
			c := p.call(t, playback(test.sounds))
			endedByFarEnd(t, c)
			loud := 0.0
			for _, span := range hear.Sounds(c.Heard(), rate, -50, 0) {
				loud += span.Length().Seconds()
			}
			if loud < test.from || loud > test.to {
				t.Errorf("%.2f s of sound were heard, want %.1f to %.1f", loud, test.from, test.to)
			}
		})
	}
	t.Run("tone", func(t *testing.T) {
		t.Parallel()
		c := p.call(t, playback("tone:425"))
		listen(t, c, 1500*time.Millisecond)
		if spans := hear.Tones(c.Heard(), rate, 425, 0.9, time.Second); len(spans) == 0 {
			t.Errorf("a tone of 425 Hz was not heard for a second: share %.2f", hear.Tone(c.Heard(), rate, 425))
		}
		if err := c.Hangup(t.Context()); err != nil {
			t.Error(err)
		}
	})
	t.Run("silence", func(t *testing.T) {
		t.Parallel()
		heard(t, func() (*phone.Call, error) {
			c := p.call(t, playback("one&silence:700&two&digits:1&one"))
			endedByFarEnd(t, c)
			return c, errors.Join(
				sequence(c, 640*time.Millisecond, 700*time.Millisecond+gapless, one, two),
				sequence(c, 200*time.Millisecond, time.Second, two, one))
		})
	})
}

// languages looks prompts up in the caller's language, its base, and what
// serves all.
func languages(t *testing.T, p *platform) {
	t.Helper()
	put := func(name, language string, seed uint64) []int16 {
		var flags []string
		if language != "" {
			flags = []string{"--language", language}
		}
		return p.prompt(t, name, seed, 1200*time.Millisecond, flags...)
	}
	exact, base, english, plain := put("l/all", "it-IT", 31), put("l/all", "it", 32), put("l/all", "en", 33), put("l/all", "", 34)
	baseOnly, anyOnly := put("l/base", "it", 35), put("l/any", "", 36)
	put("l/base", "", 37)
	for _, test := range []struct {
		name, sound, language string
		want                  []int16
	}{
		{"as asked for", "l/all", "it-IT", exact},
		{"base", "l/all", "it", base},
		{"base of another country", "l/all", "it-CH", base},
		{"falls back to base", "l/base", "it-IT", baseOnly},
		{"falls back to all", "l/any", "it-IT", anyOnly},
		{"of the platform", "l/all", "", english},
		{"of the platform for strangers", "l/all", "fr-FR", english},
		{"exactly the object", "media:l/all", "it-IT", plain},
		{"object of a language", "media:it/l/all", "", base},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			headers := playback(test.sound)
			if test.language != "" {
				headers = playback(test.sound, "Language", test.language)
			}
			p.plays(t, headers, test.want)
		})
	}
}

func loops(t *testing.T, p *platform) {
	t.Helper()
	short := p.prompt(t, "loop/short", 41, 800*time.Millisecond)
	t.Run("pause", func(t *testing.T) {
		t.Parallel()
		heard(t, func() (*phone.Call, error) {
			c := p.call(t, playback("loop/short", "Loop", "3", "Pause", "0.5"))
			endedByFarEnd(t, c)
			return c, errors.Join(
				sequence(c, 440*time.Millisecond, 500*time.Millisecond+gapless, short, short, short),
				times(c, 3, short))
		})
	})
	t.Run("many", func(t *testing.T) {
		t.Parallel()
		heard(t, func() (*phone.Call, error) {
			c := p.call(t, playback("loop/short", "Loop", "12"))
			endedByFarEnd(t, c)
			return c, times(c, 12, short)
		})
	})
	t.Run("forever", func(t *testing.T) {
		t.Parallel()
		heard(t, func() (*phone.Call, error) {
			c := p.call(t, playback("loop/short", "Loop", "forever"))
			listen(t, c, 4*time.Second)
			if err := c.Hangup(t.Context()); err != nil {
				t.Error(err)
			}
			p.logged(t, "run-1", c.ID(), "call ended", `"result":"hangup"`, "loop/short")
			return c, sequence(c, 0, 0, short, short, short, short)
		})
	})
}

func stopKeys(t *testing.T, p *platform) {
	t.Helper()
	long := p.prompt(t, "keys/long", 51, 6*time.Second)
	t.Run("any", func(t *testing.T) {
		t.Parallel()
		heard(t, func() (*phone.Call, error) {
			c := p.call(t, playback("keys/long", "Digits-Stop", "any"))
			listen(t, c, time.Second)
			press(t, c, "7")
			endedByFarEnd(t, c)
			p.logged(t, "run-1", c.ID(), "call ended", `"ended":"digit"`, `"digit":"7"`)
			return c, errors.Join(hears(c, part(long, 0, 0.8)), noLonger(c, 4*time.Second))
		})
	})
	t.Run("others do nothing", func(t *testing.T) {
		t.Parallel()
		heard(t, func() (*phone.Call, error) {
			c := p.call(t, playback("keys/long", "Digits-Stop", "*#"))
			listen(t, c, time.Second)
			press(t, c, "123A")
			endedByFarEnd(t, c)
			return c, hears(c, long)
		})
	})
	t.Run("in early media", func(t *testing.T) {
		t.Parallel()
		ph := newPhone(t)
		c, err := ph.Start(t.Context(), p.to(1, playback("keys/long", "Early-Media", "yes", "Digits-Stop", "#")))
		if err != nil {
			t.Fatal(err)
		}
		listen(t, c, time.Second)
		press(t, c, "#")
		if end := ended(t, c); end.Status != 480 || seconds(c.Heard()) > 3 {
			t.Errorf("ended with %d after %.1f s of sound, want 480 at the key", end.Status, seconds(c.Heard()))
		}
	})
}

func controls(t *testing.T, p *platform) {
	t.Helper()
	long := p.prompt(t, "controls/long", 61, 6*time.Second)
	headers := playback("controls/long", "Controls", "pause=5,restart=0,forward=6,back=4,skip=2000", "Digits-Stop", "#")
	// after presses a key when so much was heard, and listens to the end.
	after := func(name string, d time.Duration, key string, judge func(*phone.Call) error) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			heard(t, func() (*phone.Call, error) {
				c := p.call(t, headers)
				listen(t, c, d)
				press(t, c, key)
				endedByFarEnd(t, c)
				return c, judge(c)
			})
		})
	}
	after("pause", 1500*time.Millisecond, "5,5", func(c *phone.Call) error {
		return sequence(c, 2200*time.Millisecond, 3200*time.Millisecond, part(long, 0, 1.2), part(long, 2.7, 6))
	})
	after("restart", 2*time.Second, "0", func(c *phone.Call) error {
		return sequence(c, 0, 2*time.Second, part(long, 0, 1.6), long)
	})
	after("forward", time.Second, "6", func(c *phone.Call) error { // 3.2 s less 2 s
		return sequence(c, 900*time.Millisecond, 1400*time.Millisecond, part(long, 0, 0.8), part(long, 4, 6))
	})
	after("back", 3500*time.Millisecond, "4", func(c *phone.Call) error {
		return errors.Join(times(c, 2, part(long, 2.2, 3.2)), sequence(c, 0, 0, part(long, 0, 3.2), part(long, 2.2, 6)))
	})
	after("stop while paused", time.Second, "5#", func(c *phone.Call) error { return noLonger(c, 4*time.Second) })
}

// changed puts a prompt anew and expects every later playback to have it.
func changed(t *testing.T, p *platform) {
	t.Helper()
	for _, seed := range []uint64{71, 72, 73} {
		prompt := p.prompt(t, "changing", seed, time.Second)
		p.plays(t, playback("changing"), prompt)
	}
	p.asterism(t, "media", "rm", "changing")
	p.refused(t, 404, playback("changing")).says(t, "changing")
}
