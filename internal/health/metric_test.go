package health

import (
	"io"
	"math"
	"net/http"
	"strings"
	"testing"

	"rollcall/internal/healthcheck"
)

const page = `# HELP disk_used_ratio Used share of a disk.
# TYPE disk_used_ratio gauge
disk_used_ratio{mountpoint="/",device="a\"b\\c\n"} 0.5
 disk_used_ratio { mountpoint = "/var" , } 9.5e-1 1700000000000
disk_used_ratio_max 7
lag{shard="1"} NaN
lag{shard="2"} 3
top +Inf
broken{x="1"
words text
upstream{bad 1
up 1
`

func TestMetric_ComparesWithLimits(t *testing.T) {
	t.Parallel()
	check := healthcheck.Check{WarnAbove: limit(80), FailAbove: limit(90), WarnBelow: limit(20), FailBelow: limit(10)}
	for v, status := range map[float64]healthcheck.Health{
		50: healthcheck.Healthy, 80: healthcheck.Healthy, 80.1: healthcheck.Degraded, 90: healthcheck.Degraded,
		90.1: healthcheck.Unhealthy, 20: healthcheck.Healthy, 19.9: healthcheck.Degraded, 10: healthcheck.Degraded,
		9.9: healthcheck.Unhealthy, math.Inf(1): healthcheck.Unhealthy, math.Inf(-1): healthcheck.Unhealthy,
	} {
		want(t, evaluateNumber(&check, sample{"x", v}), status, "")
	}
	want(t, evaluateNumber(&check, sample{"x", math.NaN()}), healthcheck.Unknown, "NaN")
	want(t, evaluateNumber(&healthcheck.Check{}, sample{"x", math.NaN()}), healthcheck.Unknown, "NaN")
}

func TestMetric_SearchesPrometheusText(t *testing.T) {
	t.Parallel()
	url := answer200(t, "text/plain", page)
	for _, test := range []struct {
		metric  string
		fail    float64
		status  healthcheck.Health
		message string
	}{
		{"up", 2, healthcheck.Healthy, "up is 1"},
		{`disk_used_ratio{mountpoint="/"}`, 0.9, healthcheck.Healthy, "0.5"},
		{`disk_used_ratio{mountpoint="/",device="a\"b\\c\n"}`, 0.9, healthcheck.Healthy, "0.5"},
		{`disk_used_ratio{mountpoint="/var"}`, 0.9, healthcheck.Unhealthy, "0.95, above 0.9"},
		{"disk_used_ratio", 0.9, healthcheck.Unhealthy, "0.95, above 0.9"}, // the worst of all
		{"disk_used_ratio", 2, healthcheck.Healthy, ""},
		{"disk_used_ratio_max", 10, healthcheck.Healthy, "7"},
		{"top", 1, healthcheck.Unhealthy, "Inf"},
		{"lag", 10, healthcheck.Unknown, "NaN"},
		{"lag", 2, healthcheck.Unhealthy, "3, above 2"},
		{`lag{shard="2"}`, 10, healthcheck.Healthy, "3"},
		{"absent", 1, healthcheck.Unknown, "has no absent"},
		{`up{job="x"}`, 1, healthcheck.Unknown, "has no up"},
		{"broken", 1, healthcheck.Unknown, "cannot be read"},
		{"words", 1, healthcheck.Unknown, "no number"},
		{"up +1", 1, healthcheck.Unknown, "written as"},
		{"{}", 1, healthcheck.Unknown, "written as"},
	} {
		got := probe(t, healthcheck.Check{Type: "metric", Metric: test.metric, FailAbove: limit(test.fail)}, url)
		want(t, got, test.status, test.message)
	}
}

func TestMetric_FindsJSONNumber(t *testing.T) {
	t.Parallel()
	url := answer200(t, "application/json", `{"mem":{"used":93.5},"text":"95","word":"high","nan":"NaN","most":"+Inf","hex":"0x9p9","nothing":null,"huge":1e999}`)
	check := func(pointer string) healthcheck.Check {
		return healthcheck.Check{Type: "metric", Pointer: pointer, WarnAbove: limit(90)}
	}
	want(t, probe(t, check("/mem/used"), url), healthcheck.Degraded, "93.5, above 90")
	want(t, probe(t, check("/text"), url), healthcheck.Degraded, "95, above 90")
	want(t, probe(t, check("/most"), url), healthcheck.Degraded, "+Inf, above 90")
	want(t, probe(t, check("/nan"), url), healthcheck.Unknown, "NaN")
	for _, absent := range []string{"/word", "/hex", "/nothing", "/huge", "/mem", "/none", "mem"} {
		want(t, probe(t, check(absent), url), healthcheck.Unknown, "")
	}
	want(t, probe(t, check("/x"), answer200(t, "text/plain", "NaN")), healthcheck.Unknown, "not JSON")
}

func TestMetric_DefaultPath(t *testing.T) {
	t.Parallel()
	url := serve(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "path"+strings.ReplaceAll(r.URL.Path, "/", "_")+" 1")
	})
	want(t, probe(t, healthcheck.Check{Type: "metric", Metric: "path_metrics"}, url), healthcheck.Healthy, "")
	want(t, probe(t, healthcheck.Check{Type: "metric", Metric: "path_x", Path: "/x"}, url), healthcheck.Healthy, "")
	want(t, probe(t, healthcheck.Check{Type: "metric"}, url), healthcheck.Unknown, "neither a pointer nor a metric")
}

func TestMetric_NeedsSuccessfulResponse(t *testing.T) {
	t.Parallel()
	bad := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusInternalServerError)
		_, _ = io.WriteString(w, "up 1")
	})
	want(t, probe(t, healthcheck.Check{Type: "metric", Metric: "up"}, bad), healthcheck.Unhealthy, "HTTP 500")
	want(t, probe(t, healthcheck.Check{Type: "metric", Metric: "up"}, "http://"+unusedAddress(t)), healthcheck.Unhealthy, "refused")
	large := answer200(t, "text/plain", "up 1\n"+strings.Repeat("# filler\n", maxMetricBody/8))
	want(t, probe(t, healthcheck.Check{Type: "metric", Metric: "up"}, large), healthcheck.Unknown, "1 MiB")
	want(t, probe(t, healthcheck.Check{Type: "metric", Pointer: "/up"}, large), healthcheck.Unknown, "1 MiB")
	wide := answer200(t, "text/plain", "up 1\n"+strings.Repeat("x", maxLine+1)+"\n")
	want(t, probe(t, healthcheck.Check{Type: "metric", Metric: "up"}, wide), healthcheck.Unknown, "too long")
}
