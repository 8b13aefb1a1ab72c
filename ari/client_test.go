package ari_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"asterism/ari"
)

// newClient returns a client of a server with this handler, below /ari.
func newClient(t *testing.T, h http.HandlerFunc, change ...func(*ari.Options)) *ari.Client {
	t.Helper()
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)
	opts := ari.Options{BaseURL: srv.URL + "/ari", Username: "user", Password: "pa:ss"}
	for _, f := range change {
		f(&opts)
	}
	c, err := ari.New(opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// seen is what a request looked like on the wire.
type seen struct{ method, uri, contentType, body string }

// recorder answers every request with body and keeps what it saw.
func recorder(t *testing.T, got *seen, body string) http.HandlerFunc {
	t.Helper()
	return func(w http.ResponseWriter, r *http.Request) {
		b, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		*got = seen{r.Method, r.RequestURI, r.Header.Get("Content-Type"), string(b)}
		if u, p, ok := r.BasicAuth(); !ok || u != "user" || p != "pa:ss" {
			t.Errorf("authorization is %q %q %v", u, p, ok)
		}
		_, _ = io.WriteString(w, body)
	}
}

func TestRequests(t *testing.T) {
	const js = "application/json"
	for _, tt := range []struct {
		name string
		do   func(context.Context, *ari.Client) error
		want seen
	}{
		{"no parameters", func(ctx context.Context, c *ari.Client) error { return c.Channels().Answer(ctx, "1700000000.1") }, seen{"POST", "/ari/channels/1700000000.1/answer", "", ""}},
		{"escaped ids", func(ctx context.Context, c *ari.Client) error {
			_, err := c.Endpoints().Get(ctx, "PJSIP", "sip:+49 30/1@host;x=ä%")
			return err
		}, seen{"GET", "/ari/endpoints/PJSIP/sip%3A%2B49%2030%2F1%40host%3Bx%3D%C3%A4%25", "", ""}},
		{"body", func(ctx context.Context, c *ari.Client) error {
			_, err := c.Channels().PlayWithID(ctx, "c", "s~p", []string{"sound:a,b", "sound:\"q\"\n<ü>"}, &ari.ChannelPlayWithIDOptions{Lang: "it", OffsetMS: 40, SkipMS: new(0)})
			return err
		}, seen{"POST", "/ari/channels/c/play/s~p", js, `{"media":["sound:a,b","sound:\"q\"\n\u003cü\u003e"],"lang":"it","offsetms":40,"skipms":0}`}},
		{"zero options are not sent", func(ctx context.Context, c *ari.Client) error {
			return c.Channels().SendDTMF(ctx, "c", "1#", &ari.ChannelSendDTMFOptions{})
		}, seen{"POST", "/ari/channels/c/dtmf", js, `{"dtmf":"1#"}`}},
		{"query of DELETE", func(ctx context.Context, c *ari.Client) error {
			return c.Channels().Hangup(ctx, "c", &ari.ChannelHangupOptions{ReasonCode: "17"})
		}, seen{"DELETE", "/ari/channels/c?reason_code=17", "", ""}},
		{"list in query", func(ctx context.Context, c *ari.Client) error {
			_, err := c.Channels().GetVars(ctx, "c", []string{"A", "PJSIP_HEADER(read,X)"})
			return err
		}, seen{"GET", "/ari/channels/c/variables?variables=A,PJSIP_HEADER%28read%2CX%29", "", ""}},
		{"variables", func(ctx context.Context, c *ari.Client) error {
			_, err := c.Channels().Originate(ctx, "PJSIP/a", &ari.ChannelOriginateOptions{App: "x", Timeout: new(-1), Variables: ari.VarSet{"B": {Value: "2", ReportEvents: true}, "A": {Value: `1"`}}})
			return err
		}, seen{"POST", "/ari/channels", js, `{"endpoint":"PJSIP/a","app":"x","timeout":-1,"variables":{"A":"1\"","B":{"value":"2","report_events":true}}}`}},
		{"empty value is sent", func(ctx context.Context, c *ari.Client) error { return c.Channels().SetVar(ctx, "c", "V", "", nil) }, seen{"POST", "/ari/channels/c/variable", js, `{"variable":"V","value":""}`}},
		{"filter", func(ctx context.Context, c *ari.Client) error {
			_, err := c.Applications().Filter(ctx, "x", &ari.EventFilter{Allowed: []string{}, Disallowed: []string{"A", "B"}})
			return err
		}, seen{"PUT", "/ari/applications/x/eventFilter", js, `{"allowed":[],"disallowed":[{"type":"A"},{"type":"B"}]}`}},
		{"half a filter", func(ctx context.Context, c *ari.Client) error {
			_, err := c.Applications().Filter(ctx, "x", &ari.EventFilter{Disallowed: []string{"A"}})
			return err
		}, seen{"PUT", "/ari/applications/x/eventFilter", js, `{"disallowed":[{"type":"A"}]}`}},
		{"no filter", func(ctx context.Context, c *ari.Client) error {
			_, err := c.Applications().Filter(ctx, "x", nil)
			return err
		}, seen{"PUT", "/ari/applications/x/eventFilter", "", ""}},
		{"string map", func(ctx context.Context, c *ari.Client) error {
			return c.Endpoints().SendMessage(ctx, "pjsip:a", "b", &ari.EndpointSendMessageOptions{Body: "hi", Variables: map[string]string{"X-A": "1"}})
		}, seen{"PUT", "/ari/endpoints/sendMessage", js, `{"to":"pjsip:a","from":"b","body":"hi","variables":{"X-A":"1"}}`}},
		{"any map", func(ctx context.Context, c *ari.Client) error {
			return c.Events().User(ctx, "e", "x", &ari.EventUserOptions{Source: []string{"channel:1"}, Variables: map[string]any{"n": 1}})
		}, seen{"POST", "/ari/events/user/e", js, `{"application":"x","source":["channel:1"],"variables":{"n":1}}`}},
		{"booleans", func(ctx context.Context, c *ari.Client) error {
			return c.Bridges().AddChannel(ctx, "b", []string{"1", "2"}, &ari.BridgeAddChannelOptions{Mute: true})
		}, seen{"POST", "/ari/bridges/b/addChannel", js, `{"channel":["1","2"],"mute":true}`}},
		{"required numbers", func(ctx context.Context, c *ari.Client) error { return c.Mailboxes().Update(ctx, "m", 0, 3) }, seen{"PUT", "/ari/mailboxes/m", js, `{"oldMessages":0,"newMessages":3}`}},
		{"tuples", func(ctx context.Context, c *ari.Client) error {
			_, err := c.Asterisk().UpdateObject(ctx, "res_pjsip", "aor", "x", []ari.ConfigTuple{{Attribute: "a", Value: "1"}, {Attribute: "b", Value: "2"}})
			return err
		}, seen{"PUT", "/ari/asterisk/config/dynamic/res_pjsip/aor/x", js, `{"fields":[{"attribute":"a","value":"1"},{"attribute":"b","value":"2"}]}`}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var got seen
			c := newClient(t, recorder(t, &got, "null"))
			if err := tt.do(t.Context(), c); err != nil {
				t.Fatal(err)
			}
			if got != tt.want {
				t.Errorf("sent     %+v\nexpected %+v", got, tt.want)
			}
		})
	}
}

// TestEveryOperation calls every method of every resource by reflection, and expects each operation of ARI to be asked
// for exactly once, under its own name.
func TestEveryOperation(t *testing.T) {
	var mu sync.Mutex
	asked := map[string]int{}
	last := ""
	c := newClient(t, func(w http.ResponseWriter, r *http.Request) {
		op, _, ok := ari.FindOperation(r.Method, strings.TrimPrefix(r.URL.EscapedPath(), "/ari"))
		if !ok {
			t.Errorf("%s %s is no operation of ARI", r.Method, r.RequestURI)
		}
		mu.Lock()
		asked[op.ID]++
		last = op.ID
		mu.Unlock()
		_, _ = io.WriteString(w, "null")
	}, func(o *ari.Options) {
		o.Observe = func(op string, status int, took time.Duration) {
			mu.Lock()
			defer mu.Unlock()
			if op != last || status != http.StatusOK || took <= 0 {
				t.Errorf("observed %s %d %v, the server saw %s", op, status, took, last)
			}
		}
	})
	resources := []any{
		c.Applications(), c.Asterisk(), c.Bridges(), c.Channels(), c.DeviceStates(), c.Endpoints(), c.Events(), c.Mailboxes(), c.Playbacks(), c.Recordings(), c.Sounds(),
	}
	for _, api := range resources {
		v := reflect.ValueOf(api)
		for i := range v.NumMethod() {
			m := v.Method(i)
			args := []reflect.Value{reflect.ValueOf(t.Context())}
			for j := 1; j < m.Type().NumIn(); j++ {
				args = append(args, argument(m.Type().In(j)))
			}
			out := m.Call(args)
			if err, ok := reflect.TypeAssert[error](out[len(out)-1]); ok && err != nil {
				t.Errorf("%T.%s: %v", api, v.Type().Method(i).Name, err)
			}
		}
	}
	for _, op := range ari.Operations() {
		want := 1
		if op.Websocket {
			want = 0
		}
		if asked[op.ID] != want {
			t.Errorf("%s was asked for %d times, expected %d", op.ID, asked[op.ID], want)
		}
	}
}

// argument makes a value of a parameter's type that is not empty.
func argument(typ reflect.Type) reflect.Value {
	switch typ.Kind() {
	case reflect.String:
		return reflect.ValueOf("x/1")
	case reflect.Slice:
		s := reflect.MakeSlice(typ, 1, 1)
		if typ.Elem().Kind() == reflect.String {
			s.Index(0).SetString("x")
		}
		return s
	case reflect.Map:
		return reflect.ValueOf(ari.Vars(map[string]string{"x": "y"}))
	case reflect.Pointer: // options with every field set
		p := reflect.New(typ.Elem())
		for i := range typ.Elem().NumField() {
			f := p.Elem().Field(i)
			switch f.Kind() {
			case reflect.String:
				f.SetString("o")
			case reflect.Int:
				f.SetInt(1)
			case reflect.Bool:
				f.SetBool(true)
			case reflect.Pointer:
				f.Set(reflect.ValueOf(new(1)))
			case reflect.Slice:
				f.Set(reflect.ValueOf([]string{"o"}))
			default:
			}
		}
		return p
	case reflect.Interface:
		return reflect.ValueOf(io.Discard)
	default:
		return reflect.Zero(typ)
	}
}

func TestInvalidArguments(t *testing.T) {
	c := newClient(t, func(http.ResponseWriter, *http.Request) { t.Error("something was sent") })
	ctx := t.Context()
	for name, tt := range map[string]struct {
		err  error
		want string
	}{
		"empty id":      {c.Channels().Answer(ctx, ""), "ari: channels.answer: invalid argument: channelId must not be empty"},
		"dots":          {c.Bridges().Destroy(ctx, ".."), `ari: bridges.destroy: invalid argument: bridgeId must not be ".."`},
		"empty list":    {c.Bridges().AddChannel(ctx, "b", nil, nil), "channel must not be empty"},
		"empty string":  {c.Channels().Redirect(ctx, "c", ""), "endpoint must not be empty"},
		"no variables":  {c.Channels().SetVars(ctx, "c", nil), "variables must not be empty"},
		"not JSON":      {c.Events().User(ctx, "e", "a", &ari.EventUserOptions{Variables: map[string]any{"f": func() {}}}), "cannot be encoded"},
		"second reason": {c.Channels().Redirect(ctx, "", ""), "channelId must not be empty"},
	} {
		if !errors.Is(tt.err, ari.ErrInvalidArgument) || !strings.Contains(tt.err.Error(), tt.want) {
			t.Errorf("%s: %v, expected %q", name, tt.err, tt.want)
		}
	}
}

func TestErrors(t *testing.T) {
	for _, tt := range []struct {
		status  int
		body    string
		is      func(error) bool
		message string
	}{
		{404, `{"message":"Channel not found"}`, ari.IsNotFound, "Channel not found"},
		{409, `{"error":"Channel not in Stasis"}`, ari.IsConflict, "Channel not in Stasis"},
		{401, `{"error":"Authentication required"}`, ari.IsUnauthorized, "Authentication required"},
		{403, ``, ari.IsForbidden, "Forbidden"},
		{412, `{}`, ari.IsPreconditionFailed, "Precondition Failed"},
		{422, `{"message":7}`, ari.IsUnprocessable, "{\"message\":7}"},
		{400, "<html><head><title>400</title></head>\r\n<body>\r\n<h1>Bad Request</h1>\r\n<p>line\ttoo long</p></body></html>", ari.IsBadRequest, "Bad Request line too long"},
		{500, strings.Repeat("é", 10000), ari.IsServerError, strings.Repeat("é", 250)},
		{503, "\xff\xfe", ari.IsServerError, "Service Unavailable"},
	} {
		t.Run(fmt.Sprint(tt.status), func(t *testing.T) {
			c := newClient(t, func(w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(tt.status)
				_, _ = io.WriteString(w, tt.body)
			})
			_, err := c.Channels().Get(t.Context(), "a b")
			err = fmt.Errorf("while testing: %w", err)
			if !tt.is(err) || ari.StatusCode(err) != tt.status {
				t.Errorf("%v has lost its status %d", err, tt.status)
			}
			var e *ari.Error
			if !errors.As(err, &e) {
				t.Fatalf("%v is no *ari.Error", err)
			}
			if want := (ari.Error{Method: "GET", Path: "/ari/channels/a b", StatusCode: tt.status, Message: tt.message}); *e != want {
				t.Errorf("error is %+v, expected %+v", *e, want)
			}
		})
	}
	if ari.StatusCode(errors.New("other")) != 0 || ari.IsNotFound(nil) {
		t.Error("an error without a response has a status")
	}
}

func TestNoConnection(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.10.1:0") //nolint:noctx // local and immediate
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	c, err := ari.New(ari.Options{BaseURL: "http://" + l.Addr().String() + "/ari"})
	if err != nil {
		t.Fatal(err)
	}
	err = c.Channels().Answer(t.Context(), "1")
	var op *net.OpError
	if !errors.As(err, &op) || !strings.HasPrefix(err.Error(), "ari: POST /ari/channels/1/answer: ") {
		t.Errorf("no Asterisk: %v, expected the network's error", err)
	}
}

func TestDeadlines(t *testing.T) {
	release := make(chan struct{})
	hang := func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-release:
		case <-r.Context().Done():
		}
	}
	c := newClient(t, hang, func(o *ari.Options) {
		o.RequestTimeout = 20 * time.Millisecond
		o.DownloadTimeout = 30 * time.Millisecond
	})
	t.Cleanup(func() { close(release) })
	if err := c.Channels().Answer(t.Context(), "1"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a context without a deadline: %v, expected the default one", err)
	}
	if _, err := c.Recordings().GetStoredFile(t.Context(), "1", io.Discard); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a download without a deadline: %v, expected the default one", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if err := c.Channels().Answer(ctx, "1"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("the caller's deadline: %v", err)
	}
	ctx, stop := context.WithCancel(t.Context())
	stop()
	if err := c.Channels().Answer(ctx, "1"); !errors.Is(err, context.Canceled) {
		t.Errorf("a cancelled context: %v", err)
	}
}

// TestBodyDeadline is a server that sends half of its answer.
func TestBodyDeadline(t *testing.T) {
	c := newClient(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, `{"id":`)
		if f, ok := w.(http.Flusher); ok {
			f.Flush()
		}
		<-r.Context().Done()
	}, func(o *ari.Options) { o.RequestTimeout = 50 * time.Millisecond })
	if _, err := c.Channels().Get(t.Context(), "1"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("half an answer: %v, expected the deadline", err)
	}
}

func TestResponses(t *testing.T) {
	for _, tt := range []struct{ name, body, want string }{
		{"nothing", ``, "unexpected JSON"},
		{"half", `{"id":"1"`, "unexpected JSON"},
		{"two", `{"id":"1"}{}`, "unexpected JSON"},
		{"another kind", `{"id":1}`, "expected a string"},
		{"a list", `[]`, "expected an object"},
		{"too large", `{"id":"` + strings.Repeat("x", 2000) + `"}`, "more than 1000 bytes"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := newClient(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, tt.body) }, func(o *ari.Options) { o.MaxResponse = 1000 })
			if ch, err := c.Channels().Get(t.Context(), "1"); err == nil || !strings.Contains(err.Error(), tt.want) || ch != nil {
				t.Errorf("%v, %v, expected %q", ch, err, tt.want)
			}
		})
	}
	c := newClient(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(bytes.Repeat([]byte("audio"), 1000)) }, func(o *ari.Options) { o.MaxResponse = 1000 })
	endless := newClient(t, func(w http.ResponseWriter, _ *http.Request) {
		for {
			if _, err := io.WriteString(w, "[[[["); err != nil {
				return
			}
		}
	}, func(o *ari.Options) { o.MaxResponse = 1 << 20 })
	if _, err := endless.Channels().List(t.Context()); !errors.Is(err, ari.ErrBodyTooLarge) {
		t.Errorf("an endless response: %v, expected ErrBodyTooLarge", err)
	}
	var audio bytes.Buffer
	if n, err := c.Recordings().GetStoredFile(t.Context(), "1", &audio); err != nil || n != 5000 || audio.Len() != 5000 {
		t.Errorf("a download of %d bytes, %v", n, err)
	}
	c = newClient(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, `{"value":"v","new":[1]}`) })
	if v, err := c.Asterisk().GetVar(t.Context(), "X"); err != nil || v != "v" {
		t.Errorf("variable %q, %v", v, err)
	}
}

// TestKeepAlive counts connections: one after the other share one, and many at once do not wait for one another.
func TestKeepAlive(t *testing.T) {
	const parallel = 50
	var conns, waiting atomic.Int32
	all := make(chan struct{})
	h := func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/answer") {
			if waiting.Add(1) == parallel {
				close(all)
			}
			<-all
			return
		}
		w.WriteHeader(http.StatusNotFound)
		_, _ = io.WriteString(w, strings.Repeat("x", 20<<10)) // more than is read for the message
	}
	srv := httptest.NewUnstartedServer(http.HandlerFunc(h))
	srv.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			conns.Add(1)
		}
	}
	srv.Start()
	defer srv.Close()
	c, err := ari.New(ari.Options{BaseURL: srv.URL + "/ari/"})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for range 20 {
		if _, err := c.Channels().Get(t.Context(), "1"); !ari.IsNotFound(err) {
			t.Fatal(err)
		}
	}
	if n := conns.Load(); n != 1 {
		t.Errorf("20 requests in a row took %d connections, expected 1", n)
	}
	var wg sync.WaitGroup
	for range parallel {
		wg.Go(func() {
			if err := c.Channels().Answer(t.Context(), "1"); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	before := conns.Load()
	waiting.Store(-1000)
	for range parallel {
		wg.Go(func() { _, _ = c.Channels().Get(t.Context(), "1") })
	}
	wg.Wait()
	if n := conns.Load(); n != before {
		t.Errorf("%d connections were not kept", n-before)
	}
}

// roundTripper is a transport that is not HTTP.
type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestAnyRoundTripper(t *testing.T) {
	closed := false
	c, err := ari.New(ari.Options{Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		again, err := r.GetBody()
		if err != nil {
			t.Fatal(err)
		}
		if b, err := io.ReadAll(again); err != nil || !bytes.Equal(b, body) || int64(len(b)) != r.ContentLength {
			t.Errorf("the body is %q at first, then %q, %v", body, b, err)
		}
		if r.URL.String() != "http://127.0.0.1:8088/ari/channels/a%2Fb/variable" || r.URL.Path != "/ari/channels/a/b/variable" || r.Header.Get("Authorization") != "" {
			t.Errorf("request to %s with %v", r.URL, r.Header)
		}
		return &http.Response{StatusCode: http.StatusNoContent, Body: closer{strings.NewReader(""), &closed}}, nil
	})})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Channels().SetVar(t.Context(), "a/b", "X", "1", nil); err != nil {
		t.Error(err)
	}
	if !closed {
		t.Error("the response's body was left open")
	}
}

type closer struct {
	io.Reader
	closed *bool
}

func (c closer) Close() error { *c.closed = true; return nil }

func TestBaseURL(t *testing.T) {
	for _, u := range []string{"127.0.0.1:8088", "ftp://x/ari", "http://", "http://u:secret@x/ari", "http://x/ari?a=b", "http://x:y z/"} {
		if _, err := ari.New(ari.Options{BaseURL: u}); err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("base URL %q: %v, expected a refusal", u, err)
		}
	}
}
