package phone

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emiago/sipgo/sip"
	"go.uber.org/goleak"

	"asterism/e2e/phone/hear"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// newPhone makes a phone of the tests' own address range.
func newPhone(t *testing.T, host string, incoming int) *Phone {
	t.Helper()
	p, err := New(Options{Addr: host + ":0", Incoming: incoming})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	return p
}

// bounded is a context for one test.
func bounded(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// check marks the test as failed on an error; it may be called in any goroutine.
func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Error(err)
	}
}

// must ends the test on an error.
func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// ring has one phone call another, which does not answer yet.
func ring(t *testing.T, opts DialOptions) (caller, called *Call) {
	t.Helper()
	return ringUntil(t, bounded(t).Done(), nil, opts)
}

// ringUntil is ring with a caller who gives up when stop is closed, for the reason given.
func ringUntil(t *testing.T, stop <-chan struct{}, why error, opts DialOptions) (caller, called *Call) {
	t.Helper()
	ctx, cancel := context.WithCancelCause(context.Background())
	go func() {
		<-stop
		cancel(why)
	}()
	uas, uac := newPhone(t, "127.0.40.2", 4), newPhone(t, "127.0.40.1", 0)
	opts.Target = uas.URI() + opts.Target
	caller, err := uac.Start(ctx, opts)
	must(t, err)
	called, err = uas.Accept(bounded(t))
	must(t, err)
	return caller, called
}

// talk connects two phones.
func talk(t *testing.T, opts DialOptions) (caller, called *Call) {
	t.Helper()
	ctx := bounded(t)
	caller, called = ring(t, opts)
	must(t, called.Ring(ctx))
	must(t, called.Answer(ctx))
	must(t, caller.Answered(ctx))
	return caller, called
}

// happened waits until an event is on a call's timeline.
func happened(t *testing.T, c *Call, what string) time.Duration {
	t.Helper()
	for ctx := bounded(t); ctx.Err() == nil; time.Sleep(time.Millisecond) {
		for _, e := range c.Events() {
			if strings.HasPrefix(e.What, what) {
				return e.At
			}
		}
	}
	t.Fatalf("%q did not happen: %v", what, c.Events())
	return 0
}

// ended waits until a call is over.
func ended(t *testing.T, c *Call) {
	t.Helper()
	_, err := c.Wait(bounded(t))
	check(t, err)
}

// resembles compares what was heard with what was said.
func resembles(t *testing.T, heard, said []int16) time.Duration {
	t.Helper()
	r, at := hear.Correlate(heard, said, sampleRate)
	if r < 0.99 {
		t.Errorf("what was heard resembles what was said by %.4f only", r)
	}
	return at
}

func TestBothHearEachOther(t *testing.T) {
	t.Parallel()
	for _, opts := range []DialOptions{{}, {Target: ";transport=tcp"}, {Codecs: []Codec{PCMA}}} {
		t.Run(opts.Target+string(slices.Concat(opts.Codecs, []Codec{"-"})[0]), func(t *testing.T) {
			t.Parallel()
			caller, called := talk(t, opts)
			ctx := bounded(t)
			mine, theirs := hear.Sample(1, time.Second, sampleRate), hear.Sample(2, time.Second, sampleRate)
			var both sync.WaitGroup
			both.Go(func() { check(t, caller.Say(ctx, mine)) })
			both.Go(func() { check(t, called.Say(ctx, theirs)) })
			both.Wait()
			must(t, caller.SendDTMF(ctx, "1*#"))
			must(t, called.Hangup(ctx))
			end, err := caller.Wait(ctx)
			must(t, err)
			if end.By != FarEnd || !end.Answered {
				t.Errorf("the call ended with %+v", end)
			}
			resembles(t, called.Heard(), mine)
			resembles(t, caller.Heard(), theirs)
			if d := called.Digits(); len(d) != 3 || d[0].Key != '1' || d[1].Key != '*' || d[2].Key != '#' {
				t.Errorf("the far end got the digits %v", d)
			}
			rx := called.Reception()
			if rx.Lost != 0 || rx.Sources != 1 || rx.Packets == 0 || rx.Unknown != 0 {
				t.Errorf("the far end received %+v", rx)
			}
			if want := append(opts.Codecs, PCMU)[0]; caller.Codec() != want {
				t.Errorf("the codec is %s, want %s", caller.Codec(), want)
			}
		})
	}
}

func TestHeadersAndTimeline(t *testing.T) {
	t.Parallel()
	caller, called := talk(t, DialOptions{
		From: "sip:alice@example.com", CallID: "my-own-id", Headers: [][2]string{{"X-Asterisk-Action", "Playback"}},
		Decorate: func(id string, headers [][2]string) ([][2]string, error) {
			return append(headers, [2]string{"X-Asterisk-Signature", "of " + id}), nil
		},
	})
	for name, want := range map[string]string{"x-asterisk-action": "Playback", "X-Asterisk-Signature": "of my-own-id", "Call-ID": "my-own-id"} {
		if got := headerOf(called.Request(), name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	if from := headerOf(called.Request(), "From"); !strings.HasPrefix(from, "<sip:alice@example.com>;tag=") {
		t.Errorf("From is %q", from)
	}
	must(t, caller.Hangup(bounded(t)))
	ringing, ok := happened(t, caller, "180 Ringing"), happened(t, caller, "200 OK")
	if at, answered := caller.AnsweredAt(); !answered || at < ok || ok < ringing || happened(t, caller, "BYE sent") < at {
		t.Errorf("the order is wrong: %v", caller.Events())
	}
	end, err := called.Wait(bounded(t))
	if err != nil || end.By != FarEnd {
		t.Errorf("the far end saw %+v, %v", end, err)
	}
}

func TestEarlyMediaIsHeardWithoutAnAnswer(t *testing.T) {
	t.Parallel()
	ctx := bounded(t)
	caller, called := ring(t, DialOptions{})
	sorry := hear.Sample(3, time.Second, sampleRate)
	must(t, called.Progress(ctx))
	must(t, called.Say(ctx, sorry))
	must(t, called.Reject(ctx, 404, "Not Found", [2]string{"Reason", `SIP;cause=404, Q.850 ;cause=1;text="Unallocated"`}))
	err := caller.Answered(ctx)
	var refused *RefusedError
	if !errors.As(err, &refused) || refused.Status != 404 || refused.Phrase != "Not Found" {
		t.Fatalf("the call gave %v", err)
	}
	if got := err.Error(); got != `refused: 404 Not Found (SIP;cause=404, Q.850 ;cause=1;text="Unallocated")` {
		t.Errorf("the sentence is %q", got)
	}
	end, err := caller.Wait(ctx)
	must(t, err)
	if end.By != FarEnd || end.Answered || end.Cause != 1 || end.Status != 404 {
		t.Errorf("the call ended with %+v", end)
	}
	if !caller.EarlyMedia() {
		t.Error("there was no early media")
	}
	resembles(t, caller.Heard(), sorry)
}

func TestRedirect(t *testing.T) {
	t.Parallel()
	ctx := bounded(t)
	caller, called := ring(t, DialOptions{})
	must(t, called.Reject(ctx, 302, "Moved Temporarily", [2]string{"X-Note", "kept"}))
	var refused *RefusedError
	if err := caller.Answered(ctx); !errors.As(err, &refused) || refused.Header("x-note") != "kept" || !strings.HasPrefix(err.Error(), "redirected: 302") {
		t.Errorf("got %v", err)
	}
}

func TestGivingUp(t *testing.T) {
	t.Parallel()
	t.Run("the context ends", func(t *testing.T) {
		why, stop := errors.New("had enough"), make(chan struct{})
		caller, called := ringUntil(t, stop, why, DialOptions{})
		must(t, called.Ring(bounded(t)))
		happened(t, caller, "180")
		close(stop)
		err := caller.Answered(bounded(t))
		if !errors.Is(err, ErrNoAnswer) || !errors.Is(err, why) || !strings.Contains(err.Error(), "180") {
			t.Errorf("got %v", err)
		}
		theirs, err := called.Wait(bounded(t))
		must(t, err)
		ours, err := caller.Wait(bounded(t))
		must(t, err)
		if theirs.By != FarEnd || ours.By != Us || ours.Status != 487 {
			t.Errorf("ended here with %+v, there with %+v", ours, theirs)
		}
		if err := called.Answer(bounded(t)); !errors.Is(err, ErrCallEnded) {
			t.Errorf("answering a cancelled call gave %v", err)
		}
	})
	t.Run("hung up", func(t *testing.T) {
		caller, called := ring(t, DialOptions{Target: ";transport=tcp"})
		must(t, called.Ring(bounded(t)))
		happened(t, caller, "180")
		must(t, caller.Hangup(bounded(t)))
		if err := caller.Answered(bounded(t)); !errors.Is(err, ErrNoAnswer) {
			t.Errorf("got %v", err)
		}
		ended(t, called)
	})
	t.Run("the phone is closed", func(t *testing.T) {
		caller, called := talk(t, DialOptions{})
		must(t, caller.phone.Close())
		end, err := called.Wait(bounded(t))
		if err != nil || end.By != FarEnd {
			t.Errorf("the far end saw %+v, %v", end, err)
		}
		if _, err := caller.phone.Dial(bounded(t), DialOptions{Target: "sip:1@127.0.40.2"}); !errors.Is(err, ErrClosed) {
			t.Errorf("calling with a closed phone gave %v", err)
		}
	})
}

func TestNobodyTakesTheCall(t *testing.T) {
	t.Parallel()
	uac := newPhone(t, "127.0.40.1", 0)
	deaf, busy := newPhone(t, "127.0.40.3", 0), newPhone(t, "127.0.40.4", 1)
	first, err := uac.Start(bounded(t), DialOptions{Target: busy.URI()})
	must(t, err)
	happened(t, first, "100")
	for target, status := range map[string]int{deaf.URI(): 480, busy.URI(): 486} {
		var refused *RefusedError
		if _, err := uac.Dial(bounded(t), DialOptions{Target: target}); !errors.As(err, &refused) || refused.Status != status {
			t.Errorf("calling %s gave %v, want %d", target, err, status)
		}
	}
}

func TestNothingListening(t *testing.T) {
	t.Parallel()
	uac := newPhone(t, "127.0.40.1", 0)
	for _, transport := range []string{"", ";transport=tcp"} {
		_, err := uac.Dial(bounded(t), DialOptions{Target: "sip:1@127.0.40.9:9" + transport})
		if !errors.Is(err, ErrUnreachable) || !strings.Contains(err.Error(), "nothing is listening at 127.0.40.9:9") {
			t.Errorf("calling nobody%s gave %v", transport, err)
		}
	}
	for _, target := range []string{"", "1000", "sip:", "tel:123", "sip:1@127.0.0.1;transport=tls"} {
		if c, err := uac.Dial(bounded(t), DialOptions{Target: target}); err == nil || c != nil || !strings.Contains(err.Error(), "expected") {
			t.Errorf("target %q gave %v", target, err)
		}
	}
}

func TestSilentTarget(t *testing.T) {
	t.Parallel()
	mute := newPhone(t, "127.0.40.5", 0)
	must(t, mute.tcp.Close()) // A port that is open over UDP; the stack behind it takes nothing.
	mute.mu.Lock()
	mute.stopped = true
	mute.mu.Unlock()
	ctx, cancel := context.WithTimeout(bounded(t), 700*time.Millisecond)
	defer cancel()
	_, err := newPhone(t, "127.0.40.1", 0).Dial(ctx, DialOptions{Target: mute.URI()})
	if !errors.Is(err, ErrNoAnswer) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
}

// ask sends a request within a call and returns the response.
func ask(t *testing.T, c *Call, method sip.RequestMethod, body []byte, headers ...[2]string) *sip.Response {
	t.Helper()
	if body != nil {
		headers = append(headers, [2]string{"Content-Type", "application/sdp"})
	}
	req := c.phone.request(c.dialog, method, headers...)
	req.SetBody(body)
	res, err := c.phone.do(bounded(t), req)
	must(t, err)
	if method == sip.INVITE && res.IsSuccess() {
		c.dialog.mu.Lock()
		ack := c.phone.requestAt(c.dialog, sip.ACK, c.dialog.seq)
		c.dialog.mu.Unlock()
		must(t, c.phone.tpl.WriteMsg(ack))
	}
	return res
}

func TestRequestsWithinTheCall(t *testing.T) {
	t.Parallel()
	caller, called := talk(t, DialOptions{})
	hold, err := describe(called.phone.host, called.media.port, 1, 2, []Codec{PCMA}, 100, "sendonly")
	must(t, err)
	back, err := describe(called.phone.host, called.media.port, 1, 3, []Codec{PCMA}, 100, "sendrecv")
	must(t, err)
	tests := []struct {
		name     string
		method   sip.RequestMethod
		body     []byte
		status   int
		contains string
	}{
		{"OPTIONS", sip.OPTIONS, nil, 200, ""},
		{"re-INVITE to hold", sip.INVITE, hold, 200, "a=recvonly"},
		{"re-INVITE back", sip.INVITE, back, 200, "a=sendrecv"},
		{"re-INVITE without an offer", sip.INVITE, nil, 200, "m=audio"},
		{"re-INVITE nobody understands", sip.INVITE, []byte("v=0\r\n"), 488, ""},
		{"UPDATE to hold", sip.UPDATE, hold, 200, "RTP/AVP 8 100"},
		{"UPDATE back", sip.UPDATE, back, 200, "a=sendrecv"},
		{"UPDATE of the timer", sip.UPDATE, nil, 200, ""},
		{"INFO", sip.INFO, nil, 200, ""},
		{"REFER", sip.REFER, nil, 603, ""},
		{"something else", sip.PUBLISH, nil, 405, ""},
	}
	for _, test := range tests {
		res := ask(t, called, test.method, test.body)
		if res.StatusCode != test.status || !strings.Contains(string(res.Body()), test.contains) {
			t.Errorf("%s: %d %s\n%s", test.name, res.StatusCode, res.Reason, res.Body())
		}
	}
	if r := caller.media.remote.Load(); r.codec != PCMA || r.events != 100 || r.hold {
		t.Errorf("the call goes on with %+v", r)
	}
	said := hear.Sample(4, time.Second, sampleRate)
	must(t, caller.Say(bounded(t), said))
	must(t, caller.Hangup(bounded(t)))
	ended(t, called)
	resembles(t, called.Heard(), said)
	if res := ask(t, called, sip.UPDATE, nil); res.StatusCode != 481 {
		t.Errorf("a request after the call was answered %d", res.StatusCode)
	}
}

func TestHoldSendsNothing(t *testing.T) {
	t.Parallel()
	caller, called := talk(t, DialOptions{})
	hold, err := describe(called.phone.host, called.media.port, 1, 2, []Codec{PCMU}, 101, "inactive")
	must(t, err)
	ask(t, called, sip.UPDATE, hold)
	before := caller.Sent()
	must(t, caller.Say(bounded(t), make([]int16, 800)))
	if sent := caller.Sent() - before; sent > 1 {
		t.Errorf("%d packets were sent to a far end that wants none", sent)
	}
}

func TestSessionTimer(t *testing.T) {
	t.Parallel()
	caller, called := talk(t, DialOptions{Headers: [][2]string{{"Session-Expires", "2;refresher=uac"}}})
	happened(t, caller, "UPDATE sent")
	happened(t, called, "UPDATE")
	select {
	case <-caller.Done():
		t.Error("the refresh ended the call")
	default:
	}
}

func TestAbandonAndMute(t *testing.T) {
	t.Parallel()
	caller, called := talk(t, DialOptions{})
	caller.Mute(true)
	before := caller.Sent()
	must(t, caller.Say(bounded(t), make([]int16, 800)))
	if sent := caller.Sent() - before; sent > 1 {
		t.Errorf("%d packets were sent by a muted phone", sent)
	}
	caller.Abandon()
	ctx, cancel := context.WithTimeout(bounded(t), 300*time.Millisecond)
	defer cancel()
	if err := called.Hangup(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("an abandoned phone answered BYE: %v", err)
	}
	if end, err := caller.Wait(ctx); err != nil || end.By != Nobody {
		t.Errorf("the call ended with %+v, %v", end, err)
	}
	if err := caller.Say(bounded(t), nil); !errors.Is(err, ErrCallEnded) {
		t.Errorf("speaking after the end gave %v", err)
	}
}

func TestManyCallsOfOnePhone(t *testing.T) {
	const calls = 20
	uas, uac := newPhone(t, "127.0.40.2", calls), newPhone(t, "127.0.40.1", 0)
	ctx := bounded(t)
	said := hear.Sample(9, time.Second, sampleRate)
	var all sync.WaitGroup
	all.Go(func() {
		for range calls {
			c, err := uas.Accept(ctx)
			if err != nil {
				t.Error(err)
				return
			}
			all.Go(func() {
				check(t, c.Answer(ctx))
				check(t, c.Say(ctx, said))
				check(t, c.Hangup(ctx))
			})
		}
	})
	var heard [calls][]int16
	for i := range calls {
		all.Go(func() {
			c, err := uac.Dial(ctx, DialOptions{Target: uas.URI()})
			if err != nil {
				t.Error(err)
				return
			}
			_, err = c.Wait(ctx)
			check(t, err)
			heard[i] = c.Heard()
		})
	}
	all.Wait()
	for i := range heard {
		resembles(t, heard[i], said)
	}
}

func TestTransfer(t *testing.T) {
	t.Parallel()
	ctx := bounded(t)
	uas := newPhone(t, "127.0.40.2", 1)
	uac, err := New(Options{Addr: "127.0.40.1:0", Transfer: Transfer{Outcome: 486}})
	must(t, err)
	t.Cleanup(func() { check(t, uac.Close()) })
	caller, err := uac.Start(ctx, DialOptions{Target: uas.URI()})
	must(t, err)
	called, err := uas.Accept(ctx)
	must(t, err)
	must(t, called.Answer(ctx))
	if res := ask(t, called, sip.REFER, nil, [2]string{"Refer-To", "<sip:elsewhere@example.com>"}); res.StatusCode != sip.StatusAccepted {
		t.Errorf("REFER was answered %d", res.StatusCode)
	}
	happened(t, called, "NOTIFY")
	if got := caller.Referred(); len(got) != 1 || got[0] != "<sip:elsewhere@example.com>" {
		t.Errorf("the phone was sent to %q", got)
	}
}
