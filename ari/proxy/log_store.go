package proxy

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/rs/zerolog"
)

const (
	logSuffix  = ".log"
	tempSuffix = ".tmp"
	// maxLogName bounds what of a session's id stands in a file's name.
	maxLogName = 120
	// rewriteFrom is the size in bytes from which a log with something void in
	// it is written anew.
	rewriteFrom = 32 << 10
	// maxBacklog bounds what is kept of a log that cannot be written to.
	maxBacklog = 128 << 10
	// maxLogFile bounds what is read of a log.
	maxLogFile = 16 << 20
)

// ErrNoLog says that a session has no log, or that its log is finished.
var ErrNoLog = errors.New("the session has no log")

// logStore keeps the logs of a gateway's sessions, one file each. A file only
// ever holds the first so many entries of its session: what cannot be written
// is tried again with the next entry, and never left out.
type logStore struct {
	dir      string
	log      zerolog.Logger
	failures atomic.Uint64 // appends that did not reach the file

	mu    sync.Mutex
	files map[string]*logFile // of the sessions that are not over
	w     logWriter
}

// logFile is the log of one session.
type logFile struct {
	path    string
	f       *os.File // nil until it is written to
	size    int64    // what is sound of it
	created bool
	live    bool   // the session is not over
	reset   bool   // a reset has made something void since it was written anew
	failed  bool   // said so
	given   bool   // up: something can never be written
	backlog []byte // what was not written yet
}

// openLogStore returns the store of the directory, which it creates.
func openLogStore(dir string, log zerolog.Logger) (*logStore, error) {
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return nil, fmt.Errorf("session logs: %w", err)
	}
	return &logStore{dir: dir, log: log, files: make(map[string]*logFile)}, nil
}

// logName returns the name of a session's file. Ids come from Asterisk, and
// whoever can name a channel must not be able to name a file.
func logName(session string) string {
	name := url.PathEscape(session)
	if len(name) > maxLogName {
		sum := sha256.Sum256([]byte(session))
		name = name[:maxLogName] + "~" + hex.EncodeToString(sum[:16])
	}
	return name + logSuffix
}

func (s *logStore) path(session string) string { return filepath.Join(s.dir, logName(session)) }

// append writes entries to a session's log with one write. A [LogStart]
// creates the log; a [LogRecord] ends it: it accepts no more. The error says
// that the entries are not in the file; the session may go on, and the next
// append tries again.
func (s *logStore) append(session string, entries ...LogEntry) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	f := s.files[session]
	if f == nil {
		if len(entries) == 0 || session == "" {
			return fmt.Errorf("session %q: %w", session, ErrNoLog)
		}
		if _, ok := entries[0].(LogStart); !ok {
			return fmt.Errorf("session %q: %w", session, ErrNoLog)
		}
		f = &logFile{path: s.path(session), live: true}
		s.files[session] = f
	}
	s.w.begin(!f.created && len(f.backlog) == 0)
	ends := false
	for _, e := range entries {
		if err := s.w.entry(e); err != nil {
			f.giveUp() // what came after it would not be understood
			return s.failedTo(session, f, err)
		}
		switch e := e.(type) {
		case LogCommand:
			f.reset = f.reset || e.Reset
		case LogRecord:
			ends, f.live = true, false
		}
	}
	err := s.write(f, s.w.buf)
	if ends {
		// Ten thousand of these may wait; none of them is written to again.
		f.close()
		if err == nil {
			delete(s.files, session)
		}
	}
	if err != nil {
		return s.failedTo(session, f, err)
	}
	if f.reset && f.size > rewriteFrom && !ends {
		f.reset = false
		if err := s.rewrite(f); err != nil {
			s.log.Warn().Err(err).Str("session", session).Msg("session log was not shortened")
		}
	}
	return nil
}

// failedTo counts a failure and says so once a session.
func (s *logStore) failedTo(session string, f *logFile, err error) error {
	s.failures.Add(1)
	if !f.failed {
		f.failed = true
		s.log.Error().Err(err).Str("session", session).Msg("session log cannot be written; the call goes on, but would not survive this gateway")
	}
	return fmt.Errorf("log of session %s: %w", session, err)
}

// errGivenUp is the error of every append after one that can never be made up
// for.
var errGivenUp = errors.New("it was given up, because something before could not be written")

// write writes data behind what is there already, all of it or nothing.
func (s *logStore) write(f *logFile, data []byte) error {
	if f.given {
		return errGivenUp
	}
	if len(f.backlog) > 0 {
		data = append(f.backlog, data...)
	}
	err := s.writeNow(f, data)
	switch {
	case err == nil:
		f.backlog = nil
	case len(data) > maxBacklog:
		f.giveUp()
	default:
		f.backlog = slices.Clone(data)
	}
	return err
}

func (s *logStore) writeNow(f *logFile, data []byte) error {
	if f.f == nil {
		if err := s.open(f); err != nil {
			return err
		}
	}
	n, err := f.f.Write(data)
	if err == nil {
		f.size += int64(n)
		return nil
	}
	if n > 0 {
		// Half a record would end the log for its reader.
		if cut := f.f.Truncate(f.size); cut != nil {
			f.giveUp()
			err = errors.Join(err, cut)
		}
	}
	return err
}

// open opens the file of a log, and creates that of a new one.
func (s *logStore) open(f *logFile) error {
	flags := os.O_WRONLY | os.O_APPEND
	if !f.created {
		flags |= os.O_CREATE | os.O_EXCL
	}
	file, err := os.OpenFile(f.path, flags, 0o600) //nolint:gosec // the name is made by logName
	if errors.Is(err, fs.ErrExist) {
		// Asterisk gave an id twice; what the other one left may be a call
		// record that still waits.
		if err = s.quarantine(f.path, "another session of this id came"); err == nil {
			file, err = os.OpenFile(f.path, flags, 0o600) //nolint:gosec // as above
		}
	}
	if err != nil {
		return err
	}
	f.f, f.created = file, true
	return nil
}

// giveUp removes a log in which something is missing for ever: the next life of
// the gateway must not take it for the truth.
func (f *logFile) giveUp() {
	f.given, f.backlog = true, nil
	f.close()
	if f.created {
		_ = os.Remove(f.path) // what cannot be written may still be removed
	}
}

func (f *logFile) close() {
	if f.f != nil {
		_ = f.f.Close()
		f.f = nil
	}
}

// rewrite replaces a log by one without what is void in it.
func (s *logStore) rewrite(f *logFile) error {
	data, err := os.ReadFile(f.path)
	if err != nil {
		return err
	}
	short, err := rewriteLog(data)
	if err != nil || len(short) >= len(data) {
		return err
	}
	temp := f.path + tempSuffix
	file, err := os.OpenFile(temp, os.O_WRONLY|os.O_APPEND|os.O_CREATE|os.O_TRUNC, 0o600) //nolint:gosec // as above
	if err != nil {
		return err
	}
	if _, err = file.Write(short); err == nil {
		err = os.Rename(temp, f.path)
	}
	if err != nil {
		return errors.Join(err, file.Close(), os.Remove(temp))
	}
	f.close()
	f.f, f.size = file, int64(len(short))
	return nil
}

// remove removes a session's log, if there is one.
func (s *logStore) remove(session string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.removeNow(session)
}

// removeNow is remove for who holds the lock.
func (s *logStore) removeNow(session string) error {
	if f := s.files[session]; f != nil {
		f.close()
		delete(s.files, session)
	}
	if err := os.Remove(s.path(session)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("log of session %s: %w", session, err)
	}
	return nil
}

// discard removes the log of a session that is not over. One that is may hold
// a call record, see finish.
func (s *logStore) discard(session string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if f := s.files[session]; f == nil || !f.live {
		return nil
	}
	return s.removeNow(session)
}

// finish removes the log of a session that is over, and leaves alone that of
// one that is not, but has got the same id.
func (s *logStore) finish(session string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if f := s.files[session]; f != nil && f.live {
		return nil
	}
	return s.removeNow(session)
}

// record returns the call record in the log of a session that is over.
func (s *logStore) record(session string) ([]byte, error) {
	data, err := readUpTo(s.path(session), maxLogFile)
	if err != nil {
		return nil, err
	}
	saved, _, _, err := readLog(data)
	if saved.Record == nil {
		return nil, fmt.Errorf("log of session %s: no call record: %w", session, errors.Join(err, ErrNoLog))
	}
	return saved.Record, nil
}

// load reads all logs, those of sessions first that began first. What of a log
// is incomplete or damaged is cut off; files that are no logs, or of a format
// that this release does not know, are moved to the directory "quarantine".
// Sessions that are not over can be appended to.
func (s *logStore) load() ([]SavedSession, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	files, err := os.ReadDir(s.dir)
	if err != nil {
		return nil, fmt.Errorf("session logs: %w", err)
	}
	var all []SavedSession
	for _, file := range files {
		path := filepath.Join(s.dir, file.Name())
		switch {
		case !file.Type().IsRegular():
		case strings.HasSuffix(path, tempSuffix):
			// The gateway ended while it wrote a log anew; the old one is there.
			if err := os.Remove(path); err != nil {
				s.log.Warn().Err(err).Msg("session log: a temporary file was not removed")
			}
		default:
			if saved := s.loadFile(path); saved != nil {
				all = append(all, *saved)
			}
		}
	}
	slices.SortStableFunc(all, func(a, b SavedSession) int { return a.Start.At.Compare(b.Start.At) })
	return all, nil
}

// loadFile reads one log; nil when there is nothing to be had of it.
func (s *logStore) loadFile(path string) *SavedSession {
	data, err := readUpTo(path, maxLogFile)
	if err != nil {
		s.log.Error().Err(err).Msg("session log was not read")
		return nil
	}
	saved, good, reset, err := readLog(data)
	if saved.Start.Session == "" || logName(saved.Start.Session) != filepath.Base(path) {
		reason := "it does not say what session it is of"
		if err != nil {
			reason = err.Error()
		}
		if err := s.quarantine(path, reason); err != nil {
			s.log.Error().Err(err).Msg("session log was not moved away")
		}
		return nil
	}
	if err != nil {
		level := zerolog.ErrorLevel
		if errors.Is(err, errTorn) {
			level = zerolog.InfoLevel
		}
		s.log.WithLevel(level).Err(err).Str("session", saved.Start.Session).Int("kept", good).Int("cut", len(data)-good).Msg("session log is cut where it cannot be read")
		if err := os.Truncate(path, int64(good)); err != nil {
			s.log.Error().Err(err).Msg("session log was not cut")
		}
	}
	if saved.Record == nil {
		if f := s.files[saved.Start.Session]; f != nil {
			f.close()
		}
		s.files[saved.Start.Session] = &logFile{path: path, size: int64(good), created: true, live: true, reset: reset}
	}
	return &saved
}

// readUpTo reads a file, of a larger one the beginning.
func readUpTo(path string, limit int64) ([]byte, error) {
	f, err := os.Open(path) //nolint:gosec // a file of the store
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	data := make([]byte, min(info.Size(), limit))
	n, err := io.ReadFull(f, data)
	if errors.Is(err, io.ErrUnexpectedEOF) {
		err = nil
	}
	return data[:n], err
}

// quarantine moves a file away that may be of use to somebody, but not to
// this release.
func (s *logStore) quarantine(path, reason string) error {
	dir := filepath.Join(s.dir, "quarantine")
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return err
	}
	to := filepath.Join(dir, filepath.Base(path))
	for n := 1; ; n++ {
		if _, err := os.Lstat(to); errors.Is(err, fs.ErrNotExist) {
			break
		} else if err != nil {
			return err
		}
		to = filepath.Join(dir, fmt.Sprintf("%s.%d", filepath.Base(path), n))
	}
	s.log.Error().Str("file", filepath.Base(path)).Str("to", to).Str("reason", reason).Msg("session log is moved away")
	return os.Rename(path, to)
}

// close closes the files; the logs stay.
func (s *logStore) close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, f := range s.files {
		f.close()
	}
	clear(s.files)
	return nil
}
