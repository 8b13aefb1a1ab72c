package phone

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"time"

	"github.com/emiago/sipgo/sip"
)

// Script is one call as a person would place it: call, say something, press keys, listen until it is over.
type Script struct {
	DialOptions

	Say    []int16       // Spoken once answered; 16-bit samples at 8 kHz.
	Digits string        // Sent after that; see [Call.SendDTMF].
	Bound  time.Duration // The longest the call may last from the INVITE on; then the phone hangs up. 60 s when 0.
}

// Play places the call and returns when it is over. The report is complete with an error too, as far as the call came.
func (s Script) Play(ctx context.Context) (Report, error) {
	bound := defaulted(s.Bound, time.Minute)
	report := Report{Target: s.Target}
	if s.Digits != "" {
		if err := ParseDigits(s.Digits); err != nil {
			return report, err
		}
	}
	host, err := localAddress(s.Target)
	if err != nil {
		return report, err
	}
	p, err := New(Options{Addr: netip.AddrPortFrom(host, 0).String()})
	if err != nil {
		return report, err
	}
	limited, cancel := context.WithTimeoutCause(ctx, bound, boundError(bound))
	defer cancel()
	c, err := p.Dial(limited, s.DialOptions)
	if err == nil {
		err = s.converse(limited, c)
	}
	err = errors.Join(err, p.Close()) //nolint:contextcheck // It has a bound of its own, and must also run after ctx.
	if c != nil {
		report.fill(c)
	}
	if err != nil {
		report.Error = err.Error()
	}
	return report, err
}

// boundError is the cause of a script's own bound.
type boundError time.Duration

func (b boundError) Error() string { return fmt.Sprintf("the bound of %s is over", time.Duration(b)) }

// converse says and keys what the script has, and listens until the end. That the far end hangs up meanwhile is no error.
func (s Script) converse(ctx context.Context, c *Call) error {
	var err error
	if len(s.Say) > 0 {
		err = c.Say(ctx, s.Say)
	}
	if err == nil && s.Digits != "" {
		err = c.SendDTMF(ctx, s.Digits)
	}
	if err == nil {
		_, err = c.Wait(ctx)
	}
	if err == nil || errors.Is(err, ErrCallEnded) {
		return nil
	}
	hangup, cancel := context.WithTimeout(context.WithoutCancel(ctx), byeWait)
	defer cancel()
	bye := c.Hangup(hangup)
	var bound boundError
	if errors.As(err, &bound) || errors.Is(err, context.Canceled) {
		return bye
	}
	return errors.Join(err, bye)
}

// localAddress is the own address from which the target is reached.
func localAddress(target string) (netip.Addr, error) {
	var uri sip.Uri
	if err := sip.ParseUri(target, &uri); err != nil || uri.Host == "" || !strings.HasPrefix(strings.ToLower(target), "sip:") {
		return netip.Addr{}, fmt.Errorf("target %q: expected a SIP URI such as sip:1000@127.0.0.2:5060", target)
	}
	conn, err := net.Dial("udp", hostPort(&uri)) //nolint:noctx // A UDP socket connects at once, and the host is an address.
	if err != nil {
		return netip.Addr{}, unreachable(&uri, err)
	}
	defer conn.Close()
	return conn.LocalAddr().(*net.UDPAddr).AddrPort().Addr().Unmap(), nil
}
