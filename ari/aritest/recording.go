package aritest

import (
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// Recording states, in Asterisk's words.
const (
	recQueued    = "queued"
	recRecording = "recording"
	recPaused    = "paused"
	recDone      = "done"
	recFailed    = "failed"
	recCanceled  = "canceled"
)

const (
	beepLength  = 440 * time.Millisecond
	keptSilence = 200 * time.Millisecond // of the silence that ended a recording, Asterisk keeps this much
)

// format is a file format: its rate in samples a second and bytes a sample.
type format struct {
	rate, width int
	riff        bool
}

var formats = map[string]format{
	"wav": {8000, 2, true}, "wav16": {16000, 2, true}, "sln": {8000, 2, false}, "sln16": {16000, 2, false},
	"ulaw": {8000, 1, false}, "alaw": {8000, 1, false}, "gsm": {8000, 1, false},
}

// storedRecording is a finished recording, or one that has a file already.
type storedRecording struct {
	name, format string
	length       time.Duration
}

// recording is a live one.
type recording struct {
	s          *Server
	name       string
	format     string
	state      string
	failure    string
	ch         *channel // either
	br         *bridge
	beep       bool
	terminate  string // keys that end it
	maxLength  time.Duration
	maxSilence time.Duration
	discard    bool
	began      time.Time // of the first sample
	since      time.Time // of the present stretch without a pause
	recorded   time.Duration
	before     time.Duration // length of what it was appended to
	loud       []span
	silentFor  time.Duration // of silence at the end, when that ended it
	timer      *time.Timer
}

func (rec *recording) appendJSON(b []byte) []byte {
	b = appendField(append(b, '{'), "name", rec.name)
	b = appendField(b, "format", rec.format)
	b = appendField(b, "state", rec.state)
	if rec.br != nil {
		b = appendField(b, "target_uri", "bridge:"+rec.br.id)
	} else {
		b = appendField(b, "target_uri", "channel:"+rec.ch.id)
	}
	if rec.state == recDone {
		total := rec.length()
		if rec.maxSilence > 0 {
			seconds := int64((total + time.Second - 1) / time.Second)
			b = strconv.AppendInt(appendKey(b, "duration"), seconds, 10)
			b = strconv.AppendInt(appendKey(b, "talking_duration"), seconds, 10)
			b = append(appendKey(b, "silence_duration"), '0')
		} else {
			b = strconv.AppendInt(appendKey(b, "duration"), int64(total/time.Second), 10)
		}
	}
	if rec.failure != "" {
		b = appendField(b, "cause", rec.failure)
	}
	return append(b, '}')
}

func (rec *recording) emit(typ string) {
	rec.s.publish(rec.ch, rec.br, typ, func(b []byte) []byte { return rec.appendJSON(appendKey(b, "recording")) })
}

// recordChannel does POST /channels/{id}/record.
func (s *Server) recordChannel(ch *channel, r *request) reply {
	rec, bad := s.newRecording(r)
	if bad != nil {
		return *bad
	}
	rec.ch = ch
	s.live[rec.name] = rec
	rep := reply{status: http.StatusCreated, body: rec.appendJSON(nil)}
	ch.enqueue(rec.start)
	return rep
}

// newRecording checks the parameters in Asterisk's order and words.
func (s *Server) newRecording(r *request) (*recording, *reply) {
	bad := func(status int, message string) (*recording, *reply) {
		rep := fail(status, message)
		return nil, &rep
	}
	rec := &recording{s: s, name: r.param("name"), format: r.param("format"), state: recQueued, beep: r.flag("beep")}
	if rec.name == "" || strings.Contains(rec.name, "..") {
		return bad(http.StatusInternalServerError, "Error parsing request")
	}
	length, silence := r.number("maxDurationSeconds", 0), r.number("maxSilenceSeconds", 0)
	if length < 0 {
		return bad(http.StatusBadRequest, "max_duration_seconds cannot be negative")
	}
	if silence < 0 {
		return bad(http.StatusBadRequest, "max_silence_seconds cannot be negative")
	}
	rec.maxLength, rec.maxSilence = time.Duration(length)*time.Second, time.Duration(silence)*time.Second
	if _, known := formats[rec.format]; !known {
		return bad(http.StatusUnprocessableEntity, "specified format is unknown on this system")
	}
	switch t := r.param("terminateOn"); t {
	case "", "none":
	case "any":
		rec.terminate = "0123456789*#ABCD"
	case "*", "#":
		rec.terminate = t
	default:
		return bad(http.StatusBadRequest, "terminateOn invalid")
	}
	exists := r.param("ifExists")
	if exists != "" && exists != "fail" && exists != "overwrite" && exists != "append" {
		return bad(http.StatusBadRequest, "ifExists invalid")
	}
	old := s.stored[rec.name]
	if s.live[rec.name] != nil || old != nil && (exists == "" || exists == "fail") {
		return bad(http.StatusConflict, "Recording '"+rec.name+"' already exists and can not be overwritten")
	}
	if old != nil && exists == "append" {
		rec.before = old.length
	}
	return rec, nil
}

// start is run by the channel's queue, or at once for a bridge. A recording that was stopped while queued starts all the same: so does Asterisk's.
func (rec *recording) start() {
	if rec.ch != nil {
		if rec.ch.bridge != nil {
			rec.state, rec.failure = recFailed, "Cannot record channel while in bridge"
			delete(rec.s.live, rec.name)
			rec.emit("RecordingFailed")
			return
		}
		rec.ch.answer() // a recording answers the call by itself
		rec.ch.busy = rec
	}
	rec.state = recRecording
	rec.emit("RecordingStarted")
	rec.began = time.Now()
	rec.s.stored[rec.name] = &storedRecording{name: rec.name, format: rec.format, length: rec.before}
	if rec.ch != nil && rec.ch.hungUp {
		rec.since = rec.began
		rec.ch.busy = nil
		rec.end()
		return
	}
	if rec.beep {
		rec.began = rec.began.Add(beepLength)
		rec.heardBeep()
	}
	rec.since = rec.began
	rec.createFile()
	rec.arm()
}

func (rec *recording) heardBeep() {
	if rec.ch != nil && rec.ch.caller != nil {
		rec.ch.caller.hears(&Heard{Media: "sound:beep", From: time.Now(), Until: rec.began, Completed: true})
	}
}

// arm sets the timer for the next moment at which the recording may have to end.
func (rec *recording) arm() {
	if rec.timer != nil {
		rec.timer.Stop()
	}
	if rec.state != recRecording {
		return
	}
	now := time.Now()
	var due time.Time
	if rec.maxLength > 0 {
		due = rec.since.Add(rec.maxLength - rec.recorded)
	}
	if rec.maxSilence > 0 {
		if at := rec.silentFrom().Add(rec.maxSilence); due.IsZero() || at.Before(due) {
			due = at
		}
	}
	if !due.IsZero() {
		rec.timer = rec.s.after(max(0, due.Sub(now)), rec.timeUp)
	}
}

// silentFrom is when the present or coming silence begins.
func (rec *recording) silentFrom() time.Time {
	from := rec.since
	for _, c := range rec.callers() {
		if n := len(c.spoken); n > 0 && c.spoken[n-1].until.After(from) {
			from = c.spoken[n-1].until
		}
	}
	return from
}

func (rec *recording) callers() []*Caller {
	var list []*Caller
	if rec.ch != nil && rec.ch.caller != nil {
		list = append(list, rec.ch.caller)
	}
	if rec.br != nil {
		for _, ch := range rec.br.channels {
			if ch.caller != nil {
				list = append(list, ch.caller)
			}
		}
	}
	return list
}

func (rec *recording) timeUp() {
	if rec.state != recRecording {
		return
	}
	now := time.Now()
	if rec.maxLength > 0 && rec.recorded+now.Sub(rec.since) >= rec.maxLength {
		rec.finish()
		return
	}
	if quiet := now.Sub(rec.silentFrom()); rec.maxSilence > 0 && quiet >= rec.maxSilence {
		rec.silentFor = quiet
		rec.finish()
		return
	}
	rec.arm()
}

// spoken is told when the caller begins or goes on to speak.
func (rec *recording) spoken() { rec.arm() }

// digit is told of keys; the event has been sent already.
func (rec *recording) digit(d string) {
	if strings.Contains(rec.terminate, d) {
		rec.finish()
	}
}

// finish ends a running recording and lets the queue go on.
func (rec *recording) finish() {
	rec.end()
	if rec.ch != nil {
		rec.ch.idle()
	}
}

// abort implements [job]: a hang-up keeps the file.
func (rec *recording) abort() { rec.end() }

// end closes the file, moves it from live to stored and says so.
func (rec *recording) end() {
	if rec.timer != nil {
		rec.timer.Stop()
	}
	rec.pause()
	rec.state = recDone
	delete(rec.s.live, rec.name)
	if rec.discard {
		delete(rec.s.stored, rec.name)
		rec.removeFile()
	} else {
		rec.s.stored[rec.name] = &storedRecording{rec.name, rec.format, rec.length()}
		rec.writeFile(true)
	}
	rec.emit("RecordingFinished")
}

// cutOff is the process's sudden death: what was recorded is there, the header does not know its length.
func (rec *recording) cutOff() {
	if rec.timer != nil {
		rec.timer.Stop()
	}
	if rec.state == recRecording || rec.state == recPaused {
		rec.pause()
		rec.s.stored[rec.name] = &storedRecording{rec.name, rec.format, rec.length()}
		rec.writeFile(false)
	}
}

// pause closes the present stretch and remembers who spoke in it.
func (rec *recording) pause() {
	if rec.state != recRecording {
		return
	}
	now := time.Now()
	if now.Before(rec.since) {
		return
	}
	for _, c := range rec.callers() {
		for _, sp := range c.spoken {
			from, until := maxTime(sp.from, rec.since), minTime(sp.until, now)
			if until.After(from) {
				base := rec.began.Add(rec.recorded)
				rec.loud = append(rec.loud, span{base.Add(from.Sub(rec.since)), base.Add(until.Sub(rec.since))})
			}
		}
	}
	rec.recorded += now.Sub(rec.since)
}

// length is how long the file is, that is without pauses and without most of the silence that ended it.
func (rec *recording) length() time.Duration {
	return rec.before + rec.recorded - max(0, min(rec.silentFor, rec.recorded)-keptSilence)
}

func maxTime(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

func minTime(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

// path is the file of a recording, "" without a directory.
func (s *Server) path(name, format string) string {
	if s.opt.Dir == "" {
		return ""
	}
	return filepath.Join(s.opt.Dir, filepath.FromSlash(name)+"."+format)
}

func (rec *recording) createFile() {
	if rec.before == 0 {
		rec.writeFile(false)
	}
}

func (rec *recording) removeFile() {
	if p := rec.s.path(rec.name, rec.format); p != "" {
		_ = os.Remove(p)
	}
}

// writeFile writes the file; sized says whether the header knows the length, which it does not after a crash.
// A failure to write shows in the tests as a missing file, as it would with Asterisk.
func (rec *recording) writeFile(sized bool) {
	p := rec.s.path(rec.name, rec.format)
	if p == "" {
		return
	}
	f := formats[rec.format]
	samples := f.samples(rec.length()-rec.before, rec.began, rec.loud)
	if rec.before > 0 {
		if old, err := os.ReadFile(p); err == nil { //nolint:gosec // a path below the directory of the test
			samples = append(f.body(old), samples...)
		}
	}
	if os.MkdirAll(filepath.Dir(p), 0o750) == nil {
		_ = os.WriteFile(p, f.file(samples, sized), 0o600)
	}
}
