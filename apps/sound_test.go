package apps_test

import (
	"errors"
	"strings"
	"testing"
	"unicode/utf8"

	"asterism/apps"
)

func TestCheckSound(t *testing.T) {
	for _, ok := range []string{
		"welcome", "greetings/welcome", "willkommen-größe", "two words", "media:a/b.wav", "sound:hello-world",
		"digits:0123456789*#ABCD", "number:-42", "number:0", "characters:ab 12", "tone:busy", "silence:1", "silence:600000",
		strings.Repeat("a", apps.MaxSoundName),
	} {
		if err := apps.CheckSound(ok); err != nil {
			t.Errorf("CheckSound(%q): %v", ok, err)
		}
	}
	tests := []struct{ sound, want string }{
		{"", "empty"},
		{strings.Repeat("a", apps.MaxSoundName+1), "512 are allowed"},
		{"a\nb", "control characters"},
		{"a\xff", "UTF-8"},
		{"../secret", `".."`},
		{"a/../b", `".."`},
		{"/etc/passwd", "empty part"},
		{"a//b", "empty part"},
		{"a/", "empty part"},
		{`a\..\b`, "empty part"},
		{"sound:/etc/passwd", "Asterisk's own sounds"},
		{"sound:https://example.com/a", "Asterisk's own sounds"},
		{"media:", "key of an object"},
		{"media:../x", "key of an object"},
		{"recording:x", "none of the kinds"},
		{"https://example.com/a.wav", "none of the kinds"},
		{"digits:12x", "telephone keys"},
		{"digits:", "telephone keys"},
		{"number:1.5", "whole number"},
		{"number:+1", "whole number"},
		{"characters: ", "what to spell"},
		{"tone:", "a tone"},
		{"silence:0", "milliseconds"},
		{"silence:600001", "milliseconds"},
		{"silence:+5", "milliseconds"},
	}
	for _, tt := range tests {
		err := apps.CheckSound(tt.sound)
		media, ok := errors.AsType[*apps.MediaError](err)
		if !ok || media.Problem != apps.MediaInvalid || !strings.Contains(media.Detail, tt.want) {
			t.Errorf("CheckSound(%q) = %v, want an invalid sound with %q", tt.sound, err, tt.want)
		}
	}
}

// FuzzCheckSound: no name that passes leaves the directory of the sounds.
func FuzzCheckSound(f *testing.F) {
	for _, seed := range []string{"welcome", "media:a/b", "sound:../x", "silence:500", "é/è", "a:b:c"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, sound string) {
		if err := apps.CheckSound(sound); err != nil {
			if !utf8.ValidString(err.Error()) && utf8.ValidString(sound) {
				t.Errorf("CheckSound(%q) cuts a character in two: %v", sound, err)
			}
			return
		}
		path := sound[strings.Index(sound, ":")+1:]
		if kind, _, ok := strings.Cut(sound, ":"); (!ok || kind == "media" || kind == "sound") &&
			(strings.HasPrefix(path, "/") || strings.Contains("/"+path+"/", "/../")) {
			t.Errorf("CheckSound(%q) lets it out", sound)
		}
	})
}
