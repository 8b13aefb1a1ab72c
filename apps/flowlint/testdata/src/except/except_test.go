package except

import (
	"context"
	"testing"
	"time"

	"asterism/apps"
)

func TestFlow(t *testing.T) {
	_ = func(ctx context.Context, call apps.Call) { _ = time.Now() } // a test may
}
