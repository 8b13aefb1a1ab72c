package chaos

import (
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"time"
)

// plan is one round: all of it follows from its seed.
type plan struct {
	seed  uint64
	name  string // <fault>-<round>
	fault *fault
	at    time.Duration // when the fault happens, after the round's beginning
	lasts time.Duration // how long
	dice  *rand.Rand    // for what the fault itself chooses
	brief bool
	calls []callPlan
}

// kind is what a call is about.
type kind string

// The kinds of calls.
const (
	single   kind = "single"   // one prompt
	list     kind = "list"     // several
	looped   kind = "loop"     // a few rounds with pauses
	batched  kind = "batches"  // many rounds: several playbacks
	endless  kind = "endless"  // until a key
	early    kind = "early"    // early media, to its end
	earlyKey kind = "earlykey" // early media, until a key
	controls kind = "controls" // keys that move about in a long prompt
	ahead    kind = "ahead"    // a key typed as soon as there is a line
	others   kind = "others"   // keys that mean nothing
	leaves   kind = "leaves"   // the caller hangs up
	probe    kind = "probe"    // a key pressed as soon as the fault is there
	fresh    kind = "fresh"    // a prompt that no node has cached
)

// stopKey ends every playback that a key ends.
const stopKey = "#"

// The control keys and how far they skip.
const (
	pauseKey   = "5"
	restartKey = "0"
	forwardKey = "6"
	backKey    = "4"
	skip       = 2 * time.Second
)

// callPlan is one call.
type callPlan struct {
	n     int
	kind  kind
	at    time.Duration // when it is placed, after the round's beginning
	items []int         // the prompts of one round of the loop
	loops int           // 0 is for ever
	pause time.Duration
	early bool
	stops bool          // whether stopKey ends it
	keys  []keyPlan     // pressed, in order of time
	hangs time.Duration // when the caller hangs up, after the first sound; 0 is never
	name  string        // of the one prompt, when storage has it under another name
}

// keyPlan is a key to press.
type keyPlan struct {
	at  time.Duration // after the first sound
	key string
}

// roundSeed is the seed of a round.
func roundSeed(seed uint64, fault string, round int) uint64 {
	h := fnv.New64a()
	fmt.Fprintf(h, "%d %s %d", seed, fault, round)
	return h.Sum64()
}

// newPlan makes the plan of a round.
func newPlan(seed uint64, f *fault, round, calls int, brief bool, p *prompts) *plan {
	s := roundSeed(seed, f.name, round)
	dice := rand.New(rand.NewPCG(s, 0x6368616f73))
	pl := &plan{seed: s, name: fmt.Sprintf("%s-%d", f.name, round), fault: f, dice: dice, brief: brief}
	pl.at = between(dice, 4*time.Second, 8*time.Second)
	if brief {
		pl.at = between(dice, 2500*time.Millisecond, 5*time.Second)
	}
	pl.lasts = f.length(dice, brief)
	// Calls begin until the fault is over and a little later.
	over := pl.at + pl.lasts + 3*time.Second
	probes := max(2, calls*16/100)
	for n := range calls {
		c := callPlan{n: n, kind: probe, at: between(dice, 0, over)}
		switch {
		case n < probes:
			c.at = between(dice, 0, pl.at-1500*time.Millisecond)
		case n == probes && f.fresh:
			c.kind, c.at = fresh, pl.at+between(dice, pl.lasts/4, pl.lasts*3/4)
		case n%3 != 0: // two of three begin before it, so that it finds all of them at work
			c.kind, c.at = kinds[dice.IntN(len(kinds))], between(dice, 0, pl.at)
		default:
			c.kind = kinds[dice.IntN(len(kinds))]
		}
		c.fill(dice, pl, p)
		pl.calls = append(pl.calls, c)
	}
	return pl
}

// kinds are those that a round draws from; the more often the likelier.
var kinds = []kind{
	single, list, list, looped, looped, batched, batched, endless, endless, early, earlyKey, controls, controls, controls, ahead, others, leaves,
}

// fill makes up what a call plays and what its caller does.
func (c *callPlan) fill(dice *rand.Rand, pl *plan, p *prompts) {
	c.loops = 1
	some := func(n int) []int { return dice.Perm(shortPrompts)[:n] }
	latest, rounds, moves := 12*time.Second, 3, 2
	if pl.brief {
		latest, rounds, moves = 6*time.Second, 2, 1
	}
	later := func() time.Duration { return between(dice, 2*time.Second, latest) }
	switch c.kind {
	case single:
		c.items = some(1)
	case list:
		c.items = some(3 + dice.IntN(4))
	case others:
		c.items, c.stops = some(4), true
		c.keys = []keyPlan{{between(dice, 0, 2*time.Second), "1"}, {between(dice, 2*time.Second, 4*time.Second), "9*"}}
	case looped:
		c.items, c.loops, c.pause = some(1+dice.IntN(2)), 2+dice.IntN(rounds), between(dice, 300*time.Millisecond, 1500*time.Millisecond)
	case batched:
		c.items, c.loops = []int{p.quick(dice.IntN(shortPrompts))}, 9+dice.IntN(rounds)
	case endless:
		c.items, c.loops, c.stops, c.pause = some(1+dice.IntN(2)), 0, true, between(dice, 0, 800*time.Millisecond)
		c.keys = []keyPlan{{later(), stopKey}}
	case early:
		c.items, c.early = some(2+dice.IntN(3)), true
	case earlyKey:
		c.items, c.loops, c.early, c.stops = some(2), 0, true, true
		c.keys = []keyPlan{{later(), stopKey}}
	case controls:
		c.items, c.stops = []int{longPrompt}, true
		if pl.brief {
			c.items = []int{briefPrompt}
		}
		c.keys = controlKeys(dice, moves)
	case ahead:
		c.items, c.loops, c.stops = some(2), 0, true
		c.keys = []keyPlan{{0, stopKey}}
	case leaves:
		c.items, c.loops, c.hangs = some(3), 0, later()
	case fresh:
		c.items = some(1)
		c.name = freshName(pl.name, c.items[0])
	case probe:
		c.items, c.loops, c.stops = some(2), 0, true
	}
}

// controlKeys are one thing or, if there may be more, two that a caller does in
// a long prompt, far enough apart to be told from one another.
func controlKeys(dice *rand.Rand, most int) []keyPlan {
	var keys []keyPlan
	at := between(dice, 1500*time.Millisecond, 3*time.Second)
	for range 1 + dice.IntN(most) {
		key := []string{pauseKey, restartKey, forwardKey, backKey}[dice.IntN(4)]
		keys = append(keys, keyPlan{at, key})
		if key == pauseKey {
			at += between(dice, 1200*time.Millisecond, 2500*time.Millisecond)
			keys = append(keys, keyPlan{at, pauseKey})
		}
		at += between(dice, 3*time.Second, 4*time.Second)
	}
	return keys
}

// headers are those of the INVITE.
func (c *callPlan) headers() [][2]string {
	sounds := make([]string, len(c.items))
	for i, n := range c.items {
		sounds[i] = promptName(n)
	}
	if c.name != "" {
		sounds = []string{c.name}
	}
	h := [][2]string{{"X-Asterisk-Action", "Playback"}, {"X-Asterisk-Sound", strings.Join(sounds, "&")}}
	add := func(name, value string) { h = append(h, [2]string{"X-Asterisk-" + name, value}) }
	if c.loops != 1 {
		add("Loop", strconv.Itoa(c.loops))
	}
	if c.pause > 0 {
		add("Pause", fmt.Sprintf("%dms", c.pause.Milliseconds()))
	}
	if c.early {
		add("Early-Media", "yes")
	}
	if c.stops {
		add("Digits-Stop", stopKey)
	}
	if c.kind == controls {
		add("Controls", fmt.Sprintf("pause=%s,restart=%s,forward=%s,back=%s,skip=%d", pauseKey, restartKey, forwardKey, backKey, skip.Milliseconds()))
	}
	return h
}

// until is the longest that a call may last from its first sound on, without
// what the fault adds.
func (c *callPlan) until(p *prompts) time.Duration {
	round := c.pause
	for _, n := range c.items {
		round += p.length(n)
	}
	longest := round * time.Duration(c.loops)
	if len(c.keys) > 0 {
		longest += c.keys[len(c.keys)-1].at + 3*skip
	}
	return max(longest, c.hangs)
}

// expected is the order in which prompts must be heard. Of an endless call it
// is as long as at least.
func (c *callPlan) expected(least int) []int {
	if c.loops > 0 {
		return slices.Repeat(c.items, c.loops)
	}
	return slices.Repeat(c.items, least/len(c.items)+2)
}

func (c *callPlan) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "call %d (%s), placed at %.2f s, prompts %v, loops %d, pause %v", c.n, c.kind, c.at.Seconds(), c.items, c.loops, c.pause)
	for _, k := range c.keys {
		fmt.Fprintf(&b, ", key %s at +%.2f s", k.key, k.at.Seconds())
	}
	if c.hangs > 0 {
		fmt.Fprintf(&b, ", hangs up at +%.2f s", c.hangs.Seconds())
	}
	return b.String()
}

// between is a duration from one up to another, in milliseconds.
func between(dice *rand.Rand, from, to time.Duration) time.Duration {
	if to <= from {
		return from
	}
	return (from + time.Duration(dice.Int64N(int64(to-from)))).Truncate(time.Millisecond)
}
