package chaos

import (
	"context"
	"encoding/binary"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"asterism/e2e/phone"
	"asterism/e2e/phone/hear"
)

const (
	shortPrompts = 16
	// longPrompt is the number of the prompt in which keys move about, and
	// briefPrompt that of the quick suite.
	longPrompt  = shortPrompts
	longLength  = 20 * time.Second
	briefPrompt = longPrompt + 1
	briefLength = 11 * time.Second
	// quickPrompts are those of at most quickLength: a loop has many of them.
	quickLength = 1500 * time.Millisecond
)

// prompts are all sounds of the suite, each different from the others at every
// moment, by number.
type prompts struct {
	pcm   [][]int16
	words *hear.Vocabulary
}

// newPrompts makes voice-like sounds of different length. They are what comes
// out of the telephone's codec, so that they arrive sample for sample.
func newPrompts() *prompts {
	p := &prompts{}
	for n := range shortPrompts {
		p.add(n, time.Duration(1100+100*(n*7%shortPrompts))*time.Millisecond)
	}
	p.add(longPrompt, longLength)
	p.add(briefPrompt, briefLength)
	p.words = hear.NewVocabulary(p.pcm...)
	return p
}

func (p *prompts) add(n int, length time.Duration) {
	p.pcm = append(p.pcm, phone.PCMU.Through(hear.Sample(uint64(9000+n), length, 8000)))
}

// length is how long a prompt is.
func (p *prompts) length(n int) time.Duration {
	return time.Duration(len(p.pcm[n])) * time.Second / 8000
}

// quick is one of the prompts for loops of many rounds, any but the same for
// the same number.
func (p *prompts) quick(n int) int {
	var all []int
	for i := range shortPrompts {
		if p.length(i) <= quickLength {
			all = append(all, i)
		}
	}
	return all[n%len(all)]
}

// promptName is the name under which storage has a prompt.
func promptName(n int) string { return fmt.Sprintf("chaos/%02d", n) }

// freshName is another name for the n-th prompt, new in each round.
func freshName(round string, n int) string { return fmt.Sprintf("chaos/fresh/%s/%02d", round, n) }

// put stores a prompt as a person would.
func (p *prompts) put(ctx context.Context, binary, config string, n int, name, dir string) error {
	file := filepath.Join(dir, fmt.Sprintf("prompt-%02d.wav", n))
	if err := os.WriteFile(file, wav(p.pcm[n]), 0o600); err != nil {
		return fmt.Errorf("prompt: %w", err)
	}
	out, err := exec.CommandContext(ctx, binary, "--config", config, "media", "put", file, name).CombinedOutput()
	if err != nil {
		return fmt.Errorf("put the prompt %s: %w: %s", name, err, out)
	}
	return nil
}

// wav is a WAV file of 16-bit samples at 8 kHz.
func wav(pcm []int16) []byte {
	size := uint32(2 * len(pcm))
	b := binary.LittleEndian.AppendUint32([]byte("RIFF"), 36+size)
	b = binary.LittleEndian.AppendUint32(append(b, "WAVEfmt "...), 16)
	for _, v := range []uint16{1, 1} {
		b = binary.LittleEndian.AppendUint16(b, v)
	}
	for _, v := range []uint32{8000, 16000} {
		b = binary.LittleEndian.AppendUint32(b, v)
	}
	for _, v := range []uint16{2, 16} {
		b = binary.LittleEndian.AppendUint16(b, v)
	}
	b = binary.LittleEndian.AppendUint32(append(b, "data"...), size)
	for _, s := range pcm {
		b = binary.LittleEndian.AppendUint16(b, uint16(s))
	}
	return b
}
