package metrics

import (
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"
)

// RegisterPool registers the state of the database connection pool, read at each scrape. It is called once.
func (m *Metrics) RegisterPool(stat func() *pgxpool.Stat) {
	m.registry.MustRegister(&pool{stat: stat, values: poolValues()})
}

type pool struct {
	stat   func() *pgxpool.Stat
	values []poolValue
}

type poolValue struct {
	desc *prometheus.Desc
	kind prometheus.ValueType
	of   func(*pgxpool.Stat) float64
}

func poolValues() []poolValue {
	value := func(kind prometheus.ValueType, name, help string, of func(*pgxpool.Stat) float64) poolValue {
		return poolValue{newDesc("db_pool_"+name, help), kind, of}
	}
	const now, ever = prometheus.GaugeValue, prometheus.CounterValue
	return []poolValue{
		value(now, "max_connections", "Maximum number of connections in the pool for requests.",
			func(s *pgxpool.Stat) float64 { return float64(s.MaxConns()) }),
		value(now, "connections", "Connections open or being opened.",
			func(s *pgxpool.Stat) float64 { return float64(s.TotalConns()) }),
		value(now, "acquired_connections", "Connections in use.",
			func(s *pgxpool.Stat) float64 { return float64(s.AcquiredConns()) }),
		value(now, "idle_connections", "Connections not in use.",
			func(s *pgxpool.Stat) float64 { return float64(s.IdleConns()) }),
		value(ever, "acquires_total", "Connections taken from the pool.",
			func(s *pgxpool.Stat) float64 { return float64(s.AcquireCount()) }),
		value(ever, "acquire_seconds_total", "Time spent waiting for a connection.",
			func(s *pgxpool.Stat) float64 { return s.AcquireDuration().Seconds() }),
		value(ever, "empty_acquires_total", "Acquires that had to wait because no connection was free.",
			func(s *pgxpool.Stat) float64 { return float64(s.EmptyAcquireCount()) }),
		value(ever, "canceled_acquires_total", "Acquires that were canceled while waiting.",
			func(s *pgxpool.Stat) float64 { return float64(s.CanceledAcquireCount()) }),
		value(ever, "opened_connections_total", "Connections opened.",
			func(s *pgxpool.Stat) float64 { return float64(s.NewConnsCount()) }),
	}
}

// Describe implements prometheus.Collector.
func (p *pool) Describe(ch chan<- *prometheus.Desc) {
	for _, v := range p.values {
		ch <- v.desc
	}
}

// Collect implements prometheus.Collector.
func (p *pool) Collect(ch chan<- prometheus.Metric) {
	stat := p.stat()
	for _, v := range p.values {
		ch <- prometheus.MustNewConstMetric(v.desc, v.kind, v.of(stat))
	}
}
