package main

import (
	"fmt"
	"strings"
	"time"

	"asterism/e2e/stack"
)

// welcome says what runs and what to try next.
func welcome(s *stack.Stack, o *stack.Options, took time.Duration) string {
	var b strings.Builder
	fmt.Fprintf(&b, "\nAsterism is running (ready after %v). Ctrl-C stops it.\n\n", took.Round(100*time.Millisecond))
	for _, p := range s.Processes() {
		at := p.URL()
		for n := 1; n <= o.Nodes; n++ {
			if p == s.Process(fmt.Sprintf("asterisk-%d", n)) {
				at = "sip:" + s.SIP(n)
			}
		}
		fmt.Fprintf(&b, "  %-12s process %-8d %s\n", p.Name(), p.Pid(), at)
	}
	dir, config := ".run", ""
	if o.Dir != "" {
		dir, config = o.Dir, " --config "+s.ConfigPath()
	}
	fmt.Fprintf(&b, `
Logs are in %[2]s/log, the configuration is %[2]s/asterism.yaml.

Try, in another terminal:

  bin/asterism%[3]s media put welcome.wav    (any WAV, MP3, FLAC or Ogg of yours)
  bin/asterism call --action Playback --sound welcome --heard heard.wav sip:1000@%[1]s

No sound file at hand? Asterisk brings its own:

  bin/asterism call --action Playback --sound sound:hello-world --heard heard.wav sip:1000@%[1]s

`, s.SIP(1), dir, config)
	return b.String()
}
