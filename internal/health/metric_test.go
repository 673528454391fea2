package health

import (
	"io"
	"math"
	"net/http"
	"strings"
	"testing"

	"rollcall/internal/rollout"
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

func TestANumberIsComparedWithItsLimits(t *testing.T) {
	t.Parallel()
	check := rollout.Check{WarnAbove: limit(80), FailAbove: limit(90), WarnBelow: limit(20), FailBelow: limit(10)}
	for v, status := range map[float64]rollout.Health{
		50: rollout.Healthy, 80: rollout.Healthy, 80.1: rollout.HealthDegraded, 90: rollout.HealthDegraded,
		90.1: rollout.HealthUnhealthy, 20: rollout.Healthy, 19.9: rollout.HealthDegraded, 10: rollout.HealthDegraded,
		9.9: rollout.HealthUnhealthy, math.Inf(1): rollout.HealthUnhealthy, math.Inf(-1): rollout.HealthUnhealthy,
	} {
		want(t, judgeNumber(&check, sample{"x", v}), status, "")
	}
	want(t, judgeNumber(&check, sample{"x", math.NaN()}), rollout.HealthUnknown, "NaN")
	want(t, judgeNumber(&rollout.Check{}, sample{"x", math.NaN()}), rollout.HealthUnknown, "NaN")
}

func TestPrometheusTextIsSearched(t *testing.T) {
	t.Parallel()
	url := answer200(t, "text/plain", page)
	for _, test := range []struct {
		metric  string
		fail    float64
		status  rollout.Health
		message string
	}{
		{"up", 2, rollout.Healthy, "up is 1"},
		{`disk_used_ratio{mountpoint="/"}`, 0.9, rollout.Healthy, "0.5"},
		{`disk_used_ratio{mountpoint="/",device="a\"b\\c\n"}`, 0.9, rollout.Healthy, "0.5"},
		{`disk_used_ratio{mountpoint="/var"}`, 0.9, rollout.HealthUnhealthy, "0.95, above 0.9"},
		{"disk_used_ratio", 0.9, rollout.HealthUnhealthy, "0.95, above 0.9"}, // the worst of all
		{"disk_used_ratio", 2, rollout.Healthy, ""},
		{"disk_used_ratio_max", 10, rollout.Healthy, "7"},
		{"top", 1, rollout.HealthUnhealthy, "Inf"},
		{"lag", 10, rollout.HealthUnknown, "NaN"},
		{"lag", 2, rollout.HealthUnhealthy, "3, above 2"},
		{`lag{shard="2"}`, 10, rollout.Healthy, "3"},
		{"absent", 1, rollout.HealthUnknown, "has no absent"},
		{`up{job="x"}`, 1, rollout.HealthUnknown, "has no up"},
		{"broken", 1, rollout.HealthUnknown, "cannot be read"},
		{"words", 1, rollout.HealthUnknown, "no number"},
		{"up +1", 1, rollout.HealthUnknown, "written as"},
		{"{}", 1, rollout.HealthUnknown, "written as"},
	} {
		got := probe(t, rollout.Check{Type: "metric", Metric: test.metric, FailAbove: limit(test.fail)}, url)
		want(t, got, test.status, test.message)
	}
}

func TestAJSONNumberIsFound(t *testing.T) {
	t.Parallel()
	url := answer200(t, "application/json", `{"mem":{"used":93.5},"text":"95","word":"high","nan":"NaN","most":"+Inf","hex":"0x9p9","nothing":null,"huge":1e999}`)
	check := func(pointer string) rollout.Check {
		return rollout.Check{Type: "metric", Pointer: pointer, WarnAbove: limit(90)}
	}
	want(t, probe(t, check("/mem/used"), url), rollout.HealthDegraded, "93.5, above 90")
	want(t, probe(t, check("/text"), url), rollout.HealthDegraded, "95, above 90")
	want(t, probe(t, check("/most"), url), rollout.HealthDegraded, "+Inf, above 90")
	want(t, probe(t, check("/nan"), url), rollout.HealthUnknown, "NaN")
	for _, absent := range []string{"/word", "/hex", "/nothing", "/huge", "/mem", "/none", "mem"} {
		want(t, probe(t, check(absent), url), rollout.HealthUnknown, "")
	}
	want(t, probe(t, check("/x"), answer200(t, "text/plain", "NaN")), rollout.HealthUnknown, "not JSON")
}

func TestAMetricIsAskedWhereItUsuallyIs(t *testing.T) {
	t.Parallel()
	url := serve(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "path"+strings.ReplaceAll(r.URL.Path, "/", "_")+" 1")
	})
	want(t, probe(t, rollout.Check{Type: "metric", Metric: "path_metrics"}, url), rollout.Healthy, "")
	want(t, probe(t, rollout.Check{Type: "metric", Metric: "path_x", Path: "/x"}, url), rollout.Healthy, "")
	want(t, probe(t, rollout.Check{Type: "metric"}, url), rollout.HealthUnknown, "neither a pointer nor a metric")
}

func TestAMetricNeedsAGoodAnswer(t *testing.T) {
	t.Parallel()
	bad := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusInternalServerError)
		_, _ = io.WriteString(w, "up 1")
	})
	want(t, probe(t, rollout.Check{Type: "metric", Metric: "up"}, bad), rollout.HealthUnhealthy, "HTTP 500")
	want(t, probe(t, rollout.Check{Type: "metric", Metric: "up"}, "http://"+nobody(t)), rollout.HealthUnhealthy, "refused")
	large := answer200(t, "text/plain", "up 1\n"+strings.Repeat("# filler\n", maxMetricBody/8))
	want(t, probe(t, rollout.Check{Type: "metric", Metric: "up"}, large), rollout.HealthUnknown, "1 MiB")
	want(t, probe(t, rollout.Check{Type: "metric", Pointer: "/up"}, large), rollout.HealthUnknown, "1 MiB")
	wide := answer200(t, "text/plain", "up 1\n"+strings.Repeat("x", maxLine+1)+"\n")
	want(t, probe(t, rollout.Check{Type: "metric", Metric: "up"}, wide), rollout.HealthUnknown, "too long")
}
