package aritest

import (
	"slices"
	"strconv"
	"time"
)

// maxStretches bounds what is remembered of when a caller spoke.
const maxStretches = 1000

// speak notes a stretch of speech from now on and reports talking where TALK_DETECT is on.
func (c *Caller) speak(d time.Duration) {
	now := time.Now()
	end := now.Add(d)
	if n := len(c.spoken); n > 0 && !c.spoken[n-1].until.Before(now) {
		c.spoken[n-1].until = end
	} else {
		if n > maxStretches {
			c.spoken = slices.Delete(c.spoken, 0, n-maxStretches)
		}
		c.spoken = append(c.spoken, span{now, end})
		if c.ch.talk {
			c.s.emit(c.ch, "ChannelTalkingStarted", nil)
		}
	}
	c.s.after(d, func() { c.fellSilent(end) })
	if rec, recording := c.ch.busy.(*recording); recording {
		rec.spoken()
	}
}

// talkSilence is how long silence lasts before Asterisk says that talking has finished: the default of TALK_DETECT.
const talkSilence = 2500 * time.Millisecond

// fellSilent runs when a stretch ends; a stretch that was prolonged meanwhile has a later end.
func (c *Caller) fellSilent(end time.Time) {
	last := c.spoken[len(c.spoken)-1]
	if c.ch.hungUp || !last.until.Equal(end) || !c.ch.talk {
		return
	}
	c.s.after(talkSilence, func() {
		if now := c.spoken[len(c.spoken)-1]; c.ch.hungUp || !c.ch.talk || !now.until.Equal(end) {
			return
		}
		c.s.emit(c.ch, "ChannelTalkingFinished", func(b []byte) []byte {
			return strconv.AppendInt(appendKey(b, "duration"), last.until.Sub(last.from).Milliseconds(), 10)
		})
	})
}
