package proxy

import (
	"slices"
	"time"
)

// The session log is what a gateway keeps of a session in its spool, so that
// the session outlives the gateway's process. docs/session-log.md describes
// the file; log_encode.go writes it, log_read.go reads it, log_store.go looks
// after the files.

// LogEntry is one thing that a session's log says. The concrete types are the
// Log… structs.
type LogEntry interface{ logEntry() }

// The entries of a session's log.
type (
	// LogStart begins a log: the call has entered Stasis. Event is the
	// StasisStart.
	LogStart struct {
		Session, Channel string
		CallID           string // SIP Call-ID
		At               time.Time
		Event            []byte
	}
	// LogToken is logged before the session is offered to a worker, or a
	// claim to it is granted.
	LogToken struct {
		Token  Token
		Worker string // name.boot
		Format int    // of the journal so far, 0 when there is none or it is not known
	}
	// LogCommand is logged before a command is executed. Records are journal
	// records. Without an ID it is no command: records came by themselves.
	LogCommand struct {
		ID      string
		Ack     uint64
		Final   bool
		Reset   bool
		Heard   uint64
		Records [][]byte
		Outcome []byte // of a final command
	}
	// LogResult is the result of a command.
	LogResult struct {
		ID      string
		At      time.Time
		Outcome Outcome
	}
	// LogDigit is a key that the caller has pressed.
	LogDigit struct{ Digit }
	// LogAnswered says when the call was answered.
	LogAnswered struct{ At time.Time }
	// LogGone says that the channel has ended. Cause is Q.850, 0 when it is
	// not known; Reason tells what else is known, "asterisk lost" for instance.
	LogGone struct {
		At     time.Time
		Cause  int
		Reason string
	}
	// LogRecord is the call record. The session is over, and the log is kept
	// until the record has been delivered.
	LogRecord struct{ Record []byte }
)

func (LogStart) logEntry()    {}
func (LogToken) logEntry()    {}
func (LogCommand) logEntry()  {}
func (LogResult) logEntry()   {}
func (LogDigit) logEntry()    {}
func (LogAnswered) logEntry() {}
func (LogGone) logEntry()     {}
func (LogRecord) logEntry()   {}

// SavedSession is what a log says, all in all.
type SavedSession struct {
	Start  LogStart
	Token  Token  // the last one logged,
	Worker string // and whom it was for
	Format int    // of the journal, 0 when it is not known
	// Seq is the greatest number of an event that the log knows of.
	Seq      uint64
	Journal  [][]byte       // of the present stage, oldest first
	Digits   []Digit        // those that the last reset had not heard
	LastKey  time.Time      // when the newest key of all was pressed; zero if none was
	Commands []SavedCommand // since the last reset, in order
	Final    bool           // the flow's last command has come,
	Outcome  []byte         // with this outcome
	Answered time.Time      // zero while it is not known to be
	Gone     *LogGone       // nil while the channel lives
	Record   []byte         // the call record, once there is one
	History  History
}

// SavedCommand is a command that a log knows.
type SavedCommand struct {
	ID      string
	Final   bool
	Done    bool // the following is known
	At      time.Time
	Outcome Outcome
}

// maxHistory bounds the workers that a [History] names.
const maxHistory = 16

// History is who has run a session so far. A worker ran it when a command of
// its came.
type History struct {
	Workers  []string `json:"ws,omitempty"` // name.boot, in the order of their first command
	Moves    int      `json:"m,omitempty"`  // how often the next command came from another one
	Restarts int      `json:"g,omitempty"`  // how often the gateway was restarted meanwhile

	Running string `json:"r,omitempty"` // whose command was the last
	Boot    uint64 `json:"b,omitempty"` // of the gateway
}

// boot notes the gateway's boot.
func (h *History) boot(boot uint64) {
	if h.Boot != 0 && boot != h.Boot {
		h.Restarts++
	}
	h.Boot = boot
}

// ran notes that a command of a worker has come.
func (h *History) ran(worker string) {
	if worker == h.Running {
		return
	}
	if h.Running != "" {
		h.Moves++
	}
	h.Running = worker
	if len(h.Workers) < maxHistory && !slices.Contains(h.Workers, worker) {
		h.Workers = append(h.Workers, worker)
	}
}

// add lets the session know of one more entry.
func (s *SavedSession) add(entry LogEntry) {
	switch e := entry.(type) {
	case LogStart:
		s.Start = e
	case LogToken:
		s.Token, s.Worker, s.Format = e.Token, e.Worker, e.Format
		s.History.boot(e.Token.Boot)
	case LogCommand:
		s.command(e)
	case LogResult:
		for i := len(s.Commands) - 1; i >= 0; i-- {
			if c := &s.Commands[i]; c.ID == e.ID {
				c.Done, c.At, c.Outcome = true, e.At, e.Outcome
				break
			}
		}
	case LogDigit:
		s.Seq = max(s.Seq, e.Seq)
		s.Digits = append(s.Digits, e.Digit)
		s.pressed(e.At)
	case LogAnswered:
		s.Answered = e.At
	case LogGone:
		s.Gone = &e
	case LogRecord:
		s.Record = e.Record
	case logHistory:
		s.Seq, s.History = max(s.Seq, e.seq), e.History
		s.pressed(e.lastKey)
	}
}

// pressed notes when a key was pressed.
func (s *SavedSession) pressed(at time.Time) {
	if at.After(s.LastKey) {
		s.LastKey = at
	}
}

// command lets the session know of a command.
func (s *SavedSession) command(e LogCommand) {
	s.Seq = max(s.Seq, e.Ack, e.Heard)
	if s.Worker != "" {
		s.History.ran(s.Worker)
	}
	if e.Reset {
		s.Journal, s.Commands, s.Final, s.Outcome = nil, nil, false, nil
		s.Digits = slices.Clip(slices.DeleteFunc(s.Digits, func(d Digit) bool { return d.Seq <= e.Heard }))
	}
	s.Journal = append(s.Journal, e.Records...)
	if e.ID != "" {
		s.Commands = append(s.Commands, SavedCommand{ID: e.ID, Final: e.Final})
	}
	if e.Final {
		s.Final, s.Outcome = true, e.Outcome
	}
}

// logHistory stands in a log that was rewritten for what was left out.
type logHistory struct {
	seq     uint64
	lastKey time.Time
	History
}

func (logHistory) logEntry() {}
