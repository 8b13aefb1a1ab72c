package proxy

import (
	"encoding/json"
	"math"
	"testing"
)

// What is written by hand is what encoding/json writes.
func TestHeadersWrittenByHand(t *testing.T) {
	for _, s := range []string{"", "n1-1795354409.76", `q"\<>&`, "ü\x00\xff\u2028~"} {
		for _, token := range []Token{{}, {3, 7}, {math.MaxUint64, math.MaxUint64}} {
			command := commandHeader{Session: s, Token: token, ID: "0." + s, TTL: 10_000, Ack: 9}
			full := command
			full.Records, full.Final, full.Reset, full.Heard = 2, true, true, 17
			full.Steps = []Step{ARI("POST", "/channels/"+s+"/answer", []byte("{}")), {Name: s}, {Method: s, Name: s}, {}}
			none := command
			none.Steps = []Step{}
			for _, header := range []any{
				&renewHeader{Worker: s, Sessions: []renewEntry{}},
				&renewHeader{Worker: "w", Sessions: []renewEntry{{s, token, 0}, {"b", token, math.MaxUint64}}, Part: true},
				&acceptHeader{Session: s, Token: token}, &acceptHeader{Session: s, Token: token, Busy: true, Command: &full},
				&command, &full, &none,
			} {
				want, err := json.Marshal(header)
				if err != nil {
					t.Fatal(err)
				}
				if _, ok := header.(appender); !ok {
					t.Fatalf("%T is not written by hand", header)
				}
				if got, err := marshalHeader(header); err != nil || string(got) != string(want) {
					t.Errorf("%T: got %s (%v), expected %s", header, got, err, want)
				}
			}
		}
	}
}
