package e2e

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"rollcall/internal/dbtest"
	"rollcall/internal/slowtest"
)

// metricSource is a Prometheus that scrapes a page of the test.
type metricSource struct {
	t    *testing.T
	url  string
	args []string
	cmd  *exec.Cmd
}

// startPrometheus starts one that scrapes address; more is added to its configuration.
func startPrometheus(t *testing.T, address, more string) *metricSource {
	t.Helper()
	dir := t.TempDir()
	config := fmt.Sprintf("global: {scrape_interval: 200ms}\nscrape_configs: [{job_name: app, static_configs: [{targets: [%q]}]}]\n%s", address, more)
	file := filepath.Join(dir, "prometheus.yml")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	listen := l.Addr().String()
	_ = l.Close()
	m := &metricSource{t: t, url: "http://" + listen, args: []string{
		"--config.file=" + file, "--storage.tsdb.path=" + filepath.Join(dir, "data"), "--web.listen-address=" + listen, "--log.level=error",
	}}
	t.Cleanup(m.stop)
	m.start()
	return m
}

func (m *metricSource) start() {
	m.t.Helper()
	program, err := exec.LookPath("prometheus")
	switch {
	case err == nil:
	case os.Getenv("CI") != "":
		m.t.Fatal("prometheus is missing: apt-get install prometheus")
	default:
		m.t.Skip("prometheus is not installed")
	}
	m.cmd = exec.CommandContext(m.t.Context(), program, m.args...)
	m.cmd.Stderr = os.Stderr
	if err := m.cmd.Start(); err != nil {
		m.t.Fatal(err)
	}
	awaitFact(m.t, "Prometheus has scraped the page", func() bool { return m.gives("up{job='app'}") })
}

// stop ends it; one that has ended already stays so.
func (m *metricSource) stop() {
	if m.cmd != nil && m.cmd.ProcessState == nil {
		_ = m.cmd.Process.Kill()
		_ = m.cmd.Wait()
	}
}

// gives reports whether a query has a result by now.
func (m *metricSource) gives(query string) bool {
	res, err := http.Get(m.url + "/api/v1/query?query=" + url.QueryEscape(query))
	if err != nil {
		return false
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	return err == nil && strings.Contains(string(text), `"value"`)
}

// exposition serves one page of metrics.
func exposition(t *testing.T, text string) (address string) {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = fmt.Fprint(w, text) }))
	t.Cleanup(s.Close)
	return s.Listener.Addr().String()
}

func TestPrometheus_QueryIsAMetric(t *testing.T) {
	t.Parallel()
	m := startPrometheus(t, exposition(t, "lag{shard=\"1\"} 3\nlag{shard=\"2\"} 12\nempty NaN\nmost +Inf\n"), "")
	unread := startPrometheus(t, exposition(t, "lag 3\n"), "remote_read: [{url: 'http://127.0.0.1:1/read', read_recent: true}]\n")
	p := serve(t, dbtest.New(t))
	value := "/api/v1/query?query=" + url.QueryEscape(`lag{shard="1"}`)
	for name, test := range map[string]struct {
		check        object
		status, says string
	}{
		"one series":     {object{"url": m.url, "query": `lag{shard="1"}`, "fail_above": 10}, "healthy", `lag{instance=`},
		"several series": {object{"url": m.url, "query": `lag`, "fail_above": 10}, "unhealthy", `shard="2"} is 12, above 10`},
		"a sum":          {object{"url": m.url, "query": "sum(lag)\n", "warn_above": 10}, "degraded", "the query is 15, above 10"},
		"a scalar":       {object{"url": m.url + "/", "query": "scalar(sum(lag))", "fail_above": 20}, "healthy", "15"},
		"no series":      {object{"url": m.url, "query": "absent_metric", "fail_above": 10}, "unknown", "gives no series"},
		"NaN":            {object{"url": m.url, "query": "empty", "fail_above": 10}, "unknown", "NaN"},
		"Inf":            {object{"url": m.url, "query": "most", "fail_above": 10}, "unhealthy", "+Inf, above 10"},
		"a range":        {object{"url": m.url, "query": "lag[1m]", "fail_above": 10}, "unknown", "apply a function such as rate()"},
		"no PromQL":      {object{"url": m.url, "query": "lag{", "fail_above": 10}, "unknown", "HTTP 400: the query failed: bad_data"},
		"a warning":      {object{"url": unread.url, "query": "lag", "fail_above": 10}, "unknown", "may be incomplete: remote_read"},
		"warned, failed": {object{"url": unread.url, "query": "lag", "fail_above": 2}, "unhealthy", "is 3, above 2"},
		"a pointer":      {object{"url": m.url + value, "pointer": "/data/result/0/value/1", "fail_above": 10}, "healthy", "is 3"},
		"nothing there":  {object{"url": m.url + value + "x", "pointer": "/data/result/0/value/1", "fail_above": 10}, "unknown", "HTTP 400"},
	} {
		var tried struct {
			Checks []struct{ Status, Message string }
		}
		test.check["type"] = "metric"
		res, data := call(t, http.MethodPost, p.url+"/checks", object{"address": "http://127.0.0.1:1", "health_checks": []object{test.check}}, &tried)
		if res.StatusCode != http.StatusOK {
			t.Fatalf("%s: %d %s", name, res.StatusCode, data)
		}
		if got := tried.Checks[0]; got.Status != test.status || !strings.Contains(got.Message, test.says) {
			t.Errorf("%s: %s %q, want %s with %q", name, got.Status, got.Message, test.status, test.says)
		}
	}
}

// withMetric is a deployment with a bake that also asks a Prometheus, which stays away for a while in it.
func withMetric(t *testing.T, p *process, deadline string, away time.Duration) deployment {
	t.Helper()
	m := startPrometheus(t, exposition(t, "lag 3\n"), "")
	f := newFleet(t, 1, "v1")
	body := request(f, "v2", object{"type": "rolling", "bake": "3s"})
	body["service"], body["healthy_deadline"] = "with-"+deadline, deadline
	body["health_checks"] = append(part[[]object](body, "health_checks"),
		object{"type": "metric", "name": "lag", "url": m.url, "query": "lag", "fail_above": 10, "interval": "100ms", "unhealthy_threshold": 1})
	d := p.post(body)
	p.await(d.ID, "verified", func(d *deployment) bool { return strings.Contains(d.Reason, "baking until") })
	m.stop()
	if away > 0 {
		back := time.NewTimer(away)
		defer back.Stop()
		select {
		case <-back.C:
			m.start()
		case <-t.Context().Done():
		}
	}
	return p.awaitEnd(d.ID)
}

func TestPrometheus_OutageDuringBakeFailsNoTarget(t *testing.T) {
	slowtest.Mark(t)
	t.Parallel()
	p := serve(t, dbtest.New(t))
	d := withMetric(t, p, "60s", 6*time.Second)
	assertEnd(p, d, "completed", true)
	if d.Result.DurationMS < 6000 {
		t.Errorf("it ended after %v ms, before the metric was known again", d.Result.DurationMS)
	}
}

func TestPrometheus_OutageBeyondDeadlineFails(t *testing.T) {
	slowtest.Mark(t)
	t.Parallel()
	p := serve(t, dbtest.New(t))
	d := withMetric(t, p, "4s", 0)
	assertEnd(p, d, "failed", false) // the way back cannot be verified either
	if !strings.Contains(d.Reason, "health unknown for 4s after verification: check lag: ") {
		t.Errorf("the reason is %q", d.Reason)
	}
}
