package aritest_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"
)

// telephone is one caller of a script.
type telephone interface {
	press(t *testing.T, digits string)
	hangup(t *testing.T)
	// status waits for the final SIP status of the INVITE.
	status(t *testing.T) int
}

// world is what a script runs against: the imitated Asterisk or a real one.
type world struct {
	base, user, password string
	client               *http.Client
	dial                 func(t *testing.T) telephone
	// far makes a telephone that can be called, and returns its endpoint: it rings, then answers after 300 ms, or refuses with
	// 486, or does neither.
	far func(t *testing.T, does string) (endpoint string)
}

// stage runs one script and writes down what happens: every request with its answer, every event, with everything that
// differs from run to run masked.
type stage struct {
	t  *testing.T
	in world

	conn    *websocket.Conn
	reading chan struct{}
	cancel  context.CancelFunc

	mu     sync.Mutex
	rest   []string
	events []event
	fresh  chan struct{}
	names  [][2]string // id and what stands for it
	phones map[string]telephone
}

func newStage(t *testing.T, in world) *stage {
	t.Helper()
	s := &stage{t: t, in: in, fresh: make(chan struct{}), phones: map[string]telephone{}}
	s.connect()
	t.Cleanup(s.disconnect)
	return s
}

func (s *stage) connect() {
	s.t.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(s.t.Context()))
	u := "ws" + strings.TrimPrefix(s.in.base, "http") + "/events?app=asterism&api_key=" + url.QueryEscape(s.in.user+":"+s.in.password)
	conn, resp, err := websocket.Dial(ctx, u, &websocket.DialOptions{HTTPClient: s.in.client, Subprotocols: []string{"ari"}})
	if err != nil {
		cancel()
		s.t.Fatalf("connecting the application: %v", err)
	}
	if resp.Body != nil {
		_ = resp.Body.Close()
	}
	conn.SetReadLimit(1 << 20)
	reading := make(chan struct{})
	s.conn, s.reading, s.cancel = conn, reading, cancel
	go func() {
		defer close(reading)
		for {
			_, raw, err := conn.Read(ctx)
			if err != nil {
				return
			}
			s.take(raw)
		}
	}()
	s.registered()
}

// registered waits until Asterisk knows the application, which is a moment after it has accepted the websocket, and knows it
// still a little later: the end of an earlier websocket may be under way.
func (s *stage) registered() {
	s.t.Helper()
	u := s.in.base + "/applications/asterism?api_key=" + url.QueryEscape(s.in.user+":"+s.in.password)
	for known, tries := 0, 0; known < 3; tries++ {
		if tries == 500 {
			s.t.Fatal("Asterisk does not know the application")
		}
		req, err := http.NewRequestWithContext(s.t.Context(), http.MethodGet, u, http.NoBody)
		if err != nil {
			s.t.Fatal(err)
		}
		resp, err := s.in.client.Do(req)
		if err != nil {
			s.t.Fatalf("asking for the application: %v", err)
		}
		_ = resp.Body.Close()
		if known++; resp.StatusCode != http.StatusOK {
			known = 0
		}
		s.pause(10 * time.Millisecond)
	}
}

// disconnect breaks the websocket off, as a dying client does.
func (s *stage) disconnect() {
	s.cancel()
	_ = s.conn.CloseNow()
	<-s.reading
	s.in.client.CloseIdleConnections()
}

func (s *stage) take(raw []byte) {
	ev := event{Raw: string(raw)}
	if err := json.Unmarshal(raw, &ev.All); err != nil {
		s.t.Errorf("event is no JSON: %v: %s", err, raw)
	}
	ev.Type, _ = ev.All["type"].(string)
	s.mu.Lock()
	s.events = append(s.events, ev)
	close(s.fresh)
	s.fresh = make(chan struct{})
	s.mu.Unlock()
}

// wait waits for the n-th event of a type about something, "" for anything.
func (s *stage) wait(typ, about string, n int) event {
	s.t.Helper()
	limit := time.NewTimer(20 * time.Second)
	defer limit.Stop()
	for {
		s.mu.Lock()
		seen := 0
		for _, ev := range s.events {
			if ev.Type == typ && (about == "" || strings.Contains(s.mask(ev.Raw), `"`+about+`"`)) {
				if seen++; seen == n {
					s.mu.Unlock()
					return ev
				}
			}
		}
		fresh := s.fresh
		s.mu.Unlock()
		select {
		case <-fresh:
		case <-limit.C:
			s.t.Fatalf("no %s number %d about %q; so far:\n%s", typ, n, about, s.trace())
		}
	}
}

// call places a call that is shown as name in the trace, and returns when the application has it.
func (s *stage) call(name string) {
	s.t.Helper()
	s.mu.Lock()
	before := 0
	for _, ev := range s.events {
		if ev.Type == "StasisStart" {
			before++
		}
	}
	s.mu.Unlock()
	s.phones[name] = s.in.dial(s.t)
	ev := s.wait("StasisStart", "", before+1)
	ch, _ := ev.All["channel"].(map[string]any)
	id, _ := ch["id"].(string)
	s.mu.Lock()
	s.names = append(s.names, [2]string{id, name})
	// One id may begin another: the longer one is looked for first.
	slices.SortStableFunc(s.names, func(a, b [2]string) int { return len(b[0]) - len(a[0]) })
	s.mu.Unlock()
}

// pause lets time pass that the script, not the machine, needs.
func (s *stage) pause(d time.Duration) { time.Sleep(d) }

// note writes a line among the requests.
func (s *stage) note(line string) {
	s.mu.Lock()
	s.rest = append(s.rest, line)
	s.mu.Unlock()
}

// do sends a request; in path and parameters <name> stands for the id of a call. body may be empty.
func (s *stage) do(line string, params ...string) int {
	s.t.Helper()
	body := ""
	if n := len(params); n%2 == 1 {
		body, params = params[n-1], params[:n-1]
	}
	status, answer, q := s.send(line, body, params)
	shown := line
	if len(q) > 0 {
		shown += "?" + q
	}
	if body != "" {
		shown += " " + body
	}
	s.mu.Lock()
	s.rest = append(s.rest, strings.TrimRight(shown+" -> "+strconv.Itoa(status)+" "+queuedOrNot(line, s.tidy(answer)), " "))
	s.mu.Unlock()
	return status
}

// later sends a request that will wait, and returns a function that waits for it and then writes it down.
func (s *stage) later(line string, params ...string) (join func()) {
	done := make(chan int, 1)
	began := time.Now()
	go func() {
		status, _, _ := s.send(line, "", params)
		done <- status
	}()
	return func() {
		s.t.Helper()
		status := <-done
		waited := "at once"
		if time.Since(began) >= 400*time.Millisecond {
			waited = "after waiting"
		}
		s.note(line + " -> " + strconv.Itoa(status) + " " + waited)
	}
}

func (s *stage) send(line, body string, params []string) (status int, answer, shown string) {
	s.mu.Lock()
	names := slices.Clone(s.names)
	s.mu.Unlock()
	fill := func(v string) string {
		for _, n := range names {
			v = strings.ReplaceAll(v, "<"+n[1]+">", n[0])
		}
		return v
	}
	method, path, _ := strings.Cut(line, " ")
	q := url.Values{}
	var parts []string
	for i := 0; i+1 < len(params); i += 2 {
		q.Add(params[i], fill(params[i+1]))
		shown := params[i+1]
		if params[i] == "endpoint" && strings.HasPrefix(shown, "PJSIP/edge") {
			shown = "*"
		}
		parts = append(parts, params[i]+"="+shown)
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(s.t.Context()), 30*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, s.in.base+fill(path)+"?"+q.Encode(), strings.NewReader(body))
	if err != nil {
		s.t.Errorf("%s: %v", line, err)
		return 0, "", ""
	}
	req.SetBasicAuth(s.in.user, s.in.password)
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := s.in.client.Do(req)
	if err != nil {
		s.t.Errorf("%s: %v", line, err)
		return 0, "", ""
	}
	defer func() { _ = resp.Body.Close() }()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		s.t.Errorf("%s: %v", line, err)
	}
	return resp.StatusCode, string(raw), strings.Join(parts, "&")
}

// queuedOrNot evens out a race that Asterisk has with itself: whether a new playback or recording has begun already when the answer is made.
func queuedOrNot(line, answer string) string {
	if strings.HasPrefix(line, "POST ") && (strings.Contains(line, "/play") || strings.HasSuffix(line, "/record")) {
		answer = strings.Replace(answer, `"state":"playing"`, `"state":"queued"`, 1)
		answer = strings.Replace(answer, `"state":"failed"`, `"state":"queued"`, 1)
		answer = strings.Replace(answer, `"state":"recording"`, `"state":"queued"`, 1)
	}
	return answer
}

// masked are fields whose value differs from run to run, or which belong to the dialplan and the telephone.
var masked = map[string]bool{
	"timestamp": true, "creationtime": true, "asterisk_id": true, "protocol_id": true, "duration": true, "duration_ms": true,
	"dialstring": true, "caller": true, "connected": true, "dialplan": true, "args": true, "creator": true,
}

func tidyValue(key string, v any) any {
	if masked[key] {
		return "*"
	}
	switch v := v.(type) {
	case map[string]any:
		dropRTP(v)
		for k := range v {
			v[k] = tidyValue(k, v[k])
		}
		if name, found := v["name"].(string); found && v["protocol_id"] != nil {
			tech, _, _ := strings.Cut(name, "/")
			v["name"] = tech + "/*"
		}
	case []any:
		for i := range v {
			v[i] = tidyValue("", v[i])
		}
		if key == "channels" || key == "channel_ids" { // a set: its order is that of a hash table
			slices.SortFunc(v, func(a, b any) int { return strings.Compare(fmt.Sprint(a), fmt.Sprint(b)) })
		}
	}
	return v
}

// dropRTP takes out of a channel what Asterisk measured of its sound, which the
// Asterisk made of Go has none of.
func dropRTP(channel map[string]any) {
	if vars, ok := channel["channelvars"].(map[string]any); ok {
		if delete(vars, "RTPAUDIOQOS"); len(vars) == 0 {
			delete(channel, "channelvars")
		}
	}
}

// tidy masks a JSON text; what is no JSON stays.
func (s *stage) tidy(raw string) string {
	raw = s.mask(raw)
	var v any
	if json.Unmarshal([]byte(raw), &v) != nil {
		return strings.TrimSpace(raw)
	}
	out, err := json.Marshal(tidyValue("", v))
	if err != nil {
		s.t.Errorf("writing %s: %v", raw, err)
	}
	return string(out)
}

var uuid = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}`)

// mask puts names for ids.
func (s *stage) mask(v string) string {
	for _, n := range s.names {
		v = strings.ReplaceAll(v, n[0], n[1])
	}
	return uuid.ReplaceAllString(v, "UUID")
}

// omitted are events that the imitation leaves out on purpose.
func omitted(ev event) bool {
	name, _ := ev.All["variable"].(string)
	return ev.Type == "ChannelConnectedLine" || ev.Type == "ChannelDialplan" || strings.HasPrefix(name, "RTPAUDIO") || strings.HasPrefix(name, "BRIDGE")
}

// trace is what happened so far.
func (s *stage) trace() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var b strings.Builder
	b.WriteString("requests\n")
	for _, line := range s.rest {
		b.WriteString("  " + line + "\n")
	}
	b.WriteString("events\n")
	for _, ev := range s.events {
		if !omitted(ev) && ev.Type != "Dial" {
			b.WriteString("  " + ev.Type + " " + s.tidy(ev.Raw) + "\n")
		}
	}
	b.WriteString("dialling, which Asterisk reports on a way of its own, before or after the change of state\n")
	for _, ev := range s.events {
		if peer, _ := ev.All["peer"].(map[string]any); ev.Type == "Dial" {
			fmt.Fprintf(&b, "  Dial %q of %v\n", ev.All["dialstatus"], peer["id"])
		}
	}
	return b.String()
}

// check compares the trace with the golden file, or writes it when UPDATE is set.
func (s *stage) check(name string) {
	s.t.Helper()
	got := s.trace()
	file := filepath.Join("testdata", "conformance", name+".golden")
	if os.Getenv("UPDATE") != "" {
		if err := os.MkdirAll(filepath.Dir(file), 0o750); err != nil {
			s.t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(got), 0o600); err != nil {
			s.t.Fatal(err)
		}
		return
	}
	raw, err := os.ReadFile(file)
	if err != nil {
		s.t.Fatal(err)
	}
	if want := string(raw); got != want {
		s.t.Errorf("%s differs from %s:\n%s", name, file, difference(got, want))
	}
}

// difference shows the lines of both texts from the first that differs on.
func difference(got, want string) string {
	g, w := strings.Split(got, "\n"), strings.Split(want, "\n")
	var b strings.Builder
	for i := range max(len(g), len(w)) {
		a, c := "", ""
		if i < len(g) {
			a = g[i]
		}
		if i < len(w) {
			c = w[i]
		}
		if a != c {
			b.WriteString("- got  " + a + "\n+ want " + c + "\n")
		}
	}
	return b.String()
}
