package proxy

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"asterism/ari"
	"asterism/ari/aritest"
)

func TestResolve(t *testing.T) {
	asterisk, err := aritest.NewServer(aritest.Options{Sounds: []string{"hello-world", "digits/1"}})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = asterisk.Close() }()
	client, err := ari.New(ari.Options{BaseURL: asterisk.URL(), Username: "asterism", Password: "secret"})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	r := newResolver(&fakeMedia{}, client)
	tests := map[string]string{ // sound → URI, or "!" and part of the trouble
		"media:greetings/x":      "sound:/cache/greetings/x",
		"welcome":                "sound:/cache/welcome",
		"sound:hello-world":      "sound:en/hello-world",
		"sound:digits/1":         "sound:en/digits/1",
		"silence:1500":           "sound:/cache/silence-1500",
		"number:42":              "number:42",
		"number:-3":              "number:-3",
		"digits:12*#":            "digits:12*#",
		"characters:ab c":        "characters:ab c",
		"tone:busy":              "tone:busy",
		"tone:440/500,0/500":     "tone:440/500,0/500",
		"media:missing":          "!not found: media/missing.wav",
		"media:down":             "!unavailable: connection refused",
		"sound:nope":             "!not found: Asterisk has no sound",
		"sound:/etc/passwd":      "!invalid: expected the name of a sound",
		"sound:../../etc/passwd": "!invalid: expected the name of a sound",
		"sound:a/../b":           "!invalid: expected the name of a sound",
		"sound:" + longName:      "!invalid: expected the name of a sound",
		"silence:0":              "!invalid: expected 1 to 3600000 milliseconds",
		"silence:x":              "!invalid: expected 1 to 3600000 milliseconds",
		"number:one":             "!invalid: expected a whole number",
		"digits:1a":              "!invalid: expected 1 to 64",
		"characters:":            "!invalid: expected 1 to 64",
		"tone:rick":              "!invalid: expected one of busy",
		"recording:secret":       `!invalid: "recording" is not a kind of sound`,
		"http://elsewhere/x.wav": `!invalid: "http" is not a kind of sound`,
	}
	for sound, want := range tests {
		t.Run(sound[:min(len(sound), 30)], func(t *testing.T) {
			got, err := r.all(t.Context(), MediaArgs{Sounds: []string{"before", sound}})
			trouble, isTrouble := errors.AsType[*MediaTrouble](err)
			switch wantTrouble, bad := strings.CutPrefix(want, "!"); {
			case bad && !isTrouble:
				t.Fatalf("resolved to %+v, %v", got, err)
			case bad:
				if text := trouble.Problem + ": " + trouble.Message; !strings.HasPrefix(text, wantTrouble) || trouble.Sound != sound {
					t.Fatalf("%q is %s", trouble.Sound, text)
				}
			case err != nil:
				t.Fatal(err)
			case got[1].uri != want:
				t.Fatalf("resolved to %s, expected %s", got[1].uri, want)
			}
		})
	}
}

var longName = strings.Repeat("x", 300)

// patientMedia takes a second for each sound and counts.
type patientMedia struct {
	Media

	mu    sync.Mutex
	asked []string
}

func (m *patientMedia) Open(_ context.Context, name string, _ bool, _ string) (MediaFile, error) {
	time.Sleep(time.Second)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.asked = append(m.asked, name)
	return MediaFile{Path: "/cache/" + name}, nil
}

// A caller waits as long as for one sound, however many there are.
func TestSoundsAreLookedUpAtTheSameTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		media := &patientMedia{}
		began := time.Now()
		got, err := newResolver(media, nil).all(t.Context(), MediaArgs{Sounds: []string{"a", "b", "a", "c", "b", "a"}})
		if took := time.Since(began); err != nil || took != time.Second {
			t.Errorf("%v after %v; want six sounds after 1 s", err, took)
		}
		var uris []string
		for _, s := range got {
			uris = append(uris, strings.TrimPrefix(s.uri, "sound:/cache/"))
		}
		if want := "abacba"; strings.Join(uris, "") != want || len(media.asked) != 3 {
			t.Errorf("found %q, asked for %q; want %s, each asked for once", uris, media.asked, want)
		}
	})
}

func TestBareNameFallsBackToAsterisksOwnSounds(t *testing.T) {
	asterisk, err := aritest.NewServer(aritest.Options{Sounds: []string{"missing"}})
	if err != nil {
		t.Fatal(err)
	}
	client, err := ari.New(ari.Options{BaseURL: asterisk.URL(), Username: "asterism", Password: "secret"})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	r := newResolver(&fakeMedia{}, client)
	got, err := r.one(t.Context(), "missing", "it-IT")
	if err != nil || got.uri != "sound:en/missing" {
		t.Fatalf("%+v, %v", got, err)
	}
	// The answer is remembered for a while, also when Asterisk is away.
	_ = asterisk.Close()
	if got, err = r.one(t.Context(), "missing", ""); err != nil || got.uri != "sound:en/missing" {
		t.Fatalf("%+v, %v", got, err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	_, err = r.all(ctx, MediaArgs{Sounds: []string{"sound:other"}})
	if trouble, ok := errors.AsType[*MediaTrouble](err); !ok || trouble.Problem != ProblemUnavailable {
		t.Fatalf("with Asterisk away: %v", err)
	}
}

func TestBestLanguage(t *testing.T) {
	for _, tt := range []struct {
		have []string
		want string
		best string
	}{
		{[]string{"en", "it", "it_IT"}, "it-IT", "it_IT"},
		{[]string{"en", "it"}, "it-IT", "it"},
		{[]string{"fr", "en"}, "it-IT", "en"},
		{[]string{"fr", "es"}, "", "fr"},
		{[]string{"en_US_f_Allison", "en"}, "", "en"},
	} {
		if got := bestLanguage(tt.have, tt.want); got != tt.best {
			t.Errorf("%v for %q: %s, expected %s", tt.have, tt.want, got, tt.best)
		}
	}
}
