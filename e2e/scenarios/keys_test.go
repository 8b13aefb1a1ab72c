//go:build e2e

package scenarios

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"asterism/e2e/phone"
	"asterism/e2e/stack"
)

// TestKeysWhileNobodyListens presses the key that ends a call while Asterisk
// has nobody to tell of it.
func TestKeysWhileNobodyListens(t *testing.T) {
	p := start(t, stack.Options{Split: true, Relays: true})
	p.prompt(t, "endless", 141, 2*time.Second)
	waiting := playback("endless", "Loop", "forever", "Digits-Stop", "5")
	obeyed := func(t *testing.T, c *phone.Call) {
		t.Helper()
		if end := ended(t, c); end.By != phone.FarEnd {
			t.Errorf("the call ended by %s; want its key obeyed", end.By)
		}
		p.logged(t, "gateway-1", c.ID(), "key was pressed while Asterisk was not connected")
		p.logged(t, "gateway-1", c.ID(), "call ended", `"digit":"5"`)
	}
	t.Run("websocket dropped", func(t *testing.T) {
		p.allReady(t)
		c := p.call(t, waiting)
		listen(t, c, 500*time.Millisecond)
		relay := p.Relay(1, stack.ToARI)
		relay.Drop(stack.Websocket)
		press(t, c, "35")
		wait(t, 300*time.Millisecond) // Asterisk takes the key when it is let go
		relay.Heal()
		obeyed(t, c)
	})
	t.Run("gateway killed", func(t *testing.T) {
		p.allReady(t)
		c := p.call(t, waiting)
		listen(t, c, 500*time.Millisecond)
		before := p.Process("gateway-1").Restarts()
		signal(t, p, "gateway-1", syscall.SIGKILL)
		press(t, c, "35")
		eventually(t, "the gateway to be started again", func() bool { return p.Process("gateway-1").Restarts() > before })
		obeyed(t, c)
	})
	t.Run("nothing is left of them", func(t *testing.T) {
		name := filepath.Join(p.Asterisk(1).SpoolDir(), "keys.log")
		eventually(t, "an empty key log", func() bool {
			keys, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			return len(strings.TrimSpace(string(keys))) == 0
		})
		if info, err := os.Stat(name); err != nil || info.Mode().Perm()&0o007 != 0 {
			t.Errorf("the key log: %v, %v; nobody else may read it", info, err)
		}
	})
	p.nothingLeft(t)
}
