package sip

import "time"

// Trust says why the headers of a call are believed.
type Trust string

// The modes of trust.
const (
	// TrustNetwork: because only the edge can reach Asterisk. This is meant
	// for loopback and for sites that write the headers themselves.
	TrustNetwork Trust = "network"
	// TrustSigned: because they bear a signature by a key we know.
	TrustSigned Trust = "signed"
)

// Gate decides at the node whether a call may come in, before any worker is
// asked. The zero Gate trusts the network.
type Gate struct{ Verifier Verifier }

// NewGate returns a gate that wants signatures as soon as there is a key.
func NewGate(keys ...Key) Gate { return Gate{Verifier: Verifier{Keys: keys}} }

// Trust returns the mode: [TrustSigned] when a key is configured.
func (g Gate) Trust() Trust {
	if len(g.Verifier.Keys) == 0 {
		return TrustNetwork
	}
	return TrustSigned
}

// Admit checks the arguments of a StasisStart: that they are complete and
// well-formed, and in the mode signed that the signature fits them and the
// Call-ID, which is the channel's protocol_id. The error is an
// [*apps.Refusal] that wraps a [Cause]. Whether the values make sense is left
// to [Invite.Request].
func (g Gate) Admit(args []string, callID string, now time.Time) error {
	in, err := ParseArgs(args)
	if err != nil {
		return err
	}
	if g.Trust() == TrustNetwork {
		return nil
	}
	return g.Verifier.Verify(in, callID, now)
}
