package metrics

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"rollcall/internal/healthcheck"
	"rollcall/internal/rollout"
)

// engine holds the metrics of the engine.
type engine struct {
	started       *prometheus.CounterVec
	ended         *prometheus.CounterVec
	durations     *prometheus.HistogramVec
	calls         *prometheus.CounterVec
	callSeconds   *prometheus.HistogramVec
	routes        *prometheus.CounterVec
	routeSeconds  *prometheus.HistogramVec
	checks        *prometheus.CounterVec
	checkSeconds  *prometheus.HistogramVec
	takeovers     prometheus.Counter
	fenced        prometheus.Counter
	saves         *prometheus.CounterVec
	saveSeconds   prometheus.Histogram
	savedByTarget prometheus.Histogram
	deleted       prometheus.Counter
}

func newEngine(with promauto.Factory, kinds Kinds) engine {
	e := engine{
		started: newCounters(with, "deployments_started_total", "Deployments that started.", "strategy"),
		ended:   newCounters(with, "deployments_total", "Deployments that ended; the outcome is the final state.", "strategy", "outcome"),
		durations: newHistograms(with, "deployment_duration_seconds", "Time from the start to the end of a deployment.",
			[]float64{1, 2, 5, 10, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200, 14400}, "strategy", "outcome"),
		calls: newCounters(with, "target_calls_total", "Deploy webhook calls by result: done, accepted (202), retry (408, 425, 429), refused (other responses), fenced (409), not_sent (no connection), lost (no response, or a 5xx).", "action", "result"),
		callSeconds: newHistograms(with, "target_call_duration_seconds", "Time from a deploy webhook call to its response.",
			[]float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 120, 300}, "action"),
		routes: newCounters(with, "router_writes_total", "Writes to routers, by the same results as deploy webhook calls.", "type", "result"),
		routeSeconds: newHistograms(with, "router_write_duration_seconds", "Time from a router write to its response.",
			[]float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30}, "type"),
		checks: newCounters(with, "checks_total", "Health probes of targets, by their result.", "type", "status"),
		checkSeconds: newHistograms(with, "check_duration_seconds", "Duration of a health probe.",
			[]float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30}, "type"),
		takeovers: with.NewCounter(counterOpts("takeovers_total", "Deployments taken over from replicas that died or lost their lease.")),
		fenced: with.NewCounter(counterOpts("fenced_writes_total",
			"Writes rejected because the deployment has a new owner: the lease of this server had expired.")),
		saves: newCounters(with, "saves_total", "Saves of deployments to the database.", "result"),
		saveSeconds: with.NewHistogram(prometheus.HistogramOpts{
			Namespace: namespace, Name: "save_duration_seconds", Help: "Duration of a write of a deployment to the database.",
			Buckets: []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5},
		}),
		savedByTarget: with.NewHistogram(prometheus.HistogramOpts{
			Namespace: namespace, Name: "save_targets", Help: "Number of targets in one write of a deployment.",
			Buckets: []float64{0, 1, 2, 5, 10, 25, 50, 100, 250, 1000},
		}),
	}
	e.deleted = with.NewCounter(counterOpts("deployments_forgotten_total", "Old deployments deleted because of --retain."))
	e.initSeries(kinds)
	return e
}

// initSeries creates the series that alerts query before the first event: a counter that first appears as 1 has no rate.
func (e engine) initSeries(kinds Kinds) {
	for _, s := range kinds.Strategies {
		e.started.WithLabelValues(s)
		for _, o := range finalStates() {
			e.ended.WithLabelValues(s, o)
		}
	}
	for _, a := range callActions() {
		for _, r := range callResults() {
			e.calls.WithLabelValues(a, r)
		}
	}
	e.saves.WithLabelValues("ok")
	e.saves.WithLabelValues("error")
}

// DeploymentStarted counts a deployment that left pending.
func (m *Metrics) DeploymentStarted(strategy string) {
	m.engine.started.WithLabelValues(allowedLabel(strategy, m.kinds.Strategies)).Inc()
}

// DeploymentEnded counts a deployment that reached the terminal state outcome, d after its start (0: it never started).
func (m *Metrics) DeploymentEnded(strategy string, outcome rollout.State, d time.Duration) {
	labels := []string{allowedLabel(strategy, m.kinds.Strategies), allowedLabel(string(outcome), finalStates())}
	m.engine.ended.WithLabelValues(labels...).Inc()
	m.engine.durations.WithLabelValues(labels...).Observe(d.Seconds())
}

// CallDone counts one call of a deploy webhook and its result.
func (m *Metrics) CallDone(action rollout.CallAction, kind rollout.ResultKind, d time.Duration) {
	name := allowedLabel(string(action), callActions())
	m.engine.calls.WithLabelValues(name, allowedLabel(string(kind), callResults())).Inc()
	m.engine.callSeconds.WithLabelValues(name).Observe(d.Seconds())
}

// ProbeDone counts one health probe and its status.
func (m *Metrics) ProbeDone(checkType string, status healthcheck.Health, d time.Duration) {
	name := allowedLabel(checkType, m.kinds.Checks)
	m.engine.checks.WithLabelValues(name, allowedLabel(string(status), checkStatuses())).Inc()
	m.engine.checkSeconds.WithLabelValues(name).Observe(d.Seconds())
}

// TakenOver counts a deployment claimed from a replica that died.
func (m *Metrics) TakenOver() { m.engine.takeovers.Inc() }

// SaveFenced counts a save that was rejected because the deployment has a new owner.
func (m *Metrics) SaveFenced() { m.engine.fenced.Inc() }

// DeploymentsDeleted counts expired deployments that this process deleted.
func (m *Metrics) DeploymentsDeleted(n int) { m.engine.deleted.Add(float64(n)) }

// RouteDone counts one write to a router.
func (m *Metrics) RouteDone(router string, kind rollout.ResultKind, d time.Duration) {
	router = allowedLabel(router, m.kinds.Routers)
	m.engine.routes.WithLabelValues(router, string(kind)).Inc()
	m.engine.routeSeconds.WithLabelValues(router).Observe(d.Seconds())
}

// SaveDone counts one write of a deployment with so many targets; failed says that it did not land, as far as known.
func (m *Metrics) SaveDone(d time.Duration, targets int, failed bool) {
	result := "ok"
	if failed {
		result = "error"
	}
	m.engine.saves.WithLabelValues(result).Inc()
	m.engine.saveSeconds.Observe(d.Seconds())
	m.engine.savedByTarget.Observe(float64(targets))
}

func counterOpts(name, help string) prometheus.CounterOpts {
	return prometheus.CounterOpts{Namespace: namespace, Name: name, Help: help}
}

func newCounters(with promauto.Factory, name, help string, labels ...string) *prometheus.CounterVec {
	return with.NewCounterVec(counterOpts(name, help), labels)
}

func newHistograms(with promauto.Factory, name, help string, buckets []float64, labels ...string) *prometheus.HistogramVec {
	return with.NewHistogramVec(prometheus.HistogramOpts{
		Namespace: namespace, Name: name, Help: help, Buckets: buckets,
	}, labels)
}
