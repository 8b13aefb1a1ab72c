package main

import (
	"bytes"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestCommittedCodeIsCurrent runs the generator in memory: the committed files must be what it writes, all of them and
// nothing else.
func TestCommittedCodeIsCurrent(t *testing.T) {
	files, err := generate("rest-api")
	if err != nil {
		t.Fatal(err)
	}
	committed, err := filepath.Glob("../../*_gen.go")
	if err != nil {
		t.Fatal(err)
	}
	for i, f := range committed {
		committed[i] = filepath.Base(f)
	}
	if want := slices.Sorted(maps.Keys(files)); !slices.Equal(committed, want) {
		t.Errorf("generated files are %v, expected %v: run go generate ./ari", committed, want)
	}
	for name, want := range files {
		got, err := os.ReadFile(filepath.Join("../..", name))
		if err != nil {
			t.Error(err)
			continue
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%s is not what the generator writes: run go generate ./ari", name)
		}
	}
}

// TestFactsRoundTrip proves that the committed facts are in the form that -import writes, so that -check compares content.
func TestFactsRoundTrip(t *testing.T) {
	rs, err := load("rest-api")
	if err != nil {
		t.Fatal(err)
	}
	if len(rs) != 11 {
		t.Errorf("%d resources, expected the 11 of Asterisk 22", len(rs))
	}
	for _, r := range rs {
		want, err := r.facts()
		if err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(filepath.Join("rest-api", r.Name+".json"))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%s.json is not in the form that -import writes", r.Name)
		}
		if bytes.Contains(got, []byte(`"description": "`)) || bytes.Contains(got, []byte(`"notes": "`)) || bytes.Contains(got, []byte(`"summary": "`)) {
			t.Errorf("%s.json contains prose of Asterisk", r.Name)
		}
	}
}

func TestCheckAndImport(t *testing.T) {
	copied := t.TempDir()
	if err := importFacts(copied, "rest-api"); err != nil {
		t.Fatal(err)
	}
	if err := checkFacts(copied, "rest-api"); err != nil {
		t.Errorf("a fresh copy differs: %v", err)
	}
	name := filepath.Join(copied, "sounds.json")
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, bytes.Replace(data, []byte(`"text"`), []byte(`"words"`), 1), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := checkFacts(copied, "rest-api"); err == nil || !strings.Contains(err.Error(), "sounds") {
		t.Errorf("a changed copy: %v, expected a complaint about sounds", err)
	}
}

func TestStaleTable(t *testing.T) {
	if err := tablesFit(nil); err == nil || !strings.Contains(err.Error(), "channels.play") {
		t.Errorf("tables without declarations: %v, expected a complaint", err)
	}
}

func TestLoadErrors(t *testing.T) {
	empty := t.TempDir()
	if _, err := load(empty); err == nil {
		t.Error("an empty directory was accepted")
	}
	if err := os.WriteFile(filepath.Join(empty, "x.json"), []byte(`{"models":{"A":{},"A":{}}}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := load(empty); err == nil || !strings.Contains(err.Error(), "twice") {
		t.Errorf("a model declared twice: %v", err)
	}
}

func TestNames(t *testing.T) {
	for _, tt := range []struct{ in, exported, unexported string }{
		{"channelId", "ChannelID", "channelID"},
		{"id", "ID", "id"},
		{"absorbDTMF", "AbsorbDTMF", "absorbDTMF"},
		{"offsetms", "OffsetMS", "offsetMS"},
		{"reason_code", "ReasonCode", "reasonCode"},
		{"mohClass", "MOHClass", "mohClass"},
		{"type", "Type", "typeValue"},
		{"NOT_INUSE", "NOTINUSE", "notINUSE"},
		{"txcount", "TxCount", "txCount"},
	} {
		if got := exported(tt.in); got != tt.exported {
			t.Errorf("exported(%q) = %q, expected %q", tt.in, got, tt.exported)
		}
		if got := unexported(tt.in); got != tt.unexported {
			t.Errorf("unexported(%q) = %q, expected %q", tt.in, got, tt.unexported)
		}
	}
}
