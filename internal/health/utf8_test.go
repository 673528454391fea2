package health

import (
	"testing"

	"rollcall/internal/healthcheck"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// TestMetric_ReadsNamesBeyondPlainOnes asks a page of Prometheus' own Go client for names that it rewrites for those who do
// not say that they can read them.
func TestMetric_ReadsNamesBeyondPlainOnes(t *testing.T) {
	t.Parallel()
	registry := prometheus.NewRegistry()
	requests := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "http.server.requests"}, []string{"http.method", "l"})
	requests.WithLabelValues("get", `a"b`).Set(3)
	requests.WithLabelValues("post", "x").Set(8)
	plain := prometheus.NewGauge(prometheus.GaugeOpts{Name: "up"})
	plain.Set(1)
	registry.MustRegister(requests, plain)
	url := serve(t, promhttp.HandlerFor(registry, promhttp.HandlerOpts{}).ServeHTTP)
	for _, test := range []struct {
		metric  string
		status  healthcheck.Health
		message string
	}{
		{`{"http.server.requests","http.method"="get"}`, healthcheck.Healthy, " is 3"},
		{`{"http.server.requests", l="a\"b"}`, healthcheck.Healthy, " is 3"},
		{`{"http.server.requests"}`, healthcheck.Unhealthy, " is 8, above 5"},
		{`{"http.server.requests",l="y"}`, healthcheck.Unknown, "has no "},
		{`{"up"}`, healthcheck.Healthy, " is 1"},
		{"up", healthcheck.Healthy, " is 1"},
		{"http_server_requests", healthcheck.Unhealthy, " is 8, above 5"}, // as it is written for those who cannot read the name
		{`http_server_requests{http_method="get"}`, healthcheck.Healthy, " is 3"},
	} {
		want(t, probe(t, healthcheck.Check{Type: "metric", Metric: test.metric, FailAbove: limit(5)}, url), test.status, test.message)
	}
}
