package health

import (
	"io"
	"net/http"
	"testing"

	"rollcall/internal/healthcheck"
)

// queryAPI answers every query with body, and keeps what was asked.
func queryAPI(t *testing.T, status int, body string) (url string, asked *string) {
	t.Helper()
	asked = new(string)
	url = serve(t, func(w http.ResponseWriter, r *http.Request) {
		*asked = r.URL.Path + " " + r.URL.Query().Get("query") + " " + r.URL.Query().Get("dedup")
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	})
	return url, asked
}

func success(resultType, result, more string) string {
	return `{"status":"success","data":{"resultType":"` + resultType + `","result":` + result + `}` + more + `}`
}

func TestQuery_EachSeriesCounts(t *testing.T) {
	t.Parallel()
	const (
		both  = `[{"metric":{"__name__":"lag","shard":"1"},"value":[1.5,"3"]},{"metric":{"__name__":"lag","shard":"2"},"value":[1.5,"12"]}]`
		nan   = `[{"metric":{},"value":[1,"NaN"]},{"metric":{},"value":[1,"1"]}]`
		cut   = `,"warnings":["results truncated due to limit"]`
		infos = `,"infos":["metric might not be a counter"]`
	)
	for _, test := range []struct {
		body    string
		status  healthcheck.Health
		message string
	}{
		{success("vector", `[{"metric":{},"value":[1.5,"0.25"]}]`, ""), healthcheck.Healthy, "the query is 0.25"},
		{success("scalar", `[1.5,"7"]`, ""), healthcheck.Healthy, "7"},
		{success("scalar", `[1.5,"11"]`, ""), healthcheck.Unhealthy, "11, above 10"},
		{success("vector", both, ""), healthcheck.Unhealthy, `lag{shard="2"} is 12, above 10`},
		{success("vector", `[{"metric":{},"value":[1,"+Inf"]}]`, ""), healthcheck.Unhealthy, "+Inf, above 10"},
		{success("vector", `[{"metric":{},"value":[1,"-Inf"]}]`, ""), healthcheck.Healthy, "-Inf"},
		{success("vector", nan, ""), healthcheck.Unknown, "NaN"},
		{success("vector", `[]`, ""), healthcheck.Unknown, "no series"},
		{success("vector", `[{"metric":{"a":"b"},"histogram":[1,{}]}]`, ""), healthcheck.Unknown, `{a="b"} is a histogram`},
		{success("vector", `[{"metric":{},"value":[1,2]}]`, ""), healthcheck.Unknown, "not a number"},
		{success("vector", `{}`, ""), healthcheck.Unknown, "cannot be read"},
		{success("matrix", `[{"metric":{},"values":[[1,"2"]]}]`, ""), healthcheck.Unknown, "rate()"},
		{success("string", `[1,"x"]`, ""), healthcheck.Unknown, "a string"},
		{success("vector", `[{"metric":{},"value":[1,"1"]}]`, cut), healthcheck.Unknown, "truncated due to limit"},
		{success("vector", both, cut), healthcheck.Unhealthy, "12, above 10"},
		{success("vector", `[{"metric":{},"value":[1,"1"]}]`, infos), healthcheck.Healthy, "1"},
	} {
		url, asked := queryAPI(t, http.StatusOK, test.body)
		check := healthcheck.Check{Type: "metric", Query: "lag > bool 1", URL: url + "/prom/?dedup=1", FailAbove: limit(10)}
		want(t, probe(t, check, "http://10.0.0.1"), test.status, test.message)
		if *asked != "/prom/api/v1/query lag > bool 1 1" {
			t.Errorf("asked %q", *asked)
		}
	}
}

func TestQuery_FailureIsUnknown(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		status  int
		body    string
		message string
	}{
		{http.StatusBadRequest, `{"status":"error","errorType":"bad_data","error":"unexpected end of input"}`, "bad_data: unexpected end"},
		{http.StatusServiceUnavailable, "starting", "HTTP 503: that is no answer of Prometheus' query API: starting"},
		{http.StatusOK, "<html>", "no answer of Prometheus"},
		{http.StatusFound, "", "no answer of Prometheus"},
	} {
		url, _ := queryAPI(t, test.status, test.body)
		want(t, probe(t, healthcheck.Check{Type: "metric", Query: "up", URL: url, FailBelow: limit(1)}, "http://10.0.0.1"), healthcheck.Unknown, test.message)
	}
	url, asked := queryAPI(t, http.StatusOK, success("scalar", `[1,"1"]`, ""))
	want(t, probe(t, healthcheck.Check{Type: "metric", Query: "1", URL: url + "/api/v1/query", FailBelow: limit(1)}, "http://h"), healthcheck.Healthy, "")
	if *asked != "/api/v1/query 1 " {
		t.Errorf("asked %q", *asked)
	}
}

func TestMetric_SourceElsewhereAwayIsUnknown(t *testing.T) {
	t.Parallel()
	broken := serve(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) })
	moved := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Location", "https://user:pw@login.example/in?token=t#x")
		w.WriteHeader(http.StatusFound)
	})
	away := "http://" + unusedAddress(t)
	for _, check := range []healthcheck.Check{{Metric: "up"}, {Pointer: "/up"}, {Query: "up"}} {
		check.Type, check.FailBelow = "metric", limit(1)
		for url, message := range map[string]string{away: "refused", broken: "HTTP 502", moved: "redirects to https://login.example/in, and"} {
			check.URL = url + "/x"
			if check.Query == "" || url != broken {
				want(t, probe(t, check, "http://127.0.0.1:1"), healthcheck.Unknown, "is not the target, and: ")
			}
			want(t, probe(t, check, "http://127.0.0.1:1"), healthcheck.Unknown, message)
			if check.Query == "" || url != broken { // what failed there is the query
				want(t, probe(t, check, url+"/base"), healthcheck.Unhealthy, message)
			}
		}
	}
	check := healthcheck.Check{Type: "metric", Metric: "up", FailBelow: limit(1)}
	want(t, probe(t, check, broken), healthcheck.Unhealthy, "HTTP 502")
}
