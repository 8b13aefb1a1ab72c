package session

import (
	"slices"

	"asterism/apps"
)

// maxKeys is how many keys are kept that no verb has used up. The oldest are
// forgotten first: a caller who leans on his telephone can still stop a
// playback.
const maxKeys = 256

// keyLog holds the keys that the caller has pressed and no verb has used up,
// in order. A key's number is that of its event in the session, also after
// the session has gone to another worker: so what a verb used up can be
// written down.
type keyLog struct {
	typed    []typedKey
	last     uint64   // the number of the last key
	received int      // how many there were
	used     int      // how many of them were used up
	all      bool     // none is forgotten: the flow is still being replayed, and uses them up
	taken    []uint64 // those that the present verb has used up
}

type typedKey struct {
	n   uint64
	at  int64 // in milliseconds of the Unix epoch by Asterisk's clock, 0 if not known
	key byte
}

// add appends a key and reports whether it is one, and a new one. dropped says
// that an older key was forgotten for it.
func (l *keyLog) add(n uint64, key string, at int64) (ok, dropped bool) {
	if !apps.AllKeys.Has(key) || n <= l.last {
		return false, false
	}
	l.last = n
	l.received++
	l.typed = append(l.typed, typedKey{n, at, key[0]})
	return true, l.forget() > 0
}

// forget drops the oldest keys of too many, and returns how many.
func (l *keyLog) forget() int {
	n := len(l.typed) - maxKeys
	if l.all || n <= 0 {
		return 0
	}
	l.typed = slices.Delete(l.typed, 0, n)
	return n
}

// restore puts keys from the journal before all others.
func (l *keyLog) restore(h *header) {
	for len(l.typed) > 0 && l.typed[0].n <= h.Heard {
		l.typed = l.typed[1:] // a key that the header accounts for
		l.received--
	}
	l.typed = append(slices.Clone(h.Keys), l.typed...)
	l.received += h.Received
	l.used += h.Used
}

// take uses up the first key that is in the set and returns it.
func (l *keyLog) take(set apps.Keys) string {
	for i, k := range l.typed {
		if key := string(k.key); set.Has(key) {
			l.drop(i)
			return key
		}
	}
	return ""
}

// has reports whether a key of the set was typed, up to the event of that
// number.
func (l *keyLog) has(set apps.Keys, until uint64) bool {
	for _, k := range l.typed {
		if k.n <= until && set.Has(string(k.key)) {
			return true
		}
	}
	return false
}

// after returns the keys behind the event of that number.
func (l *keyLog) after(n uint64) []typedKey {
	for i, k := range l.typed {
		if k.n > n {
			return slices.Clone(l.typed[i:])
		}
	}
	return nil
}

// takeNumber uses up the key of that number if it is in the set.
func (l *keyLog) takeNumber(n uint64, set apps.Keys) string {
	for i, k := range l.typed {
		if key := string(k.key); k.n == n && set.Has(key) {
			l.drop(i)
			return key
		}
	}
	return ""
}

func (l *keyLog) drop(i int) {
	l.used++
	l.taken = append(l.taken, l.typed[i].n)
	l.typed = append(l.typed[:i], l.typed[i+1:]...)
	if len(l.typed) == 0 {
		l.typed = nil
	}
}

// takeTaken returns the numbers of the keys that were used up since it was
// last asked.
func (l *keyLog) takeTaken() []uint64 {
	taken := l.taken
	l.taken = nil
	return taken
}
