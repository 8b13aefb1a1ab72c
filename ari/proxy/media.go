package proxy

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"asterism/ari"
)

// Media is a node's cache of prompts. It is implemented outside this package,
// over object storage.
type Media interface {
	// Open makes a prompt available as a file for Asterisk. An exact name is
	// the prompt's key; any other is looked up in the language and those it
	// falls back to. A *[MediaTrouble] says why it is not available.
	Open(ctx context.Context, name string, exact bool, language string) (MediaFile, error)
	// Silence is a file of that much silence.
	Silence(ctx context.Context, d time.Duration) (MediaFile, error)
}

// MediaFile is a file that Asterisk can play. It stays for at least its length
// and some minutes.
type MediaFile struct {
	Path   string // absolute, without extension
	Length time.Duration
}

func (t *MediaTrouble) Error() string {
	return fmt.Sprintf("sound %q is %s: %s", t.Sound, t.Problem, t.Message)
}

// status is the HTTP status that goes with a problem.
func (t *MediaTrouble) status() int {
	switch t.Problem {
	case ProblemNotFound:
		return http.StatusNotFound
	case ProblemInvalid:
		return http.StatusBadRequest
	case ProblemBroken:
		return http.StatusUnprocessableEntity
	}
	return http.StatusServiceUnavailable
}

// maxSilence bounds "silence:".
const maxSilence = time.Hour

var (
	soundRE  = regexp.MustCompile(`^[A-Za-z0-9_-][A-Za-z0-9_.-]*(/[A-Za-z0-9_-][A-Za-z0-9_.-]*)*$`)
	numberRE = regexp.MustCompile(`^-?[0-9]{1,9}$`)
	digitsRE = regexp.MustCompile(`^[0-9*#-]{1,64}$`)
	charsRE  = regexp.MustCompile(`^[ -~]{1,64}$`)
	toneRE   = regexp.MustCompile(`^[0-9+*/!,~.]{1,128}$`)
)

// tones are the names in asterisk-conf/indications.conf.
var tones = []string{"busy", "callwaiting", "congestion", "dial", "dialrecall", "info", "record", "ring", "stutter"}

// resolvedSound is a sound that can be played now.
type resolvedSound struct {
	uri    string
	length time.Duration // < 0: unknown
}

// resolver turns the sounds of a [MediaArgs] into what ARI plays.
type resolver struct {
	media  Media
	client *ari.Client

	mu    sync.Mutex
	known map[string]knownSound // Asterisk's own sounds
}

type knownSound struct {
	languages []string
	until     time.Time
}

const (
	knownFor = time.Minute // how long an answer about Asterisk's own sounds is believed
	maxKnown = 4096
)

func newResolver(media Media, client *ari.Client) *resolver {
	return &resolver{media: media, client: client, known: make(map[string]knownSound)}
}

// all resolves sounds in order.
func (r *resolver) all(ctx context.Context, args MediaArgs) ([]resolvedSound, error) {
	if len(args.Sounds) == 0 || len(args.Sounds) > maxParts {
		return nil, &MediaTrouble{Problem: ProblemInvalid, Message: fmt.Sprintf("%d sounds, expected 1 to %d", len(args.Sounds), maxParts)}
	}
	// Each name once and all at the same time: storage may take its time, and
	// a loop has the same sounds again and again.
	names := make([]string, 0, len(args.Sounds))
	for _, sound := range args.Sounds {
		if !slices.Contains(names, sound) {
			names = append(names, sound)
		}
	}
	found, errs := make([]resolvedSound, len(names)), make([]error, len(names))
	var rest sync.WaitGroup
	for i, name := range names[1:] {
		rest.Go(func() { found[i+1], errs[i+1] = r.one(ctx, name, args.Language) })
	}
	found[0], errs[0] = r.one(ctx, names[0], args.Language)
	rest.Wait()
	for i, err := range errs {
		if err == nil {
			continue
		}
		t, ok := errors.AsType[*MediaTrouble](err)
		if !ok {
			t = &MediaTrouble{Problem: ProblemUnavailable, Message: err.Error()}
		}
		t.Sound = names[i]
		return nil, t
	}
	out := make([]resolvedSound, len(args.Sounds))
	for i, sound := range args.Sounds {
		out[i] = found[slices.Index(names, sound)]
	}
	return out, nil
}

// one resolves one sound.
func (r *resolver) one(ctx context.Context, sound, language string) (resolvedSound, error) {
	kind, name, found := strings.Cut(sound, ":")
	if !found {
		return r.bare(ctx, sound, language)
	}
	switch kind {
	case "media":
		return r.stored(ctx, name, true, language)
	case "sound":
		return r.own(ctx, name, language)
	case "silence":
		return r.silence(ctx, name)
	case "number":
		return plain(sound, numberRE.MatchString(name), "a whole number of at most 9 digits")
	case "digits":
		return plain(sound, digitsRE.MatchString(name), "1 to 64 of 0-9, *, #, -")
	case "characters":
		return plain(sound, charsRE.MatchString(name), "1 to 64 printable ASCII characters")
	case "tone":
		return tone(name)
	}
	return resolvedSound{}, invalid("%q is not a kind of sound; expected media, sound, silence, number, digits, characters or tone", kind)
}

func invalid(format string, args ...any) *MediaTrouble {
	return &MediaTrouble{Problem: ProblemInvalid, Message: fmt.Sprintf(format, args...)}
}

func plain(uri string, ok bool, want string) (resolvedSound, error) {
	if !ok {
		return resolvedSound{}, invalid("expected %s", want)
	}
	return resolvedSound{uri: uri, length: -1}, nil
}

func tone(name string) (resolvedSound, error) {
	if !slices.Contains(tones, name) && !toneRE.MatchString(name) {
		return resolvedSound{}, invalid("expected one of %s, or a tone description such as 440/500,0/500", strings.Join(tones, ", "))
	}
	return resolvedSound{uri: "tone:" + name, length: -1}, nil
}

func (r *resolver) silence(ctx context.Context, ms string) (resolvedSound, error) {
	n, err := strconv.ParseInt(ms, 10, 64)
	if d := time.Duration(n) * time.Millisecond; err == nil && n >= 1 && n <= maxSilence.Milliseconds() {
		f, err := r.media.Silence(ctx, d)
		if err != nil {
			return resolvedSound{}, err
		}
		return file(f), nil
	}
	return resolvedSound{}, invalid("expected 1 to %d milliseconds", maxSilence.Milliseconds())
}

func file(f MediaFile) resolvedSound {
	return resolvedSound{uri: "sound:" + f.Path, length: f.Length}
}

// stored resolves a prompt in object storage.
func (r *resolver) stored(ctx context.Context, name string, exact bool, language string) (resolvedSound, error) {
	f, err := r.media.Open(ctx, name, exact, language)
	if err != nil {
		return resolvedSound{}, err
	}
	return file(f), nil
}

// bare resolves a name without a kind: object storage first, then Asterisk's
// own sounds.
func (r *resolver) bare(ctx context.Context, name, language string) (resolvedSound, error) {
	s, err := r.stored(ctx, name, false, language)
	if t, ok := errors.AsType[*MediaTrouble](err); ok && t.Problem == ProblemNotFound {
		own, ownErr := r.own(ctx, name, language)
		if ownErr == nil {
			return own, nil
		}
		if ot, ok := errors.AsType[*MediaTrouble](ownErr); !ok || ot.Problem == ProblemUnavailable {
			return resolvedSound{}, ownErr
		}
		return resolvedSound{}, &MediaTrouble{
			Problem: ProblemNotFound,
			Message: "neither in object storage (" + t.Message + ") nor among Asterisk's own sounds",
		}
	}
	return s, err
}

// own resolves one of Asterisk's own sounds, in the best language there is.
// The path names the language, because Asterisk falls back from it_IT to it,
// but from it to nothing.
func (r *resolver) own(ctx context.Context, name, language string) (resolvedSound, error) {
	if !soundRE.MatchString(name) || len(name) > 255 {
		return resolvedSound{}, invalid("expected the name of a sound file without its extension, relative to Asterisk's sounds")
	}
	languages, err := r.languages(ctx, name)
	if err != nil {
		return resolvedSound{}, err
	}
	if len(languages) == 0 {
		return resolvedSound{}, &MediaTrouble{Problem: ProblemNotFound, Message: "Asterisk has no sound of that name"}
	}
	return resolvedSound{uri: "sound:" + bestLanguage(languages, language) + "/" + name, length: -1}, nil
}

// bestLanguage chooses among the languages of a sound: the caller's, its
// base, English, or whatever there is.
func bestLanguage(have []string, want string) string {
	want = strings.ReplaceAll(want, "-", "_")
	base, _, _ := strings.Cut(want, "_")
	for _, l := range []string{want, base, "en"} {
		if i := slices.IndexFunc(have, func(h string) bool { return strings.EqualFold(h, l) }); i >= 0 {
			return have[i]
		}
	}
	return have[0]
}

// languages returns the languages in which Asterisk has a sound.
func (r *resolver) languages(ctx context.Context, name string) ([]string, error) {
	now := time.Now()
	r.mu.Lock()
	k, ok := r.known[name]
	r.mu.Unlock()
	if ok && now.Before(k.until) {
		return k.languages, nil
	}
	s, err := r.client.Sounds().Get(ctx, name)
	if err != nil && !ari.IsNotFound(err) {
		return nil, fmt.Errorf("asking Asterisk for the sound %q: %w", name, err)
	}
	k = knownSound{until: now.Add(knownFor)}
	if err == nil {
		for _, f := range s.Formats {
			if !slices.Contains(k.languages, f.Language) {
				k.languages = append(k.languages, f.Language)
			}
		}
	}
	r.mu.Lock()
	if len(r.known) >= maxKnown {
		clear(r.known)
	}
	r.known[name] = k
	r.mu.Unlock()
	return k.languages, nil
}
