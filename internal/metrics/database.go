package metrics

import (
	"context"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"rollcall/internal/authz"
	"rollcall/internal/catalog"
	"rollcall/internal/rollout"
)

// scrapeTimeout bounds what one scrape asks of the database.
const scrapeTimeout = 3 * time.Second

// Database is what a scrape reads.
type Database interface {
	// StateCounts counts the deployments within the scopes by state and strategy.
	StateCounts(ctx context.Context, scopes authz.Scopes) ([]catalog.StateCount, error)
	// CountStuck counts deployments that are overdue.
	CountStuck(ctx context.Context) (int, error)
}

// RegisterDatabase registers the metrics that each scrape reads from db. It is called once. While db is away they are left
// out and rollcall_database_up is 0.
func (m *Metrics) RegisterDatabase(db Database) {
	m.registry.MustRegister(&deployments{
		db: db, strategies: m.kinds.Strategies,
		count: newDesc("deployments", "Deployments there are, from the database.", "state", "strategy"),
		inFlight: newDesc("deployments_in_flight",
			"Deployments that have not ended, from the database.", "state"),
		stuck: newDesc("stuck_deployments",
			"Deployments that should have made a step 8 s ago and have not; 0 in a healthy system, from the database."),
		up: newDesc("database_up", "Whether the last scrape could read the database; without it all metrics from there are missing."),
	})
}

func newDesc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc(prometheus.BuildFQName(namespace, "", name), help, labels, nil)
}

// deployments reads the database at each scrape.
type deployments struct {
	db                         Database
	strategies                 []string
	count, inFlight, stuck, up *prometheus.Desc
}

// Describe implements prometheus.Collector.
func (c *deployments) Describe(ch chan<- *prometheus.Desc) {
	ch <- c.count
	ch <- c.inFlight
	ch <- c.stuck
	ch <- c.up
}

// Collect implements prometheus.Collector.
func (c *deployments) Collect(ch chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), scrapeTimeout)
	defer cancel()
	tallies, err := c.db.StateCounts(ctx, authz.Everywhere())
	stuck := 0
	if err == nil {
		stuck, err = c.db.CountStuck(ctx)
	}
	if err != nil { // database_up reports it; the store's callers log the reason
		ch <- newGauge(c.up, 0)
		return
	}
	ch <- newGauge(c.up, 1)
	ch <- newGauge(c.stuck, float64(stuck))
	c.sendCounts(ch, countByGroup(tallies, c.strategies))
}

type group struct {
	state    rollout.State
	strategy string
}

// countByGroup sums up by labels. Every state of every known strategy is present, so that a series never vanishes when its
// last deployment changes state.
func countByGroup(tallies []catalog.StateCount, strategies []string) map[group]int {
	counts := map[group]int{}
	for _, state := range rollout.States() {
		for _, strategy := range strategies {
			counts[group{state, strategy}] = 0
		}
	}
	for _, t := range tallies {
		counts[group{t.State, allowedLabel(t.Strategy, strategies)}] += t.Count
	}
	return counts
}

func (c *deployments) sendCounts(ch chan<- prometheus.Metric, counts map[group]int) {
	active := map[rollout.State]int{}
	for g, n := range counts {
		if !slices.Contains(rollout.States(), g.state) {
			continue
		}
		ch <- newGauge(c.count, float64(n), string(g.state), g.strategy)
		if !g.state.Terminal() {
			active[g.state] += n
		}
	}
	for state, n := range active {
		ch <- newGauge(c.inFlight, float64(n), string(state))
	}
}

func newGauge(d *prometheus.Desc, v float64, labels ...string) prometheus.Metric {
	return prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
}
