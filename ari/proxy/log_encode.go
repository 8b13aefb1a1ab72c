package proxy

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"strconv"
	"time"
)

// logMagic and the format begin every log.
const (
	logMagic     = "asterism"
	logFormat    = 1
	logHeadSize  = len(logMagic) + 4
	recordPrefix = 8 // length and CRC before the payload of a record
	// maxLogRecord bounds the payload of one record in bytes.
	maxLogRecord = MaxFrame
)

// castagnoli is the polynomial that CPUs have an instruction for.
var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// The kinds of records.
const (
	logStart   = "start"
	logToken   = "token"
	logCommand = "command"
	logResult  = "result"
	logDigit   = "digit"
	logAnswer  = "answered"
	logGone    = "gone"
	logRecord  = "record"
	logPast    = "history"
)

// logHeader is the header of every kind of record; each uses some of the
// fields. Times are microseconds since 1970.
type logHeader struct {
	Kind    string   `json:"k"`
	Session string   `json:"s"`
	Channel string   `json:"ch"`
	CallID  string   `json:"call"`
	At      int64    `json:"at"`
	Token   Token    `json:"t"`
	Worker  string   `json:"w"`
	Format  int      `json:"f"`
	ID      string   `json:"id"`
	Ack     uint64   `json:"a"`
	Heard   uint64   `json:"h"`
	Final   bool     `json:"fin"`
	Reset   bool     `json:"new"`
	Records int      `json:"j"`
	Codes   []int    `json:"c"`
	Err     string   `json:"e"`
	Seq     uint64   `json:"n"`
	Key     string   `json:"key"`
	Cause   int      `json:"q"`
	Reason  string   `json:"r"`
	Past    *History `json:"p"`
}

// logWriter encodes entries. Its buffers are used again and again: a log is
// written to for every command of every call.
type logWriter struct{ buf, head []byte }

// begin empties the buffer, for a new file with the magic and the format.
func (w *logWriter) begin(file bool) {
	w.buf = w.buf[:0]
	if file {
		w.buf = binary.LittleEndian.AppendUint32(append(w.buf, logMagic...), logFormat)
	}
}

// entry appends an entry as a record.
func (w *logWriter) entry(entry LogEntry) error {
	var parts [][]byte
	var last []byte // a part behind them
	b := append(w.head[:0], `{"k":"`...)
	switch e := entry.(type) {
	case LogStart:
		b = appendString(append(b, logStart+`","s":`...), e.Session)
		b = appendString(append(b, `,"ch":`...), e.Channel)
		b = appendString(append(b, `,"call":`...), e.CallID)
		b, last = appendTime(b, e.At), e.Event
	case LogToken:
		b = strconv.AppendUint(append(b, logToken+`","t":"`...), e.Token.Boot, 10)
		b = strconv.AppendUint(append(b, '.'), e.Token.Epoch, 10)
		b = appendString(append(b, `","w":`...), e.Worker)
		if e.Format != 0 {
			b = strconv.AppendInt(append(b, `,"f":`...), int64(e.Format), 10)
		}
	case LogCommand:
		b = appendCommand(append(b, logCommand+`"`...), &e)
		parts = e.Records
		if e.Final {
			last = e.Outcome
		}
	case LogResult:
		b = appendString(append(b, logResult+`","id":`...), e.ID)
		b = appendResult(appendTime(b, e.At), &e.Outcome)
		parts = make([][]byte, len(e.Outcome.Result.Steps))
		for i := range parts {
			parts[i] = e.Outcome.Result.Steps[i].Body
		}
	case LogDigit:
		b = strconv.AppendUint(append(b, logDigit+`","n":`...), e.Seq, 10)
		b = appendTime(appendString(append(b, `,"key":`...), e.Key), e.At)
	case LogAnswered:
		b = appendTime(append(b, logAnswer+`"`...), e.At)
	case LogGone:
		b = strconv.AppendInt(append(b, logGone+`","q":`...), int64(e.Cause), 10)
		b = appendTime(appendString(append(b, `,"r":`...), e.Reason), e.At)
	case LogRecord:
		b, last = append(b, logRecord+`"`...), e.Record
	case logHistory:
		past, err := json.Marshal(e.History)
		if err != nil {
			return fmt.Errorf("encoding a log entry: %w", err)
		}
		b = appendTime(strconv.AppendUint(append(b, logPast+`","n":`...), e.seq, 10), e.lastKey)
		b = append(append(b, `,"p":`...), past...)
	default:
		return fmt.Errorf("encoding a log entry: %T is unknown", entry)
	}
	w.head = append(b, '}')
	return w.record(parts, last, hasLast(entry))
}

// hasLast reports whether an entry has a part behind its other parts.
func hasLast(entry LogEntry) bool {
	switch e := entry.(type) {
	case LogStart, LogRecord:
		return true
	case LogCommand:
		return e.Final
	}
	return false
}

// record appends a record of the header and the parts.
func (w *logWriter) record(parts [][]byte, last []byte, withLast bool) error {
	start := len(w.buf)
	b := append(w.buf, make([]byte, recordPrefix)...)
	b = appendPart(b, w.head)
	for _, p := range parts {
		b = appendPart(b, p)
	}
	if withLast {
		b = appendPart(b, last)
	}
	payload := b[start+recordPrefix:]
	if n := 1 + len(parts); len(payload) > maxLogRecord || n > maxParts {
		w.buf = b[:start]
		return fmt.Errorf("a log entry of %d bytes in %d parts is larger than the %d bytes in %d parts allowed: %w", len(payload), n, maxLogRecord, maxParts, ErrFrame)
	}
	binary.LittleEndian.PutUint32(b[start:], uint32(len(payload))) //nolint:gosec // bounded above
	binary.LittleEndian.PutUint32(b[start+4:], crc32.Checksum(payload, castagnoli))
	w.buf = b
	return nil
}

// appendPart appends a length-prefixed byte string as in a frame.
func appendPart(b, part []byte) []byte {
	return append(binary.AppendUvarint(b, uint64(len(part))), part...)
}

func appendCommand(b []byte, e *LogCommand) []byte {
	if e.ID != "" {
		b = appendString(append(b, `,"id":`...), e.ID)
	}
	b = strconv.AppendUint(append(b, `,"a":`...), e.Ack, 10)
	if len(e.Records) > 0 {
		b = strconv.AppendInt(append(b, `,"j":`...), int64(len(e.Records)), 10)
	}
	if e.Reset {
		b = append(b, `,"new":true`...)
	}
	if e.Heard != 0 {
		b = strconv.AppendUint(append(b, `,"h":`...), e.Heard, 10)
	}
	if e.Final {
		b = append(b, `,"fin":true`...)
	}
	return b
}

func appendResult(b []byte, o *Outcome) []byte {
	if o.Err != "" {
		b = appendString(append(b, `,"e":`...), o.Err)
	}
	b = append(b, `,"c":[`...)
	for i, s := range o.Result.Steps {
		if i > 0 {
			b = append(b, ',')
		}
		b = strconv.AppendInt(b, int64(s.Code), 10)
	}
	return append(b, ']')
}

// appendTime writes a time; none is left out.
func appendTime(b []byte, at time.Time) []byte {
	if at.IsZero() {
		return b
	}
	return strconv.AppendInt(append(b, `,"at":`...), at.UnixMicro(), 10)
}
