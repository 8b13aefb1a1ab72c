package proxy

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"
)

// logTime is a time as precise as a log keeps it.
var logTime = time.Date(2026, 11, 22, 15, 30, 0, 123456000, time.UTC)

// sampleLog is a session with everything: two workers, two stages, two boots.
func sampleLog(session string) []LogEntry {
	return []LogEntry{
		LogStart{Session: session, Channel: session, CallID: `a"b@host`, At: logTime, Event: []byte(`{"type":"StasisStart"}`)},
		LogToken{Token: Token{3, 1}, Worker: "w1.a"},
		LogCommand{ID: "0.answer.0", Records: [][]byte{[]byte("stage 0"), []byte("begin 0")}},
		LogAnswered{At: logTime.Add(500 * time.Millisecond)},
		LogResult{ID: "0.answer.0", At: logTime.Add(time.Second), Outcome: Outcome{Result: Result{Steps: []StepResult{{Code: 204, Body: []byte{}}}}}},
		LogDigit{Digit{Seq: 4, Key: "1", At: logTime.Add(2 * time.Second)}},
		LogDigit{Digit{Seq: 6, Key: "#", At: logTime.Add(3 * time.Second)}},
		LogToken{Token: Token{3, 2}, Worker: "w2.b"},
		LogCommand{Ack: 3, Records: [][]byte{[]byte("end 0")}}, // came with a release
		LogCommand{ID: "1.stage.0", Ack: 5, Reset: true, Heard: 4, Records: [][]byte{[]byte("stage 1")}},
		LogResult{ID: "1.stage.0", At: logTime.Add(4 * time.Second), Outcome: Outcome{Result: Result{}}},
		LogToken{Token: Token{4, 1}, Worker: "w2.b"},
		LogCommand{ID: "1.play.1", Ack: 5, Records: [][]byte{[]byte("begin 1")}},
		LogResult{ID: "1.play.1", At: logTime.Add(5 * time.Second), Outcome: Outcome{Err: "Asterisk <away>"}},
		LogCommand{ID: "1.end.2", Ack: 7, Final: true, Outcome: []byte(`{"ok":true}`)},
		LogGone{At: logTime.Add(6 * time.Second), Cause: 16, Reason: "Normal Clearing"},
		LogRecord{Record: []byte(`{"call":"x"}`)},
	}
}

// sampleSaved is what sampleLog says.
func sampleSaved(session string) SavedSession {
	log := sampleLog(session)
	gone := log[15].(LogGone)
	return SavedSession{
		Start: log[0].(LogStart), Token: Token{4, 1}, Worker: "w2.b", Seq: 7,
		Journal: [][]byte{[]byte("stage 1"), []byte("begin 1")},
		Digits:  []Digit{{Seq: 6, Key: "#", At: logTime.Add(3 * time.Second)}},
		LastKey: logTime.Add(3 * time.Second),
		Commands: []SavedCommand{
			{ID: "1.stage.0", Done: true, At: logTime.Add(4 * time.Second)},
			{ID: "1.play.1", Done: true, At: logTime.Add(5 * time.Second), Outcome: Outcome{Err: "Asterisk <away>"}},
			{ID: "1.end.2", Final: true},
		},
		Final: true, Outcome: []byte(`{"ok":true}`), Answered: logTime.Add(500 * time.Millisecond), Gone: &gone, Record: []byte(`{"call":"x"}`),
		History: History{Workers: []string{"w1.a", "w2.b"}, Moves: 1, Restarts: 1, Running: "w2.b", Boot: 4},
	}
}

// encodeLog returns the file of entries.
func encodeLog(tb testing.TB, entries ...LogEntry) []byte {
	tb.Helper()
	var w logWriter
	w.begin(true)
	for _, e := range entries {
		if err := w.entry(e); err != nil {
			tb.Fatal(err)
		}
	}
	return w.buf
}

// fold is what entries say.
func fold(entries ...LogEntry) SavedSession {
	var s SavedSession
	for _, e := range entries {
		s.add(e)
	}
	return s
}

func testStore(t *testing.T) (*logStore, *bytes.Buffer) {
	t.Helper()
	var lines bytes.Buffer
	s, err := openLogStore(filepath.Join(t.TempDir(), "sessions"), zerolog.New(&lines))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.close() })
	return s, &lines
}

// reopen returns what a store of the same directory loads.
func reopen(t *testing.T, s *logStore) (*logStore, []SavedSession) {
	t.Helper()
	if err := s.close(); err != nil {
		t.Fatal(err)
	}
	again, err := openLogStore(s.dir, s.log)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { again.close() })
	saved, err := again.load()
	if err != nil {
		t.Fatal(err)
	}
	return again, saved
}

func TestLogSaysWhatWasAppended(t *testing.T) {
	s, lines := testStore(t)
	for _, e := range sampleLog("n1-1.7") {
		if err := s.append("n1-1.7", e); err != nil {
			t.Fatal(err)
		}
	}
	_, saved := reopen(t, s)
	if want := []SavedSession{sampleSaved("n1-1.7")}; !reflect.DeepEqual(saved, want) {
		t.Errorf("loaded   %+v\nexpected %+v", saved, want)
	}
	if lines.Len() > 0 {
		t.Errorf("logged: %s", lines)
	}
	if err := s.append("n1-1.7", LogGone{}); !errors.Is(err, ErrNoLog) {
		t.Errorf("append to a finished log: %v", err)
	}
	if err := s.remove("n1-1.7"); err != nil {
		t.Error(err)
	}
	if err := s.remove("n1-1.7"); err != nil {
		t.Errorf("a second removal: %v", err)
	}
	if _, saved := reopen(t, s); len(saved) != 0 {
		t.Errorf("after the removal there are %+v", saved)
	}
}

// A log that is cut at any byte, or has a wrong byte anywhere, loads without
// an error and yields what was logged before that place; and it can be
// appended to.
func TestLogDamagedAnywhere(t *testing.T) {
	const session = "n1-1.7"
	entries := sampleLog(session)[:16]
	whole := encodeLog(t, entries...)
	ends := make([]int, len(entries)) // where each entry ends
	for i := range entries {
		ends[i] = len(encodeLog(t, entries[:i+1]...))
	}
	s, _ := testStore(t)
	path := s.path(session)
	check := func(at int, damaged []byte) {
		t.Helper()
		if err := os.WriteFile(path, damaged, 0o600); err != nil {
			t.Fatal(err)
		}
		saved, err := s.load()
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		for n < len(ends) && ends[n] <= at {
			n++
		}
		if n == 0 {
			if len(saved) != 0 {
				t.Fatalf("byte %d: loaded %+v", at, saved)
			}
			return
		}
		if len(saved) != 1 || !reflect.DeepEqual(saved[0], fold(entries[:n]...)) {
			t.Fatalf("byte %d: loaded   %+v\nexpected %+v", at, saved, fold(entries[:n]...))
		}
		if err := s.append(session, LogGone{Reason: "later"}); err != nil {
			t.Fatal(err)
		}
		if saved, err = s.load(); err != nil || len(saved) != 1 || saved[0].Gone == nil || saved[0].Gone.Reason != "later" {
			t.Fatalf("byte %d: after an append: %+v, %v", at, saved, err)
		}
	}
	for at := range whole {
		check(at, whole[:at])
		flipped := slices.Clone(whole)
		flipped[at] ^= 0x10
		check(at, flipped)
	}
	check(len(whole), append(slices.Clone(whole), make([]byte, 4096)...))
}

func TestLogQuarantine(t *testing.T) {
	later := encodeLog(t, sampleLog("later")...)
	binary.LittleEndian.PutUint32(later[len(logMagic):], 2)
	files := map[string][]byte{
		"later.log":     later,
		"notes.txt":     []byte("what is this?"),
		"empty.log":     nil,
		"nothing.log":   encodeLog(t),
		"nostart.log":   encodeLog(t, LogToken{}),
		"other.log":     encodeLog(t, sampleLog("one")...),
		"nameless.log":  encodeLog(t, LogStart{Event: []byte("{}")}),
		"half.log.tmp":  []byte("aster"),
		"good.log":      encodeLog(t, sampleLog("good")...),
		"startless.log": encodeLog(t)[:5],
	}
	s, lines := testStore(t)
	for range 2 { // a name that is in quarantine already is no obstacle
		for name, data := range files {
			if err := os.WriteFile(filepath.Join(s.dir, name), data, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		saved, err := s.load()
		if err != nil || len(saved) != 1 || saved[0].Start.Session != "good" {
			t.Fatalf("loaded %+v, %v", saved, err)
		}
	}
	for name, data := range files {
		_, err := os.Stat(filepath.Join(s.dir, name))
		if here := err == nil; here != (name == "good.log") {
			t.Errorf("%s: %v", name, err)
		}
		if name == "good.log" || name == "half.log.tmp" {
			continue
		}
		for _, copied := range []string{name, name + ".1"} {
			if got, err := os.ReadFile(filepath.Join(s.dir, "quarantine", copied)); err != nil || !bytes.Equal(got, data) {
				t.Errorf("quarantine/%s: %q, %v", copied, got, err)
			}
		}
	}
	if !strings.Contains(lines.String(), "format that this release does not know: 2") {
		t.Errorf("no word of the later format: %s", lines)
	}
}

// Unknown kinds are skipped and kept; unknown fields and parts are ignored.
func TestLogOfALaterRelease(t *testing.T) {
	var w logWriter
	w.begin(true)
	if err := w.entry(sampleLog("x")[0]); err != nil {
		t.Fatal(err)
	}
	w.head = []byte(`{"k":"weather","sun":true}`)
	unknown := len(w.buf)
	if err := w.record([][]byte{[]byte("sunny")}, nil, false); err != nil {
		t.Fatal(err)
	}
	raw := slices.Clone(w.buf[unknown:])
	w.head = []byte(`{"k":"gone","q":17,"weather":"sunny"}`)
	if err := w.record([][]byte{[]byte("more")}, nil, false); err != nil {
		t.Fatal(err)
	}
	if err := w.entry(LogCommand{ID: "1", Reset: true}); err != nil {
		t.Fatal(err)
	}
	s, good, _, err := readLog(w.buf)
	if err != nil || good != len(w.buf) || s.Gone == nil || s.Gone.Cause != 17 || len(s.Commands) != 1 {
		t.Fatalf("%+v, %d of %d bytes, %v", s, good, len(w.buf), err)
	}
	short, err := rewriteLog(w.buf)
	if err != nil || !bytes.Contains(short, raw) {
		t.Errorf("the unknown record is lost: %q, %v", short, err)
	}
}

func TestLogNames(t *testing.T) {
	long := strings.Repeat("ü", 300)
	seen := map[string]string{}
	for _, session := range []string{
		".", "..", "../../etc/passwd", "/", "a/b", `a\b`, "a\x00b", "a%2Fb", "n1-1795354409.76", "room:a&b", "-rf", " ", "~", long, long + "1", strings.Repeat("x", 5000),
	} {
		name := logName(session)
		if len(name) > 200 || name != filepath.Base(name) || strings.ContainsAny(name, "/\x00\\") || name == logSuffix || seen[name] != "" {
			t.Errorf("%.40q is kept in %q", session, name)
		}
		seen[name] = session
		s, _ := testStore(t)
		if err := s.append(session, LogStart{Session: session}); err != nil {
			t.Errorf("%.40q: %v", session, err)
		}
		if _, saved := reopen(t, s); len(saved) != 1 || saved[0].Start.Session != session {
			t.Errorf("%.40q became %+v", session, saved)
		}
	}
	s, _ := testStore(t)
	if err := s.append("", LogStart{}); !errors.Is(err, ErrNoLog) {
		t.Errorf("a session without an id: %v", err)
	}
}

// A long log is written anew after a reset, and says the same.
func TestLogIsShortened(t *testing.T) {
	s, lines := testStore(t)
	const session = "c"
	var entries []LogEntry
	add := func(e ...LogEntry) {
		t.Helper()
		entries = append(entries, e...)
		if err := s.append(session, e...); err != nil {
			t.Fatal(err)
		}
	}
	add(sampleLog(session)[0], LogToken{Token: Token{1, 1}, Worker: "w1.a"})
	big := bytes.Repeat([]byte("x"), 1000)
	for stage := range 10 {
		add(LogCommand{ID: fmt.Sprintf("%d.stage.0", stage), Reset: true, Heard: uint64(10 * stage), Records: [][]byte{[]byte("stage")}})
		add(LogToken{Token: Token{1, uint64(stage + 2)}, Worker: fmt.Sprintf("w%d.a", stage)})
		for n := range 10 {
			add(LogCommand{ID: fmt.Sprintf("%d.x.%d", stage, n), Ack: uint64(10*stage + n), Records: [][]byte{big}})
			add(LogDigit{Digit{Seq: uint64(10*stage + n + 5), Key: "5", At: logTime.Add(time.Duration(10*stage+n) * time.Second)}})
		}
		info, err := os.Stat(s.path(session))
		if err != nil || info.Size() > rewriteFrom+12_000 {
			t.Fatalf("after stage %d: %d bytes, %v", stage, info.Size(), err)
		}
		data, err := os.ReadFile(s.path(session))
		if err != nil {
			t.Fatal(err)
		}
		got, _, _, err := readLog(data)
		if want, _, _, _ := readLog(encodeLog(t, entries...)); err != nil || !reflect.DeepEqual(got, want) {
			t.Fatalf("after stage %d: %v\ngot      %+v\nexpected %+v", stage, err, got, want)
		}
	}
	if _, saved := reopen(t, s); len(saved) != 1 || lines.Len() > 0 {
		t.Errorf("%d sessions, logged: %s", len(saved), lines)
	}
}

// What cannot be written is written later, and nothing is left out.
func TestLogWriteFails(t *testing.T) {
	s, lines := testStore(t)
	entries := sampleLog("c")
	if err := s.append("c", entries[:3]...); err != nil {
		t.Fatal(err)
	}
	s.files["c"].f.Close() // every write fails from now on
	for _, e := range entries[3:6] {
		if err := s.append("c", e); !errors.Is(err, os.ErrClosed) {
			t.Fatalf("append: %v", err)
		}
	}
	if n := s.failures.Load(); n != 3 || strings.Count(lines.String(), "\n") != 1 {
		t.Errorf("%d failures, logged: %s", n, lines)
	}
	s.files["c"].f = nil
	if err := s.append("c", entries[6]); err != nil {
		t.Fatal(err)
	}
	again, saved := reopen(t, s)
	if len(saved) != 1 || !reflect.DeepEqual(saved[0], fold(entries[:7]...)) {
		t.Fatalf("loaded %+v", saved)
	}
	// Too much was not written: a log with a hole must not be taken for the truth.
	again.append("c", entries[7])
	again.files["c"].f.Close()
	big := LogCommand{ID: "big", Records: [][]byte{make([]byte, maxBacklog)}}
	if err := again.append("c", big); !errors.Is(err, os.ErrClosed) {
		t.Fatalf("append: %v", err)
	}
	again.files["c"].f = nil
	if err := again.append("c", entries[8]); !errors.Is(err, errGivenUp) {
		t.Errorf("append after it was given up: %v", err)
	}
	if _, saved = reopen(t, again); len(saved) != 0 {
		t.Errorf("loaded %+v", saved)
	}
}

func TestLogEntryTooLarge(t *testing.T) {
	s, _ := testStore(t)
	if err := s.append("c", LogStart{Session: "c", Event: make([]byte, maxLogRecord)}); !errors.Is(err, ErrFrame) {
		t.Errorf("append: %v", err)
	}
	if err := s.append("c", LogToken{}); !errors.Is(err, errGivenUp) {
		t.Errorf("a second append: %v", err)
	}
	if _, saved := reopen(t, s); len(saved) != 0 {
		t.Errorf("loaded %+v", saved)
	}
}

// An id that Asterisk gives again does not cost the other session its record.
func TestLogOfAnIDGivenAgain(t *testing.T) {
	s, lines := testStore(t)
	if err := s.append("c", LogStart{Session: "c", CallID: "1"}, LogRecord{Record: []byte("{}")}); err != nil {
		t.Fatal(err)
	}
	if err := s.append("c", LogStart{Session: "c", CallID: "2"}); err != nil {
		t.Fatal(err)
	}
	if _, saved := reopen(t, s); len(saved) != 1 || saved[0].Start.CallID != "2" {
		t.Errorf("loaded %+v", saved)
	}
	if _, err := os.Stat(filepath.Join(s.dir, "quarantine", "c.log")); err != nil || !strings.Contains(lines.String(), "moved away") {
		t.Errorf("%v, logged: %s", err, lines)
	}
}

// A log of each released format can be read: these files are never written
// anew.
func TestLogOfReleasedFormats(t *testing.T) {
	for format := 1; format <= logFormat; format++ {
		data, err := os.ReadFile(fmt.Sprintf("testdata/session-format%d.log", format))
		if err != nil {
			t.Fatal(err)
		}
		s, good, _, err := readLog(data)
		if err != nil || good != len(data) || !reflect.DeepEqual(s, sampleSaved("n1-1795354409.76")) {
			t.Errorf("format %d: %v\nread     %+v\nexpected %+v", format, err, s, sampleSaved("n1-1795354409.76"))
		}
	}
}

// What is read of any bytes is a sound log, and rewriting one keeps what it
// says.
func FuzzLog(f *testing.F) {
	f.Add(encodeLog(f, sampleLog("c")...))
	f.Add(encodeLog(f, append(sampleLog("c")[:10], logHistory{seq: 9, History: History{Moves: 2}})...))
	f.Fuzz(func(t *testing.T, data []byte) {
		// Without its checksums the fuzzer would not get far.
		s, good, _, err := readLog(mendSums(slices.Clone(data)))
		if err == nil && good != len(data) || good > len(data) {
			t.Fatalf("%d of %d bytes, %v", good, len(data), err)
		}
		if good == 0 {
			return
		}
		sound := mendSums(slices.Clone(data))[:good]
		again, n, _, err := readLog(sound)
		if err != nil || n != good || !sameSaved(again, s) {
			t.Fatalf("%d of %d sound bytes: %v\nread  %+v\nagain %+v", n, good, err, s, again)
		}
		short, err := rewriteLog(sound)
		if err != nil {
			t.Fatal(err)
		}
		if again, n, _, err = readLog(short); err != nil || n != len(short) || !sameSaved(again, s) {
			t.Fatalf("rewritten: %d of %d bytes: %v\nread  %+v\nagain %+v", n, len(short), err, s, again)
		}
	})
}

// sameSaved compares what two logs say; nil and empty are the same.
func sameSaved(a, b SavedSession) bool {
	text := func(s SavedSession) string {
		var gone LogGone
		if s.Gone != nil {
			gone = *s.Gone
		}
		s.Gone = nil
		return fmt.Sprintf("%+v %+v", s, gone)
	}
	return text(a) == text(b) && (a.Gone == nil) == (b.Gone == nil)
}

// mendSums makes the checksums of all records right.
func mendSums(data []byte) []byte {
	for at := logHeadSize; at+recordPrefix <= len(data); {
		end := at + recordPrefix + int(binary.LittleEndian.Uint32(data[at:]))
		if end > len(data) {
			break
		}
		binary.LittleEndian.PutUint32(data[at+4:], crc32.Checksum(data[at+recordPrefix:end], castagnoli))
		at = end
	}
	return data
}

// BenchmarkLog is a playback call: what its log costs, all in all.
func BenchmarkLog(b *testing.B) {
	s, err := openLogStore(b.TempDir(), zerolog.Nop())
	if err != nil {
		b.Fatal(err)
	}
	event := bytes.Repeat([]byte("x"), 900)
	record := bytes.Repeat([]byte("x"), 150)
	result := Outcome{Result: Result{Steps: []StepResult{{Code: 204}, {Code: 200, Body: event[:300]}}}}
	b.ReportAllocs()
	for b.Loop() {
		for _, err := range []error{
			s.append("n1-1", LogStart{Session: "n1-1", Channel: "n1-1", CallID: "call@host", At: logTime, Event: event}, LogToken{Token: Token{1, 1}, Worker: "w.1"}),
			s.append("n1-1", LogCommand{ID: "0.play.0", Records: [][]byte{record, record}}),
			s.append("n1-1", LogResult{ID: "0.play.0", At: logTime, Outcome: result}),
			s.append("n1-1", LogCommand{ID: "0.end.1", Ack: 3, Final: true, Outcome: record}),
			s.append("n1-1", LogResult{ID: "0.end.1", At: logTime, Outcome: result}),
			s.remove("n1-1"),
		} {
			if err != nil {
				b.Fatal(err)
			}
		}
	}
}
