package aritest

import (
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Playback states, in Asterisk's words.
const (
	playQueued     = "queued"
	playPlaying    = "playing"
	playContinuing = "continuing"
	playPaused     = "paused"
	playDone       = "done"
	playFailed     = "failed"
)

const defaultSkip = 3000 // ms, of forward and reverse

// DefaultMedia is the default of [Options.Media]: it knows the lengths of a few sounds as Asterisk's English
// prompts have them, gives digits 0.84 s each, and takes every other sound, unless "nope" or "missing" is in its name, for one second long.
func DefaultMedia(uri string) (time.Duration, bool) {
	scheme, rest, _ := strings.Cut(uri, ":")
	switch scheme {
	case "sound":
		switch {
		case rest == "beep":
			return 440 * time.Millisecond, true
		case rest == "demo-congrats":
			return 30 * time.Second, true
		case rest == "" || strings.Contains(rest, "nope") || strings.Contains(rest, "missing"):
			return 0, false
		}
		return time.Second, true
	case "digits", "characters", "number":
		return time.Duration(len(rest)) * 840 * time.Millisecond, true
	case "tone":
		return time.Hour, true
	}
	return 0, false
}

// playback is one `play`, possibly of several media.
type playback struct {
	s        *Server
	id       string
	media    []string
	at       int // index in media
	state    string
	lang     string
	skip     time.Duration
	offset   time.Duration // where the first media begins
	ch       *channel      // either the channel or the bridge plays
	br       *bridge
	stopped  bool
	began    time.Time     // when the present stretch began
	position time.Duration // in the media, when the stretch began
	length   time.Duration
	timer    *time.Timer
	heard    []*Heard
}

func (p *playback) appendJSON(b []byte) []byte {
	b = appendField(append(b, '{'), "id", p.id)
	b = appendField(b, "media_uri", p.media[p.at])
	if p.at+1 < len(p.media) {
		b = appendField(b, "next_media_uri", p.media[p.at+1])
	}
	b = appendField(b, "target_uri", p.target())
	b = appendField(b, "language", p.lang)
	return append(appendField(b, "state", p.state), '}')
}

func (p *playback) target() string {
	if p.br != nil {
		return "bridge:" + p.br.id
	}
	return "channel:" + p.ch.id
}

func (p *playback) emit(typ string) {
	p.s.publish(p.ch, p.br, typ, func(b []byte) []byte { return p.appendJSON(appendKey(b, "playback")) })
}

// start is run by the queue of the channel or bridge.
func (p *playback) start() {
	switch {
	case p.stopped:
		p.finish(playDone)
	case p.ch != nil && p.ch.hungUp:
		p.state = playPlaying
		p.emit("PlaybackStarted")
		p.finish(playFailed)
	default:
		p.occupy(p)
		p.item()
	}
}

func (p *playback) occupy(j job) {
	if p.br != nil {
		p.br.busy = j
	} else {
		p.ch.busy = j
	}
}

// item begins the media at p.at.
func (p *playback) item() {
	p.state = playPlaying
	p.emit("PlaybackStarted")
	uri := p.media[p.at]
	length, found, silent := p.s.lengthOf(uri)
	if silent {
		// Asterisk logs the error and forgets the playback: there is no final event.
		p.forget()
		p.release()
		return
	}
	if !found {
		p.next(false)
		return
	}
	if p.ch != nil && p.ch.state != stateUp && p.ch.caller != nil {
		p.ch.caller.progress(183)
	}
	p.length, p.position, p.began = length, 0, time.Now()
	if p.at == 0 {
		p.position = min(p.offset, length)
	}
	p.listen(uri)
	p.arm()
}

// lengthOf asks for a media's length. silent are the URIs for which Asterisk never says that they ended.
func (s *Server) lengthOf(uri string) (length time.Duration, found, silent bool) {
	scheme, rest, _ := strings.Cut(uri, ":")
	switch scheme {
	case "recording":
		rec := s.stored[rest]
		if rec == nil {
			return 0, false, true
		}
		return rec.length, true, false
	case "number":
		if _, err := strconv.Atoi(rest); err != nil {
			return 0, false, true
		}
	case "sound", "digits", "characters", "tone":
	default:
		return 0, false, true
	}
	length, found = s.opt.Media(uri)
	return length, found, false
}

// arm sets the timer for the end of the media.
func (p *playback) arm() {
	left := p.length - p.position
	if p.timer == nil {
		p.timer = p.s.after(left, p.ended)
		return
	}
	p.timer.Reset(left)
}

// ended is the timer's function. A timer that fired while the lock was held elsewhere finds that it is no longer due.
func (p *playback) ended() {
	if p.state != playPlaying || p.position+time.Since(p.began) < p.length {
		return
	}
	p.unlisten(true)
	p.next(true)
}

// next goes on to the following media or finishes; good is how the present one went.
func (p *playback) next(good bool) {
	if p.at+1 < len(p.media) {
		p.state = playContinuing
		p.emit("PlaybackContinuing")
		p.at++
		p.item()
		return
	}
	if good {
		p.end(playDone)
	} else {
		p.end(playFailed)
	}
}

// end finishes a running playback and lets the queue go on.
func (p *playback) end(state string) {
	p.finish(state)
	p.release()
}

func (p *playback) release() {
	if p.br != nil {
		p.br.idle()
	} else {
		p.ch.idle()
	}
}

func (p *playback) finish(state string) {
	p.unlisten(false)
	p.state = state
	p.forget()
	p.emit("PlaybackFinished")
}

func (p *playback) forget() {
	if p.timer != nil {
		p.timer.Stop()
	}
	if p.s.playbacks[p.id] == p {
		delete(p.s.playbacks, p.id)
	}
}

// abort implements [job].
func (p *playback) abort() { p.finish(playFailed) }

// played is how far into the media the playback is.
func (p *playback) played() time.Duration {
	if p.state != playPlaying {
		return p.position
	}
	return min(p.position+time.Since(p.began), p.length)
}

// seek moves to a position and goes on from there.
func (p *playback) seek(to time.Duration) {
	p.position = max(0, min(to, p.length))
	p.began = time.Now()
	if p.state == playPlaying {
		p.arm()
	}
}

func (s *Server) newPlayback(r *request, id, lang string) (*playback, *reply) {
	media := r.list("media")
	if len(media) == 0 {
		rep := fail(http.StatusInternalServerError, "Failed to queue media for playback")
		return nil, &rep
	}
	if id == "" {
		id = r.param("playbackId")
	}
	if id == "" {
		id = newUUID()
	}
	if l := r.param("lang"); l != "" {
		lang = l
	}
	skip, offset := r.number("skipms", defaultSkip), r.number("offsetms", 0)
	if skip < 0 || offset < 0 {
		rep := fail(http.StatusBadRequest, "skipms and offsetms must be positive")
		return nil, &rep
	}
	return &playback{
		s: s, id: id, media: media, state: playQueued, lang: lang,
		skip: time.Duration(skip) * time.Millisecond, offset: time.Duration(offset) * time.Millisecond,
	}, nil
}

// playOn queues a playback on a channel.
func (s *Server) playOn(ch *channel, r *request, id string) reply {
	p, bad := s.newPlayback(r, id, ch.lang)
	if bad != nil {
		return *bad
	}
	p.ch = ch
	s.playbacks[p.id] = p
	rep := reply{status: http.StatusCreated, body: p.appendJSON(nil)}
	ch.enqueue(p.start)
	return rep
}

func (s *Server) routePlaybacks(r *request) reply {
	if len(r.seg) < 2 || len(r.seg) > 3 || (len(r.seg) == 3 && r.seg[2] != "control") {
		return errNoResource
	}
	return s.locked(func() reply {
		control := len(r.seg) == 3
		if control && r.method != http.MethodPost || !control && r.method != http.MethodGet && r.method != http.MethodDelete {
			return errMethod
		}
		if control && r.param("operation") == "" {
			return fail(http.StatusBadRequest, "Missing operation")
		}
		p := s.playbacks[r.seg[1]]
		if p == nil {
			return fail(http.StatusNotFound, "Playback not found")
		}
		switch {
		case control:
			return p.control(r.param("operation"))
		case r.method == http.MethodDelete:
			return p.stop()
		}
		return ok(p.appendJSON(nil))
	})
}

func (p *playback) stop() reply {
	if p.state == playQueued {
		p.stopped = true
		return noContent
	}
	p.end(playDone)
	return noContent
}

// control does one of the operations. What a queued playback refuses is as measured: restart and stop pass.
func (p *playback) control(op string) reply {
	running := p.state == playPlaying || p.state == playPaused
	refuse := func() reply { return fail(http.StatusConflict, "Can only "+op+" while media is playing") }
	switch op {
	case "pause":
		if !running {
			return refuse()
		}
		if p.state == playPlaying {
			p.position = p.played()
			p.state = playPaused
			p.timer.Stop()
		}
	case "unpause":
		if !running {
			return refuse()
		}
		if p.state == playPaused {
			p.state = playPlaying
			p.began = time.Now()
			p.arm()
			p.emit("PlaybackStarted")
		}
	case "forward", "reverse":
		if !running {
			return refuse()
		}
		step := p.skip
		if op == "reverse" {
			step = -step
		}
		p.seek(p.played() + step)
	case "restart":
		if running {
			p.seek(0)
		}
	default:
		return fail(http.StatusBadRequest, "Invalid operation "+op)
	}
	return noContent
}
