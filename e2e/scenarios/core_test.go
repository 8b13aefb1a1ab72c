//go:build e2e

package scenarios

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"asterism/e2e/phone"
	"asterism/e2e/stack"
)

// gapless is the longest pause between two sounds that nobody notices.
const gapless = 60 * time.Millisecond

// core is what every deployment must do alike, on each of its nodes.
func core(t *testing.T, p *platform, nodes int) {
	t.Helper()
	narrow := p.prompt(t, "core/narrow", 11, 2*time.Second)
	wide := p.promptAs(t, "core/wide", 12, 2*time.Second, 16000, 1)
	stereo := p.promptAs(t, "core/stereo", 13, 2*time.Second, 44100, 2)
	for node := 1; node <= nodes; node++ {
		name := func(what string) string { return fmt.Sprintf("node %d %s", node, what) }
		// judged runs a call to its end and judges it.
		judged := func(what, sound string, judge func(*phone.Call) error, more ...string) {
			t.Run(name(what), func(t *testing.T) {
				t.Parallel()
				heard(t, func() (*phone.Call, error) {
					c := p.callNode(t, node, playback(sound, more...))
					endedByFarEnd(t, c)
					return c, judge(c)
				})
			})
		}
		judged("8 kHz", "core/narrow", func(c *phone.Call) error { return hears(c, narrow) })
		judged("16 kHz", "media:core/wide", func(c *phone.Call) error { return hears(c, wide) })
		judged("44.1 kHz stereo", "core/stereo", func(c *phone.Call) error { return hears(c, stereo) })
		judged("two sounds", "core/narrow&core/stereo", func(c *phone.Call) error {
			return sequence(c, -gapless, gapless, narrow, stereo)
		})
		judged("loop 2", "core/narrow", func(c *phone.Call) error {
			return errors.Join(sequence(c, -gapless, gapless, narrow, narrow), noLonger(c, 5*time.Second))
		}, "Loop", "2")
		t.Run(name("early media"), func(t *testing.T) {
			t.Parallel()
			heard(t, func() (*phone.Call, error) { return p.announcement(t, node, "core/narrow", narrow) })
		})
		t.Run(name("key stops"), func(t *testing.T) {
			t.Parallel()
			c := p.callNode(t, node, playback("core/narrow", "Loop", "forever", "Digits-Stop", "#"))
			listen(t, c, 500*time.Millisecond)
			press(t, c, "1#")
			endedByFarEnd(t, c)
			if err := noLonger(c, 4*time.Second); err != nil {
				t.Error(err)
			}
		})
		t.Run(name("missing"), func(t *testing.T) {
			t.Parallel()
			c, err := p.dial(t, node, playback("core/none"))
			refusedWith(t, c, err, 404).says(t, "core/none", "not found")
		})
	}
}

// announcement is a call with early media.
func (p *platform) announcement(t *testing.T, node int, sound string, prompt []int16) (*phone.Call, error) {
	t.Helper()
	c, err := p.dial(t, node, playback(sound, "Early-Media", "yes"))
	if _, ok := c.AnsweredAt(); ok || err == nil {
		t.Fatalf("the call was answered; want early media: %v", c.Events())
	}
	end := ended(t, c)
	if end.Status != 480 || end.By != phone.FarEnd {
		t.Errorf("the announcement ended with status %d by %q, want 480 by the far end", end.Status, end.By)
	}
	if got := statuses(c); !slices.Contains(got, "183 Session Progress") || !c.EarlyMedia() {
		t.Errorf("the responses were %v; want a 183 with sound", got)
	}
	return c, hears(c, prompt)
}

func TestDeployments(t *testing.T) {
	t.Run("nodes", func(t *testing.T) {
		core(t, start(t, stack.Options{Nodes: 2}), 2)
	})
	t.Run("split", func(t *testing.T) {
		p := start(t, stack.Options{Split: true, Workers: 2, Nodes: 2})
		t.Run("core", func(t *testing.T) { core(t, p, 2) })
		p.tells(t)
		p.nothingLeft(t)
	})
}
