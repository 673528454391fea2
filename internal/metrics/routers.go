package metrics

import (
	"context"

	"rollcall/internal/storage"

	"github.com/prometheus/client_golang/prometheus"
)

// Routers is what a scrape reads of routers at rest.
type Routers interface {
	// RouterDrifts lists the routers whose weights differ from the last deployment's; their number is bounded.
	RouterDrifts(ctx context.Context) ([]storage.RouterDrift, error)
}

// RegisterRouters registers the metric of routers that each scrape reads from db. It is called once.
func (m *Metrics) RegisterRouters(db Routers) {
	m.registry.MustRegister(&routers{db: db, drift: newDesc("router_drift",
		"1 for a router whose weights differ from what the last deployment set, no series for others; at most 200, from the database.", "service", "environment")})
}

// routers reads the database at each scrape.
type routers struct {
	db    Routers
	drift *prometheus.Desc
}

// Describe implements prometheus.Collector.
func (c *routers) Describe(ch chan<- *prometheus.Desc) { ch <- c.drift }

// Collect implements prometheus.Collector.
func (c *routers) Collect(ch chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), scrapeTimeout)
	defer cancel()
	drifts, err := c.db.RouterDrifts(ctx)
	if err != nil {
		return // database_up reports it
	}
	for _, d := range drifts {
		ch <- newGauge(c.drift, 1, d.Service, d.Environment)
	}
}
