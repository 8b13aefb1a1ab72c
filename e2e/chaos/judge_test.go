package chaos

import (
	"errors"
	"slices"
	"testing"
	"time"

	"asterism/e2e/phone"
	"asterism/e2e/phone/hear"
)

// born is when all calls of these tests are placed, and firstSound how much
// later they are heard.
var born = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)

const firstSound = 100 * time.Millisecond

// spoken is a part of a prompt, or silence.
type spoken struct {
	prompt   int
	from, to time.Duration // to 0 is its end
	quiet    time.Duration // silence instead
	hole     time.Duration // missing from the middle
}

func all(prompts ...int) []spoken {
	out := make([]spoken, len(prompts))
	for i, n := range prompts {
		out[i].prompt = n
	}
	return out
}

func (s spoken) pcm(ps *prompts) []int16 {
	if s.quiet > 0 {
		return make([]int16, samples(s.quiet))
	}
	to := s.to
	if to == 0 {
		to = ps.length(s.prompt)
	}
	pcm := slices.Clone(ps.pcm[s.prompt][samples(s.from):samples(to)])
	mid := len(pcm) / 2
	clear(pcm[mid : mid+samples(s.hole)])
	return pcm
}

func samples(d time.Duration) int { return int(d * 8000 / time.Second) }

// hearing is a call as the telephone may have heard it.
type hearing struct {
	name   string
	fault  string        // default kill-worker
	struck time.Duration // after the INVITE; the fault lasts a second. Default 2 s
	plan   callPlan
	say    []spoken
	keys   []pressedAt
	change func(p *placed) // of how it ended: by default the far end, normally
	want   verdict
	good   bool // whether nothing may be said against it
}

// pressedAt is a key at a time after the first sound.
type pressedAt struct {
	key   string
	at    time.Duration
	again bool
}

func (h *hearing) placed(ps *prompts) *placed {
	p := &placed{plan: &h.plan, call: &phone.Call{}, began: born, heardAt: born.Add(firstSound), answered: true}
	for _, s := range h.say {
		p.heard = append(p.heard, s.pcm(ps)...)
	}
	p.end = phone.End{By: phone.FarEnd, At: firstSound + time.Duration(len(p.heard))*time.Second/8000, Answered: true, Cause: normalClearing}
	for _, k := range h.keys {
		from := p.heardAt.Add(k.at)
		p.keys = append(p.keys, pressed{key: k.key, from: from, to: from.Add(100 * time.Millisecond), again: k.again})
	}
	if h.change != nil {
		h.change(p)
	}
	return p
}

func (h *hearing) window(t *testing.T) window {
	t.Helper()
	if h.fault == "" {
		h.fault = "kill-worker"
	}
	if h.struck == 0 {
		h.struck = 2 * time.Second
	}
	f, err := faultNamed(h.fault)
	if err != nil {
		t.Fatal(err)
	}
	from := born.Add(h.struck)
	return window{fault: f, from: from, to: from.Add(time.Second)}
}

func judgeAll(t *testing.T, hearings []hearing) {
	t.Helper()
	ps := newPrompts()
	for _, h := range hearings {
		t.Run(h.name, func(t *testing.T) {
			got, heard := judge(h.placed(ps), h.window(t), ps)
			problems := got.Problems
			got.Problems = nil
			if !sameVerdict(got, h.want) || h.good != (len(problems) == 0) {
				t.Errorf("judged %+v %q, want %+v (good: %v); heard %v", got, problems, h.want, h.good, heard)
			}
		})
	}
}

func sameVerdict(a, b verdict) bool {
	return a.Dropped == b.Dropped && a.Refused == b.Refused && a.Cut == b.Cut && a.Repeated == b.Repeated && a.Double == b.Double &&
		a.Lost == b.Lost && a.Forbidden == b.Forbidden
}

const half = 600 * time.Millisecond // of any short prompt

func TestJudgePrompts(t *testing.T) {
	three := callPlan{kind: list, items: []int{0, 1, 2}, loops: 1}
	loop := callPlan{kind: looped, items: []int{3, 4}, loops: 3, pause: time.Second}
	judgeAll(t, []hearing{
		{name: "whole", plan: three, say: all(0, 1, 2), good: true},
		{name: "whole with silence between", plan: three, say: []spoken{{quiet: time.Second}, {prompt: 0}, {quiet: 5 * time.Second}, {prompt: 1}, {prompt: 2}}, good: true},
		{name: "cut and repeated", plan: three, say: []spoken{{prompt: 0}, {prompt: 1, to: half}, {quiet: time.Second}, {prompt: 1}, {prompt: 2}}, want: verdict{Repeated: 1}, good: true},
		{name: "cut and the list repeated", plan: three, say: []spoken{{prompt: 0}, {prompt: 1, to: half}, {prompt: 0}, {prompt: 1}, {prompt: 2}}, want: verdict{Repeated: 1, Double: 1}},
		{name: "cut and not repeated", plan: three, say: []spoken{{prompt: 0}, {prompt: 1, to: half}, {prompt: 2}}, want: verdict{Cut: 1}},
		{name: "cut twice and repeated", plan: three, say: []spoken{{prompt: 0, to: half}, {prompt: 0, to: half + 100*time.Millisecond}, {prompt: 0}, {prompt: 1}, {prompt: 2}}, want: verdict{Repeated: 2}, good: true},
		{name: "the last one cut", plan: three, say: []spoken{{prompt: 0}, {prompt: 1}, {prompt: 2, to: half}}, want: verdict{Cut: 1}},
		{name: "wrong order", plan: three, say: all(0, 2, 1), want: verdict{Dropped: 1, Forbidden: 1, Repeated: 1, Double: 1}},
		{name: "one left out", plan: three, say: all(0, 2), want: verdict{Forbidden: 1}},
		{name: "one of another call", plan: three, say: all(0, 7, 1, 2), want: verdict{Forbidden: 1}},
		{name: "one begun in its middle", plan: three, say: []spoken{{prompt: 0}, {prompt: 1}, {prompt: 2, from: half}}, want: verdict{Forbidden: 1, Dropped: 1}},
		{name: "one that goes on in its middle after a pause", plan: three, say: []spoken{{prompt: 0}, {prompt: 1, to: half}, {quiet: 3 * time.Second}, {prompt: 1, from: half}, {prompt: 2}}, good: true},
		{name: "needlessly repeated", plan: three, say: all(0, 1, 1, 2), want: verdict{Repeated: 1, Double: 1}},
		{name: "repeated by a gateway that could not know", fault: "kill-gateway", plan: three, say: all(0, 1, 1, 2), want: verdict{Repeated: 1}, good: true},
		{name: "dropped", plan: three, say: all(0, 1), want: verdict{Dropped: 1}},
		{name: "a loop", plan: loop, say: all(3, 4, 3, 4, 3, 4), good: true},
		{name: "a loop with a round too many", plan: loop, say: all(3, 4, 3, 4, 3, 4, 3, 4), want: verdict{Repeated: 1, Double: 1}},
		{name: "a loop with a round too few", plan: loop, say: all(3, 4, 3, 4), want: verdict{Dropped: 1}},
		{
			name: "a packet lost by the network", plan: three, say: []spoken{{prompt: 0}, {prompt: 1, hole: 2 * frame}, {prompt: 2}},
			change: func(p *placed) { p.rx.Lost = 2 }, good: true,
		},
		{name: "sound missing that nobody lost", plan: three, say: []spoken{{prompt: 0}, {prompt: 1, hole: 5 * frame}, {prompt: 2}}, want: verdict{Cut: 1}},
	})
}

func TestJudgeEnds(t *testing.T) {
	three := callPlan{kind: list, items: []int{0, 1, 2}, loops: 1}
	ever := callPlan{kind: endless, items: []int{0, 1}}
	off := callPlan{kind: leaves, items: []int{0, 1}, hangs: 2 * time.Second}
	refused := func(status int, after time.Duration) func(*placed) {
		return func(p *placed) {
			p.began = born.Add(after)
			p.err = &phone.RefusedError{Status: status}
			p.end = phone.End{By: phone.FarEnd, Status: status}
		}
	}
	judgeAll(t, []hearing{
		{name: "not placed", plan: three, change: func(p *placed) { p.call, p.err = nil, errors.New("no socket") }},
		{name: "dead", plan: three, say: all(0), change: func(p *placed) { p.end = phone.End{By: phone.Nobody, At: p.end.At, Answered: true} }, want: verdict{Dropped: 1}},
		{name: "given up by Asterisk", plan: three, say: all(0, 1, 2), change: func(p *placed) { p.end.Cause = 41 }, want: verdict{Dropped: 1}},
		{name: "never ending", plan: three, say: all(0, 1, 2), change: func(p *placed) { p.late, p.end.By = true, phone.Us }, want: verdict{Dropped: 1}},
		{name: "endless, but not", plan: ever, say: all(0, 1, 0), want: verdict{Dropped: 1}},
		{name: "the caller hangs up", plan: off, say: []spoken{{prompt: 0}, {prompt: 1, to: half}}, change: func(p *placed) { p.end.By = phone.Us }, good: true},
		{name: "refused while the gateway is away", fault: "kill-gateway", plan: three, change: refused(503, 2500*time.Millisecond), want: verdict{Refused: 1}, good: true},
		{name: "refused long after", fault: "kill-gateway", plan: three, change: refused(503, 12*time.Second), want: verdict{Dropped: 1}},
		{name: "refused with another status", fault: "kill-gateway", plan: three, change: refused(500, 2500*time.Millisecond), want: verdict{Dropped: 1}},
		{name: "refused for the death of a worker", plan: three, change: refused(503, 2500*time.Millisecond), want: verdict{Dropped: 1}},
		{name: "early media to its end", plan: callPlan{kind: early, items: []int{0, 1}, loops: 1, early: true}, say: all(0, 1), change: func(p *placed) {
			p.err, p.end = &phone.RefusedError{Status: 480}, phone.End{By: phone.FarEnd, Status: 480, At: p.end.At}
		}, good: true},
		{name: "early media cut", plan: callPlan{kind: early, items: []int{0, 1}, loops: 1, early: true}, say: all(0), change: func(p *placed) {
			p.err, p.end = &phone.RefusedError{Status: 480}, phone.End{By: phone.FarEnd, Status: 480, At: p.end.At}
		}, want: verdict{Dropped: 1}},
	})
}

func TestJudgeStop(t *testing.T) {
	ever := callPlan{kind: endless, items: []int{0, 1}, stops: true, keys: []keyPlan{{2 * time.Second, stopKey}}}
	asks := callPlan{kind: probe, items: []int{0, 1}, stops: true}
	prompts := []spoken{{prompt: 0}, {prompt: 1, to: half}}
	for range 8 {
		prompts = append(all(0, 1), prompts...)
	}
	gap := []pressedAt{{key: "#", at: 2 * time.Second}}
	endsAt := func(d time.Duration) func(*placed) {
		return func(p *placed) { p.end.At = firstSound + d }
	}
	never := func(p *placed) { p.late, p.end.By = true, phone.Us }
	judgeAll(t, []hearing{
		{name: "obeyed", plan: ever, say: prompts[:3], keys: []pressedAt{{key: "#", at: 2 * time.Second}}, change: endsAt(2200 * time.Millisecond), good: true},
		{name: "obeyed late, after the fault", plan: ever, say: prompts[:5], keys: []pressedAt{{key: "#", at: 2 * time.Second}}, change: endsAt(6 * time.Second), good: true},
		{
			name: "not obeyed, but the next", plan: ever, say: prompts[:5],
			keys: []pressedAt{{key: "#", at: 2 * time.Second}, {"#", 5 * time.Second, true}}, change: endsAt(5200 * time.Millisecond), want: verdict{Lost: 1},
		},
		{
			name: "never obeyed", plan: ever, say: prompts,
			keys: []pressedAt{{key: "#", at: 2 * time.Second}, {"#", 8 * time.Second, true}}, change: never, want: verdict{Lost: 1, Dropped: 1},
		},
		{name: "in the gap of the websocket, obeyed after it", fault: "drop-ari", plan: ever, say: prompts[:4], keys: gap, change: endsAt(3500 * time.Millisecond), good: true},
		{
			name: "in the gap of the websocket, lost", fault: "drop-ari", plan: ever, say: prompts[:6],
			keys: append(gap, pressedAt{"#", 9 * time.Second, true}), change: endsAt(9200 * time.Millisecond), want: verdict{Lost: 1},
		},
		{name: "a probe that is never obeyed", plan: asks, say: prompts, keys: []pressedAt{{key: "#", at: 2 * time.Second}}, change: never, want: verdict{Dropped: 1}},
		{
			name: "a probe that is obeyed", plan: asks, say: prompts[:4],
			keys: []pressedAt{{key: "#", at: 2 * time.Second}, {"#", 2400 * time.Millisecond, true}}, change: endsAt(4 * time.Second), good: true,
		},
	})
}

func TestJudgeMoves(t *testing.T) {
	plan := callPlan{kind: controls, items: []int{longPrompt}, loops: 1, stops: true}
	s := time.Second
	whole := spoken{prompt: longPrompt}
	part := func(from, to time.Duration) spoken { return spoken{prompt: longPrompt, from: from, to: to} }
	pause := []pressedAt{{key: pauseKey, at: 8 * s}, {key: pauseKey, at: 10 * s}}
	struck := 20 * s // no key has to do with it
	judgeAll(t, []hearing{
		{name: "no key", struck: struck, plan: plan, say: []spoken{whole}, good: true},
		{name: "paused", struck: struck, plan: plan, say: []spoken{part(0, 8*s), {quiet: 2 * s}, part(8*s, 0)}, keys: pause, good: true},
		{name: "not paused", struck: struck, plan: plan, say: []spoken{whole}, keys: pause, want: verdict{Lost: 1}},
		{name: "paused twice", struck: struck, plan: plan, say: []spoken{part(0, 8*s), {quiet: 2 * s}, part(8*s, 10*s), {quiet: 2 * s}, part(10*s, 0)}, keys: pause, want: verdict{Double: 1}},
		{name: "paused before the key", struck: struck, plan: plan, say: []spoken{part(0, 5*s), {quiet: 2 * s}, part(5*s, 0)}, keys: pause, want: verdict{Lost: 1, Double: 1}},
		{name: "forward", struck: struck, plan: plan, say: []spoken{part(0, 6*s), part(8*s, 0)}, keys: []pressedAt{{key: forwardKey, at: 6 * s}}, good: true},
		{name: "forward twice as far", struck: struck, plan: plan, say: []spoken{part(0, 6*s), part(10*s, 0)}, keys: []pressedAt{{key: forwardKey, at: 6 * s}}, want: verdict{Double: 1}},
		{name: "forward instead of back", struck: struck, plan: plan, say: []spoken{part(0, 6*s), part(8*s, 0)}, keys: []pressedAt{{key: backKey, at: 6 * s}}, want: verdict{Lost: 1, Double: 1}},
		{name: "back", struck: struck, plan: plan, say: []spoken{part(0, 6*s), part(4*s, 0)}, keys: []pressedAt{{key: backKey, at: 6 * s}}, good: true},
		{name: "restarted", struck: struck, plan: plan, say: []spoken{part(0, 6*s), whole}, keys: []pressedAt{{key: restartKey, at: 6 * s}}, good: true},
		{name: "restarted twice", struck: struck, plan: plan, say: []spoken{part(0, 6*s), part(0, 4*s), whole}, keys: []pressedAt{{key: restartKey, at: 6 * s}}, want: verdict{Double: 1}},
		{name: "restarted without a key", struck: struck, plan: plan, say: []spoken{part(0, 6*s), whole}, want: verdict{Double: 1}},
		{name: "restarted by a gateway that could not know", fault: "kill-gateway", plan: plan, say: []spoken{part(0, 2*s), whole}, want: verdict{Repeated: 1}, good: true},
		{name: "somewhere else", struck: struck, plan: plan, say: []spoken{part(0, 6*s), part(13*s, 0)}, want: verdict{Forbidden: 1}},
		{name: "begun in its middle", struck: struck, plan: plan, say: []spoken{part(3*s, 0)}, want: verdict{Forbidden: 1}},
		{name: "dropped", struck: struck, plan: plan, say: []spoken{part(0, 6*s)}, want: verdict{Dropped: 1}},
		{name: "silent", struck: struck, plan: plan, say: []spoken{{quiet: 3 * s}}, want: verdict{Dropped: 1}},
		{name: "another prompt in between", struck: struck, plan: plan, say: []spoken{part(0, 6*s), {prompt: 3}, part(6*s, 0)}, want: verdict{Forbidden: 1, Dropped: 1}},
		// A key while the worker or the gateway is gone is obeyed later, but it is.
		{name: "forward in the gap, lost", fault: "kill-gateway", struck: 5 * s, plan: plan, say: []spoken{whole}, keys: []pressedAt{{key: forwardKey, at: 5 * s}}, want: verdict{Lost: 1}},
		{name: "paused and on again at once after the gap", fault: "drop-ari", struck: 5 * s, plan: plan, say: []spoken{whole}, keys: []pressedAt{{key: pauseKey, at: 5 * s}, {key: pauseKey, at: 6 * s}}, good: true},
		{name: "too late to move", fault: "kill-gateway", struck: 14 * s, plan: plan, say: []spoken{whole}, keys: []pressedAt{{key: forwardKey, at: 14 * s}}, good: true},
		{name: "forward and back in the gap, obeyed together", fault: "kill-gateway", struck: 5 * s, plan: plan, say: []spoken{whole}, keys: []pressedAt{{key: forwardKey, at: 5 * s}, {key: backKey, at: 5500 * time.Millisecond}}, good: true},
		{name: "forward late", struck: 5 * s, plan: plan, say: []spoken{part(0, 8*s), part(10*s, 0)}, keys: []pressedAt{{key: forwardKey, at: 5 * s}}, good: true},
	})
}

func TestInOrder(t *testing.T) {
	whole := func(n int) reading { return reading{prompt: n, begins: true, whole: true} }
	cut := func(n int) reading { return reading{prompt: n, begins: true} }
	stranger := reading{prompt: hear.Unknown, begins: true, whole: true}
	for _, c := range []struct {
		name     string
		expected []int
		heard    []reading
		want     order
	}{
		{"nothing", []int{1, 2}, nil, order{}},
		{"all", []int{1, 2}, []reading{whole(1), whole(2)}, order{next: 2}},
		{"the same twice, once cut", []int{1, 1, 2}, []reading{whole(1), cut(1), whole(1), whole(2)}, order{next: 3, repeated: 1}},
		{"cut, and the next of the same name is no repetition", []int{1, 1}, []reading{cut(1), whole(1)}, order{next: 1, repeated: 1}},
		{"cut, then on", []int{1, 2, 3}, []reading{cut(1), whole(2), whole(3)}, order{next: 3, lost: 1}},
		{"cut at the end", []int{1, 2}, []reading{whole(1), cut(2)}, order{next: 1, cut: true}},
		{"two left out", []int{1, 2, 3}, []reading{whole(3)}, order{next: 3, forbidden: 2}},
		{"a stranger", []int{1}, []reading{stranger, whole(1)}, order{next: 1, forbidden: 1}},
	} {
		if got := inOrder(c.expected, c.heard); got != c.want {
			t.Errorf("%s: got %+v, want %+v", c.name, got, c.want)
		}
	}
}
