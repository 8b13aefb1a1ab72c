package proxy

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"asterism/ari"
)

const (
	// progressWithin is how long the first command may work on media before
	// the caller is told that someone is there.
	progressWithin = 50 * time.Millisecond
	// maxTTL bounds the TTL of a command, whatever the worker asks for.
	maxTTL = time.Hour
	// maxAnswer bounds the answer of Asterisk to one request in bytes.
	maxAnswer = 256 << 10
)

// execution is a command being carried out.
type execution struct {
	g       *Gateway
	session string
	call    *call // nil for a session that is not a call
	first   bool
	unsure  bool // an earlier life of the gateway may have done it
	// resolved are the sounds of a StepResolve, for a StepPlay that follows.
	resolved []resolvedSound
	args     MediaArgs
}

// execute carries out a command and reports its result to the arbiter.
func (g *Gateway) execute(ctx context.Context, a ActExecute) {
	ctx, cancel := context.WithTimeout(ctx, min(a.Command.TTL, maxTTL))
	defer cancel()
	g.mu.Lock()
	x := &execution{g: g, session: a.Session, call: g.calls[a.Session], first: a.First, unsure: a.Unsure}
	g.mu.Unlock()
	var out Outcome
	for _, step := range a.Command.Steps {
		r, err := x.do(ctx, step)
		if err != nil {
			out.Err = err.Error()
			break
		}
		out.Result.Steps = append(out.Result.Steps, r)
		if r.Code >= 400 {
			break
		}
	}
	g.handle(MsgDone{Session: a.Session, ID: a.Command.ID, Outcome: out})
}

// do carries out one step. An error means that Asterisk was not reached.
func (x *execution) do(ctx context.Context, step Step) (StepResult, error) {
	switch step.Name {
	case "":
		return x.ari(ctx, step)
	case StepResolve:
		return x.resolve(ctx, step.Body)
	case StepPlay:
		return x.play(ctx, step.Body)
	case StepRefuse:
		var args RefuseArgs
		if err := json.Unmarshal(step.Body, &args); err != nil {
			return statusText(http.StatusBadRequest, err.Error()), nil
		}
		if err := x.g.refuse(ctx, x.session, args); err != nil {
			if ari.IsNotFound(err) { // the caller was faster
				return statusText(http.StatusNotFound, err.Error()), nil
			}
			return statusText(http.StatusConflict, err.Error()), nil
		}
		x.g.metrics.refused.WithLabelValues("flow").Inc()
		return StepResult{Code: http.StatusNoContent}, nil
	}
	return statusText(http.StatusNotImplemented, fmt.Sprintf("this gateway knows no step %q", step.Name)), nil
}

// ari carries out an ARI request.
func (x *execution) ari(ctx context.Context, step Step) (StepResult, error) {
	if err := allowARI(x.session, step); err != nil {
		x.g.metrics.forbidden.Inc()
		x.g.opts.Log.Error().Err(err).Str("session", x.session).Msg("ARI request refused")
		return statusText(http.StatusForbidden, err.Error()), nil
	}
	if x.call != nil && strings.HasSuffix(step.Path, "/answer") {
		x.call.answer()
	}
	do := x.g.roundTrip
	if x.unsure {
		do = x.redo
	}
	r, err := do(ctx, step)
	if err == nil && r.OK() && x.call != nil && answers(x.session, step) {
		x.g.answered(x.call)
	}
	return r, err
}

// redo carries out a request that Asterisk may have had already, from an
// earlier life of the gateway that did not live to write its answer down. What
// can be repeated is repeated; what was to be created under an id of ours is
// looked for; an operation that must not happen twice is taken for done.
func (x *execution) redo(ctx context.Context, step Step) (StepResult, error) {
	path, query, _ := strings.Cut(step.Path, "?")
	if step.Method != http.MethodPost {
		return x.g.roundTrip(ctx, step)
	}
	verb := path[strings.LastIndexByte(path, '/')+1:]
	switch verb {
	case "answer":
		return x.answerOnce(ctx, step)
	case "continue", "variable", "variables", "ring", "mute", "hold", "moh", "silence", "addChannel", "removeChannel", "stop":
		return x.g.roundTrip(ctx, step)
	case "control", "dtmf":
		return StepResult{Code: http.StatusNoContent}, nil
	}
	looks := []string{path}
	if i := strings.LastIndex(path, "/play/"); i >= 0 {
		looks = []string{"/playbacks/" + path[i+len("/play/"):]}
	}
	if verb == "record" {
		name := url.PathEscape(recordingName(query, step.Body))
		looks = []string{"/recordings/live/" + name, "/recordings/stored/" + name}
	}
	for _, look := range looks {
		if r, err := x.g.roundTrip(ctx, ARI(http.MethodGet, look, nil)); err != nil || r.OK() {
			return r, err
		}
	}
	return statusText(http.StatusGone, "it is not known whether this was done"), nil
}

// recordingName is the name that a request to record gives.
func recordingName(query string, body []byte) string {
	if values, err := url.ParseQuery(query); err == nil && values.Get("name") != "" {
		return values.Get("name")
	}
	var args struct{ Name string }
	_ = json.Unmarshal(body, &args) // Asterisk has refused what cannot be read
	return args.Name
}

// answerOnce answers a channel that may have been answered. Asterisk would do
// nothing, but only after what is being played has ended.
func (x *execution) answerOnce(ctx context.Context, step Step) (StepResult, error) {
	r, err := x.g.roundTrip(ctx, ARI(http.MethodGet, "/channels/"+url.PathEscape(x.session), nil))
	if err != nil || !r.OK() {
		return r, err
	}
	var channel struct{ State string }
	if json.Unmarshal(r.Body, &channel) == nil && channel.State == "Up" {
		return StepResult{Code: http.StatusNoContent}, nil
	}
	return x.g.roundTrip(ctx, step)
}

// roundTrip sends a request to Asterisk over a pooled connection. It is not
// sent again: Asterisk may have acted on it.
func (g *Gateway) roundTrip(ctx context.Context, step Step) (StepResult, error) {
	path, query, _ := strings.Cut(step.Path, "?")
	raw, err := url.PathUnescape(path)
	if err != nil {
		return statusText(http.StatusBadRequest, err.Error()), nil
	}
	u := *g.base
	u.RawPath, u.Path, u.RawQuery = u.EscapedPath()+path, u.Path+raw, query
	req := (&http.Request{
		Method: step.Method, URL: &u, Host: u.Host, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: http.Header{},
	}).WithContext(ctx)
	if g.auth != "" {
		req.Header["Authorization"] = []string{g.auth}
	}
	if len(step.Body) > 0 {
		req.Header["Content-Type"] = []string{"application/json"}
		req.ContentLength = int64(len(step.Body))
		req.Body = io.NopCloser(bytes.NewReader(step.Body))
	}
	start := time.Now()
	resp, err := g.requests.RoundTrip(req)
	if err != nil {
		return StepResult{}, fmt.Errorf("ARI %s %s: %w", step.Method, path, err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	g.metrics.observeARI(step.Method, path, resp.StatusCode, time.Since(start))
	if err != nil {
		return StepResult{}, fmt.Errorf("ARI %s %s: reading the answer: %w", step.Method, path, err)
	}
	if len(body) > maxAnswer {
		return statusText(http.StatusInsufficientStorage, fmt.Sprintf("the answer is larger than the %d bytes allowed", maxAnswer)), nil
	}
	return StepResult{Code: resp.StatusCode, Body: body}, nil
}

// resolve carries out a StepResolve.
func (x *execution) resolve(ctx context.Context, body []byte) (StepResult, error) {
	var args MediaArgs
	if err := json.Unmarshal(body, &args); err != nil {
		return statusText(http.StatusBadRequest, err.Error()), nil
	}
	sounds, err := x.lookUp(ctx, args)
	if err != nil {
		return x.trouble(err), nil
	}
	x.resolved, x.args = sounds, args
	return StepResult{Code: http.StatusOK, Body: mediaAnswer(sounds)}, nil
}

// lookUp resolves sounds. When that takes a while at the start of a call,
// the caller is told meanwhile that someone is there.
func (x *execution) lookUp(ctx context.Context, args MediaArgs) ([]resolvedSound, error) {
	if x.first && x.call != nil {
		x.first = false
		progress := time.AfterFunc(progressWithin, func() {
			x.g.spawnLate(func(ctx context.Context) { x.g.ring(ctx, x.call) })
		})
		defer progress.Stop()
	}
	return x.g.resolver.all(ctx, args)
}

// trouble makes an error of resolving the answer to the step.
func (x *execution) trouble(err error) StepResult {
	t, ok := errors.AsType[*MediaTrouble](err)
	if !ok {
		t = &MediaTrouble{Problem: ProblemUnavailable, Message: err.Error()}
	}
	body, err := json.Marshal(t)
	if err != nil {
		body = errorBody(t.Message)
	}
	x.g.metrics.media.WithLabelValues(t.Problem).Inc()
	return StepResult{Code: t.status(), Body: body}
}

// play carries out a StepPlay.
func (x *execution) play(ctx context.Context, body []byte) (StepResult, error) {
	var args MediaArgs
	if err := json.Unmarshal(body, &args); err != nil {
		return statusText(http.StatusBadRequest, err.Error()), nil
	}
	if SessionOf(args.ID) != x.session || args.ID == x.session {
		return statusText(http.StatusForbidden, fmt.Sprintf("playback id %q does not start with %q", args.ID, x.session+"~")), nil
	}
	sounds := x.resolved
	if sounds == nil || !sameSounds(x.args, args) {
		var err error
		if sounds, err = x.lookUp(ctx, args); err != nil {
			return x.trouble(err), nil
		}
	}
	if x.unsure {
		// Asterisk plays twice what it is sent twice under one id.
		r, err := x.g.roundTrip(ctx, ARI(http.MethodGet, "/playbacks/"+url.PathEscape(args.ID), nil))
		if err == nil && r.Code == http.StatusNotFound {
			return statusText(http.StatusGone, "it is not known whether this was played; play it again under another id"), nil
		}
		if err == nil && r.OK() {
			r.Body = mediaAnswer(sounds)
		}
		return r, err
	}
	r, err := x.g.startPlayback(ctx, x.session, args, sounds)
	if err != nil || !r.OK() {
		return r, err
	}
	r.Body = mediaAnswer(sounds)
	return r, nil
}

// startPlayback has Asterisk play sounds on a channel.
func (g *Gateway) startPlayback(ctx context.Context, channel string, args MediaArgs, sounds []resolvedSound) (StepResult, error) {
	media := make([]string, len(sounds))
	for i, s := range sounds {
		media[i] = s.uri
	}
	request := struct {
		Media  []string `json:"media"`
		Lang   string   `json:"lang,omitempty"`
		SkipMs int      `json:"skipms,omitempty"`
	}{media, strings.ReplaceAll(args.Language, "-", "_"), args.SkipMs}
	body, err := json.Marshal(request)
	if err != nil {
		return StepResult{}, fmt.Errorf("encoding the playback: %w", err)
	}
	path := "/channels/" + url.PathEscape(channel) + "/play/" + url.PathEscape(args.ID)
	return g.roundTrip(ctx, ARI(http.MethodPost, path, body))
}

func sameSounds(a, b MediaArgs) bool {
	if a.Language != b.Language || len(a.Sounds) != len(b.Sounds) {
		return false
	}
	for i := range a.Sounds {
		if a.Sounds[i] != b.Sounds[i] {
			return false
		}
	}
	return true
}

// mediaAnswer is the body of the answer to StepResolve and StepPlay.
func mediaAnswer(sounds []resolvedSound) []byte {
	a := MediaAnswer{Ms: make([]int64, len(sounds))}
	for i, s := range sounds {
		a.Ms[i] = -1
		if s.length >= 0 {
			a.Ms[i] = s.length.Milliseconds()
		}
	}
	body, err := json.Marshal(a)
	if err != nil {
		return []byte(`{"ms":[]}`)
	}
	return body
}
