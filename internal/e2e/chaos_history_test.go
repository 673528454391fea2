package e2e

import (
	"bufio"
	"bytes"
	"net/http"
	"strconv"
	"strings"
	"time"

	"rollcall/internal/e2e/chaos"
)

// loggedEvent is an event with all that the checker looks at.
type loggedEvent struct {
	Seq             int
	At              time.Time
	Type, Actor     string
	Target, Replica *string
	From, To        *string
	Wave            int
	Call            *struct {
		WebhookID string `json:"webhook_id"`
		Action    string
		Attempt   int
		Fence     int64
	}
}

// listed is a deployment as lists return it.
type listed struct {
	deployment
	Service, Version, Kind string
	RollbackOf             *string `json:"rollback_of"`
	Labels                 map[string]string
	StartedAt              *time.Time `json:"started_at"`
	FinishedAt             *time.Time `json:"finished_at"`
}

// text is what may be null, "" when it is.
func text(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// history gathers what was seen of the round, when all is quiet.
func (r *round) history() *chaos.History {
	h := &chaos.History{
		Seed: r.seed, Round: r.number, Replicas: r.size.Replicas, Lease: r.size.Lease, Starved: r.starved, Faults: r.faults, Metrics: map[string]int{},
		Runs: map[string]map[string]string{}, Weights: map[string]chaos.Write{},
	}
	plans := map[string]chaos.Plan{}
	for _, s := range r.services {
		for key, plan := range s.plans {
			plans[key] = plan
		}
		h.Calls = append(h.Calls, s.calls()...)
		h.Runs[s.name] = s.fleet.Versions()
		s.router.mu.Lock()
		h.Writes = append(h.Writes, s.router.writes...)
		h.Restarts = append(h.Restarts, s.router.restarts...)
		h.Weights[s.name] = s.router.does
		s.router.mu.Unlock()
	}
	for _, d := range everything[listed](r.caller, "/deployments") {
		h.Deployments = append(h.Deployments, r.described(d, plans))
	}
	for i := range h.Deployments { // a rollback was asked for with the plan of what it rolls back
		if origin := h.Deployments[i].RollbackOf; origin != "" {
			for _, d := range h.Deployments {
				if d.ID == origin {
					h.Deployments[i].Plan = d.Plan
				}
			}
		}
	}
	r.count(h)
	h.Ops = r.caller.all()
	return h
}

func (s *service) calls() []chaos.Call {
	var calls []chaos.Call
	for _, c := range s.fleet.Calls() {
		calls = append(calls, chaos.Call{
			Service: s.name, Target: c.Target, DeploymentID: c.DeploymentID, Action: c.Action, Version: c.Version, WebhookID: c.WebhookID,
			Attempt: c.Attempt, Fence: c.Fence, Received: c.Received, Answered: c.Answered, Status: c.Status, Applied: c.Applied,
		})
	}
	return calls
}

func (r *round) described(d listed, plans map[string]chaos.Plan) chaos.Deployment {
	out := chaos.Deployment{
		ID: d.ID, Service: d.Service, Version: d.Version, Kind: d.Kind, State: d.State, Key: d.Labels["key"],
		RollbackOf: text(d.RollbackOf), Revision: d.Revision, Plan: plans[d.Labels["key"]],
	}
	if d.StartedAt != nil {
		out.StartedAt = *d.StartedAt
	}
	if d.FinishedAt != nil {
		out.FinishedAt = *d.FinishedAt
	}
	if d.Result != nil {
		out.Success, out.Updated, out.Failed, out.RolledBack = d.Result.Success, d.Result.Updated, d.Result.Failed, d.Result.RolledBack
	}
	for _, t := range everything[targetResult](r.caller, "/deployments/"+d.ID+"/targets") {
		out.Targets = append(out.Targets, chaos.Target{ID: t.ID, State: t.State, Version: text(t.Version), Previous: text(t.PreviousVersion)})
	}
	for _, e := range everything[loggedEvent](r.caller, "/deployments/"+d.ID+"/events") {
		logged := chaos.Event{
			Seq: e.Seq, At: e.At, Type: e.Type, Target: text(e.Target), Replica: text(e.Replica), From: text(e.From), To: text(e.To),
			Actor: e.Actor, Wave: e.Wave,
		}
		if e.Call != nil {
			logged.WebhookID, logged.Action, logged.Attempt, logged.Fence = e.Call.WebhookID, e.Call.Action, e.Call.Attempt, e.Call.Fence
		}
		out.Events = append(out.Events, logged)
	}
	return out
}

// count reads what the metrics count.
func (r *round) count(h *chaos.History) {
	op, text := r.caller.insist("", http.MethodGet, "/metrics", "", nil)
	if op.Status != http.StatusOK {
		r.t.Errorf("the metrics answer %d", op.Status)
	}
	lines := bufio.NewScanner(bytes.NewReader(text))
	for lines.Scan() {
		name, value, _ := strings.Cut(lines.Text(), "} ")
		if stuck, ok := strings.CutPrefix(lines.Text(), "rollcall_stuck_deployments "); ok {
			h.Stuck, _ = strconv.Atoi(stuck)
		}
		labels, ok := strings.CutPrefix(name, "rollcall_deployments{")
		if !ok {
			continue
		}
		for label := range strings.SplitSeq(labels, ",") {
			if state, ok := strings.CutPrefix(label, `state="`); ok {
				n, _ := strconv.Atoi(value)
				h.Metrics[strings.Trim(state, `"`)] += n
			}
		}
	}
}
