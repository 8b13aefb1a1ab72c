package session

import "asterism/apps"

// maxKeys is how many keys are kept that no verb has used up. The oldest are
// forgotten first: a caller who leans on his telephone can still stop a
// playback.
const maxKeys = 256

// keyLog holds the keys that the caller has pressed and no verb has used up.
// Keys are numbered from 1 on in the order of their events, so that what a
// verb used up can be written down by number.
type keyLog struct {
	typed    []typedKey
	received int // the number of the last key
	used     int
}

type typedKey struct {
	n   int32
	key byte
}

// add appends a key and returns its number, 0 when it is none. dropped says
// that an older key was forgotten for it.
func (l *keyLog) add(key string) (n int, dropped bool) {
	if !apps.AllKeys.Has(key) {
		return 0, false
	}
	l.received++
	if len(l.typed) >= maxKeys {
		l.typed = append(l.typed[:0], l.typed[1:]...)
		dropped = true
	}
	l.typed = append(l.typed, typedKey{int32(l.received), key[0]})
	return l.received, dropped
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

// has reports whether a key of the set was typed.
func (l *keyLog) has(set apps.Keys) bool {
	for _, k := range l.typed {
		if set.Has(string(k.key)) {
			return true
		}
	}
	return false
}

// takeNumber uses up the key of that number if it is in the set.
func (l *keyLog) takeNumber(n int, set apps.Keys) string {
	for i, k := range l.typed {
		if key := string(k.key); int(k.n) == n && set.Has(key) {
			l.drop(i)
			return key
		}
	}
	return ""
}

func (l *keyLog) drop(i int) {
	l.used++
	l.typed = append(l.typed[:i], l.typed[i+1:]...)
	if len(l.typed) == 0 {
		l.typed = nil
	}
}
