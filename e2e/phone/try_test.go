package phone

import (
	"os"
	"testing"

	"asterism/e2e/phone/hear"
	"time"
)

func TestTryMakeWAV(t *testing.T) {
	f, _ := os.Create("/tmp/phonetry/ast/lib/sounds/welcome.wav")
	_ = hear.WriteWAV(f, hear.Sample(42, 4*time.Second, 8000), 8000)
	f.Close()
	g, _ := os.Create("/tmp/phonetry/say.wav")
	_ = hear.WriteWAV(g, hear.Sample(43, 2*time.Second, 44100), 44100)
	g.Close()
}
