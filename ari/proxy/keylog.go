package proxy

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"time"

	"asterism/ari"
)

// The key log is a file in which Asterisk itself writes down each key that it
// receives (asterisk-conf/logger.conf). It sends keys to nobody while the
// gateway is away; in the file the gateway finds them when it is back.

const (
	// maxKeyLog is how many bytes of the file, of which a key takes about 500,
	// are read, and how large it may become while the gateway looks after it.
	maxKeyLog = 4 << 20
	// tidyKeys is how often the keys that were taken in are removed.
	tidyKeys = 5 * time.Second
	// sameKey is how much later than its line in the file a key's event may be.
	// Asterisk makes one right after the other; it was up to 1 ms. No two keys
	// are that near: Asterisk takes each to last 80 ms at least.
	sameKey = 75 * time.Millisecond
	// lateLine is how much later than its event a key's line may be: when the
	// clock ticks between them, or the machine takes another thread.
	lateLine = 20 * time.Millisecond
	// doubtTime bounds how long after a recovery an event may be one of a
	// recovered key: it waited in the queue meanwhile.
	doubtTime = 10 * time.Second
)

// keyLine is a key in the key log.
type keyLine struct {
	at      time.Time
	channel string // its name
	key     string
}

// keyTime is how asterisk-conf/logger.conf makes Asterisk write times.
const keyTime = "2006-01-02 15:04:05.000-0700"

// keyClock is the time as the key log has it: of the wall clock, which Asterisk
// beside the gateway shares, in milliseconds.
func keyClock() time.Time { return time.Now().Round(0).Truncate(time.Millisecond) }

// parseKeyLine reads one line of the key log. Of the five lines that Asterisk
// writes for a key, the one that stands for its ChannelDtmfReceived is
//
//	[2026-11-22 16:38:33.831+0000] DTMF[79][C-00000001] channel.c: DTMF end '9' received on PJSIP/edge-00000000, duration 100 ms
//
// (main/channel.c, __ast_read). Of all others it says false.
func parseKeyLine(line []byte) (keyLine, bool) {
	stamp, rest, ok := strings.Cut(string(line), "] DTMF[")
	if !ok || !strings.HasPrefix(stamp, "[") {
		return keyLine{}, false
	}
	at, err := time.Parse(keyTime, stamp[1:])
	if err != nil {
		return keyLine{}, false
	}
	_, rest, ok = strings.Cut(rest, ": DTMF end '")
	if !ok {
		return keyLine{}, false
	}
	key, rest, ok := strings.Cut(rest, "' received on ")
	end := strings.LastIndex(rest, ", duration ")
	if !ok || end <= 0 || len(key) != 1 || !strings.Contains("0123456789*#ABCDabcd", key) {
		return keyLine{}, false
	}
	return keyLine{at: at.UTC(), channel: rest[:end], key: strings.ToUpper(key)}, true
}

// parseKeyLog returns the keys of a piece of the key log, which may begin and
// end within a line.
func parseKeyLog(data []byte) []keyLine {
	var keys []keyLine
	for len(data) > 0 {
		i := bytes.IndexByte(data, '\n')
		if i < 0 {
			break // it is still being written
		}
		if k, ok := parseKeyLine(data[:i]); ok {
			keys = append(keys, k)
		}
		data = data[i+1:]
	}
	return keys
}

// readKeyLog returns the keys in the last maxKeyLog bytes of the key log, and
// how long the file is.
func readKeyLog(path string) (keys []keyLine, size int64, err error) {
	f, err := os.Open(path) //nolint:gosec // named by the configuration
	if err != nil {
		return nil, 0, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, 0, err
	}
	size = info.Size()
	data, err := io.ReadAll(io.NewSectionReader(f, max(0, size-maxKeyLog), maxKeyLog))
	if err != nil {
		return nil, 0, err
	}
	return parseKeyLog(data), size, nil
}

// secureKeyLog makes the key log if Asterisk has not made it, and closes it to
// everybody but its owner and its group: keys may be PINs.
func secureKeyLog(path string) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o660) //nolint:gosec // Asterisk may be another user of the group
	if err == nil {
		// Whatever the process's umask is, the group must be able to write.
		return errors.Join(f.Chmod(0o660), f.Close())
	}
	if !errors.Is(err, fs.ErrExist) {
		return err
	}
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return err
	case !info.Mode().IsRegular():
		return fmt.Errorf("%s is not a regular file", path)
	case info.Mode().Perm()&0o007 == 0:
		return nil
	}
	return os.Chmod(path, info.Mode().Perm()&^0o007)
}

// recoverKeys takes in the keys that were pressed while there was no
// connection to Asterisk. Their events were sent to nobody; those that were
// sent since the connection is there are recognised when they come.
func (g *Gateway) recoverKeys(info *ari.AsteriskInfo) {
	if g.opts.KeyLog == "" || g.Calls() == 0 {
		return
	}
	keys, _, err := readKeyLog(g.opts.KeyLog)
	if err != nil {
		g.opts.Log.Warn().Err(err).Msg("keys that were pressed while Asterisk was not connected are lost: its key log cannot be read")
		return
	}
	var started time.Time
	if info.Status != nil {
		started = info.Status.StartupTime.Time
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	sessions := g.named(started)
	for _, k := range keys {
		session := sessions[k.channel]
		c := g.calls[session]
		if c == nil || c.heardOf(k.at) {
			continue
		}
		c.lastKey, c.ofEvent = k.at, false
		if !k.at.Before(g.awayUntil) {
			c.doubtful, c.doubtUntil = k.key, time.Now().Add(doubtTime)
		}
		g.metrics.keysRecovered.Inc()
		c.log.Info().Msg("key was pressed while Asterisk was not connected")
		d := Digit{Key: k.key, At: k.at}
		g.step(MsgEvent{Session: session, Raw: digitEvent(c.channel, d), Digit: d.Key, At: d.At})
	}
}

// named returns the sessions by the names of their channels, without those
// that are older than the Asterisk that runs now: it gives the same names
// again. The lock is held.
func (g *Gateway) named(started time.Time) map[string]string {
	names := make(map[string]string, len(g.calls))
	for session, c := range g.calls {
		if c.name != "" && !c.started.Before(started) {
			names[c.name] = session
		}
	}
	return names
}

// keyed notes a key of which an event tells, and reports false when the key
// was taken in already, from the key log. The lock is held.
func (c *call) keyed(key string, at time.Time) bool {
	if at.IsZero() {
		return true
	}
	if c.doubtful != "" && time.Now().Before(c.doubtUntil) {
		late := at.Sub(c.lastKey)
		if late <= 0 {
			return false // the file was read up to lastKey
		}
		if key == c.doubtful && late <= sameKey {
			c.doubtful = ""
			return false
		}
	}
	c.doubtful, c.lastKey, c.ofEvent = "", at, true
	return true
}

// heardOf reports whether a key of which the key log tells was taken in
// already. The lock is held.
func (c *call) heardOf(at time.Time) bool {
	if c.ofEvent {
		at = at.Add(-lateLine)
	}
	return !at.After(c.lastKey)
}

// watchKeyLog removes keys from the key log once they were taken in.
func (g *Gateway) watchKeyLog(ctx context.Context) {
	if err := secureKeyLog(g.opts.KeyLog); err != nil {
		g.opts.Log.Warn().Err(err).Msg("key log: keys that are pressed while Asterisk is not connected may be lost, or may be read by others")
	}
	t := time.NewTicker(tidyKeys)
	defer t.Stop()
	said := false
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
		if err := g.tidyKeyLog(); err != nil && !said {
			said = true
			g.opts.Log.Warn().Err(err).Msg("key log was not emptied; it grows")
		}
	}
}

// tidyKeyLog empties the key log if the events of all keys in it have come.
// Asterisk writes on at the beginning.
func (g *Gateway) tidyKeyLog() error {
	info, err := os.Stat(g.opts.KeyLog)
	if err != nil || info.Size() == 0 || !g.connectedNow() {
		return err
	}
	keys, size, err := readKeyLog(g.opts.KeyLog)
	if err != nil {
		return err
	}
	if !g.heardAll(keys) {
		if size <= maxKeyLog {
			return nil
		}
		g.opts.Log.Warn().Int64("bytes", size).Msg("key log is emptied although not all of its keys were heard of: it is too large")
	}
	if info, err = os.Stat(g.opts.KeyLog); err != nil || info.Size() != size {
		return err // a key was just pressed
	}
	return os.Truncate(g.opts.KeyLog, 0)
}

// connectedNow reports whether events come from Asterisk.
func (g *Gateway) connectedNow() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.ariErr == nil
}

// heardAll reports whether no key of a call is newer than the last one that
// was heard of.
func (g *Gateway) heardAll(keys []keyLine) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.ariErr != nil {
		return false
	}
	sessions := g.named(g.started)
	for _, k := range keys {
		if c := g.calls[sessions[k.channel]]; c != nil && !c.heardOf(k.at) {
			return false
		}
	}
	return true
}
