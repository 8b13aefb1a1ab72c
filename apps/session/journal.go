package session

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"

	"asterism/apps"
)

// journalFormat is the version of the journal records that this release
// writes and reads. docs/session-log.md describes them; what a reader must
// know to replay a stage changes the version.
const journalFormat = 1

const (
	// journalBudget is how many bytes of records a stage may write. The
	// gateway keeps 64 KiB of a session; it must never come to refuse one.
	journalBudget = 48 << 10
	// recordOverhead is what a record costs besides its bytes.
	recordOverhead = 8
)

// errJournal is wrapped by the errors about journals that cannot be replayed.
var errJournal = errors.New("the journal cannot be replayed")

// header is the first record of a stage: all that is known of the stages
// before it.
type header struct {
	Format   int             `json:"f"`
	Action   string          `json:"a"`
	N        int             `json:"n,omitempty"`   // counts stages and restarts
	Stage    string          `json:"s,omitempty"`   // "" is the flow itself
	State    json.RawMessage `json:"st,omitempty"`  // what the stage began with
	Revision string          `json:"rev,omitempty"` // of the configuration
	Restarts int             `json:"re,omitempty"`  // of this stage, since it did not match its journal
	Heard    uint64          `json:"hd,omitempty"`  // the last event that is accounted for
	Keys     []typedKey      `json:"ks,omitempty"`  // typed until then, and not used up
	Received int             `json:"kr,omitempty"`  // how many keys were typed
	Used     int             `json:"ku,omitempty"`  // how many of them were used up
	Answered bool            `json:"up,omitempty"`
	Unsure   bool            `json:"un,omitempty"` // an answer was asked for, with an unknown result
	Trail    []entry         `json:"tr,omitempty"`
	Skipped  int             `json:"sk,omitempty"` // verbs that the trail lacks
	Notes    []note          `json:"nt,omitempty"`
}

// record is a begin or an end of a verb as it is read.
type record struct {
	Format  int             `json:"f"` // of a header
	Begin   int             `json:"b"` // index of the verb in its stage, from 1 on
	End     int             `json:"e"` // the same
	Verb    string          `json:"v"`
	Hash    string          `json:"h"`
	Heard   uint64          `json:"hd"` // with Begin: the last event taken in when the verb began
	Result  json.RawMessage `json:"r"`
	Failure *apps.Failure   `json:"x"`
	Keys    []uint64        `json:"u"` // numbers of those that the verb used up
	Up      bool            `json:"up"`
	Unsure  bool            `json:"un"`
}

// memo is what a journal knows of a verb.
type memo struct {
	verb, hash string
	begun      bool
	heard      uint64
	ended      bool
	end        record
}

// appendHeader encodes a header. That of a call's first stage is most of what
// the journal adds to a short call, and is written by hand.
func appendHeader(b []byte, h *header) ([]byte, error) {
	if h.N == 0 && h.Heard == 0 && h.State == nil {
		b = appendQuoted(append(b, `{"f":1,"a":`...), h.Action)
		if h.Revision != "" {
			b = appendQuoted(append(b, `,"rev":`...), h.Revision)
		}
		return append(b, '}'), nil
	}
	raw, err := json.Marshal(h)
	if err != nil {
		return b, fmt.Errorf("encoding the beginning of a stage: %w", err)
	}
	return append(b, raw...), nil
}

// appendBegin encodes that a verb has begun.
func appendBegin(b []byte, k int, verb, hash string, heard uint64) []byte {
	b = strconv.AppendInt(append(b, `{"b":`...), int64(k), 10)
	b = appendVerb(b, verb, hash)
	if heard != 0 {
		b = strconv.AppendUint(append(b, `,"hd":`...), heard, 10)
	}
	return append(b, '}')
}

// appendVerb writes which verb a record is about.
func appendVerb(b []byte, verb, hash string) []byte {
	b = appendQuoted(append(b, `,"v":`...), verb)
	if hash != "" {
		b = appendQuoted(append(b, `,"h":`...), hash)
	}
	return b
}

// appendEnd encodes that a verb has ended. result is JSON, or empty.
func appendEnd(b []byte, r *record, result []byte) []byte {
	b = strconv.AppendInt(append(b, `{"e":`...), int64(r.End), 10)
	b = appendVerb(b, r.Verb, r.Hash)
	if len(result) > 0 {
		b = append(append(b, `,"r":`...), result...)
	}
	if r.Failure != nil {
		b = append(append(b, `,"x":`...), r.Failure.Encode()...)
	}
	for i, n := range r.Keys {
		if b = append(b, ','); i == 0 {
			b = append(b, `"u":[`...)
		}
		b = strconv.AppendUint(b, n, 10)
	}
	if len(r.Keys) > 0 {
		b = append(b, ']')
	}
	if r.Up {
		b = append(b, `,"up":true`...)
	}
	if r.Unsure {
		b = append(b, `,"un":true`...)
	}
	return append(b, '}')
}

// appendQuoted writes a JSON string; what needs escaping is left to
// encoding/json, which goes deep into the stack.
func appendQuoted(b []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '"' || c == '\\' {
			raw, err := json.Marshal(s)
			if err != nil { // it never fails on a string
				return append(b, `""`...)
			}
			return append(b, raw...)
		}
	}
	return append(append(append(b, '"'), s...), '"')
}

// readJournal decodes the records of a stage. What comes before its last
// header belongs to stages that are over. With an error come those that were
// read before it.
func readJournal(records [][]byte) (h header, memos []memo, size int, err error) {
	for i, raw := range records {
		size += len(raw) + recordOverhead
		var r record
		if err := json.Unmarshal(raw, &r); err != nil {
			return h, memos, size, fmt.Errorf("record %d of %d is no JSON: %w: %w", i+1, len(records), err, errJournal)
		}
		switch {
		case r.Format == journalFormat:
			h, memos, size = header{}, nil, len(raw)+recordOverhead
			if err := json.Unmarshal(raw, &h); err != nil {
				return h, memos, size, fmt.Errorf("record %d of %d, the beginning of a stage: %w: %w", i+1, len(records), err, errJournal)
			}
		case r.Format != 0:
			return h, memos, size, fmt.Errorf("its format is %d, and this release reads %d: %w", r.Format, journalFormat, errJournal)
		case h.Format == 0:
			return h, memos, size, fmt.Errorf("record %d of %d comes before the beginning of a stage: %w", i+1, len(records), errJournal)
		default:
			if more, err := addMemo(memos, r); err == nil {
				memos = more
			} else {
				return h, memos, size, fmt.Errorf("record %d of %d: %w", i+1, len(records), err)
			}
		}
	}
	return h, memos, size, nil
}

// addMemo adds what a record says of its verb. A record can be there twice:
// a command whose answer did not come is not known to have carried it.
func addMemo(memos []memo, r record) ([]memo, error) {
	k := max(r.Begin, r.End)
	if k < 1 || k > len(memos)+1 || (r.Begin > 0 && r.End > 0) {
		return nil, fmt.Errorf("it is about verb %d, and there are %d before it: %w", k, len(memos), errJournal)
	}
	if k == len(memos)+1 {
		if k > 1 && !memos[k-2].ended {
			return nil, fmt.Errorf("verb %d comes after one that has not ended: %w", k, errJournal)
		}
		memos = append(memos, memo{verb: r.Verb, hash: r.Hash})
	}
	m := &memos[k-1]
	if m.verb != r.Verb || m.hash != r.Hash {
		return nil, fmt.Errorf("verb %d is %s, and then %s: %w", k, m.verb, r.Verb, errJournal)
	}
	switch {
	case r.Begin > 0 && !m.begun:
		m.begun, m.heard = true, r.Heard
	case r.End > 0 && !m.ended:
		m.ended, m.end = true, r
	}
	return memos, nil
}

// MarshalJSON writes a key as [number, "key", when], the time in milliseconds
// of the Unix epoch, by Asterisk's clock.
func (k typedKey) MarshalJSON() ([]byte, error) {
	b := strconv.AppendUint([]byte{'['}, k.n, 10)
	b = append(b, ',', '"', k.key, '"')
	if k.at != 0 {
		b = strconv.AppendInt(append(b, ','), k.at, 10)
	}
	return append(b, ']'), nil
}

// UnmarshalJSON reads what MarshalJSON writes.
func (k *typedKey) UnmarshalJSON(raw []byte) error {
	var parts []json.RawMessage
	if err := json.Unmarshal(raw, &parts); err != nil {
		return err
	}
	var key string
	if len(parts) < 2 || len(parts) > 3 {
		return fmt.Errorf("key %s: expected its number, the key and its time: %w", raw, errJournal)
	}
	err := errors.Join(json.Unmarshal(parts[0], &k.n), json.Unmarshal(parts[1], &key))
	if len(parts) == 3 {
		err = errors.Join(err, json.Unmarshal(parts[2], &k.at))
	}
	if err == nil && !apps.AllKeys.Has(key) {
		err = fmt.Errorf("%q is no key", key)
	}
	if err != nil {
		return fmt.Errorf("key %s: %w: %w", raw, err, errJournal)
	}
	k.key = key[0]
	return nil
}

// Of the trail and the notes of earlier stages a header repeats no more than
// so many bytes.
const (
	maxTrailRecord = 4 << 10
	maxNotesRecord = 2 << 10
)

// shorter leaves entries out of the middle of a trail until it fits into a
// header.
func shorter(entries []entry) (kept []entry, skipped int) {
	for len(entries) > 0 {
		raw, err := json.Marshal(entries)
		if err == nil && len(raw) <= maxTrailRecord {
			return entries, skipped
		}
		middle := len(entries) / 4
		entries = append(entries[:middle:middle], entries[middle+1:]...)
		skipped++
	}
	return nil, skipped
}

// fewer leaves out the last notes until they fit into a header.
func fewer(notes []note) []note {
	for len(notes) > 0 {
		raw, err := json.Marshal(notes)
		if err == nil && len(raw) <= maxNotesRecord {
			return notes
		}
		notes = notes[:len(notes)-1]
	}
	return nil
}

// sizeOf is what records take of the budget.
func sizeOf(records ...[]byte) (n int) {
	for _, r := range records {
		n += len(r) + recordOverhead
	}
	return n
}
