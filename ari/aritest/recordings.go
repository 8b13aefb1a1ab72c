package aritest

import (
	"net/http"
	"os"
	"slices"
	"time"
)

var errNoRecording = fail(http.StatusNotFound, "Recording not found")

func (s *Server) routeRecordings(r *request) reply {
	if len(r.seg) < 2 {
		return errNoResource
	}
	return s.locked(func() reply {
		switch {
		case r.seg[1] == "stored" && len(r.seg) == 2:
			if r.method != http.MethodGet {
				return errMethod
			}
			return s.listStored()
		case r.seg[1] == "stored" && len(r.seg) <= 4:
			return s.storedVerb(r)
		case r.seg[1] == "live" && (len(r.seg) == 3 || len(r.seg) == 4):
			return s.liveVerb(r)
		}
		return errNoResource
	})
}

func (st *storedRecording) appendJSON(b []byte) []byte {
	b = appendField(append(b, '{'), "name", st.name)
	return append(appendField(b, "format", st.format), '}')
}

func (s *Server) listStored() reply {
	names := make([]string, 0, len(s.stored))
	for name := range s.stored {
		names = append(names, name)
	}
	slices.Sort(names)
	b := []byte{'['}
	for i, name := range names {
		if i > 0 {
			b = append(b, ',')
		}
		b = s.stored[name].appendJSON(b)
	}
	return ok(append(b, ']'))
}

func (s *Server) storedVerb(r *request) reply {
	st := s.stored[r.seg[2]]
	verb := idAt(r)
	switch {
	case verb == "copy" && r.method == http.MethodPost:
		return s.copyStored(st, r.param("destinationRecordingName"))
	case verb == "file" && r.method == http.MethodGet:
		return s.storedFile(st)
	case verb != "" && verb != "copy" && verb != "file":
		return errNoResource
	case verb != "":
		return errMethod
	case st == nil:
		return errNoRecording
	case r.method == http.MethodGet:
		return ok(st.appendJSON(nil))
	case r.method == http.MethodDelete:
		delete(s.stored, st.name)
		if p := s.path(st.name, st.format); p != "" {
			_ = os.Remove(p)
		}
		return noContent
	}
	return errMethod
}

func (s *Server) copyStored(st *storedRecording, to string) reply {
	switch {
	case st == nil:
		return errNoRecording
	case to == "":
		return fail(http.StatusBadRequest, "Invalid destination recording name")
	case s.stored[to] != nil:
		return fail(http.StatusConflict, "A recording with the same name already exists on the system")
	}
	twin := &storedRecording{to, st.format, st.length}
	if p := s.path(st.name, st.format); p != "" {
		raw, err := os.ReadFile(p) //nolint:gosec // a path below the directory of the test
		if err != nil {
			return errNoRecording
		}
		if err := os.WriteFile(s.path(to, st.format), raw, 0o600); err != nil {
			return fail(http.StatusInternalServerError, "Unable to copy recording")
		}
	}
	s.stored[to] = twin
	return ok(twin.appendJSON(nil))
}

func (s *Server) storedFile(st *storedRecording) reply {
	if st == nil {
		return errNoRecording
	}
	p := s.path(st.name, st.format)
	if p == "" {
		return fail(http.StatusForbidden, "The recording file could not be opened")
	}
	raw, err := os.ReadFile(p) //nolint:gosec // a path below the directory of the test
	if err != nil {
		return fail(http.StatusForbidden, "The recording file could not be opened")
	}
	return reply{status: http.StatusOK, kind: "audio/" + st.format, body: raw}
}

func (s *Server) liveVerb(r *request) reply {
	rec := s.live[r.seg[2]]
	verb := idAt(r)
	post, del := r.method == http.MethodPost, r.method == http.MethodDelete
	switch verb {
	case "":
		if r.method != http.MethodGet && !del {
			return errMethod
		}
	case "stop":
		if !post {
			return errMethod
		}
	case "pause", "mute":
		if !post && !del {
			return errMethod
		}
	default:
		return errNoResource
	}
	if rec == nil {
		return errNoRecording
	}
	running := rec.state == recRecording || rec.state == recPaused
	switch {
	case verb == "" && r.method == http.MethodGet:
		return ok(rec.appendJSON(nil))
	case verb == "" || verb == "stop":
		rec.discard = verb == ""
		if !running {
			rec.state = recCanceled
			return noContent
		}
		rec.finish()
	case !running:
		return fail(http.StatusConflict, "Recording not in session")
	case verb == "pause" && post:
		rec.pause()
		rec.state = recPaused
	case verb == "pause":
		if rec.state == recPaused {
			rec.state, rec.since = recRecording, time.Now()
			rec.arm()
		}
	}
	return noContent
}
