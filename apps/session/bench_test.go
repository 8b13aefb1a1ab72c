package session

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"testing"

	"asterism/apps"
	"asterism/ari/proxy"
)

// BenchmarkJournal is what the journal adds to a call that plays a prompt: the
// header and the begin and end of its only verb.
func BenchmarkJournal(b *testing.B) {
	rule := apps.PlayRule{Sounds: []string{"welcome"}, Answer: true}
	played := apps.Played{Heard: 3_000_000_000, Ended: apps.EndedComplete, Offset: 3_000_000_000}
	size := 0
	b.ReportAllocs()
	for b.Loop() {
		var st stage
		raw, err := appendHeader(make([]byte, 0, 48), &header{Format: journalFormat, Action: "Playback"})
		if err != nil {
			b.Fatal(err)
		}
		st.add(raw)
		hash := hashRule(&rule)
		st.add(appendBegin(make([]byte, 0, 64), 1, "play", hash, 1))
		size = sizeOf(st.pending...)
		var buf [96]byte
		end := record{End: 1, Verb: "play", Hash: hash, Up: true}
		st.add(appendEnd(make([]byte, 0, 128), &end, playedCodec.put(buf[:0], played)))
	}
	b.ReportMetric(float64(size), "bytes/call")
}

// BenchmarkReplay takes a call up from a journal of ten verbs, and ends it.
func BenchmarkReplay(b *testing.B) {
	raw, err := os.ReadFile("testdata/journal-1-first")
	if err != nil {
		b.Fatal(err)
	}
	head, _, _ := bytes.Cut(raw, []byte("\n"))
	journal := [][]byte{head}
	var h hasher
	h.number(1)
	for k := 1; k <= 10; k++ {
		journal = append(journal, fmt.Appendf(nil, `{"e":%d,"v":"random","h":%q,"r":0}`, k, h.String()))
	}
	pool, err := NewPool(Options{
		Parse: func([]string, Channel) (apps.Request, []string, error) { return apps.Request{Action: "Test"}, nil, nil },
		Lookup: func(name string) (apps.Action, bool) {
			return apps.Action{Name: name, Flow: func(ctx context.Context, _ apps.Env, call apps.Call, _ apps.Request) error {
				for range 10 {
					if _, err := call.Random(ctx, 1); err != nil {
						return err
					}
				}
				return nil
			}}, true
		},
	})
	if err != nil {
		b.Fatal(err)
	}
	event := fmt.Appendf(nil, stasisStart, "c")
	b.ReportAllocs()
	for b.Loop() {
		s := pool.open(&idleLink{"c"}, proxy.Start{Event: event, Journal: journal, Again: true})
		s.Run(b.Context())
		if s.stage.verbs != 10 || s.stage.stuck != nil {
			b.Fatalf("%d verbs were replayed: %v", s.stage.verbs, s.stage.stuck)
		}
	}
}
