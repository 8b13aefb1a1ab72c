//go:build e2e

package ari_test

import (
	"testing"
	"time"

	"asterism/ari"
)

// The tests in this file pin what Asterisk 22.10 does against expectation, because flows are built around it. When one
// fails, Asterisk has changed: correct the comments that warn of it.

// never fails the test if an event of type E that ok accepts comes within d.
func never[E ari.Event](t *testing.T, r *realARI, d time.Duration, ok func(E) bool) {
	t.Helper()
	end := time.After(d)
	for {
		select {
		case ev := <-r.events:
			if e, is := ev.(E); is && ok(e) {
				t.Errorf("there is a %T after all: %s", e, e.Base().Raw)
				return
			}
		case <-end:
			return
		}
	}
}

// TestRealPlayFailures: a missing file ends as failed, an unknown scheme does not end at all.
func TestRealPlayFailures(t *testing.T) {
	r := startReal(t)
	ctx := t.Context()
	ch := r.leg(t, "o1")
	if _, err := r.Channels().PlayWithID(ctx, ch.ID, "missing", []string{"sound:/none/none"}, nil); err != nil {
		t.Fatal(err)
	}
	fin := await[*ari.PlaybackFinished](t, r, nil)
	if fin.Playback.ID != "missing" || fin.Playback.State != ari.PlaybackStateFailed {
		t.Errorf("a missing file: %+v", fin.Playback)
	}
	if _, err := r.Channels().PlayWithID(ctx, ch.ID, "scheme", []string{"nonsense:x"}, nil); err != nil {
		t.Fatal(err)
	}
	await(t, r, func(e *ari.PlaybackStarted) bool { return e.Playback.ID == "scheme" })
	never(t, r, time.Second, func(e *ari.PlaybackFinished) bool { return e.Playback.ID == "scheme" })
	if _, err := r.Playbacks().Get(ctx, "scheme"); !ari.IsNotFound(err) {
		t.Errorf("a playback of an unknown scheme: %v, expected 404", err)
	}
}

// TestRealStopDuringBeep: the stop is answered with success, is lost, and after it the recording cannot be ended by any
// other command; only the end of the channel ends it.
func TestRealStopDuringBeep(t *testing.T) {
	r := startReal(t)
	ctx := t.Context()
	ch := r.leg(t, "o2")
	if _, err := r.Channels().Record(ctx, ch.ID, "plain", "wav", nil); err != nil {
		t.Fatal(err)
	}
	if err := r.Recordings().Stop(ctx, "plain"); err != nil {
		t.Error(err)
	}
	await(t, r, func(e *ari.RecordingFinished) bool { return e.Recording.Name == "plain" })

	if _, err := r.Channels().Record(ctx, ch.ID, "beep", "wav", &ari.ChannelRecordOptions{Beep: true}); err != nil {
		t.Fatal(err)
	}
	await(t, r, func(e *ari.RecordingStarted) bool { return e.Recording.Name == "beep" })
	if err := r.Recordings().Stop(ctx, "beep"); err != nil {
		t.Error(err)
	}
	never(t, r, 2*time.Second, func(e *ari.RecordingFinished) bool { return e.Recording.Name == "beep" })
	for name, do := range map[string]func() error{
		"stop":   func() error { return r.Recordings().Stop(ctx, "beep") },
		"cancel": func() error { return r.Recordings().Cancel(ctx, "beep") },
	} {
		if err := do(); !ari.IsConflict(err) {
			t.Errorf("%s afterwards: %v, expected 409", name, err)
		}
	}
	if err := r.Channels().Hangup(ctx, ch.ID, nil); err != nil {
		t.Error(err)
	}
	await(t, r, func(e *ari.RecordingFinished) bool { return e.Recording.Name == "beep" })
}

// TestRealSetVarWaits: writing a variable waits for the recording; reading one and other commands do not.
func TestRealSetVarWaits(t *testing.T) {
	r := startReal(t)
	ctx := t.Context()
	ch := r.leg(t, "o3")
	if _, err := r.Channels().Record(ctx, ch.ID, "x", "wav", nil); err != nil {
		t.Fatal(err)
	}
	await[*ari.RecordingStarted](t, r, nil)
	set := make(chan error, 1)
	go func() { set <- r.Channels().SetVar(ctx, ch.ID, "A", "1", nil) }()
	if v, err := r.Channels().GetVar(ctx, ch.ID, "PLAIN"); err != nil || v != "v,1" {
		t.Errorf("reading meanwhile: %q, %v", v, err)
	}
	select {
	case err := <-set:
		t.Errorf("writing a variable did not wait: %v", err)
	case <-time.After(500 * time.Millisecond):
	}
	if err := r.Recordings().Stop(ctx, "x"); err != nil {
		t.Error(err)
	}
	if err := <-set; err != nil {
		t.Errorf("writing a variable: %v", err)
	}
}
