package media

import (
	"errors"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
)

// counts are what the cache has done since it was opened.
type counts struct {
	hits, misses, evictions, stale           atomic.Int64
	fetchedOK, fetchedBroken, fetchedFailing atomic.Int64
}

func (c *counts) fetched(err error) {
	switch {
	case err == nil:
		c.fetchedOK.Add(1)
	case errors.Is(err, ErrBroken):
		c.fetchedBroken.Add(1)
	default:
		c.fetchedFailing.Add(1)
	}
}

func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("asterism_media_cache_"+name, help, labels, nil)
}

// descriptions are made per collection: they are few and small.
type descriptions struct {
	lookups, fetches, evictions, stale, bytes, files *prometheus.Desc
}

func describe() descriptions {
	return descriptions{
		lookups:   desc("lookups_total", "Sounds asked for, by whether they were in the cache.", "result"),
		fetches:   desc("fetches_total", "Sounds fetched from storage, by outcome.", "result"),
		evictions: desc("evictions_total", "Sounds removed to make room."),
		stale:     desc("stale_total", "Sounds played unchecked because storage did not answer."),
		bytes:     desc("bytes", "Size of the files in the cache."),
		files:     desc("sounds", "Sounds in the cache."),
	}
}

var _ prometheus.Collector = (*Cache)(nil)

// Describe implements prometheus.Collector.
func (c *Cache) Describe(ch chan<- *prometheus.Desc) {
	d := describe()
	for _, one := range []*prometheus.Desc{d.lookups, d.fetches, d.evictions, d.stale, d.bytes, d.files} {
		ch <- one
	}
}

// Collect implements prometheus.Collector.
func (c *Cache) Collect(ch chan<- prometheus.Metric) {
	d := describe()
	counter := func(desc *prometheus.Desc, value *atomic.Int64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(desc, prometheus.CounterValue, float64(value.Load()), labels...)
	}
	counter(d.lookups, &c.counts.hits, "hit")
	counter(d.lookups, &c.counts.misses, "miss")
	counter(d.fetches, &c.counts.fetchedOK, "ok")
	counter(d.fetches, &c.counts.fetchedBroken, "broken")
	counter(d.fetches, &c.counts.fetchedFailing, "failed")
	counter(d.evictions, &c.counts.evictions)
	counter(d.stale, &c.counts.stale)
	c.store.mu.Lock()
	bytes, files := c.store.bytes, len(c.store.entries)
	c.store.mu.Unlock()
	ch <- prometheus.MustNewConstMetric(d.bytes, prometheus.GaugeValue, float64(bytes))
	ch <- prometheus.MustNewConstMetric(d.files, prometheus.GaugeValue, float64(files))
}
