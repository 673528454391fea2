package store

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"rollcall/internal/rollout"
)

// targetColumns are what scanTarget reads, in this order, of a table called t.
const targetColumns = `t.target_id, t.name, t.address, t.slot, t.metadata, t.deploy_url, t.position, t.wave, t.want,
	t.state, t.phase, t.back, t.version, t.previous_version, t.health, t.checks, t.attempts, t.tries, t.sent, t.fence, t.call,
	t.not_before, t.phase_at, t.error, t.error_at, t.started_at, t.finished_at, t.updated_at`

func scanTarget(row pgx.CollectableRow) (rollout.Target, error) {
	var t rollout.Target
	err := row.Scan(targetFields(&t)...)
	return t, err //nolint:wrapcheck // the caller says what was tried
}

// targetFields are the places for targetColumns.
func targetFields(t *rollout.Target) []any {
	return []any{
		&t.ID, &t.Name, &t.Address, &t.Slot, &t.Metadata, &t.DeployURL, &t.Position, &t.Wave, &t.Want,
		&t.State, &t.Phase, &t.Back, (*word)(&t.Version), (*word)(&t.PreviousVersion), &t.Health, &t.Checks,
		&t.Attempts, &t.Tries, &t.Sent, &t.Fence, &t.Call,
		(*instant)(&t.NotBefore), (*instant)(&t.PhaseAt), &t.Error, (*instant)(&t.ErrorAt),
		(*instant)(&t.StartedAt), (*instant)(&t.FinishedAt), (*instant)(&t.UpdatedAt),
	}
}

// copyTargets stores the targets of a new deployment in the order in which they stand.
func copyTargets(ctx context.Context, tx pgx.Tx, id string, targets []rollout.Target, now time.Time) error {
	columns := []string{
		"deployment_id", "ordinal", "target_id", "name", "address", "slot", "metadata", "deploy_url", "position", "wave",
		"want", "state", "phase", "back", "version", "previous_version", "health", "checks", "attempts", "tries", "sent",
		"fence", "call", "not_before", "phase_at", "error", "error_at", "started_at", "finished_at", "updated_at",
	}
	rows := pgx.CopyFromSlice(len(targets), func(i int) ([]any, error) {
		t := &targets[i]
		return []any{
			id, i, t.ID, t.Name, t.Address, t.Slot, orEmpty(t.Metadata), t.DeployURL, t.Position, t.Wave,
			t.Want, string(t.State), string(t.Phase), t.Back, text(t.Version), text(t.PreviousVersion), string(t.Health),
			checksOf(t), t.Attempts, t.Tries, t.Sent,
			t.Fence, t.Call, at(t.NotBefore), at(t.PhaseAt), t.Error, at(t.ErrorAt), at(t.StartedAt), at(t.FinishedAt), orNow(t.UpdatedAt, now),
		}, nil
	})
	if _, err := tx.CopyFrom(ctx, pgx.Identifier{"deployment_targets"}, columns, rows); err != nil {
		return fmt.Errorf("store %d targets: %w", len(targets), err)
	}
	return nil
}

// checksOf keeps a nil list from becoming NULL.
func checksOf(t *rollout.Target) []rollout.CheckState {
	if t.Checks == nil {
		return []rollout.CheckState{}
	}
	return t.Checks
}

func orNow(t, now time.Time) time.Time {
	if t.IsZero() {
		return now
	}
	return t
}

// updateTargetsSQL joins on the whole key. With the deployment's id as a condition of its own, a planner that has no
// statistics yet reads all targets of the deployment for each save.
const updateTargetsSQL = `
	WITH u AS MATERIALIZED (
		SELECT $1::uuid AS deployment_id, *
		FROM unnest($2::text[], $3::int[], $4::text[], $5::text[], $6::bool[], $7::text[], $8::text[], $9::text[], $10::text[],
			$11::int[], $12::int[], $13::int[], $14::bigint[], $15::text[], $16::timestamptz[], $17::timestamptz[], $18::text[],
			$19::timestamptz[], $20::timestamptz[], $21::timestamptz[], $22::timestamptz[])
			AS u (target_id, wave, state, phase, back, version, previous_version, health, checks, attempts, tries, sent, fence,
				call, not_before, phase_at, error, error_at, started_at, finished_at, updated_at))
	UPDATE deployment_targets t SET wave = u.wave, state = u.state, phase = u.phase, back = u.back, version = u.version,
		previous_version = u.previous_version, health = u.health, checks = u.checks::jsonb, attempts = u.attempts,
		tries = u.tries, sent = u.sent, fence = greatest(t.fence, u.fence), call = u.call::jsonb, not_before = u.not_before,
		phase_at = u.phase_at, error = u.error, error_at = u.error_at, started_at = u.started_at,
		finished_at = u.finished_at, updated_at = u.updated_at
	FROM u WHERE t.deployment_id = u.deployment_id AND t.target_id = u.target_id`

const rememberSQL = `
	INSERT INTO remembered_targets AS r (service, environment, target_id, version, health, fence, deployment_id, updated_at)
	SELECT $2, $3, u.target_id, u.version, u.health, u.fence, $1, $4
	FROM unnest($5::text[], $6::text[], $7::text[], $8::bigint[]) AS u (target_id, version, health, fence)
	ON CONFLICT (service, environment, target_id) DO UPDATE SET version = excluded.version, health = excluded.health,
		fence = greatest(r.fence, excluded.fence), deployment_id = excluded.deployment_id, updated_at = excluded.updated_at`

// queueTargets adds to the batch what writes the changed targets and what is remembered of them.
func queueTargets(batch *pgx.Batch, d *rollout.Deployment, targets []rollout.Target, now time.Time) error {
	if len(targets) == 0 {
		return nil
	}
	c, err := columnsOf(targets, now)
	if err != nil {
		return err
	}
	batch.Queue(updateTargetsSQL, append([]any{d.ID}, c.values()...)...)

	var ids, health []string
	var versions []pgtype.Text
	var fences []int64
	for i := range targets {
		if t := &targets[i]; t.Attempts > 0 || t.Sent > 0 || t.Version != "" {
			ids, versions = append(ids, t.ID), append(versions, text(t.Version))
			health, fences = append(health, string(t.Health)), append(fences, t.Fence)
		}
	}
	if len(ids) > 0 {
		batch.Queue(rememberSQL, d.ID, d.Service, d.Environment, now, ids, versions, health, fences)
	}
	return nil
}

// targetArrays holds targets by column, as unnest takes them.
type targetArrays struct {
	ids, states, phases, health, checks, errors    []string
	versions, previous, calls                      []pgtype.Text
	waves, attempts, tries, sent                   []int
	back                                           []bool
	fences                                         []int64
	notBefore, phaseAt, errorAt, started, finished []pgtype.Timestamptz
	updated                                        []time.Time
}

func (a *targetArrays) values() []any {
	return []any{
		a.ids, a.waves, a.states, a.phases, a.back, a.versions, a.previous, a.health, a.checks, a.attempts, a.tries, a.sent,
		a.fences, a.calls, a.notBefore, a.phaseAt, a.errors, a.errorAt, a.started, a.finished, a.updated,
	}
}

func columnsOf(targets []rollout.Target, now time.Time) (*targetArrays, error) {
	a := &targetArrays{}
	for i := range targets {
		t := &targets[i]
		checks, err := json.Marshal(checksOf(t))
		if err != nil {
			return nil, fmt.Errorf("encode the checks of target %s: %w", t.ID, err)
		}
		call, err := encodeCall(t.Call)
		if err != nil {
			return nil, err
		}
		a.ids, a.states, a.phases = append(a.ids, t.ID), append(a.states, string(t.State)), append(a.phases, string(t.Phase))
		a.health, a.checks, a.calls = append(a.health, string(t.Health)), append(a.checks, string(checks)), append(a.calls, call)
		a.versions, a.previous = append(a.versions, text(t.Version)), append(a.previous, text(t.PreviousVersion))
		a.waves, a.attempts, a.tries = append(a.waves, t.Wave), append(a.attempts, t.Attempts), append(a.tries, t.Tries)
		a.sent, a.back, a.fences = append(a.sent, t.Sent), append(a.back, t.Back), append(a.fences, t.Fence)
		a.notBefore, a.phaseAt = append(a.notBefore, at(t.NotBefore)), append(a.phaseAt, at(t.PhaseAt))
		a.errors, a.errorAt = append(a.errors, t.Error), append(a.errorAt, at(t.ErrorAt))
		a.started, a.finished = append(a.started, at(t.StartedAt)), append(a.finished, at(t.FinishedAt))
		a.updated = append(a.updated, orNow(t.UpdatedAt, now))
	}
	return a, nil
}

// encodeCall is a call as JSON; nil is NULL.
func encodeCall(call *rollout.Call) (pgtype.Text, error) {
	if call == nil {
		return pgtype.Text{}, nil
	}
	b, err := json.Marshal(call)
	if err != nil {
		return pgtype.Text{}, fmt.Errorf("encode call %s: %w", call.WebhookID, err)
	}
	return text(string(b)), nil
}
