package proxy

import (
	"bytes"
	"context"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"asterism/ari"
	"asterism/ari/aritest"
)

// What a real Asterisk 22.10.1 has written; the last line is still being
// written.
func TestKeyLogOfAsterisk(t *testing.T) {
	keys, size, err := readKeyLog("testdata/keys.log")
	if err != nil {
		t.Fatal(err)
	}
	at := func(s string) time.Time {
		v, err := time.Parse(time.RFC3339Nano, "2026-11-22T16:38:"+s+"Z")
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	want := []keyLine{
		{at("28.969"), "PJSIP/edge-00000000", "1"},
		{at("30.269"), "PJSIP/edge-00000000", "#"},
		{at("33.831"), "PJSIP/edge-00000001", "9"},
		{at("34.348"), "PJSIP/edge-00000001", "A"},
	}
	if !reflect.DeepEqual(keys, want) || size == 0 {
		t.Errorf("%d bytes:\nread     %v\nexpected %v", size, keys, want)
	}
}

// Of a file that is too large the end is read.
func TestKeyLogIsReadFromItsEnd(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys.log")
	line := "[2026-11-22 16:38:28.969+0000] DTMF[7][C-1] channel.c: DTMF end '1' received on a, duration 100 ms\n"
	n := maxKeyLog/len(line) + 1000
	text := strings.Repeat(line, n) + strings.Replace(line, "'1'", "'2'", 1)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	keys, size, err := readKeyLog(path)
	if err != nil || size != int64(len(text)) || len(keys) >= n || len(keys) < n-2000 || keys[len(keys)-1].key != "2" {
		t.Errorf("%d of %d keys of %d bytes, %v", len(keys), n+1, size, err)
	}
}

func FuzzKeyLog(f *testing.F) {
	sample, err := os.ReadFile("testdata/keys.log")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(sample)
	f.Fuzz(func(t *testing.T, data []byte) {
		keys := parseKeyLog(data)
		if n := bytes.Count(data, []byte(" received on ")); len(keys) > n {
			t.Fatalf("%d keys in %d lines", len(keys), n)
		}
		for _, k := range keys {
			if len(k.key) != 1 || !strings.Contains("0123456789*#ABCD", k.key) || k.channel == "" || k.at.Location() != time.UTC {
				t.Fatalf("key %+v", k)
			}
		}
		// What is written later changes nothing of what stands there.
		half := parseKeyLog(data[:len(data)/2])
		if len(half) > len(keys) || !slices.Equal(half, keys[:len(half)]) {
			t.Fatalf("half of it has %v, all of it %v", half, keys)
		}
	})
}

// A line that is a little later than its key's event is not another key.
func TestLinesOfKnownKeys(t *testing.T) {
	last := time.Now()
	for _, c := range []struct {
		name    string
		ofEvent bool
		late    time.Duration
		want    bool
	}{
		{"an event and its line at once", true, 0, true},
		{"a line before its event", true, -time.Millisecond, true},
		{"a line after its event", true, time.Millisecond, true},
		{"a line long after its event", true, lateLine, true},
		{"the next key after an event", true, 80 * time.Millisecond, false},
		{"the same line", false, 0, true},
		{"the next line", false, time.Millisecond, false},
	} {
		call := &call{lastKey: last, ofEvent: c.ofEvent}
		if got := call.heardOf(last.Add(c.late)); got != c.want {
			t.Errorf("%s: heard of: %v, want %v", c.name, got, c.want)
		}
	}
	call := &call{lastKey: last}
	if !call.keyed("1", last.Add(time.Second)) || !call.heardOf(last.Add(time.Second+time.Millisecond)) {
		t.Error("the line of an event that came is taken for another key")
	}
}

// Events of keys that were recovered do not count again, and all others do.
func TestEventsOfRecoveredKeys(t *testing.T) {
	last := time.Date(2026, 11, 22, 16, 0, 0, 0, time.UTC)
	soon := time.Now().Add(time.Minute)
	for name, c := range map[string]struct {
		doubt string
		until time.Time
		key   string
		late  time.Duration
		want  bool
	}{
		"nothing recovered":            {"", time.Time{}, "5", 180 * time.Millisecond, true},
		"its own event":                {"5", soon, "5", time.Millisecond, false},
		"its own event at once":        {"5", soon, "5", 0, false},
		"an earlier one's":             {"5", soon, "7", -200 * time.Millisecond, false},
		"another key":                  {"5", soon, "6", 50 * time.Millisecond, true},
		"the same key again":           {"5", soon, "5", 150 * time.Millisecond, true},
		"long after, the clock is set": {"5", time.Now().Add(-time.Second), "7", -time.Hour, true},
	} {
		call := &call{lastKey: last, doubtful: c.doubt, doubtUntil: c.until}
		if got := call.keyed(c.key, last.Add(c.late)); got != c.want {
			t.Errorf("%s: counts %v", name, got)
		}
	}
	// Only one event is the recovered key's.
	call := &call{lastKey: last, doubtful: "5", doubtUntil: soon}
	if call.keyed("5", last.Add(time.Millisecond)) || !call.keyed("5", last.Add(90*time.Millisecond)) {
		t.Error("a second event of the same key does not count")
	}
}

// typist is a flow that hands on each key that it hears of, also those from
// before its time, until it is #.
func typist(keys chan<- string) func(context.Context, *testRunner) {
	return func(ctx context.Context, r *testRunner) {
		if _, err := r.Do(ctx, Command{ID: "0.answer.1", Steps: []Step{ARI(http.MethodPost, "/channels/"+url.PathEscape(r.ID())+"/answer", nil)}}); err != nil {
			return
		}
		keys <- "ready"
		key := ""
		for _, d := range r.start.Digits {
			key = d.Key
			keys <- key
		}
		for key != "#" {
			select {
			case <-ctx.Done():
				return
			case raw := <-r.events:
				if h, err := ari.Peek(raw); err == nil && h.Type == "ChannelDtmfReceived" {
					key = h.Digit
					keys <- key
				}
			}
		}
		_ = r.end(ctx, r.hangup())
	}
}

// press presses keys as a quick person does: no two at the same time, nor one
// as the gateway begins to connect.
func press(c *aritest.Caller, keys string) {
	for _, k := range keys {
		time.Sleep(lateLine + 2*time.Millisecond)
		c.Press(string(k))
		time.Sleep(3 * time.Millisecond)
	}
}

// typed returns what the flow has heard up to #.
func (f *fabric) typed(keys <-chan string) string {
	f.t.Helper()
	var all string
	for !strings.HasSuffix(all, "#") {
		select {
		case k := <-keys:
			if k != "ready" {
				all += k
			}
		case <-time.After(10 * time.Second):
			f.t.Fatalf("the flow has heard %q and no #", all)
		}
	}
	return all
}

// Keys that are pressed while there is no event socket, and while it is being
// prepared, count once.
func TestKeysWhileTheSocketIsAway(t *testing.T) {
	f := newFabric(t, withSpool(t))
	keys := make(chan string, 100)
	f.worker("one", typist(keys))
	c := f.call("1", "", "end")
	<-keys
	press(c, "12")
	f.eventually("both are heard", func() bool { return len(keys) == 2 })
	f.asterisk.Faults().DropSockets(3)
	press(c, "3345")
	f.asterisk.Faults().Slow("PUT /applications/"+App+"/eventFilter", 300*time.Millisecond)
	pressed := 0
	f.eventually("it is connected again", func() bool {
		press(c, "6A7B"[pressed%4:][:1]) // some in the gap, some with an event besides
		pressed++
		time.Sleep(20 * time.Millisecond)
		return f.gateway.Ready() == nil && f.metric("asterism_ari_reconnects_total") == 1
	})
	press(c, "#")
	if got, want := f.typed(keys), "123345"+strings.Repeat("6A7B", pressed)[:pressed]+"#"; got != want {
		t.Errorf("typed %q, want %q", got, want)
	}
	f.ended(c)
	if n := f.metric("asterism_keys_recovered_total"); n < 4 {
		t.Errorf("%v keys recovered, want at least 4", n)
	}
	f.noLogs()
}

// Keys that are pressed while the gateway is dead count once, those before
// and after as well, whoever runs the call then.
func TestKeysWhileTheGatewayIsAway(t *testing.T) {
	for name, moved := range map[string]bool{"claimed": false, "with another worker": true} {
		t.Run(name, func(t *testing.T) {
			f := newFabric(t, withSpool(t))
			keys, again := make(chan string, 100), make(chan string, 100)
			first := f.worker("one", typist(keys))
			c := f.call("1", "", "end")
			<-keys
			press(c, "12")
			f.eventually("both are heard", func() bool { return len(keys) == 2 })
			f.stop()
			press(c, "2345")
			if moved {
				first.Close()
				keys = again
			}
			f.options.Boot, f.options.Registry = 2, nil
			f.startGateway()
			if moved {
				f.worker("two", typist(keys))
			}
			f.eventually("the gateway hears Asterisk again", func() bool { return f.gateway.Ready() == nil })
			press(c, "56#") // the 5 is another one, however soon it comes
			if got := f.typed(keys); got != "12234556#" {
				t.Errorf("typed %q, want 12234556#", got)
			}
			f.ended(c)
			f.noLogs()
		})
	}
}

// A channel of an earlier Asterisk had the same name: its keys are no business
// of the call that has it now. A file that is not there is no obstacle.
func TestKeysOfOthersAreLeftAlone(t *testing.T) {
	f := newFabric(t, withSpool(t))
	keys := make(chan string, 100)
	f.worker("one", typist(keys))
	other := f.call("1", "", "end")
	<-keys
	press(other, "77#")
	f.ended(other)
	f.typed(keys)
	f.asterisk.Faults().Crash()
	if err := f.asterisk.Faults().Restart(); err != nil {
		t.Fatal(err)
	}
	f.eventually("the gateway hears Asterisk again", func() bool {
		return f.gateway.Ready() == nil && f.metric("asterism_ari_reconnects_total") == 1
	})
	c := f.call("1", "", "end")
	<-keys
	reconnect := func() {
		n := f.metric("asterism_ari_reconnects_total")
		f.asterisk.Faults().DropSockets(1)
		f.eventually("it is connected again", func() bool {
			return f.gateway.Ready() == nil && f.metric("asterism_ari_reconnects_total") > n
		})
	}
	reconnect()
	if err := os.Remove(f.options.KeyLog); err != nil {
		t.Fatal(err)
	}
	reconnect()
	press(c, "1#")
	if got := f.typed(keys); got != "1#" {
		t.Errorf("typed %q, want 1#", got)
	}
	f.ended(c)
}

// What was heard of is removed; what was not, stays; and nobody else reads it.
func TestKeyLogIsTidied(t *testing.T) {
	f := newFabric(t)
	keys := make(chan string, 100)
	f.worker("one", typist(keys))
	c := f.call("1", "", "end")
	<-keys
	size := func() int64 {
		info, err := os.Stat(f.options.KeyLog)
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm()&0o007 != 0 {
			t.Errorf("its mode is %v", info.Mode())
		}
		return info.Size()
	}
	tidy := func() int64 {
		if err := f.gateway.tidyKeyLog(); err != nil {
			t.Fatal(err)
		}
		return size()
	}
	press(c, "12")
	f.eventually("both are heard", func() bool { return len(keys) == 2 })
	if n := tidy(); n != 0 {
		t.Errorf("%d bytes are left", n)
	}
	f.asterisk.Faults().LoseEvents("ChannelDtmfReceived", 1)
	press(c, "3")
	f.eventually("it was written down", func() bool { return size() > 0 })
	if tidy() == 0 {
		t.Error("a key was removed that nobody has heard of")
	}
	press(c, "#")
	f.typed(keys)
	f.ended(c)
	f.eventually("all is closed", func() bool { return f.gateway.Calls() == 0 })
	if n := tidy(); n != 0 {
		t.Errorf("%d bytes are left without a call", n)
	}
}

func TestKeyLogIsClosedToOthers(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "keys.log")
	mode := func() os.FileMode {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		return info.Mode().Perm()
	}
	if err := secureKeyLog(path); err != nil || mode() != 0o660 {
		t.Errorf("made with mode %v, %v", mode(), err)
	}
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := secureKeyLog(path); err != nil || mode() != 0o640 {
		t.Errorf("found with mode 644, now %v, %v", mode(), err)
	}
	if err := secureKeyLog(dir); err == nil {
		t.Error("a directory was taken for a key log")
	}
}

// A session that Asterisk has not survived is not taken for the call that has
// got the same name since.
func TestNamesOfAnEarlierAsterisk(t *testing.T) {
	started := time.Now()
	g := &Gateway{calls: map[string]*call{
		"old": {name: "PJSIP/edge-00000000", started: started.Add(-time.Minute)},
		"new": {name: "PJSIP/edge-00000000", started: started.Add(time.Minute)},
		"any": {started: started.Add(time.Minute)},
	}}
	if got := g.named(started); len(got) != 1 || got["PJSIP/edge-00000000"] != "new" {
		t.Errorf("named %v", got)
	}
}
