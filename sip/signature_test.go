package sip_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"asterism/apps"
	"asterism/sip"
)

const (
	oldSecret = "an old secret of the edge"
	newSecret = "the new secret of the edge"
	callID    = "a84b4c76e66710@pc33.example.com"
)

var signedAt = time.Unix(1767225600, 0)

func key(t *testing.T, id, secret string) sip.Key {
	t.Helper()
	k, err := sip.NewKey(id, secret)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func sign(t *testing.T, k sip.Key, params map[string]string) string {
	t.Helper()
	signer, err := sip.NewSigner(k)
	if err != nil {
		t.Fatal(err)
	}
	value, err := signer.Sign(signedAt, callID, params)
	if err != nil {
		t.Fatal(err)
	}
	return value
}

// signed is an INVITE with these parameters and this signature.
func signed(signature string, params ...sip.Param) sip.Invite {
	if signature != "" {
		params = append(params, sip.Param{Name: "Signature", Value: signature})
	}
	return sip.Invite{Params: params, URI: "sip:1000@h"}
}

var (
	playback = []sip.Param{{Name: "Action", Value: "Playback"}, {Name: "Sound", Value: "welcome"}}
	params   = map[string]string{"Action": "Playback", "X-Asterisk-Sound": " welcome ", "Loop": ""}
)

func TestGate(t *testing.T) {
	newKey, oldKey := key(t, "2026b", newSecret), key(t, "2026a", oldSecret)
	good := sign(t, newKey, params)
	other := func(change func(*sip.Invite)) sip.Invite {
		in := signed(good, playback...)
		change(&in)
		return in
	}
	tests := []struct {
		name string
		in   sip.Invite
		id   string
		at   time.Duration
		want sip.Cause
	}{
		{"good", signed(good, playback...), callID, 0, ""},
		{"in another order", signed(good, playback[1], playback[0]), callID, 0, ""},
		{"by the older key", signed(sign(t, oldKey, params), playback...), callID, 0, ""},
		{"an unknown header beside", other(func(in *sip.Invite) { in.Names = []string{"Future"} }), callID, 0, ""},
		{"just young enough", signed(good, playback...), callID, sip.DefaultMaxAge, ""},
		{"too old", signed(good, playback...), callID, sip.DefaultMaxAge + time.Second, sip.CauseStale},
		{"a clock a little slow", signed(good, playback...), callID, -5 * time.Second, ""},
		{"from the future", signed(good, playback...), callID, -6 * time.Second, sip.CauseFuture},
		{"none", signed("", playback...), callID, 0, sip.CauseUnsigned},
		{"another call", signed(good, playback...), "another", 0, sip.CauseWrong},
		{"no Call-ID", signed(good, playback...), "", 0, sip.CauseNoCallID},
		{"a changed value", signed(good, playback[0], sip.Param{Name: "Sound", Value: "goodbye"}), callID, 0, sip.CauseWrong},
		{"a parameter more", signed(good, playback[0], playback[1], sip.Param{Name: "Loop", Value: "2"}), callID, 0, sip.CauseWrong},
		{"a parameter less", signed(good, playback[0]), callID, 0, sip.CauseWrong},
		{"a second signature", other(func(in *sip.Invite) { in.Signature2 = good }), callID, 0, sip.CauseTwoSigned},
		{"a second signature by name", other(func(in *sip.Invite) { in.Names = []string{"Signature", "Signature"} }), callID, 0, sip.CauseTwoSigned},
		{"a changed time", signed(strings.Replace(good, "t=17", "t=18", 1), playback...), callID, 0, sip.CauseWrong},
		{"the other key's id", signed(strings.Replace(good, "2026b", "2026a", 1), playback...), callID, 0, sip.CauseWrong},
		{"an unknown key", signed(sign(t, key(t, "2027", newSecret), params), playback...), callID, 0, sip.CauseKey},
		{"a key of that id with another secret", signed(sign(t, key(t, "2026b", oldSecret), params), playback...), callID, 0, sip.CauseWrong},
		{"garbage", signed("garbage", playback...), callID, 0, sip.CauseGarbled},
		{"a short sum", signed(good[:len(good)-2], playback...), callID, 0, sip.CauseGarbled},
		{"a sum that is not hex", signed(good[:len(good)-2]+"zz", playback...), callID, 0, sip.CauseGarbled},
		{"a time with a sign", signed(strings.Replace(good, "t=", "t=+", 1), playback...), callID, 0, sip.CauseGarbled},
		{"a part more", signed(good+";x=1", playback...), callID, 0, sip.CauseGarbled},
	}
	gate := sip.NewGate(newKey, oldKey)
	if gate.Trust() != sip.TrustSigned {
		t.Errorf("with keys the mode is %q", gate.Trust())
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			args := tt.in.Args()
			if len(tt.in.Names) > 1 { // Args lists a name once
				args[1] = "X-Asterisk-Signature%2CX-Asterisk-Signature"
			}
			err := gate.Admit(args, tt.id, signedAt.Add(tt.at))
			if tt.want == "" {
				if err != nil {
					t.Errorf("refused: %v", err)
				}
				return
			}
			if v := apps.VerdictOf(err); err == nil || v.Status != 403 || sip.CauseOf(err) != tt.want {
				t.Errorf("%v: status %d, cause %q; want 403, %q", err, v.Status, sip.CauseOf(err), tt.want)
			}
			if v := apps.VerdictOf(err); strings.Contains(v.Reason, string(tt.want)) {
				t.Errorf("the caller is told %q", v.Reason)
			}
		})
	}
}

// Both signatures are passed as the first one is.
func TestSignaturePassedTwice(t *testing.T) {
	k := key(t, "k", newSecret)
	args := signed(sign(t, k, params), playback...).Args()
	i := slices.IndexFunc(args, func(arg string) bool { return strings.HasPrefix(arg, "Signature=") })
	args = slices.Insert(args, i, args[i])
	if err := sip.NewGate(k).Admit(args, callID, signedAt); sip.CauseOf(err) != sip.CauseTwoSigned {
		t.Errorf("a signature that is passed twice: %v", err)
	}
}

func TestGateWithoutKeys(t *testing.T) {
	var gate sip.Gate
	if gate.Trust() != sip.TrustNetwork {
		t.Errorf("without keys the mode is %q", gate.Trust())
	}
	if err := gate.Admit(signed("", playback...).Args(), "", signedAt); err != nil {
		t.Errorf("an unsigned call is refused: %v", err)
	}
	if err := gate.Admit([]string{"1", "", "Action=Playback"}, callID, signedAt); sip.CauseOf(err) != sip.CauseCut {
		t.Errorf("cut arguments: %v", err)
	}
}

// The length before each string keeps two sets of parameters apart that would
// otherwise be the same bytes.
func TestSignaturesDoNotCollide(t *testing.T) {
	k := key(t, "k", newSecret)
	sets := []map[string]string{
		{"Sound": "a", "Vars": "b"},
		{"Sound": "a4:Vars1:b"},
		{"Sound": "a;Vars=b"},
		{"Sound": "aVarsb"},
		{"Sound": "b", "Vars": "a"},
		{"Sound": "ab"},
		{},
	}
	seen := make(map[string]int)
	for i, set := range sets {
		value := sign(t, k, set)
		if j, ok := seen[value]; ok {
			t.Errorf("%v and %v have one signature", sets[i], sets[j])
		}
		seen[value] = i
	}
}

// The form is public: other programs sign, too.
func TestSignatureForm(t *testing.T) {
	got := sign(t, key(t, "2026b", newSecret), params)
	// printf '18:asterism-headers-15:2026b10:176722560031:a84b4c76e66710@pc33.example.com6:Action8:Playback5:Sound7:welcome' |
	//   openssl dgst -sha256 -hmac 'the new secret of the edge'
	const want = "t=1767225600;k=2026b;h=e7974a747a166788692f182bd1932a79f7e8197d94d8e9b5429d21b35d0aeb5c"
	if got != want {
		t.Errorf("the signature is\n%s, want\n%s", got, want)
	}
}

func TestSignUnknownHeader(t *testing.T) {
	signer, _ := sip.NewSigner(key(t, "k", newSecret))
	if _, err := signer.Sign(signedAt, callID, map[string]string{"Nonsense": "1"}); err == nil || !strings.Contains(err.Error(), "X-Asterisk-Nonsense") {
		t.Errorf("signing an unknown header: %v", err)
	}
	if _, err := sip.NewSigner(); err == nil {
		t.Error("a signer without a key")
	}
	if _, err := sip.NewSigner(sip.Key{}); err == nil {
		t.Error("a signer with an empty key")
	}
}

func TestNewKey(t *testing.T) {
	for _, tt := range []struct{ id, secret, want string }{
		{"", newSecret, "key id"},
		{"a;b", newSecret, "key id"},
		{strings.Repeat("a", 33), newSecret, "key id"},
		{"k", "fifteen bytes !", "at least 16"},
	} {
		_, err := sip.NewKey(tt.id, tt.secret)
		if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), tt.secret) {
			t.Errorf("NewKey(%q, …) = %v, want %q and no secret", tt.id, err, tt.want)
		}
	}
	if k := key(t, "k", "sixteen bytes !!"); k.ID() != "k" || k.String() != "key k" {
		t.Errorf("the key is %v", k)
	}
}

// However a key is printed, logged or encoded, inside whatever: no secret.
func TestKeysStaySecret(t *testing.T) {
	k := key(t, "k", newSecret)
	type config struct {
		Keys []sip.Key
		key  sip.Key
		gate *sip.Gate
	}
	gate := sip.NewGate(k)
	c := config{[]sip.Key{k}, k, &gate}
	var out bytes.Buffer
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		for _, v := range []any{k, &k, c, &c, gate, []sip.Key{k}} {
			fmt.Fprintf(&out, verb+"\n", v)
		}
	}
	log := zerolog.New(&out)
	log.Info().Any("key", k).Any("config", c).Stringer("k", k).Interface("gate", gate).Msg("keys")
	text, err := json.Marshal(c)
	out.Write(text)
	for _, secret := range []string{newSecret, fmt.Sprintf("%x", newSecret), "116 104 101"} {
		if strings.Contains(out.String(), secret) {
			t.Errorf("the secret shows (%v):\n%s", err, out.String())
		}
	}
}

func BenchmarkAdmit(b *testing.B) {
	k, _ := sip.NewKey("2026b", newSecret)
	signer, _ := sip.NewSigner(k)
	value, _ := signer.Sign(signedAt, callID, params)
	args := signed(value, playback...).Args()
	gate := sip.NewGate(k)
	b.ReportAllocs()
	for b.Loop() {
		if err := gate.Admit(args, callID, signedAt); err != nil {
			b.Fatal(err)
		}
	}
}
