package health

import (
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"rollcall/internal/rollout"
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
		status  rollout.Health
		message string
	}{
		{`{"http.server.requests","http.method"="get"}`, rollout.Healthy, " is 3"},
		{`{"http.server.requests", l="a\"b"}`, rollout.Healthy, " is 3"},
		{`{"http.server.requests"}`, rollout.HealthUnhealthy, " is 8, above 5"},
		{`{"http.server.requests",l="y"}`, rollout.HealthUnknown, "has no "},
		{`{"up"}`, rollout.Healthy, " is 1"},
		{"up", rollout.Healthy, " is 1"},
		{"http_server_requests", rollout.HealthUnhealthy, " is 8, above 5"}, // as it is written for those who cannot read the name
		{`http_server_requests{http_method="get"}`, rollout.Healthy, " is 3"},
	} {
		want(t, probe(t, rollout.Check{Type: "metric", Metric: test.metric, FailAbove: limit(5)}, url), test.status, test.message)
	}
}
