package api

import (
	"math"
	"strconv"

	"rollcall/internal/api/types"
	"rollcall/internal/healthcheck"
	"rollcall/internal/nullable"
	"rollcall/internal/rollout"
	"rollcall/internal/storage"
)

// deploymentJSON returns a deployment as the API shows it.
func deploymentJSON(d *rollout.Deployment) types.Deployment {
	labels := d.Labels
	if labels == nil {
		labels = map[string]string{}
	}
	return types.Deployment{
		ID: d.ID, Service: d.Service, Environment: d.Environment, Version: nullable.Of(d.Version),
		Kind: types.DeploymentKind(d.Kind), RollbackOf: nullable.Of(d.RollbackOf), RolledBackBy: nil,
		State: types.DeploymentState(d.State), Reason: d.Reason, Revision: d.Revision,
		Strategy: d.Spec.Strategy, Deploy: d.Spec.Deploy, Traffic: d.Spec.Traffic, Progress: progressJSON(d), Result: resultJSON(d.Result),
		Intent: nullable.Of(d.Operator.Intent()), Direction: types.DeploymentDirection(d.Direction),
		Owner: nullable.Of(d.Owner), Epoch: d.Epoch, RequestedBy: d.RequestedBy, Labels: labels,
		Protected: d.Spec.Protected, ApprovedBy: nullable.Of(d.Operator.ApprovedBy),
		CreatedAt: d.CreatedAt.UTC(), StartedAt: nullable.Time(d.StartedAt), FinishedAt: nullable.Time(d.FinishedAt),
		NextActionAt: nullable.Time(d.NextActionAt), DeadlineAt: nullable.Time(d.DeadlineAt), EventsHash: nullable.Of(d.EventsHash.String()),
	}
}

func progressJSON(d *rollout.Deployment) types.Progress {
	percent := 0
	if d.Counts.Total > 0 {
		percent = int(math.Round(float64(d.Counts.Updated) / float64(d.Counts.Total) * 100))
	}
	return types.Progress{
		TargetsTotal: d.Counts.Total, TargetsUpdated: d.Counts.Updated, TargetsFailed: d.Counts.Failed,
		TargetsUnknown: d.Counts.Unknown, TargetsInFlight: d.Counts.InFlight,
		Wave: d.Progress.Wave, Waves: len(d.Spec.Waves), TrafficWeight: d.Progress.Weight, Percent: percent,
	}
}

func resultJSON(r *rollout.Result) *types.Result {
	if r == nil {
		return nil
	}
	errs := make([]types.TargetError, 0, len(r.Errors))
	for _, e := range r.Errors {
		errs = append(errs, types.TargetError{Target: e.Target, Message: e.Message, At: e.At.UTC()})
	}
	metadata := r.Metadata
	if metadata == nil {
		metadata = map[string]any{}
	}
	return &types.Result{
		Success: r.Success, State: types.DeploymentState(r.State), TargetsUpdated: r.TargetsUpdated,
		TargetsFailed: r.TargetsFailed, TargetsRolledBack: r.TargetsRolledBack, DurationMs: r.DurationMS,
		Errors: errs, Metadata: metadata,
	}
}

func targetJSON(t *rollout.Target) types.Target {
	health := t.Health
	if health == "" {
		health = healthcheck.Unknown
	}
	return types.Target{
		ID: t.ID, Name: t.Name, Address: t.Address, Slot: t.Slot, State: types.TargetState(t.State), Wave: t.Wave,
		Version: nullable.Of(t.Version), PreviousVersion: nullable.Of(t.PreviousVersion), Health: types.Health(health),
		Attempts: t.Attempts, Fence: t.Fence, Error: nullable.Of(t.Error),
		StartedAt: nullable.Time(t.StartedAt), FinishedAt: nullable.Time(t.FinishedAt), UpdatedAt: nullable.Time(t.UpdatedAt),
	}
}

func eventJSON(e *rollout.Event) types.Event {
	return types.Event{
		Seq: e.Seq, ID: strconv.FormatInt(e.ID, 10), At: e.At.UTC(), Type: e.Type, DeploymentID: e.DeploymentID,
		Service: e.Service, Environment: e.Environment,
		Actor: e.Actor, Replica: nullable.Of(e.Replica), Epoch: e.Epoch, Target: nullable.Of(e.Target), Wave: nullable.Of(e.Wave),
		From: nullable.Of(e.From), To: nullable.Of(e.To), Message: e.Message, Call: callJSON(e.Call), Hash: nullable.Of(e.Hash.String()),
	}
}

func callJSON(c *rollout.Call) *types.Call {
	if c == nil {
		return nil
	}
	return &types.Call{
		WebhookID: c.WebhookID, Action: string(c.Action), Version: nullable.Of(c.Version), PreviousVersion: nullable.Of(c.PreviousVersion),
		Attempt: c.Attempt, Fence: c.Fence, Until: nullable.Time(c.Deadline), NewWeight: c.NewWeight, Request: c.Request,
	}
}

// encodeAll encodes a page's items; no items are an empty list, never null.
func encodeAll[T, J any](items []T, encode func(*T) J) []J {
	encoded := make([]J, len(items))
	for i := range items {
		encoded[i] = encode(&items[i])
	}
	return encoded
}

// pageOf reads the paging parameters.
func pageOf(limit *types.Limit, cursor *types.Cursor) storage.Page {
	return storage.Page{Limit: valueOr(limit, defaultLimit), Cursor: valueOr(cursor, "")}
}

// defaultLimit is how many items a page has when the request has no limit.
const defaultLimit = 50
