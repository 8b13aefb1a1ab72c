package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"asterism/e2e/phone"
	"asterism/e2e/phone/hear"
)

// telephoneRate is the sampling rate of what is said and heard, in Hz.
const telephoneRate = 8000

// CallCmd places one call, says what happened, and stores what was heard. It needs no softphone.
type CallCmd struct {
	Target string `arg:"" help:"SIP URI to call, such as sip:1000@127.0.0.2:5060."`

	Action    string        `help:"Flow to ask for (X-Asterisk-Action), such as Playback."`
	Sound     string        `help:"Sound or sounds of the flow (X-Asterisk-Sound)."`
	Language  string        `help:"Language of the flow (X-Asterisk-Language)."`
	Header    []string      `help:"Header to add, 'Name: value'; may be repeated." sep:"none" placeholder:"NAME: VALUE"`
	From      string        `help:"Caller's SIP address."`
	Say       string        `help:"WAV file to speak once answered." type:"path" placeholder:"FILE.wav"`
	DTMF      string        `name:"dtmf" help:"Digits to send after that (RFC 4733); a comma is a pause of one second." placeholder:"12,3#"`
	Heard     string        `help:"Write what was heard to this WAV file (8 kHz)." type:"path" placeholder:"FILE.wav"`
	For       time.Duration `help:"Longest the call may last; then it is hung up." default:"60s"`
	Codec     []string      `help:"Codecs to offer, in this order: PCMU, PCMA."`
	Transport string        `help:"How to carry SIP." enum:"udp,tcp" default:"udp"`
	JSON      bool          `name:"json" help:"Print the facts as JSON."`
	KeyFile   string        `help:"Sign the headers with the key in this file (X-Asterisk-Signature)." type:"path" placeholder:"FILE"`
	KeyID     string        `name:"key-id" help:"The id of that key in the gateway's trust.keys." default:"1"`
}

// Run places the call and writes the report to out. Its error, a clear sentence, is what makes the command fail: the call was refused, not answered, or
// nothing was heard although a file was to be written.
func (c *CallCmd) Run(ctx context.Context, out io.Writer) error {
	script, err := c.script()
	if err != nil {
		return err
	}
	report, callErr := script.Play(ctx)
	return errors.Join(callErr, c.store(report), c.print(out, report))
}

// script turns the flags into a call.
func (c *CallCmd) script() (phone.Script, error) {
	s := phone.Script{Digits: c.DTMF, Bound: c.For}
	s.Target, s.From = c.Target, c.From
	if c.Transport == "tcp" && !strings.Contains(s.Target, ";transport=") {
		s.Target += ";transport=tcp"
	}
	for _, name := range c.Codec {
		codec, err := phone.ParseCodec(name)
		if err != nil {
			return s, fmt.Errorf("--codec: %w", err)
		}
		s.Codecs = append(s.Codecs, codec)
	}
	headers, err := c.headers()
	if err != nil {
		return s, err
	}
	s.Headers = headers
	if c.KeyFile != "" {
		if s.Decorate, err = signWith(c.KeyID, c.KeyFile); err != nil {
			return s, err
		}
	}
	s.Say, err = c.speech()
	return s, err
}

// headers are those of the flow and then the free ones.
func (c *CallCmd) headers() ([][2]string, error) {
	var headers [][2]string
	for _, h := range [][2]string{{"X-Asterisk-Action", c.Action}, {"X-Asterisk-Sound", c.Sound}, {"X-Asterisk-Language", c.Language}} {
		if h[1] != "" {
			headers = append(headers, h)
		}
	}
	for _, h := range c.Header {
		name, value, ok := strings.Cut(h, ":")
		name = strings.TrimSpace(name)
		if !ok || name == "" || strings.ContainsAny(name, " \t\r\n") {
			return nil, fmt.Errorf("--header %q: expected 'Name: value'", h)
		}
		headers = append(headers, [2]string{name, strings.TrimSpace(value)})
	}
	return headers, nil
}

// speech reads the file to say.
func (c *CallCmd) speech() ([]int16, error) {
	if c.Say == "" {
		return nil, nil
	}
	file, err := os.Open(c.Say)
	if err != nil {
		return nil, fmt.Errorf("--say: %w", err)
	}
	defer file.Close() //nolint:errcheck // It was only read.
	audio, err := hear.ReadWAV(file)
	if err != nil {
		return nil, fmt.Errorf("--say %s: %w", c.Say, err)
	}
	return audio.At(telephoneRate), nil
}

// store writes what was heard, of a refused call too: there may have been early media.
func (c *CallCmd) store(report phone.Report) error {
	if c.Heard == "" {
		return nil
	}
	if len(report.Heard) == 0 {
		if report.Error != "" {
			return nil // The call's own error says why.
		}
		return fmt.Errorf("--heard %s: nothing was heard, no RTP came", c.Heard)
	}
	file, err := os.Create(c.Heard)
	if err != nil {
		return fmt.Errorf("--heard: %w", err)
	}
	if err := errors.Join(hear.WriteWAV(file, report.Heard, telephoneRate), file.Close()); err != nil {
		return fmt.Errorf("--heard %s: %w", c.Heard, err)
	}
	return nil
}

func (c *CallCmd) print(out io.Writer, report phone.Report) error {
	text := report.Sentences()
	if c.JSON {
		b, err := json.MarshalIndent(report, "", "  ")
		if err != nil {
			return fmt.Errorf("writing the report: %w", err)
		}
		text = string(b) + "\n"
	}
	if _, err := io.WriteString(out, text); err != nil {
		return fmt.Errorf("writing the report: %w", err)
	}
	return nil
}
