package session

import (
	"context"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"asterism/apps"
	"asterism/ari/aritest"
)

// TestReplayPage: a worker logs what docs/replay.md says that it logs when a
// flow is replayed that draws another number each time.
func TestReplayPage(t *testing.T) {
	page, err := os.ReadFile("../../docs/replay.md")
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile("(?s)```text log\n(.*?)\n```").FindSubmatch(page)
	if m == nil {
		t.Fatal("the page does not show what is logged")
	}
	synctest.Test(t, func(t *testing.T) {
		code := 1959
		n := newNode(t, func(ctx context.Context, _ apps.Env, call apps.Call, _ apps.Request) error {
			code++
			if _, err := call.Play(ctx, apps.PlayRule{Sounds: []string{"your-code-is"}, Answer: true}); err != nil {
				return err
			}
			_, err := call.Play(ctx, apps.PlayRule{Sounds: []string{fmt.Sprintf("digits:%d", code)}})
			return err
		})
		n.media["your-code-is"] = medium{length: time.Second}
		n.fate = func(_ int, at string) fate {
			if code == 1960 && at == "command 0.play.2 is not answered" {
				return dies
			}
			return lives
		}
		c := n.call(aritest.Invite{})
		n.runs.Wait()
		synctest.Wait()
		n.mu.Lock()
		defer n.mu.Unlock()
		want := string(m[1])
		if !strings.Contains(n.log.String(), want) || !c.State().Ended {
			t.Errorf("logged was:\n%s\nwant %s", n.log.String(), want)
		}
	})
}
