package proxy

import (
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// collectors registers metrics and takes them back.
type collectors struct {
	reg prometheus.Registerer
	all []prometheus.Collector
}

func (c *collectors) add(m prometheus.Collector) {
	if c.reg != nil {
		c.reg.MustRegister(m)
		c.all = append(c.all, m)
	}
}

func (c *collectors) unregister() {
	for _, m := range c.all {
		c.reg.Unregister(m)
	}
}

func counter(c *collectors, labels prometheus.Labels, name, help string) prometheus.Counter {
	m := prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help, ConstLabels: labels})
	c.add(m)
	return m
}

func counterVec(c *collectors, labels prometheus.Labels, name, help string, vary ...string) *prometheus.CounterVec {
	m := prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help, ConstLabels: labels}, vary)
	c.add(m)
	return m
}

func gauge(c *collectors, labels prometheus.Labels, name, help string, read func() float64) {
	c.add(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help, ConstLabels: labels}, read))
}

// pending counts the messages that wait at subscriptions.
func pending(mu *sync.Mutex, subs *[]subscription) float64 {
	mu.Lock()
	defer mu.Unlock()
	n := 0
	for _, sub := range *subs {
		if p, _, err := sub.Pending(); err == nil {
			n += p
		}
	}
	return float64(n)
}

// workerMetrics are the metrics of a [Worker].
type workerMetrics struct {
	collectors
	assigned, refused, resyncs, resends prometheus.Counter
	claimed, unreleased                 prometheus.Counter
}

func newWorkerMetrics(w *Worker, reg prometheus.Registerer) *workerMetrics {
	m := &workerMetrics{collectors: collectors{reg: reg}}
	l := prometheus.Labels{"worker": w.opts.Name}
	m.assigned = counter(&m.collectors, l, "asterism_worker_sessions_total", "Sessions that were assigned to this worker.")
	m.refused = counter(&m.collectors, l, "asterism_worker_busy_total", "Sessions that were refused because the worker is full or draining.")
	m.resyncs = counter(&m.collectors, l, "asterism_worker_resyncs_total", "Gaps in the numbers of events that were asked for again.")
	m.resends = counter(&m.collectors, l, "asterism_worker_resends_total", "Commands that were sent again because no answer came.")
	m.claimed = counter(&m.collectors, l, "asterism_worker_claimed_total", "Sessions that stayed here although their gateway started anew.")
	m.unreleased = counter(&m.collectors, l, "asterism_worker_unreleased_total", "Sessions that could not be given back when the worker went out of service.")
	gauge(&m.collectors, l, "asterism_worker_sessions", "Sessions that run on this worker now.", func() float64 { return float64(w.Sessions()) })
	gauge(&m.collectors, l, "asterism_worker_subscriptions", "NATS subscriptions; their number does not depend on that of calls.", func() float64 { return float64(w.conn.wire.subscriptions()) })
	gauge(&m.collectors, l, "asterism_worker_queue_messages", "Messages from gateways that wait to be taken in.", func() float64 { return pending(&w.mu, &w.subs) })
	return m
}

// gatewayMetrics are the metrics of a [Gateway].
type gatewayMetrics struct {
	collectors
	calls, offered, accepted, ended, abandoned prometheus.Counter
	orphaned, restored, adopted, logErrors     prometheus.Counter
	events, reconnects, stale                  prometheus.Counter
	malformed, forbidden                       prometheus.Counter
	keysRecovered                              prometheus.Counter
	recordsDelivered, recordsDropped           prometheus.Counter
	refused, media                             *prometheus.CounterVec
	setup                                      prometheus.Histogram
	ari                                        *prometheus.HistogramVec
}

func newGatewayMetrics(g *Gateway, reg prometheus.Registerer) *gatewayMetrics {
	m := &gatewayMetrics{collectors: collectors{reg: reg}}
	c, l := &m.collectors, prometheus.Labels{"node": g.opts.Node}
	m.calls = counter(c, l, "asterism_calls_total", "Calls that entered this node.")
	m.offered = counter(c, l, "asterism_calls_offered_total", "Offers of calls to workers; more than one a call when a worker does not answer.")
	m.accepted = counter(c, l, "asterism_calls_accepted_total", "Calls that a worker took.")
	m.ended = counter(c, l, "asterism_calls_ended_total", "Calls that have ended without having been refused.")
	m.abandoned = counter(c, l, "asterism_calls_abandoned_total", "Calls that were ended because their worker was lost and no other took them.")
	m.orphaned = counter(c, l, "asterism_calls_orphaned_total", "Calls that lost their worker and were offered to another.")
	m.restored = counter(c, l, "asterism_calls_restored_total", "Calls that were found in session logs when the gateway started.")
	m.adopted = counter(c, l, "asterism_calls_adopted_total", "Calls whose arrival was missed and that were found in Asterisk.")
	m.logErrors = counter(c, l, "asterism_session_log_errors_total", "Writes to session logs that failed; such a session does not survive a restart of its gateway.")
	m.refused = counterVec(c, l, "asterism_calls_refused_total", "Calls that were refused, by reason.", "reason")
	m.media = counterVec(c, l, "asterism_media_problems_total", "Sounds that could not be played, by problem.", "problem")
	m.events = counter(c, l, "asterism_ari_events_total", "Events that Asterisk sent.")
	m.reconnects = counter(c, l, "asterism_ari_reconnects_total", "Connections to Asterisk that were made again.")
	m.stale = counter(c, l, "asterism_commands_stale_total", "Commands that were refused because their token was not current.")
	m.keysRecovered = counter(c, l, "asterism_keys_recovered_total", "Keys that were pressed while Asterisk was not connected, and were found in its key log.")
	m.malformed = counter(c, l, "asterism_messages_malformed_total", "Messages and events that could not be read.")
	m.forbidden = counter(c, l, "asterism_ari_forbidden_total", "ARI requests of workers that are not on the allow-list.")
	m.recordsDelivered = counter(c, l, "asterism_call_records_delivered_total", "Call records that the stream has.")
	m.recordsDropped = counter(c, l, "asterism_call_records_dropped_total", "Call records that were lost because too many waited for delivery.")
	gauge(c, l, "asterism_call_records_waiting", "Call records that wait for delivery.", func() float64 {
		g.mu.Lock()
		k := g.records
		g.mu.Unlock()
		return float64(k.waiting())
	})
	m.setup = prometheus.NewHistogram(prometheus.HistogramOpts{
		Name: "asterism_setup_seconds", Help: "From StasisStart until a worker took the call.", ConstLabels: l,
		Buckets: []float64{.0005, .001, .002, .004, .008, .016, .032, .064, .15, .3},
	})
	c.add(m.setup)
	m.ari = prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "asterism_ari_request_seconds", Help: "ARI requests, by method, kind of resource and class of status.", ConstLabels: l,
		Buckets: []float64{.0005, .001, .002, .005, .01, .05, .25, 1, 5},
	}, []string{"method", "resource", "status"})
	c.add(m.ari)
	gauge(c, l, "asterism_calls", "Calls in progress on this node.", func() float64 { return float64(g.Calls()) })
	gauge(c, l, "asterism_ready", "1 when the node takes calls.", func() float64 {
		if g.Ready() != nil {
			return 0
		}
		return 1
	})
	gauge(c, l, "asterism_gateway_queue_messages", "Messages from workers that wait to be taken in.", func() float64 { return pending(&g.mu, &g.subs) })
	gauge(c, l, "asterism_events_unacknowledged", "Events that no worker has acknowledged yet.", func() float64 {
		g.mu.Lock()
		defer g.mu.Unlock()
		return float64(g.arbiter.Unacked())
	})
	return m
}

// observeARI counts a request by the first part of its path.
func (m *gatewayMetrics) observeARI(method, path string, code int, took time.Duration) {
	resource, _, _ := strings.Cut(strings.TrimPrefix(path, "/"), "/")
	m.ari.WithLabelValues(method, resource, string(rune('0'+code/100))+"xx").Observe(took.Seconds())
}
