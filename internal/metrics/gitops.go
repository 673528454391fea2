package metrics

import (
	"context"
	"time"

	"rollcall/internal/gitsource"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// syncs holds the metrics of syncs.
type syncs struct {
	total   *prometheus.CounterVec
	seconds *prometheus.HistogramVec
}

func newSyncs(with promauto.Factory) syncs {
	return syncs{
		total: newCounters(with, "gitops_syncs_total", "Syncs of Git sources.", "source", "result"),
		seconds: newHistograms(with, "gitops_sync_duration_seconds", "Duration of a sync.",
			[]float64{.05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 120}, "source"),
	}
}

// SyncDone counts one sync of a source. The number of sources is bounded, and so are the series.
func (m *Metrics) SyncDone(source string, took time.Duration, failed bool) {
	ok, bad := m.syncs.total.WithLabelValues(source, "ok"), m.syncs.total.WithLabelValues(source, "error")
	if failed {
		bad.Inc()
	} else {
		ok.Inc()
	}
	m.syncs.seconds.WithLabelValues(source).Observe(took.Seconds())
}

// Sources is what a scrape reads of sources.
type Sources interface {
	SourceGauges(ctx context.Context) ([]gitsource.Gauge, error)
}

// RegisterSources registers the metrics of sources that each scrape reads from db. It is called once.
func (m *Metrics) RegisterSources(db Sources) {
	m.registry.MustRegister(&sources{
		db:      db,
		state:   newDesc("gitops_source_state", "1 for the state of the source, from the database.", "source", "state"),
		drifted: newDesc("gitops_drifted_targets", "Targets that run a version other than the one in Git, from the database.", "source"),
		age: newDesc("gitops_last_good_sync_age_seconds",
			"Time since the last successful sync, or since the source was created, from the database.", "source"),
	})
}

// sources reads the database at each scrape.
type sources struct {
	db                  Sources
	state, drifted, age *prometheus.Desc
}

// Describe implements prometheus.Collector.
func (c *sources) Describe(ch chan<- *prometheus.Desc) {
	ch <- c.state
	ch <- c.drifted
	ch <- c.age
}

// Collect implements prometheus.Collector.
func (c *sources) Collect(ch chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), scrapeTimeout)
	defer cancel()
	gauges, err := c.db.SourceGauges(ctx)
	if err != nil {
		return // rollcall_database_up reports it
	}
	for _, g := range gauges {
		ch <- newGauge(c.drifted, float64(g.Drifted), g.Source)
		ch <- newGauge(c.age, g.Age.Seconds(), g.Source)
		for _, state := range gitsource.States() {
			value := 0.0
			if state == g.State {
				value = 1
			}
			ch <- newGauge(c.state, value, g.Source, string(state))
		}
	}
}
