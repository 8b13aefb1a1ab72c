package proxy

import (
	"math/rand/v2"
	"time"
)

// The times of the protocol.
const (
	assignTimeout  = 150 * time.Millisecond // for one worker to accept
	offerTimeout   = 300 * time.Millisecond // for a new call to be accepted at all
	leaseTime      = 3 * time.Second        // without a renewal
	workerTimeout  = 3 * time.Second        // without a heartbeat
	farewellTime   = 5 * time.Second        // for a channel to end after its flow
	claimTime      = 2 * time.Second        // for owners to claim their sessions from a gateway that has started anew
	orphanRetry    = 250 * time.Millisecond // between two searches for a worker for an orphan
	freshTimeout   = 5 * time.Second        // the same, for one for which nothing was done yet
	orphanTimeout  = time.Minute            // for an orphan to find a worker at all, while NATS is there
	maxMissing     = 2                      // renewals that do not list a session
	maxUnacked     = 256                    // events kept for the owner,
	maxUnackedSize = MaxFrame / 2           // and their size: they must fit into one message
	maxResults     = 4096                   // command results kept of a stage: more than a caller presses keys in a prompt
	oldResults     = 64                     // and of the stages before, for what comes late
	maxLiveCommand = 64                     // commands of a session under way at once
	maxDeaths      = 5                      // workers lost one after the other with the same session, and no new command between
	maxJournal     = 56 << 10               // bytes of journal records; a log is at most 64 KiB
	maxDigits      = 1024                   // keys kept of a stage
	asleepAfter    = time.Second            // between two ticks: this process was stopped
)

// Arbiter decides who runs each session of one node. It is the whole
// ownership protocol and nothing else: [Arbiter.Step] takes a message and the
// time, changes the state and returns what is to be done. It does no I/O,
// reads no clock and starts no goroutine, so that its schedules can be tested
// by the thousand. It is not safe for concurrent use.
type Arbiter struct {
	boot     uint64
	rand     *rand.Rand
	draining bool
	linked   bool      // connected to NATS
	ticked   time.Time // the last tick
	workers  map[string]*workerState
	sessions map[string]*session
	pending  map[string]*session // those that no worker has accepted yet
	out      []Action
}

// NewArbiter returns the arbiter of a gateway's boot-th start. The seed makes
// its choices between equally good workers repeatable.
func NewArbiter(boot, seed uint64) *Arbiter {
	return &Arbiter{
		boot:     boot,
		rand:     rand.New(rand.NewPCG(seed, boot)),
		linked:   true,
		workers:  make(map[string]*workerState),
		sessions: make(map[string]*session),
		pending:  make(map[string]*session),
	}
}

// workerState is what the arbiter knows of one life of a worker.
type workerState struct {
	hb       Heartbeat
	seen     time.Time
	since    int  // assigned since the heartbeat
	suspect  bool // did not answer in time; until its next heartbeat the last to be asked
	out      bool // full, draining or gone; until its next heartbeat no candidate
	sessions map[string]*session
}

// sessionState is where a session stands.
type sessionState uint8

const (
	stateNew      sessionState = iota // no worker asked yet, or the last one asked did not take it
	stateAssigned                     // offered to a worker
	stateOwned                        // accepted
	stateOrphan                       // its worker is lost
)

type session struct {
	id      string
	state   sessionState
	token   Token
	worker  string // name.boot of whom it is offered to or owned by
	created time.Time
	asked   time.Time // when it was offered to worker
	lease   time.Time // until when the owner need not renew
	missing int

	start     LogStart
	logged    bool // the log has been begun
	journal   [][]byte
	journaled int // bytes in journal
	format    int // of the journal; 0 when it is not known
	digits    []Digit

	orphaned time.Time // since when nobody runs it
	deaths   int       // workers that were lost with it since its last new command
	retry    time.Time // when an orphan is offered next
	claimBy  time.Time // until when only its last owner may have it
	restored bool      // it is from the log of an earlier life and waits for claims
	claimed  Token     // the token that its owner had before it claimed it

	first  uint64   // number of events[0]
	events [][]byte // unacknowledged, oldest first
	size   int      // of events, in bytes
	acked  uint64   // the last event that an owner has acknowledged
	sent   uint64   // the last event that was sent to the present owner
	behind uint64   // what sent was at the owner's last renewal
	urgent uint64   // the last event that the owner must have now
	lost   bool     // events before first were dropped unacknowledged
	kept   []keptEvent

	commands map[string]*commandState
	order    []string // ids of finished commands, oldest first

	accepted bool // some worker has accepted it
	gone     bool // the channel has ended
	final    bool // the last command of the flow has come
	flowDone bool // and was executed
	doneAt   time.Time
	outcome  []byte
	end      Ending
}

// keptEvent is an event that every owner must know.
type keptEvent struct {
	seq uint64
	raw []byte
}

type commandState struct {
	done    bool
	result  Outcome
	at      time.Time // when it was done
	replies []string  // who waits for the result
	final   bool
	reads   bool // it changes nothing, so that its result is not kept
	unsure  bool // it was begun by an earlier life of the gateway, with what result is not known
	redone  bool // it was, and has been executed again since: nobody knows when it was done first
}

// Ending is what the arbiter knows of how a session ended.
type Ending struct {
	// Gone is when the channel ended, Cause its Q.850 cause, 0 when it is not
	// known, and Reason why it ended when that was no ordinary hang-up.
	Gone   time.Time
	Cause  int
	Reason string
	// Lost says why the flow has no outcome, "" when it has one.
	Lost string
	// History is who has run it.
	History History
}

// Outcome is the result of a command, or why there is none.
type Outcome struct {
	Result Result
	Err    string // could not be executed
}

// Message is what happens to an arbiter. The concrete types are the Msg…
// structs.
type Message interface{ message() }

// The messages.
type (
	// MsgWorker is a worker's heartbeat.
	MsgWorker struct{ Heartbeat Heartbeat }
	// MsgWorkerGone says that a worker's subject has no subscriber.
	MsgWorkerGone struct{ Worker string }
	// MsgStart is a call that has entered Stasis; Raw is its StasisStart.
	MsgStart struct {
		Session string
		CallID  string // of SIP
		Raw     []byte
	}
	// MsgEvent is an event of a session. Lazy events wake nobody: they travel
	// with the next one that does. Keep marks what every owner must know,
	// whether or not an earlier one has acknowledged it. Digit is the key of a key press. Gone marks
	// the last event of the channel; Cause and Reason then go into the
	// [Ending].
	MsgEvent struct {
		Session    string
		Raw        []byte
		Lazy, Gone bool
		Keep       bool
		Digit      string
		At         time.Time // of the key press; zero means now
		Cause      int
		Reason     string
	}
	// MsgRestore is a session whose log an earlier life of the gateway left.
	MsgRestore struct{ Saved SavedSession }
	// MsgAccept is a worker's answer to an offer.
	MsgAccept struct {
		Session string
		Token   Token
		Busy    bool
		Command *MsgCommand
	}
	// MsgCommand is a command of a worker; Reply is where its result goes.
	MsgCommand struct {
		Session string
		Token   Token
		Ack     uint64
		Command Command
		Reply   string
	}
	// MsgDone is the result of a command that was executed.
	MsgDone struct {
		Session string
		ID      string
		Outcome Outcome
	}
	// MsgRenew is a worker's renewal. Part says that it does not list all
	// sessions.
	MsgRenew struct {
		Worker  string
		Entries []renewEntry
		Part    bool
		Reply   string
	}
	// MsgResync asks for the events after Seq once more.
	MsgResync struct {
		Session string
		Token   Token
		Seq     uint64
		Reply   string
	}
	// MsgRelease gives a session back: its worker goes out of service. Records
	// are what the journal lacks still; Reset and Heard are as in a [Command].
	MsgRelease struct {
		Session string
		Token   Token
		Records [][]byte
		Reset   bool
		Heard   uint64
		Reply   string
	}
	// MsgClaim asks for the sessions that a worker owned in an earlier life of
	// the gateway.
	MsgClaim struct {
		Worker  string
		Entries []renewEntry
		Reply   string
	}
	// MsgAnnounce sends every owner an event of the gateway itself.
	MsgAnnounce struct{ Raw []byte }
	// MsgLink says that the connection to NATS was made or lost.
	MsgLink struct{ Up bool }
	// MsgLost says that events of all sessions may have been missed, because
	// the connection to Asterisk was interrupted.
	MsgLost struct{}
	// MsgDrain stops the intake of new calls.
	MsgDrain struct{}
	// MsgTick lets time pass. The gateway sends it at least every 250 ms, and
	// at the time that [Arbiter.Next] names.
	MsgTick struct{}
)

func (MsgWorker) message()     {}
func (MsgWorkerGone) message() {}
func (MsgStart) message()      {}
func (MsgEvent) message()      {}
func (MsgAccept) message()     {}
func (MsgCommand) message()    {}
func (MsgDone) message()       {}
func (MsgRenew) message()      {}
func (MsgResync) message()     {}
func (MsgRestore) message()    {}
func (MsgRelease) message()    {}
func (MsgClaim) message()      {}
func (MsgAnnounce) message()   {}
func (MsgLink) message()       {}
func (MsgLost) message()       {}
func (MsgDrain) message()      {}
func (MsgTick) message()       {}

// Action is what the gateway has to do. The concrete types are the Act…
// structs. They are to be carried out in order.
type Action interface{ action() }

// The actions.
type (
	// ActLog appends to a session's log. What is done after it may rely on it.
	ActLog struct {
		Session string
		Entries []LogEntry
	}
	// ActAssign offers a session to a worker. Start is the StasisStart, which
	// is among the events of a session that nobody has had yet.
	ActAssign struct {
		Worker  string
		Session string
		Token   Token
		Again   bool
		Start   []byte
		Journal [][]byte
		Digits  []Digit
		First   uint64
		Events  [][]byte
	}
	// ActEvents sends events to the owner. With Lost, Digits are the keys
	// among those that were lost.
	ActEvents struct {
		Worker  string
		Session string
		Token   Token
		First   uint64
		Events  [][]byte
		Lost    bool
		Digits  []Digit
	}
	// ActAccepted says that a worker has taken a session. Bare is set when it
	// sent no command along that will show the caller that someone is there.
	ActAccepted struct {
		Session string
		Worker  string
		Waited  time.Duration // since StasisStart
		Bare    bool
		Again   bool // another worker had it before
	}
	// ActOrphaned says that a session has lost its worker and is offered to
	// others.
	ActOrphaned struct {
		Session string
		Worker  string
		Reason  string
	}
	// ActExecute executes a command. First is set for the first of the
	// session, Unsure when an earlier life of the gateway may have executed it
	// already.
	ActExecute struct {
		Session string
		Command Command
		First   bool
		Unsure  bool
	}
	// ActReply answers a command. Again is set when the command was executed
	// before, which was Age ago; 0 when nobody knows.
	ActReply struct {
		Reply   string
		Stale   bool
		Outcome Outcome
		Again   bool
		Age     time.Duration
	}
	// ActClaimed answers a claim.
	ActClaimed struct {
		Reply   string
		Granted []renewEntry
		Stale   []string
	}
	// ActRenewed answers a renewal or a resync.
	ActRenewed struct {
		Reply string
		Stale []string
	}
	// ActRefuse refuses a call that no worker has taken, with SIP 503.
	ActRefuse struct {
		Session string
		Reason  string
	}
	// ActAbandon hangs up a call whose worker is lost and that no other has
	// taken.
	ActAbandon struct {
		Session string
		Worker  string
		Reason  string
	}
	// ActSweep makes sure that the channel of an ended flow is gone.
	ActSweep struct{ Session string }
	// ActClosed says that channel and flow have ended. Outcome is what the
	// flow reported, nil when it was lost.
	ActClosed struct {
		Session string
		Outcome []byte
		Ending  Ending
	}
)

func (ActLog) action()      {}
func (ActOrphaned) action() {}
func (ActClaimed) action()  {}
func (ActAssign) action()   {}
func (ActEvents) action()   {}
func (ActAccepted) action() {}
func (ActExecute) action()  {}
func (ActReply) action()    {}
func (ActRenewed) action()  {}
func (ActRefuse) action()   {}
func (ActAbandon) action()  {}
func (ActSweep) action()    {}
func (ActClosed) action()   {}

// Step lets one message happen at the time now and returns what is to be
// done, in order. The returned slice is valid until the next Step.
func (a *Arbiter) Step(now time.Time, m Message) []Action {
	clear(a.out)
	a.out = a.out[:0]
	switch m := m.(type) {
	case MsgWorker:
		a.workerBeat(now, m.Heartbeat)
	case MsgWorkerGone:
		a.workerGone(now, m.Worker)
	case MsgStart:
		a.start(now, m)
	case MsgEvent:
		a.event(now, m)
	case MsgAccept:
		a.accept(now, m)
	case MsgCommand:
		a.command(now, m)
	case MsgDone:
		a.done(now, m)
	case MsgRenew:
		a.renew(now, m)
	case MsgResync:
		a.resync(m)
	case MsgRestore:
		a.restore(now, m.Saved)
	case MsgRelease:
		a.release(now, m)
	case MsgClaim:
		a.claim(now, m)
	case MsgAnnounce:
		a.announce(m.Raw)
	case MsgLink:
		a.link(now, m.Up)
	case MsgLost:
		a.eventsLost()
	case MsgDrain:
		a.draining = true
	case MsgTick:
		a.tick(now)
	}
	return a.out
}

// Len returns the number of sessions.
func (a *Arbiter) Len() int { return len(a.sessions) }

// Known reports whether the session exists.
func (a *Arbiter) Known(session string) bool {
	_, ok := a.sessions[session]
	return ok
}

// Sessions returns the ids of all sessions, in no order.
func (a *Arbiter) Sessions() []string {
	ids := make([]string, 0, len(a.sessions))
	for id := range a.sessions {
		ids = append(ids, id)
	}
	return ids
}

// Unacked returns the number of events that no worker has acknowledged.
func (a *Arbiter) Unacked() int {
	n := 0
	for _, s := range a.sessions {
		n += len(s.events)
	}
	return n
}

func (a *Arbiter) do(action Action) { a.out = append(a.out, action) }
