package store

import (
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"rollcall/internal/problem"
	"rollcall/internal/rollout"
	"rollcall/internal/store/pg"
)

// deploymentColumns are what scanDeployment reads, in this order, of a table called d.
const deploymentColumns = `d.id, d.service, d.environment, d.version, d.kind, d.rollback_of, d.requested_by, d.labels,
	d.spec, d.deploy_secret, d.secrets, d.state, d.direction, d.stop, d.reason, d.operator, d.progress, d.counts, d.result,
	d.created_at, d.started_at, d.finished_at, d.deadline_at, d.next_action_at,
	d.revision, d.operator_revision, d.owner, d.epoch, d.saves, d.last_seq, d.events_hash`

func scanDeployment(row pgx.CollectableRow) (rollout.Deployment, error) {
	var d rollout.Deployment
	err := row.Scan(deploymentFields(&d)...)
	return d, err //nolint:wrapcheck // the caller names the operation
}

// deploymentFields returns the places for deploymentColumns.
func deploymentFields(d *rollout.Deployment) []any {
	return []any{
		&d.ID, &d.Service, &d.Environment, (*pg.NullText)(&d.Version), &d.Kind, (*pg.NullText)(&d.RollbackOf), &d.RequestedBy, &d.Labels,
		&d.Spec, (*pg.NullText)(&d.DeploySecret), &d.Sealed, &d.State, &d.Direction, &d.Stop, &d.Reason, &d.Operator, &d.Progress, &d.Counts, &d.Result,
		(*pg.NullTime)(&d.CreatedAt), (*pg.NullTime)(&d.StartedAt), (*pg.NullTime)(&d.FinishedAt), (*pg.NullTime)(&d.DeadlineAt), (*pg.NullTime)(&d.NextActionAt),
		&d.Revision, &d.OperatorRevision, (*pg.NullText)(&d.Owner), &d.Epoch, &d.Saves, &d.LastSeq, (*pg.NullHash)(&d.EventsHash),
	}
}

const insertDeploymentSQL = `
	INSERT INTO deployments (id, service, environment, version, kind, rollback_of, requested_by, labels, strategy, spec,
		deploy_secret, secrets, state, direction, stop, reason, operator, progress, counts, created_at, committed_at, revision, last_seq, events_hash,
		next_run_at)
	VALUES (@id, @service, @environment, @version, @kind, @rollback_of, @requested_by, @labels, @strategy, @spec,
		@deploy_secret, @secrets, @state, @direction, @stop, @reason, @operator, @progress, @counts, @created_at, @committed_at, @revision, @last_seq,
		@events_hash, @created_at)`

func insertDeployment(d *rollout.Deployment) pgx.NamedArgs {
	return pgx.NamedArgs{
		"id": d.ID, "service": d.Service, "environment": d.Environment, "version": pg.TextArg(d.Version), "kind": string(d.Kind),
		"rollback_of": pg.TextArg(d.RollbackOf), "requested_by": d.RequestedBy, "labels": pg.NonNilMap(d.Labels),
		"strategy": d.Spec.Strategy.Type, "spec": d.Spec, "deploy_secret": pg.TextArg(redactedText(d.DeploySecret)), "secrets": d.Sealed,
		"state": string(d.State), "direction": string(d.Direction), "stop": string(d.Stop), "reason": d.Reason,
		"operator": d.Operator, "progress": d.Progress, "counts": d.Counts,
		"created_at": d.CreatedAt, "committed_at": pg.TimeArg(d.CommittedAt()), "revision": d.Revision, "last_seq": d.LastSeq, "events_hash": pg.HashArg(d.EventsHash),
	}
}

// statusColumns sets what changes in the life of a deployment, except what the operator asked for.
const statusColumns = `state = @state, direction = @direction, stop = @stop, reason = @reason, progress = @progress,
	counts = @counts, result = @result, started_at = @started_at, finished_at = @finished_at, deadline_at = @deadline_at,
	next_action_at = @next_action_at, next_run_at = coalesce(@next_run_at, clock_timestamp())`

// statusArgs returns the values of statusColumns. A zero nextRunAt means now.
func statusArgs(d *rollout.Deployment, nextRunAt time.Time) pgx.NamedArgs {
	return pgx.NamedArgs{
		"state": string(d.State), "direction": string(d.Direction), "stop": string(d.Stop), "reason": d.Reason,
		"progress": d.Progress, "counts": d.Counts, "result": d.Result,
		"started_at": pg.TimeArg(d.StartedAt), "finished_at": pg.TimeArg(d.FinishedAt), "deadline_at": pg.TimeArg(d.DeadlineAt),
		"next_action_at": pg.TimeArg(d.NextActionAt), "next_run_at": pg.TimeArg(nextRunAt),
	}
}

// updateDeploymentSQL writes a locked deployment.
const updateDeploymentSQL = `
	UPDATE deployments SET ` + statusColumns + `, revision = @revision, last_seq = @last_seq, events_hash = @events_hash, owner = @owner,
		operator = @operator, operator_revision = @operator_revision
	WHERE id = @id`

func updateDeployment(d *rollout.Deployment) pgx.NamedArgs {
	args := statusArgs(d, time.Time{})
	args["id"], args["revision"], args["last_seq"], args["owner"] = d.ID, d.Revision, d.LastSeq, pg.TextArg(d.Owner)
	args["operator"], args["operator_revision"] = d.Operator, d.OperatorRevision
	args["events_hash"] = pg.HashArg(d.EventsHash)
	return args
}

// The unique indexes whose violations are reported to callers.
const (
	oneActive  = "deployments_one_active"
	oneWaiting = "deployments_one_waiting"
)

func notFound(id string) error {
	return &problem.Error{Code: problem.CodeNotFound, Message: fmt.Sprintf("there is no deployment %q", id)}
}
