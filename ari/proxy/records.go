package proxy

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"
)

// CallsStream is the usual name of the stream of call records.
const CallsStream = "CALLS"

// callsSubject begins the subjects of call records; the node's name follows.
const callsSubject = "calls."

// CallsOptions say where call records go. Without a Stream they go nowhere.
// The limits are those of a stream that the gateway has to create; one that
// exists is left as it is.
type CallsOptions struct {
	Stream   string
	MaxAge   time.Duration
	MaxBytes int64
	Replicas int
}

const (
	maxWaiting    = 10_000 // records that wait for delivery
	maxInMemory   = 256    // of those, how many are not read from their logs
	dedupeWindow  = 10 * time.Minute
	deliverWithin = 5 * time.Second // one record
	flushWithin   = 2 * time.Second // all that are left when the gateway stops
	minRetry      = 500 * time.Millisecond
	maxRetry      = 5 * time.Second
	sayEvery      = 30 * time.Second // of what is in the way, and of what is dropped
)

// records delivers call records to the stream, one after the other, so that
// those of a node are in order, and never in the way of a call. A record
// leaves the spool when the stream has it: it may arrive twice, and is then
// told apart by its id, but is not lost by an outage or a restart of anything.
type records struct {
	node string
	o    CallsOptions
	conn *Conn
	js   jetstream.JetStream
	logs *logStore // nil without a spool
	log  zerolog.Logger
	m    *gatewayMetrics
	kick chan struct{}

	most    int    // records that may wait
	ready   bool   // the stream was there; used by run only
	trouble string // what was said of it last, and when; used by run only
	told    time.Time

	mu      sync.Mutex
	queue   []waiting
	dropped int       // since that was said
	said    time.Time // when
}

// waiting is a record that was not delivered yet.
type waiting struct {
	session, id string
	data        []byte // nil: in the session's log
}

// newRecords returns nil when records go nowhere.
func newRecords(o GatewayOptions, logs *logStore, m *gatewayMetrics) (*records, error) {
	w, ok := o.Conn.wire.(*natsWire)
	if !ok || o.Calls.Stream == "" {
		return nil, nil
	}
	js, err := jetstream.New(w.Conn)
	if err != nil {
		return nil, fmt.Errorf("call records: %w", err)
	}
	return &records{
		node: o.Node, o: o.Calls, conn: o.Conn, js: js, logs: logs, log: o.Log, m: m,
		kick: make(chan struct{}, 1), most: maxWaiting,
	}, nil
}

// closed takes the record of a session that has ended. The session's log is
// kept until the record has been delivered. A call that was refused at the door
// has none: what stands there only for as long as it is needed to say no costs
// no file.
func (k *records) closed(r *CallRecord) {
	data, err := json.Marshal(r)
	if err != nil {
		k.log.Error().Err(err).Str("session", r.Session).Msg("call record was not written")
		k.forget(r.Session)
		return
	}
	// A failure is said by the log, and counted.
	inLog := k.logs != nil && k.logs.append(r.Session, LogRecord{Record: data}) == nil
	k.add(waiting{session: r.Session, id: r.ID, data: data}, inLog)
}

// found takes the record of a session that an earlier life of the gateway has
// left.
func (k *records) found(session string, data []byte) {
	if k == nil {
		return // they are switched off now; when they are on again, it is found again
	}
	var r struct {
		ID string `json:"id"`
	}
	if err := json.Unmarshal(data, &r); err != nil || r.ID == "" {
		k.log.Error().Err(err).Str("session", session).Msg("call record is malformed, and dropped")
		k.forget(session)
		return
	}
	k.add(waiting{session: session, id: r.ID, data: data}, true)
}

func (k *records) add(w waiting, inLog bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if inLog && len(k.queue) >= maxInMemory {
		w.data = nil
	}
	k.queue = append(k.queue, w)
	if len(k.queue) > k.most {
		k.drop()
	}
	select {
	case k.kick <- struct{}{}:
	default:
	}
}

// drop drops the oldest record. The lock is held.
func (k *records) drop() {
	k.forget(k.queue[0].session)
	k.queue = k.queue[1:]
	k.m.recordsDropped.Inc()
	k.dropped++
	if time.Since(k.said) > sayEvery {
		k.log.Error().Int("dropped", k.dropped).Int("waiting", len(k.queue)).Msg("call records are lost: too many wait for delivery, and the oldest are dropped")
		k.dropped, k.said = 0, time.Now()
	}
}

// forget removes the log of a session whose record is delivered or given up.
func (k *records) forget(session string) {
	if k.logs == nil {
		return
	}
	if err := k.logs.finish(session); err != nil {
		k.log.Warn().Err(err).Str("session", session).Msg("session log was not removed")
	}
}

// waiting returns how many records wait.
func (k *records) waiting() int {
	if k == nil {
		return 0
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	return len(k.queue)
}

// next returns the oldest record.
func (k *records) next() (waiting, bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(k.queue) == 0 {
		k.queue = nil // what was delivered is still in its array
		return waiting{}, false
	}
	return k.queue[0], true
}

// done forgets a record, unless it was dropped meanwhile.
func (k *records) done(w waiting) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(k.queue) > 0 && k.queue[0].id == w.id {
		k.queue[0] = waiting{}
		k.queue = k.queue[1:]
		k.forget(w.session)
	}
}

// run delivers records until ctx ends, and what is left then if that is quick.
func (k *records) run(ctx context.Context) {
	retry := minRetry
	for ctx.Err() == nil {
		switch err := k.deliverAll(ctx); {
		case err == nil:
			retry = minRetry
			select {
			case <-ctx.Done():
			case <-k.kick:
			}
		case ctx.Err() != nil:
		default:
			k.complain(err)
			k.pause(ctx, retry)
			retry = min(2*retry, maxRetry)
		}
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), flushWithin)
	defer cancel()
	if err := k.deliverAll(ctx); err != nil && k.logs == nil {
		k.log.Error().Err(err).Int("waiting", k.waiting()).Msg("call records are lost: they were not delivered before the gateway stopped, and it has no spool")
	}
}

// pause waits, with jitter, so that the nodes do not come back all at once.
func (k *records) pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d/2 + rand.N(d/2))
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}

// deliverAll delivers all records that wait, oldest first.
func (k *records) deliverAll(ctx context.Context) error {
	for {
		w, ok := k.next()
		if !ok {
			return nil
		}
		if err := k.deliver(ctx, w); err != nil {
			return err
		}
		k.m.recordsDelivered.Inc()
		k.done(w)
		if k.trouble != "" {
			k.log.Info().Int("waiting", k.waiting()).Msg("call records are delivered again")
			k.trouble = ""
		}
	}
}

// complain says once what is in the way of delivery.
func (k *records) complain(err error) {
	if errors.Is(err, errAway) || err.Error() == k.trouble || (k.trouble != "" && time.Since(k.told) < sayEvery) {
		return // that NATS is away is said already
	}
	k.trouble, k.told = err.Error(), time.Now()
	k.log.Warn().Err(err).Int("waiting", k.waiting()).Msg("call records are not delivered; they wait")
}

var (
	errAway        = errors.New("not connected to NATS")
	errNoJetStream = errors.New("NATS has no JetStream; see nats.server.store, or set calls.enabled to false")
)

// deliver delivers one record.
func (k *records) deliver(ctx context.Context, w waiting) error {
	if !k.conn.Up() {
		return errAway
	}
	ctx, cancel := context.WithTimeout(ctx, deliverWithin)
	defer cancel()
	if !k.ready {
		if err := k.ensureStream(ctx); err != nil {
			return err
		}
		k.ready = true
	}
	data := w.data
	if data == nil {
		var err error
		if data, err = k.logs.record(w.session); err != nil {
			k.log.Error().Err(err).Str("session", w.session).Msg("call record is lost: its log cannot be read")
			return nil
		}
	}
	m := nats.NewMsg(callsSubject + k.node)
	m.Data = data
	_, err := k.js.PublishMsg(ctx, m, jetstream.WithMsgID(w.id), jetstream.WithExpectStream(k.o.Stream), jetstream.WithRetryAttempts(0))
	switch {
	case err == nil:
		return nil
	case errors.Is(err, jetstream.ErrNoStreamResponse), errors.Is(err, jetstream.ErrStreamNotFound):
		k.ready = false // removed, or its servers are being replaced
	}
	return fmt.Errorf("delivering to the stream %s: %w", k.o.Stream, err)
}

// ensureStream creates the stream if it is not there.
func (k *records) ensureStream(ctx context.Context) error {
	_, err := k.js.Stream(ctx, k.o.Stream)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		_, err = k.js.CreateStream(ctx, jetstream.StreamConfig{
			Name: k.o.Stream, Description: "Call records of Asterism", Subjects: []string{callsSubject + ">"},
			MaxAge: k.o.MaxAge, MaxBytes: k.o.MaxBytes, Replicas: max(k.o.Replicas, 1), Duplicates: dedupeWindow,
			Storage: jetstream.FileStorage, Discard: jetstream.DiscardOld,
		})
		if errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) {
			return nil // another gateway was faster
		}
		if err == nil {
			k.log.Info().Str("stream", k.o.Stream).Msg("stream of call records was created")
		}
	}
	switch {
	case err == nil:
		return nil
	case errors.Is(err, nats.ErrNoResponders), errors.Is(err, jetstream.ErrJetStreamNotEnabled),
		errors.Is(err, jetstream.ErrJetStreamNotEnabledForAccount):
		return errNoJetStream
	}
	return fmt.Errorf("the stream %s: %w", k.o.Stream, err)
}
