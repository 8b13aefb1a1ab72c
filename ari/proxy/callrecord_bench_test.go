package proxy

import (
	"bytes"
	"testing"

	"github.com/rs/zerolog"
)

// BenchmarkCallRecord is what a call's record costs the gateway, but for its
// delivery.
func BenchmarkCallRecord(b *testing.B) {
	logs, err := openLogStore(b.TempDir(), zerolog.Nop())
	if err != nil {
		b.Fatal(err)
	}
	outcome := []byte(`{"action":"Playback","result":"done","answered":true,"notes":[{"message":"` + string(bytes.Repeat([]byte("x"), 600)) + `"}]}`)
	event := []byte(`{"type":"StasisEnd","channel":{"id":"c","channelvars":{"RTPAUDIOQOS":"ssrc=1;themssrc=2;lp=2;rxjitter=0.003000;rxcount=303;txjitter=0.000125;txcount=300;rlp=1;rtt=0.020500;rxmes=0.000000;txmes=88.087887"}}}`)
	g := &Gateway{opts: GatewayOptions{Node: "n"}, logs: logs}
	k := &records{logs: logs, most: maxWaiting, kick: make(chan struct{}, 1), log: zerolog.Nop(), m: newGatewayMetrics(g, nil)}
	if err := logs.append("c", LogStart{Session: "c"}); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		c := call{id: "i", channel: "c", started: logTime}
		c.facts.heard("StasisEnd", event)
		r := g.record(&c, outcome, Ending{History: History{Workers: []string{"w.1"}}})
		k.closed(&r)
		w, _ := k.next()
		k.done(w)
		b.StopTimer()
		if err := logs.append("c", LogStart{Session: "c"}); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
	}
}
