package sip

import (
	"testing"
	"time"
)

func TestDurations(t *testing.T) {
	parse := duration(0, time.Minute)
	for value, want := range map[string]time.Duration{
		"0": 0, "1": time.Second, "1.5": 1500 * time.Millisecond, "1.5s": 1500 * time.Millisecond, "0.25": 250 * time.Millisecond,
		"0.005": 5 * time.Millisecond, "60": time.Minute, "60.000": time.Minute, "250ms": 250 * time.Millisecond, "60000ms": time.Minute,
	} {
		if got, err := parse(value); err != nil || got != want {
			t.Errorf("%q is %v, %v; want %v", value, got, err, want)
		}
	}
	for _, value := range []string{"", "-1", "+1", "1.", ".5", "1.0005", "60.001", "61", "60001ms", "1e1", "NaN", "1.5ms", "1 s", "1m", "99999999999999999999", "0x1", "1,5", "1.5.5"} {
		if got, err := parse(value); err == nil {
			t.Errorf("%q is taken as %v", value, got)
		}
	}
}

func TestLanguages(t *testing.T) {
	for value, want := range map[string]string{
		"it": "it", "IT": "it", "it-IT": "it-IT", "it_it": "it-IT", "zh-hant-tw": "zh-Hant-TW", "es-419": "es-419", "de-1996": "de-1996",
		"sl-rozaj-biske": "sl-rozaj-biske", "cmn": "cmn",
	} {
		if got, err := language(value); err != nil || got != want {
			t.Errorf("%q is %q, %v; want %q", value, got, err, want)
		}
	}
	for _, value := range []string{"", "i", "it-", "-it", "english", "en-x-us", "en-a-b-c-d", "it--IT", "../it", "it/IT", "1t", "è", "it IT", "abcdefghi", "en-abcdefghi", "aa-aaaaaaaa-aaaaaaaa-aaaaaaaa-aaaaaaaa"} {
		if got, err := language(value); err == nil {
			t.Errorf("%q is taken as %q", value, got)
		}
	}
}

func TestKeysAndControls(t *testing.T) {
	for _, value := range []string{"", "11", "aA", "E", "1 2", "any,1", "è", "\x00"} {
		if got, err := stopKeys(value); err == nil {
			t.Errorf("the keys %q are taken as %q", value, got)
		}
	}
	for _, value := range []string{"", "pause", "pause=", "pause=5,pause=6", "pause=5,", "skip=99", "skip=600001", "skip=3s", "stop=1", "pause=5;back=4", "pause=1,back=1"} {
		if got, err := controls(value); err == nil {
			t.Errorf("the controls %q are taken as %+v", value, got)
		}
	}
	if c, err := controls("Pause=5#, SKIP=600000"); err != nil || c.Pause != "5#" || c.Skip != 10*time.Minute {
		t.Errorf("controls are %+v, %v", c, err)
	}
}

func TestVariables(t *testing.T) {
	vars, err := variables("a=1&b.c_d-e=x+y%26z&empty=&bare")
	if err != nil || len(vars) != 4 || vars["b.c_d-e"] != "x y&z" || vars["empty"] != "" {
		t.Errorf("variables are %q, %v", vars, err)
	}
	for _, value := range []string{"", "=1", "a=1&", "a b=1", "a=%zz", "a=%00", "a=%ff", "a=1&a=2", "%61=1"} {
		if got, err := variables(value); err == nil {
			t.Errorf("the variables %q are taken as %q", value, got)
		}
	}
}
