package phone

import (
	"context"
	"errors"
	"os"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m)
	os.Exit(0)
}

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

// talk connects two phones, and returns the caller's and the called one's call.
func talk(t *testing.T, opts DialOptions) (caller, called *Call) {
	t.Helper()
	ctx := bounded(t)
	uas := newPhone(t, "127.0.40.2", 1)
	uac := newPhone(t, "127.0.40.1", 0)
	opts.Target = uas.URI() + opts.Target
	caller, err := uac.Start(ctx, opts)
	if err != nil {
		t.Fatal(err)
	}
	called, err = uas.Accept(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if err := called.Ring(ctx); err != nil {
		t.Fatal(err)
	}
	if err := called.Answer(ctx); err != nil {
		t.Fatal(err)
	}
	if err := caller.Answered(ctx); err != nil {
		t.Fatal(err)
	}
	return caller, called
}

func TestCallOverUDPAndTCP(t *testing.T) {
	for _, transport := range []string{"", ";transport=tcp"} {
		t.Run("transport"+transport, func(t *testing.T) {
			caller, called := talk(t, DialOptions{Target: transport, Headers: [][2]string{{"X-Asterisk-Action", "Playback"}}})
			if got := headerOf(called.Request(), "x-asterisk-action"); got != "Playback" {
				t.Errorf("the far end saw action %q", got)
			}
			ctx := bounded(t)
			if err := called.Hangup(ctx); err != nil {
				t.Error(err)
			}
			end, err := caller.Wait(ctx)
			if err != nil || end.By != FarEnd || !end.Answered {
				t.Errorf("the call ended with %+v, %v", end, err)
			}
			t.Log(caller.Events())
		})
	}
}

func TestNothingListening(t *testing.T) {
	uac := newPhone(t, "127.0.40.1", 0)
	for _, transport := range []string{"", ";transport=tcp"} {
		_, err := uac.Dial(bounded(t), DialOptions{Target: "sip:1@127.0.40.9:9" + transport})
		if !errors.Is(err, ErrUnreachable) {
			t.Errorf("calling nobody%s gave %v", transport, err)
		}
	}
}
