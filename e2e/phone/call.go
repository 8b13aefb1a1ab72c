package phone

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/emiago/sipgo/sip"
)

// Event is one thing that happened in a call.
type Event struct {
	At   time.Duration // After the INVITE.
	What string        // "INVITE", "100 Trying", "183 Session Progress", "200 OK", "RTP", "re-INVITE", "BYE", …
}

// maxEvents bounds a call's timeline.
const maxEvents = 1000

// Call is one call of the phone. Its methods may be used by several goroutines.
type Call struct {
	phone   *Phone
	inbound bool
	began   time.Time
	dialog  *dialog
	media   *media
	codecs  []Codec
	// version numbers the phone's session descriptions; sessionID names them.
	sessionID uint64

	mu         sync.Mutex
	version    uint64
	events     []Event
	seen       map[int]bool // The final statuses already noted, so that retransmissions are not.
	offered    session
	agreed     bool // Whether there is a session description of the far end.
	early      bool // Whether it came before the answer.
	answerAt   time.Duration
	answered   bool
	status     int // The last status received for the INVITE.
	setupErr   error
	end        End
	timer      *time.Timer
	request    [][2]string // Inbound: the headers of the INVITE.
	referredTo []string

	settled chan struct{} // Closed when the call is answered or will never be.
	cancel  chan struct{} // Closed to give an unanswered call up.
	giveUp  sync.Once
	settle  sync.Once
	over    sync.Once
	done    chan struct{} // Closed when the call has ended and all it heard is kept.
	wg      sync.WaitGroup

	in *arrivedInvite // Of an incoming call.

	gone atomic.Bool // Abandoned: nothing is answered any more.

	acksMu sync.Mutex
	acks   map[uint32]chan []byte // Who waits for an ACK, by CSeq; it is sent the ACK's body.
}

func newCall(p *Phone, codecs []Codec) (*Call, error) {
	c := &Call{
		phone: p, began: time.Now(), codecs: codecs, seen: map[int]bool{}, acks: map[uint32]chan []byte{},
		sessionID: uint64(time.Now().Unix()), version: 1,
		settled: make(chan struct{}), cancel: make(chan struct{}), done: make(chan struct{}),
	}
	if len(c.codecs) == 0 {
		c.codecs = []Codec{PCMU, PCMA}
	}
	m, err := openMedia(p.host, func(at time.Time) { c.noteAt(at.Sub(c.began), "RTP") })
	if err != nil {
		return nil, err
	}
	c.media = m
	return c, nil
}

// note adds an event to the timeline.
func (c *Call) note(format string, args ...any) {
	c.noteAt(time.Since(c.began), fmt.Sprintf(format, args...))
}

func (c *Call) noteAt(at time.Duration, what string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.events) < maxEvents {
		c.events = append(c.events, Event{At: max(at, 0), What: what})
	}
}

// Events is the timeline of the call so far, in order of time.
func (c *Call) Events() []Event {
	c.mu.Lock()
	defer c.mu.Unlock()
	events := slices.Clone(c.events)
	slices.SortStableFunc(events, func(a, b Event) int { return int(a.At - b.At) })
	return events
}

// ID is the Call-ID.
func (c *Call) ID() string { return c.dialog.callID }

// AnsweredAt is when the 200 came, after the INVITE; false when none has.
func (c *Call) AnsweredAt() (time.Duration, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.answerAt, c.answered
}

// Answered waits until the call is answered. Otherwise it returns a *[RefusedError], or an error that is [ErrNoAnswer],
// [ErrUnreachable] or [ErrCallEnded]; or the cause of ctx, which does not touch the call.
func (c *Call) Answered(ctx context.Context) error {
	select {
	case <-c.settled:
		c.mu.Lock()
		defer c.mu.Unlock()
		return c.setupErr
	case <-ctx.Done():
		return fmt.Errorf("waiting for the call to be answered: %w", context.Cause(ctx))
	}
}

// EarlyMedia says whether the far end sent sound before, or without, an answer: a session description in a provisional
// response (183), and RTP after it.
func (c *Call) EarlyMedia() bool {
	rx := c.Reception()
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.early && rx.Packets > 0 && (!c.answered || rx.First < c.answerAt)
}

// Codec is the codec that the far end wants to hear; "" before there is a session description.
func (c *Call) Codec() Codec {
	if r := c.media.remote.Load(); r != nil {
		return r.codec
	}
	return ""
}

// Say speaks 16-bit samples at 8 kHz, and returns when the last has been sent. It works in early media too, and waits for
// a session description when there is none yet.
func (c *Call) Say(ctx context.Context, pcm []int16) error {
	if err := c.media.say(ctx, pcm); err != nil {
		return fmt.Errorf("speaking: %w", err)
	}
	return nil
}

// SendDTMF sends digits by RFC 4733: 0–9, *, #, A–D, and commas for pauses of a second. It returns when the last has been
// sent. While something is being said, it waits for its turn.
func (c *Call) SendDTMF(ctx context.Context, digits string) error {
	return c.Key(ctx, digits, Keying{})
}

// Key is [Call.SendDTMF] with times of the caller's choice.
func (c *Call) Key(ctx context.Context, digits string, keying Keying) error {
	u, err := keying.utterance(digits)
	if err != nil {
		return err
	}
	if err := c.media.voice.wait(ctx, u); err != nil {
		return fmt.Errorf("sending the digits %q: %w", digits, err)
	}
	return nil
}

// Heard is a copy of all that was heard so far, 16-bit samples at 8 kHz. It begins with the first RTP packet (see
// [Reception]); pauses and lost packets are silence.
func (c *Call) Heard() []int16 { return c.media.heard.heard() }

// Reception sums up the RTP received so far.
func (c *Call) Reception() Reception { return c.media.heard.reception(c.began) }

// Sent is the number of RTP packets sent so far.
func (c *Call) Sent() int { return int(c.media.sent.Load()) }

// Digits are the digits that the far end has sent so far.
func (c *Call) Digits() []Digit {
	l := &c.media.digits
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.digits)
}

// Hangup ends the call: BYE when it was answered, CANCEL (or for a call that came in, 486) when it was not. It returns when
// the far end has agreed, or at the end of ctx. A call that is over is left alone.
func (c *Call) Hangup(ctx context.Context) error {
	select {
	case <-c.done:
		return nil
	case <-c.settled:
	default:
		if c.inbound {
			return c.Reject(ctx, 486, "Busy Here")
		}
		c.giveUp.Do(func() { close(c.cancel) })
		select {
		case <-c.settled:
		case <-ctx.Done():
			return fmt.Errorf("cancelling the call: %w", context.Cause(ctx))
		}
	}
	if _, answered := c.AnsweredAt(); !answered {
		return nil
	}
	return c.bye(ctx, End{By: Us})
}

// bye sends BYE and ends the call, whatever the far end says to it.
func (c *Call) bye(ctx context.Context, end End, headers ...[2]string) error {
	select {
	case <-c.done:
		return nil
	default:
	}
	c.note("BYE sent")
	end.At = time.Since(c.began)
	res, err := c.phone.do(ctx, c.phone.request(c.dialog, sip.BYE, headers...))
	c.finish(end)
	if err != nil {
		return fmt.Errorf("hanging up: %w", err)
	}
	if res.StatusCode != sip.StatusOK && res.StatusCode != sip.StatusCallTransactionDoesNotExists {
		return fmt.Errorf("hanging up: the far end said %d %s to BYE", res.StatusCode, res.Reason)
	}
	return nil
}

// Mute stops the sending of RTP, or goes on with it. What is said meanwhile is lost. A telephone that is merely silent sends
// silence; one that is muted like this has lost its network.
func (c *Call) Mute(on bool) { c.media.muted.Store(on) }

// Abandon ends the call as a telephone does whose battery dies: the sound stops, nothing is said to the far end, and none of
// its requests in this call is answered any more.
func (c *Call) Abandon() {
	c.gone.Store(true)
	c.note("abandoned")
	c.finish(End{By: Nobody, Reason: "abandoned"})
}

// Wait waits until the call has ended and says how.
func (c *Call) Wait(ctx context.Context) (End, error) {
	select {
	case <-c.done:
	default:
		select {
		case <-c.done:
		case <-ctx.Done():
			return End{}, fmt.Errorf("waiting for the call to end: %w", context.Cause(ctx))
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.end, nil
}

// Done is closed when the call has ended and all that it heard is kept.
func (c *Call) Done() <-chan struct{} { return c.done }

// finish ends the call, once: the sound stops, and whoever waits is told.
func (c *Call) finish(end End) {
	c.over.Do(func() {
		if end.At == 0 {
			end.At = time.Since(c.began)
		}
		c.mu.Lock()
		end.Answered = c.answered
		c.end = end
		if c.timer != nil {
			c.timer.Stop()
		}
		c.mu.Unlock()
		c.settleWith(ErrCallEnded)
		if !c.gone.Load() {
			c.phone.remove(c)
		}
		c.media.close()
		close(c.done)
	})
	<-c.done
}

// settleWith says how the setup of the call came out; only the first word counts. Nil is an answer.
func (c *Call) settleWith(err error) {
	c.settle.Do(func() {
		c.mu.Lock()
		c.setupErr = err
		c.mu.Unlock()
		close(c.settled)
	})
}

// do sends a request in a dialog and waits for the final response.
func (p *Phone) do(ctx context.Context, req *sip.Request) (*sip.Response, error) {
	tx, err := p.txl.Request(ctx, req)
	if err != nil {
		return nil, fmt.Errorf("sending %s: %w", req.Method, err)
	}
	for {
		select {
		case res := <-tx.Responses():
			if !res.IsProvisional() {
				tx.Terminate()
				return res, nil
			}
		case <-tx.Done():
			return nil, fmt.Errorf("the far end did not answer %s: %w", req.Method, tx.Err())
		case <-ctx.Done():
			tx.Terminate()
			return nil, fmt.Errorf("waiting for the answer to %s: %w", req.Method, context.Cause(ctx))
		}
	}
}
