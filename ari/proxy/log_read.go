package proxy

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"time"
)

// Why a log, or the rest of one, was not read.
var (
	errNoLog     = errors.New("not a session log")
	errLogFormat = errors.New("a session log of a format that this release does not know")
	errTorn      = errors.New("the last record is incomplete")
	errDamaged   = errors.New("damaged")
)

// logItem is one record of a log, as it stands there.
type logItem struct {
	raw   []byte   // with its prefix
	entry LogEntry // nil when the kind is unknown
}

// scanLog calls visit for each record of a log and returns how many bytes are
// sound, and why the rest is not: errNoLog and errLogFormat are about the
// whole file, errTorn and errDamaged about what follows.
func scanLog(data []byte, visit func(logItem)) (int, error) {
	if len(data) < logHeadSize || string(data[:len(logMagic)]) != logMagic {
		return 0, errNoLog
	}
	if f := binary.LittleEndian.Uint32(data[len(logMagic):]); f != logFormat {
		return 0, fmt.Errorf("%w: %d", errLogFormat, f)
	}
	good, started := logHeadSize, false
	for good < len(data) {
		rest := data[good:]
		if len(rest) < recordPrefix {
			return good, errTorn
		}
		size := binary.LittleEndian.Uint32(rest)
		if size == 0 || size > maxLogRecord {
			return good, fmt.Errorf("a record of %d bytes: %w", size, errDamaged)
		}
		end := recordPrefix + int(size)
		if end > len(rest) {
			return good, errTorn
		}
		payload := rest[recordPrefix:end:end]
		if crc32.Checksum(payload, castagnoli) != binary.LittleEndian.Uint32(rest[4:]) {
			return good, fmt.Errorf("a record with a wrong checksum: %w", errDamaged)
		}
		entry, err := decodeEntry(payload)
		if err != nil {
			return good, fmt.Errorf("%w: %w", errDamaged, err)
		}
		if _, first := entry.(LogStart); first == started {
			return good, fmt.Errorf("a log starts once, and with its start: %w", errDamaged)
		}
		started = true
		visit(logItem{raw: rest[:end:end], entry: entry})
		good += end
	}
	return good, nil
}

// decodeEntry returns the entry of a record's payload, with which it shares
// memory; nil for a kind that it does not know.
func decodeEntry(payload []byte) (LogEntry, error) {
	var h logHeader
	parts, err := decodeFrame(payload, &h)
	if err != nil {
		return nil, err
	}
	// Parts that a later release has added behind ours are not looked at.
	need := func(n int) error {
		if n < 0 || len(parts) < n {
			return fmt.Errorf("a record of kind %q with %d parts, expected %d: %w", h.Kind, len(parts), n, ErrFrame)
		}
		return nil
	}
	switch h.Kind {
	case logStart:
		if err := need(1); err != nil {
			return nil, err
		}
		return LogStart{Session: h.Session, Channel: h.Channel, CallID: h.CallID, At: h.at(), Event: parts[0]}, nil
	case logToken:
		return LogToken{Token: h.Token, Worker: h.Worker, Format: h.Format}, nil
	case logCommand:
		return h.command(parts, need)
	case logResult:
		if err := need(len(h.Codes)); err != nil {
			return nil, err
		}
		return LogResult{ID: h.ID, At: h.at(), Outcome: h.outcome(parts)}, nil
	case logDigit:
		return LogDigit{Digit{Seq: h.Seq, Key: h.Key, At: h.at()}}, nil
	case logAnswer:
		return LogAnswered{At: h.at()}, nil
	case logGone:
		return LogGone{At: h.at(), Cause: h.Cause, Reason: h.Reason}, nil
	case logRecord:
		if err := need(1); err != nil {
			return nil, err
		}
		return LogRecord{Record: parts[0]}, nil
	case logPast:
		if h.Past == nil {
			h.Past = &History{}
		}
		return logHistory{seq: h.Seq, lastKey: h.at(), History: *h.Past}, nil
	}
	return nil, nil // of another release, see docs/session-log.md
}

func (h *logHeader) at() time.Time {
	if h.At == 0 {
		return time.Time{}
	}
	return time.UnixMicro(h.At).UTC()
}

func (h *logHeader) command(parts [][]byte, need func(int) error) (LogEntry, error) {
	n := h.Records
	if h.Final {
		n++
	}
	if err := errors.Join(need(h.Records), need(n)); err != nil {
		return nil, err
	}
	e := LogCommand{ID: h.ID, Ack: h.Ack, Final: h.Final, Reset: h.Reset, Heard: h.Heard, Records: parts[:h.Records:h.Records]}
	if h.Final {
		e.Outcome = parts[n-1]
	}
	return e, nil
}

func (h *logHeader) outcome(parts [][]byte) Outcome {
	o := Outcome{Err: h.Err}
	for i, code := range h.Codes {
		o.Result.Steps = append(o.Result.Steps, StepResult{Code: code, Body: parts[i]})
	}
	return o
}

// readLog returns what a log says, how many of its bytes are sound, whether a
// rewritten log would be shorter, and why the rest was not read; see scanLog.
// What it returns shares memory with data.
func readLog(data []byte) (s SavedSession, good int, reset bool, err error) {
	records := 0
	good, err = scanLog(data, func(i logItem) {
		if i.entry != nil {
			s.add(i.entry)
		}
		if c, ok := i.entry.(LogCommand); ok && c.Reset && records > 1 {
			reset = true
		}
		records++
	})
	return s, good, reset, err
}

// rewriteLog returns a log that says the same, without what the last reset
// has made void.
func rewriteLog(data []byte) ([]byte, error) {
	var items []logItem
	if _, err := scanLog(data, func(i logItem) { items = append(items, i) }); err != nil {
		return nil, err
	}
	last, heard := 0, uint64(0)
	for i, item := range items {
		if c, ok := item.entry.(LogCommand); ok && c.Reset {
			last, heard = i, c.Heard
		}
	}
	if last == 0 {
		return data, nil
	}
	var s SavedSession
	var w logWriter
	w.begin(true)
	w.buf = append(w.buf, items[0].raw...)
	for _, item := range items[:last] {
		if item.entry != nil {
			s.add(item.entry)
		}
	}
	if err := errors.Join(w.entry(LogToken{Token: s.Token, Worker: s.Worker}), w.entry(logHistory{seq: s.Seq, lastKey: s.LastKey, History: s.History})); err != nil {
		return nil, err
	}
	for _, item := range items[1:last] {
		if keepEntry(item.entry, heard) {
			w.buf = append(w.buf, item.raw...)
		}
	}
	for _, item := range items[last:] {
		w.buf = append(w.buf, item.raw...)
	}
	return w.buf, nil
}

// keepEntry reports whether an entry from before a reset is still of use.
func keepEntry(entry LogEntry, heard uint64) bool {
	switch e := entry.(type) {
	case LogDigit:
		return e.Seq > heard
	case LogToken, LogCommand, LogResult, logHistory:
		return false
	}
	return true // also of a kind that only another release knows
}
