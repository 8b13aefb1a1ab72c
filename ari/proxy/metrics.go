package proxy

import (
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

// workerMetrics are the metrics of a [Worker].
type workerMetrics struct {
	collectors
	assigned, refused, resyncs, resends prometheus.Counter
}

func newWorkerMetrics(w *Worker, reg prometheus.Registerer) *workerMetrics {
	m := &workerMetrics{collectors: collectors{reg: reg}}
	l := prometheus.Labels{"worker": w.opts.Name}
	m.assigned = counter(&m.collectors, l, "asterism_worker_sessions_total", "Sessions that were assigned to this worker.")
	m.refused = counter(&m.collectors, l, "asterism_worker_busy_total", "Sessions that were refused because the worker is full or draining.")
	m.resyncs = counter(&m.collectors, l, "asterism_worker_resyncs_total", "Gaps in the numbers of events that were asked for again.")
	m.resends = counter(&m.collectors, l, "asterism_worker_resends_total", "Commands that were sent again because no answer came.")
	gauge(&m.collectors, l, "asterism_worker_sessions", "Sessions that run on this worker now.", func() float64 { return float64(w.Sessions()) })
	gauge(&m.collectors, l, "asterism_worker_queue_messages", "Messages from gateways that wait to be taken in.", func() float64 {
		n := 0
		for _, sub := range w.subs {
			if p, _, err := sub.Pending(); err == nil {
				n += p
			}
		}
		return float64(n)
	})
	return m
}
