package proxy

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// ErrForbidden is wrapped by the error for an ARI request that a session may
// not make.
var ErrForbidden = errors.New("not on the allow-list")

// maxPath bounds path and query of an ARI request in bytes. Asterisk answers
// 400 to a query of 4,096.
const maxPath = 4095

// allowARI refuses ARI requests that a session has no business with. NATS
// must not hand Asterisk to whoever reaches it, so a session may use its own
// resources only: those whose id is the session's id or starts with it and
// "~". Reading sounds is harmless. What concerns the whole of Asterisk
// (modules, configuration, global variables, applications, device states) is
// the gateway's business.
func allowARI(session string, s Step) error {
	switch s.Method {
	case http.MethodGet, http.MethodPost, http.MethodPut, http.MethodDelete:
	default:
		return fmt.Errorf("method %q: %w", s.Method, ErrForbidden)
	}
	if len(s.Path) > maxPath {
		return fmt.Errorf("a path of %d bytes is longer than the %d that Asterisk takes: %w", len(s.Path), maxPath, ErrForbidden)
	}
	path, query, _ := strings.Cut(s.Path, "?")
	if q, err := url.ParseQuery(query); err != nil || q.Has("api_key") {
		return fmt.Errorf("query of %s: %w", path, ErrForbidden)
	}
	parts := strings.Split(path, "/")
	for i, p := range parts {
		u, err := url.PathUnescape(p)
		if err != nil || u == ".." || u == "." || (u == "" && i > 0) || strings.ContainsAny(u, "/\x00") {
			return fmt.Errorf("%q is not a plain path: %w", path, ErrForbidden)
		}
		parts[i] = u
	}
	if len(parts) < 3 || parts[0] != "" {
		return fmt.Errorf("%s %s: %w", s.Method, path, ErrForbidden)
	}
	id := parts[2]
	if parts[1] == "channels" && len(parts) > 3 && parts[3] == "move" {
		// There is one application only, and a move that names none has been
		// seen to end Asterisk 22.10.1.
		return fmt.Errorf("%s %s: %w", s.Method, path, ErrForbidden)
	}
	switch parts[1] {
	case "channels", "bridges", "playbacks":
	case "recordings":
		if len(parts) < 4 || (id != "live" && id != "stored") {
			return fmt.Errorf("%s %s: %w", s.Method, path, ErrForbidden)
		}
		id = parts[3]
	case "sounds":
		if s.Method == http.MethodGet {
			return nil
		}
		fallthrough
	default:
		return fmt.Errorf("%s %s: %w", s.Method, path, ErrForbidden)
	}
	if SessionOf(id) != session || (len(parts) > 4 && parts[3] == "videoSource" && SessionOf(parts[4]) != session) {
		return fmt.Errorf("%s %s belongs to another session: %w", s.Method, path, ErrForbidden)
	}
	return allowNamed(session, path, query, s.Body)
}

// naming are the parameters that name other channels, bridges, playbacks and
// recordings: those that a request concerns besides that of its path, and
// those that it makes.
var naming = []string{
	"bridgeId", "caller", "channel", "channelId", "destinationRecordingName", "originator", "otherChannelId", "playbackId", "snoopId",
}

// allowNamed refuses requests whose parameters, in the query or in the body,
// name what is another session's.
func allowNamed(session, path, query string, body []byte) error {
	if query == "" && len(body) == 0 {
		return nil
	}
	values, err := url.ParseQuery(query)
	if err != nil {
		return fmt.Errorf("query of %s: %w", path, ErrForbidden)
	}
	var members map[string]json.RawMessage
	if err := json.Unmarshal(body, &members); len(body) > 0 && err != nil {
		return fmt.Errorf("the body of %s is not a JSON object: %w", path, ErrForbidden)
	}
	for _, name := range naming {
		values[name] = append(values[name], texts(members[name])...)
	}
	check := naming
	if strings.HasSuffix(path, "/record") {
		values["name"] = append(values["name"], texts(members["name"])...)
		check = append(slices.Clone(naming), "name")
	}
	for _, name := range check {
		for id := range strings.SplitSeq(strings.Join(values[name], ","), ",") {
			if id != "" && SessionOf(id) != session {
				return fmt.Errorf("%s=%q of %s belongs to another session: %w", name, id, path, ErrForbidden)
			}
		}
	}
	return nil
}

// texts returns a JSON string, or the strings of an array. What is neither
// comes back as it stands, and is nobody's id.
func texts(raw json.RawMessage) []string {
	var one string
	var list []string
	switch {
	case len(raw) == 0 || json.Unmarshal(raw, &one) == nil:
		return []string{one}
	case json.Unmarshal(raw, &list) == nil:
		return list
	}
	return []string{string(raw)}
}
