package measure

import (
	"context"
	"fmt"
	"math"
	"net/http"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// Metrics is what a process said of itself at one moment.
type Metrics map[string]*dto.MetricFamily

// Scrape reads the metrics of a process at the URL of its /metrics.
func Scrape(ctx context.Context, url string) (Metrics, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return nil, fmt.Errorf("metrics: %w", err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, fmt.Errorf("metrics: %w", err)
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("metrics: %s answers %s", url, resp.Status)
	}
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(resp.Body)
	if err != nil {
		return nil, fmt.Errorf("metrics of %s: %w", url, err)
	}
	return families, nil
}

// Sum adds up a counter or gauge over all labels; zero when there is none.
func (m Metrics) Sum(name string) float64 {
	var sum float64
	for _, s := range m[name].GetMetric() {
		sum += s.GetCounter().GetValue() + s.GetGauge().GetValue()
	}
	return sum
}

// Series is the number of time series that a scraper would keep.
func (m Metrics) Series() int {
	n := 0
	for _, family := range m {
		for _, s := range family.GetMetric() {
			switch {
			case s.GetHistogram() != nil:
				n += len(s.GetHistogram().GetBucket()) + 2 // and sum and count
			case s.GetSummary() != nil:
				n += len(s.GetSummary().GetQuantile()) + 2
			default:
				n++
			}
		}
	}
	return n
}

// Quantile returns the q-quantile, in the metric's unit, of what a histogram
// took in after the earlier scrape, over all labels. Within a bucket it
// interpolates; beyond the last one it is infinite. It is NaN when nothing was
// taken in.
func (m Metrics) Quantile(earlier Metrics, name string, q float64) float64 {
	before, after := earlier.buckets(name), m.buckets(name)
	for i := range after {
		if i < len(before) {
			after[i].count -= before[i].count
		}
	}
	if len(after) == 0 || after[len(after)-1].count == 0 {
		return math.NaN()
	}
	want := q * float64(after[len(after)-1].count)
	lower, below := 0.0, 0.0
	for _, b := range after {
		if c := float64(b.count); c >= want {
			if math.IsInf(b.upper, 1) {
				return b.upper
			}
			return lower + (b.upper-lower)*(want-below)/max(c-below, 1)
		}
		lower, below = b.upper, float64(b.count)
	}
	return math.Inf(1)
}

// bucket counts what was at most upper.
type bucket struct {
	upper float64
	count uint64
}

// buckets adds up a histogram over all labels. The last bucket holds all.
func (m Metrics) buckets(name string) []bucket {
	var out []bucket
	for _, s := range m[name].GetMetric() {
		h := s.GetHistogram()
		for i, b := range h.GetBucket() {
			if i == len(out) {
				out = append(out, bucket{upper: b.GetUpperBound()})
			}
			out[i].count += b.GetCumulativeCount()
		}
	}
	return out
}
