package session

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics are the metrics of a [Pool]. Actions are labelled by name only when
// they are registered, so that nobody can make up labels from outside.
type metrics struct {
	reg       prometheus.Registerer
	flows     *prometheus.CounterVec
	seconds   *prometheus.HistogramVec
	events    *prometheus.HistogramVec
	panics    prometheus.Counter
	warnings  prometheus.Counter
	badEvents prometheus.Counter
	looks     *prometheus.CounterVec
	digits    prometheus.Counter
	replays   *prometheus.CounterVec
}

func newMetrics(worker string, reg prometheus.Registerer) *metrics {
	l := prometheus.Labels{"worker": worker}
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help, ConstLabels: l})
	}
	m := &metrics{
		reg: reg,
		flows: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "asterism_flows_total", Help: "Flows that have ended, by action and how they ended.", ConstLabels: l,
		}, []string{"action", "result"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "asterism_flow_seconds", Help: "How long flows took.", ConstLabels: l,
			Buckets: []float64{0.1, 0.5, 1, 2, 5, 10, 30, 60, 120, 300, 900, 3600},
		}, []string{"action"}),
		events: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "asterism_worker_event_seconds", ConstLabels: l,
			Help:    "From the time that Asterisk wrote on an event until the flow had it, by the clocks of both.",
			Buckets: []float64{0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.015, 0.02, 0.03, 0.05, 0.075, 0.1, 0.2, 0.5, 1, 5},
		}, []string{"event"}),
		panics:    counter("asterism_flow_panics_total", "Flows that ended by a defect in them."),
		warnings:  counter("asterism_request_warnings_total", "Request parameters that were put right or ignored."),
		badEvents: counter("asterism_session_bad_events_total", "Events that could not be read."),
		looks: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "asterism_session_looks_total", Help: "Times a session looked for itself, because events were lost or late.", ConstLabels: l,
		}, []string{"why"}),
		replays: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "asterism_session_replays_total", ConstLabels: l,
			Help: "Calls taken over from another worker and resumed, stages begun again since they did not match their journal, and calls ended because they could not go on, by reason.",
		}, []string{"how"}),
		digits: counter("asterism_session_digits_dropped_total", "Keys that nobody asked for and that were too many to keep."),
	}
	if reg != nil {
		reg.MustRegister(m.all()...)
	}
	return m
}

func (m *metrics) all() []prometheus.Collector {
	return []prometheus.Collector{m.flows, m.seconds, m.events, m.panics, m.warnings, m.badEvents, m.looks, m.digits, m.replays}
}

func (m *metrics) unregister() {
	if m.reg == nil {
		return
	}
	for _, c := range m.all() {
		m.reg.Unregister(c)
	}
}

func (m *metrics) ended(action string, r result, took time.Duration) {
	m.flows.WithLabelValues(action, string(r)).Inc()
	m.seconds.WithLabelValues(action).Observe(took.Seconds())
}

// heard notes how long an event took to reach its flow. Asterisk's times are
// whole milliseconds, cut off.
func (m *metrics) heard(event string, at time.Time) {
	if !at.IsZero() {
		m.events.WithLabelValues(event).Observe(max(0, time.Since(at).Seconds()))
	}
}
