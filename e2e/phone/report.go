package phone

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Report is what happened in a call, for people ([Report.Sentences]) and, as JSON, for programs. Times are in milliseconds
// after the INVITE unless they say otherwise.
type Report struct {
	Target      string        `json:"target"`
	CallID      string        `json:"call_id,omitempty"`
	Answered    bool          `json:"answered"`
	AnswerMS    float64       `json:"answer_ms,omitempty"`
	EarlyMedia  bool          `json:"early_media"` // Whether sound came before, or without, an answer.
	FirstRTPMS  float64       `json:"first_rtp_ms,omitempty"`
	Codec       Codec         `json:"codec,omitempty"`
	HeardS      float64       `json:"heard_s"` // Seconds from the first packet to the end of the last.
	Packets     int           `json:"packets"`
	Lost        int           `json:"lost"`
	LongestGap  float64       `json:"longest_gap_ms"`
	EndedBy     Party         `json:"ended_by,omitempty"`
	EndedMS     float64       `json:"ended_ms,omitempty"`
	Status      int           `json:"status,omitempty"` // The final status of a call that was not answered.
	Reason      string        `json:"reason,omitempty"`
	Cause       int           `json:"cause,omitempty"` // Q.850.
	Timeline    []ReportEvent `json:"timeline"`
	DigitsHeard string        `json:"digits_heard,omitempty"`
	Error       string        `json:"error,omitempty"`

	// Heard is the audio itself, 16-bit samples at 8 kHz.
	Heard []int16 `json:"-"`
}

// ReportEvent is an [Event] in milliseconds.
type ReportEvent struct {
	MS   float64 `json:"ms"`
	What string  `json:"what"`
}

func millis(d time.Duration) float64 {
	return float64(d.Round(100*time.Microsecond)) / float64(time.Millisecond)
}

// fill takes everything from a call that is over.
func (r *Report) fill(c *Call) {
	r.CallID, r.Codec, r.Heard = c.ID(), c.Codec(), c.Heard()
	answer, answered := c.AnsweredAt()
	r.Answered, r.AnswerMS = answered, millis(answer)
	rx := c.Reception()
	r.FirstRTPMS, r.Packets, r.Lost, r.LongestGap = millis(rx.First), rx.Packets, rx.Lost, millis(rx.LongestGap)
	r.EarlyMedia = c.EarlyMedia()
	r.HeardS = float64(len(r.Heard)) / sampleRate
	r.Timeline = make([]ReportEvent, 0, 8)
	for _, e := range c.Events() {
		r.Timeline = append(r.Timeline, ReportEvent{MS: millis(e.At), What: e.What})
	}
	for _, d := range c.Digits() {
		r.DigitsHeard += string(d.Key)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	r.EndedBy, r.EndedMS, r.Status, r.Reason, r.Cause = c.end.By, millis(c.end.At), c.end.Status, c.end.Reason, c.end.Cause
}

// Sentences tells the report in plain sentences, one a line.
func (r Report) Sentences() string {
	var b strings.Builder
	switch {
	case r.Answered && r.EarlyMedia:
		fmt.Fprintf(&b, "Early media after %.0f ms, answered after %.0f ms.\n", r.FirstRTPMS, r.AnswerMS)
	case r.Answered:
		fmt.Fprintf(&b, "Answered after %.0f ms.\n", r.AnswerMS)
	case r.EarlyMedia:
		fmt.Fprintf(&b, "Not answered; early media after %.0f ms.\n", r.FirstRTPMS)
	case r.CallID != "":
		b.WriteString("Not answered.\n")
	}
	if r.Packets > 0 {
		fmt.Fprintf(&b, "Heard %.1f s (%s, %d packets, %d lost, longest gap %.0f ms).\n", r.HeardS, r.Codec, r.Packets, r.Lost, r.LongestGap)
	} else if r.Answered {
		b.WriteString("Heard nothing: no RTP came.\n")
	}
	if r.DigitsHeard != "" {
		fmt.Fprintf(&b, "The far end sent the digits %s.\n", r.DigitsHeard)
	}
	if r.EndedBy != "" && r.Answered {
		b.WriteString("Ended by " + string(r.EndedBy) + " after " + strconv.FormatFloat(r.EndedMS/1000, 'f', 1, 64) + " s")
		if r.Reason != "" {
			b.WriteString(" (" + r.Reason + ")")
		}
		b.WriteString(".\n")
	}
	return b.String()
}
