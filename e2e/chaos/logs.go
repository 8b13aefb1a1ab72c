package chaos

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// logMarks are how long the logs were when a round began.
type logMarks map[string]int64

// markLogs notes the lengths of all logs.
func (r *round) markLogs() logMarks {
	marks := logMarks{}
	for _, p := range r.stack.Processes() {
		if info, err := os.Stat(p.LogPath()); err == nil {
			marks[p.Name()] = info.Size()
		}
	}
	return marks
}

// logged is what a process has logged since the round began.
func (r *round) logged(process string) []byte {
	p := r.stack.Process(process)
	if p == nil {
		return nil
	}
	f, err := os.Open(p.LogPath())
	if err != nil {
		return nil
	}
	defer f.Close()
	if _, err := f.Seek(r.marks[process], io.SeekStart); err != nil {
		return nil
	}
	data, err := io.ReadAll(f)
	if err != nil {
		return nil
	}
	return data
}

// readOwners reads out of the gateway's log which worker runs which call: the
// last one named in a line about it.
func (r *round) readOwners() map[string]string {
	owners := map[string]string{}
	for line := range bytes.Lines(r.logged("gateway-1")) {
		var fields struct{ Call, Worker string }
		if json.Unmarshal(line, &fields) == nil && fields.Call != "" && fields.Worker != "" {
			name, _, _ := strings.Cut(fields.Worker, ".")
			owners[fields.Call] = name
		}
	}
	return owners
}

// story is what the logs say about a call: the lines with its Call-ID, and
// those of its session, of every process.
func (r *round) story(callID string) string {
	var b strings.Builder
	session := ""
	for _, p := range r.stack.Processes() {
		for line := range bytes.Lines(r.logged(p.Name())) {
			if session == "" && bytes.Contains(line, []byte(callID)) {
				var fields struct{ Session string }
				if json.Unmarshal(line, &fields) == nil {
					session = fields.Session
				}
			}
		}
	}
	for _, p := range r.stack.Processes() {
		for line := range bytes.Lines(r.logged(p.Name())) {
			if bytes.Contains(line, []byte(callID)) || session != "" && bytes.Contains(line, []byte(session)) {
				fmt.Fprintf(&b, "    %-10s %s\n", p.Name(), bytes.TrimSpace(line))
			}
		}
	}
	return b.String()
}

// keep copies the logs of the round into a directory.
func (r *round) keep(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("keep the logs: %w", err)
	}
	for _, p := range r.stack.Processes() {
		if err := os.WriteFile(filepath.Join(dir, p.Name()+".log"), r.logged(p.Name()), 0o600); err != nil {
			return fmt.Errorf("keep the logs: %w", err)
		}
	}
	return nil
}
