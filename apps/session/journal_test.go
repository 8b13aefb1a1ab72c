package session

import (
	"testing"

	"asterism/apps"
)

// A stage that began while keys waited must be readable by the next worker.
func TestJournalWithKeysThatWait(t *testing.T) {
	want := header{
		Format: journalFormat, Action: "Menu", N: 3, Stage: "menu", Heard: 9, Received: 2, Used: 1,
		Keys: []typedKey{{n: 7, key: '1'}, {n: 9, key: '#', at: 1_700_000_000_000}},
	}
	raw, err := appendHeader(nil, &want)
	if err != nil {
		t.Fatal(err)
	}
	end := appendEnd(nil, &record{End: 1, Verb: "pause", Hash: "x", Keys: []uint64{7}}, []byte(`"1"`))
	h, memos, _, err := readJournal([][]byte{raw, end})
	if err != nil {
		t.Fatal(err)
	}
	if h.Heard != 9 || len(h.Keys) != 2 || h.Keys[0] != want.Keys[0] || h.Keys[1] != want.Keys[1] {
		t.Errorf("read %+v, want %+v", h, want)
	}
	var keys keyLog
	keys.restore(&h)
	if len(memos) != 1 || len(memos[0].end.Keys) != 1 || keys.take(apps.AllKeys) != "1" {
		t.Errorf("read %+v", memos)
	}
}
