//go:build e2e

package aritest_test

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"time"

	"asterism/e2e/phone"
	"asterism/e2e/telephony"
)

// TestReal runs every script against a real Asterisk with our configuration. With UPDATE set it writes the
// traces that the imitation must match.
func TestReal(t *testing.T) {
	a := telephony.ForTest(t)
	phones, err := phone.New(phone.Options{Addr: "127.0.50.3:0"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = phones.Close() })
	for _, script := range scripts {
		t.Run(script.name, func(t *testing.T) {
			s := newStage(t, world{
				base: a.ARIURL(), user: a.ARIUser(), password: a.ARIPassword(), client: &http.Client{},
				dial: func(t *testing.T) telephone {
					t.Helper()
					call, err := phones.Start(context.WithoutCancel(t.Context()), phone.DialOptions{
						Target: "sip:1000@" + a.SIPAddress(), From: "sip:5551@127.0.50.3", Codecs: []phone.Codec{phone.PCMU},
					})
					if err != nil {
						t.Fatal(err)
					}
					t.Cleanup(call.Abandon)
					return realPhone{call}
				},
				far: called,
			})
			script.run(s)
			s.pause(200 * time.Millisecond) // for events nobody expects
			s.check(script.name)
		})
	}
}

// called is a telephone that takes one call.
func called(t *testing.T, does string) string {
	t.Helper()
	p, err := phone.New(phone.Options{Addr: "127.0.50.3:0", Incoming: 1})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	taken := make(chan struct{})
	go func() {
		defer close(taken)
		call, err := p.Accept(ctx)
		if err != nil {
			return
		}
		if err := call.Ring(ctx); err != nil {
			t.Errorf("ringing: %v", err)
		}
		time.Sleep(300 * time.Millisecond)
		switch does {
		case "answer":
			err = call.Answer(ctx)
		case "refuse":
			err = call.Reject(ctx, 486, "Busy Here")
		}
		if err != nil {
			t.Errorf("%s: %v", does, err)
		}
		<-call.Done()
	}()
	t.Cleanup(func() {
		cancel()
		_ = p.Close()
		<-taken
	})
	return "PJSIP/edge/" + p.URI()
}

type realPhone struct{ *phone.Call }

func (p realPhone) bounded(t *testing.T) (context.Context, context.CancelFunc) {
	t.Helper()
	return context.WithTimeout(context.WithoutCancel(t.Context()), 10*time.Second)
}

func (p realPhone) press(t *testing.T, digits string) {
	t.Helper()
	ctx, cancel := p.bounded(t)
	defer cancel()
	if err := p.SendDTMF(ctx, digits); err != nil {
		t.Fatal(err)
	}
}

func (p realPhone) hangup(t *testing.T) {
	t.Helper()
	ctx, cancel := p.bounded(t)
	defer cancel()
	if err := p.Hangup(ctx); err != nil {
		t.Fatal(err)
	}
}

func (p realPhone) status(t *testing.T) int {
	t.Helper()
	ctx, cancel := p.bounded(t)
	defer cancel()
	err := p.Answered(ctx)
	var refused *phone.RefusedError
	switch {
	case err == nil:
		return http.StatusOK
	case errors.As(err, &refused):
		return refused.Status
	}
	end, err := p.Wait(ctx)
	if err != nil {
		t.Fatalf("no final SIP status: %v", err)
	}
	return end.Status
}
