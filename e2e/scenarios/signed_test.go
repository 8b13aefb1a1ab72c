//go:build e2e

package scenarios

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"asterism/e2e/stack"
	"asterism/sip"
)

const secret = "a secret of the edge, long enough"

// TestSignatures is a platform with a key: only the edge may call.
func TestSignatures(t *testing.T) {
	t.Parallel()
	key := filepath.Join(t.TempDir(), "edge.key")
	if err := os.WriteFile(key, []byte(secret+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	p := start(t, stack.Options{Set: []string{"trust.keys[0].id=edge", "trust.keys[0].key_file=" + key, "trust.max_age=30s"}})
	hello := playback("sound:hello-world")
	t.Run("signed by asterism call", func(t *testing.T) {
		out := p.asterism(t, "call", "--action", "Playback", "--sound", "sound:hello-world", "--key-id", "edge", "--key-file", key, "sip:1000@"+p.SIP(1))
		if !strings.Contains(out, "Answered after") || !strings.Contains(out, "Ended by far end") {
			t.Errorf("asterism call says %q; want an answered call", out)
		}
	})
	t.Run("unsigned by asterism call", func(t *testing.T) {
		out, err := run(t, p.binary, "call", "--action", "Playback", "--sound", "sound:hello-world", "sip:1000@"+p.SIP(1))
		if err == nil || !strings.Contains(out, "403") {
			t.Errorf("asterism call says %q, %v; want a failure with 403", out, err)
		}
	})
	const callID = "call-of-the-test"
	good := sign(t, "edge", secret, callID, time.Now(), hello)
	last := good[len(good)-1]
	for _, test := range []struct {
		name, cause string
		headers     [][2]string
	}{
		{"unsigned", "signature missing", hello},
		{"doubled", "doubled", append(slices.Clip(good), last)},
		{"stale", "signature stale", sign(t, "edge", secret, callID, time.Now().Add(-time.Minute), hello)},
		{"of the future", "signature future", sign(t, "edge", secret, callID, time.Now().Add(time.Minute), hello)},
		{"by another key", "signature key", sign(t, "other", secret, callID, time.Now(), hello)},
		{"by a wrong secret", "signature wrong", sign(t, "edge", secret+"!", callID, time.Now(), hello)},
		{"of another call", "signature wrong", sign(t, "edge", secret, "another-call", time.Now(), hello)},
		{"of another sound", "signature wrong", append(playback("sound:tt-weasels"), last)},
		{"with more than was signed", "signature wrong", append(slices.Clip(good), [2]string{"X-Asterisk-Loop", "0"})},
		{"garbled", "signature garbled", append(playback("sound:hello-world"), [2]string{"X-Asterisk-Signature", "yes"})},
	} {
		t.Run(test.name, func(t *testing.T) {
			o := p.to(1, test.headers)
			o.CallID = callID
			c, err := dialWith(t, o)
			r := refusedWith(t, c, err, 403)
			r.says(t, "signature")
			if strings.Contains(r.reason, "key") || strings.Contains(r.reason, "stale") {
				t.Errorf("the caller is told too much: %q", r.reason)
			}
			if refused := p.metric(t, "run-1", "asterism_calls_refused_total"); refused < 1 {
				t.Error("the refusal was not counted")
			}
			p.logged(t, "run-1", callID, "call refused", "403", test.cause)
		})
	}
	t.Run("signed", func(t *testing.T) {
		o := p.to(1, sign(t, "edge", secret, callID, time.Now(), hello))
		o.CallID = callID
		c, err := dialWith(t, o)
		if err != nil {
			t.Fatal(err)
		}
		endedByFarEnd(t, c)
	})
}

// sign adds the signature to headers.
func sign(t *testing.T, id, secret, callID string, now time.Time, headers [][2]string) [][2]string {
	t.Helper()
	key, err := sip.NewKey(id, secret)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := sip.NewSigner(key)
	if err != nil {
		t.Fatal(err)
	}
	params := map[string]string{}
	for _, h := range headers {
		params[h[0]] = h[1]
	}
	value, err := signer.Sign(now, callID, params)
	if err != nil {
		t.Fatal(err)
	}
	return append(slices.Clip(headers), [2]string{"X-Asterisk-Signature", value})
}
