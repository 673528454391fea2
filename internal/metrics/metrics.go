package metrics

import (
	"net/http"
	"runtime"
	"runtime/debug"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promauto"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

const namespace = "rollcall"

// Metrics holds the server's metrics. It is safe for concurrent use.
type Metrics struct {
	registry *prometheus.Registry
	kinds    Kinds
	engine   engine
	requests requests
	syncs    syncs

	deliveries deliveries
}

// Kinds lists the known label values; any other value is counted as "other".
type Kinds struct {
	Strategies, Checks, Routers []string
}

// New returns metrics in a new registry, with those of the Go runtime, the process and the build.
func New(kinds Kinds) *Metrics {
	registry := prometheus.NewRegistry()
	registry.MustRegister(
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		buildInfo(),
	)
	with := promauto.With(registry)
	return &Metrics{
		registry: registry, kinds: kinds, engine: newEngine(with, kinds), requests: newRequests(with), syncs: newSyncs(with), deliveries: newDeliveries(with),
	}
}

// Handler serves scrapes. Metrics that cannot be read are left out.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{
		ErrorHandling: promhttp.ContinueOnError,
		Registry:      m.registry,
	})
}

func buildInfo() prometheus.Collector {
	version, revision := "unknown", "unknown"
	if info, ok := debug.ReadBuildInfo(); ok {
		version = info.Main.Version
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" {
				revision = s.Value
			}
		}
	}
	gauge := prometheus.NewGauge(prometheus.GaugeOpts{
		Namespace:   namespace,
		Name:        "build_info",
		Help:        "Always 1; the labels name the build.",
		ConstLabels: prometheus.Labels{"version": version, "revision": revision, "goversion": runtime.Version()},
	})
	gauge.Set(1)
	return gauge
}
