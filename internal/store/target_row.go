package store

import (
	"encoding/json"
	"fmt"
	"maps"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"rollcall/internal/healthcheck"
	"rollcall/internal/rollout"
	"rollcall/internal/store/pg"
)

// targetColumns are what scanTarget reads, in this order, of a table called t.
const targetColumns = `t.target_id, t.name, t.address, t.slot, t.metadata, t.deploy_url, coalesce(t.weight, 0), t.position, t.wave, t.want,
	t.state, t.phase, t.back, t.version, t.previous_version, t.health, t.checks, t.attempts, t.tries, t.sent, t.fence, t.call,
	coalesce(t.call_history, '{}'), t.not_before, t.phase_at, t.error, t.error_at, t.started_at, t.finished_at, t.updated_at, t.rules`

func scanTarget(row pgx.CollectableRow) (rollout.Target, error) {
	var t rollout.Target
	err := row.Scan(targetFields(&t)...)
	return t, err //nolint:wrapcheck // the caller names the operation
}

// targetFields returns the places for targetColumns.
func targetFields(t *rollout.Target) []any {
	return []any{
		&t.ID, &t.Name, &t.Address, &t.Slot, &t.Metadata, &t.DeployURL, &t.Weight, &t.Position, &t.Wave, &t.DesiredVersion,
		&t.State, &t.Phase, &t.RollingBack, (*pg.NullText)(&t.Version), (*pg.NullText)(&t.PreviousVersion), &t.Health, &t.Checks,
		&t.Attempts, &t.RetriesUsed, &t.CallsSent, &t.Fence, &t.Call,
		&t.History, (*pg.NullTime)(&t.NotBefore), (*pg.NullTime)(&t.PhaseAt), &t.Error, (*pg.NullTime)(&t.ErrorAt),
		(*pg.NullTime)(&t.StartedAt), (*pg.NullTime)(&t.FinishedAt), (*pg.NullTime)(&t.UpdatedAt), &t.Rules,
	}
}

// What changes of a target while its deployment runs, by column: as arrays to unnest, as columns, and as a table t of the
// arrays gives them.
const (
	changingArrays = `@wave::int[], @target_state::text[], @phase::text[], @back::bool[], @version::text[],
		@previous_version::text[], @health::text[], @checks::text[], @attempts::int[], @tries::int[], @sent::int[],
		@fence::bigint[], @call::text[], @call_history::text[], @not_before::timestamptz[], @phase_at::timestamptz[], @error::text[],
		@error_at::timestamptz[], @target_started_at::timestamptz[], @target_finished_at::timestamptz[],
		@updated_at::timestamptz[]`
	changingColumns = `wave, state, phase, back, version, previous_version, health, checks, attempts, tries, sent, fence, call,
		call_history, not_before, phase_at, error, error_at, started_at, finished_at, updated_at`
)

// updateTargetsSQL writes targets of a deployment that stands in a table expression d. It joins on a whole key, and says in
// a way that no plan counts on how many there are: one that was made while the table was empty, and is kept, would read all
// targets of all deployments for each save until the table is analysed. (One made on statistics of few rows still may.)
const updateTargetsSQL = `
	UPDATE deployment_targets t SET wave = u.wave, state = u.state, phase = u.phase, back = u.back, version = u.version,
		previous_version = u.previous_version, health = u.health, checks = u.checks::jsonb, attempts = u.attempts,
		tries = u.tries, sent = u.sent, fence = greatest(t.fence, u.fence), call = u.call::jsonb,
		call_history = u.call_history::jsonb, not_before = u.not_before,
		phase_at = u.phase_at, error = u.error, error_at = u.error_at, started_at = u.started_at,
		finished_at = u.finished_at, updated_at = coalesce(u.updated_at, clock_timestamp())
	FROM (SELECT d.id AS deployment_id, u.* FROM d, unnest(@position::int[], ` + changingArrays + `)
		AS u (position, ` + changingColumns + `) LIMIT cardinality(@position::int[])) u
	WHERE t.deployment_id = u.deployment_id AND t.position = u.position`

// insertTargetsSQL stores the targets of a new deployment in the order in which they stand.
const insertTargetsSQL = `
	INSERT INTO deployment_targets (deployment_id, ordinal, target_id, name, address, slot, metadata, deploy_url, weight, position, want, rules,
		` + changingColumns + `)
	SELECT @id, place - 1, target_id, name, address, slot, metadata::jsonb, deploy_url, nullif(weight, 0), position, want, rules::jsonb, wave, state, phase, back,
		version, previous_version, health, checks::jsonb, attempts, tries, sent, fence, call::jsonb, call_history::jsonb, not_before, phase_at, error,
		error_at, started_at, finished_at, coalesce(updated_at, @now)
	FROM unnest(@target_id::text[], @name::text[], @address::text[], @slot::text[], @metadata::text[], @deploy_url::text[],
		@weight::int[], @position::int[], @want::text[], @rules::text[], ` + changingArrays + `) WITH ORDINALITY
		AS u (target_id, name, address, slot, metadata, deploy_url, weight, position, want, rules, ` + changingColumns + `, place)`

// rememberSQL keeps what is known of the targets, and of the router, beyond a deployment that stands in a table expression
// d. A router's slot is kept until another one is known.
const rememberSQL = `
	INSERT INTO remembered_targets AS r (service, environment, target_id, version, health, fence, deployment_id, updated_at, verified_by,
		verified_version)
	SELECT d.service, d.environment, u.target_id, u.version, u.health, u.fence, d.id, clock_timestamp(),
		CASE WHEN u.verified IS NOT NULL THEN d.id END, u.verified
	FROM d, unnest(@known_id::text[], @known_version::text[], @known_health::text[], @known_fence::bigint[], @known_verified::text[])
		AS u (target_id, version, health, fence, verified)
	ON CONFLICT (service, environment, target_id) DO UPDATE SET
		version = CASE r.target_id WHEN '` + routerID + `' THEN coalesce(excluded.version, r.version) ELSE excluded.version END,
		health = excluded.health, fence = greatest(r.fence, excluded.fence), deployment_id = excluded.deployment_id,
		updated_at = excluded.updated_at, verified_by = coalesce(excluded.verified_by, r.verified_by),
		verified_version = coalesce(excluded.verified_version, r.verified_version)`

// queueTargets adds to the batch what stores the targets of a new deployment.
func queueTargets(batch *pgx.Batch, id string, targets []rollout.Target, now time.Time) error {
	n := len(targets)
	var (
		ids, names, addresses = make([]string, n), make([]string, n), make([]string, n)
		slots, metadata       = make([]string, n), make([]string, n)
		urls, wants           = make([]string, n), make([]string, n)
		rules                 = make([]pgtype.Text, n)
		weights               = make([]int, n)
	)
	for i := range targets {
		t := &targets[i]
		encoded, err := json.Marshal(pg.NonNilMap(t.Metadata))
		if err != nil {
			return fmt.Errorf("encode the metadata of target %s: %w", t.ID, err)
		}
		ids[i], names[i], addresses[i] = t.ID, t.Name, t.Address
		slots[i], metadata[i] = t.Slot, string(encoded)
		urls[i], wants[i], weights[i] = t.DeployURL, t.DesiredVersion, t.Weight
		if rules[i], err = encodeRules(t.Rules); err != nil {
			return err
		}
	}
	args := pgx.NamedArgs{
		"id": id, "now": pg.TimeArg(now), "target_id": ids, "name": names, "address": addresses, "slot": slots, "metadata": metadata,
		"deploy_url": urls, "want": wants, "rules": rules, "weight": weights,
	}
	if err := addTargets(args, targets); err != nil {
		return err
	}
	batch.Queue(insertTargetsSQL, args)
	return nil
}

// addTargets adds the targets' positions and changingArrays.
func addTargets(args pgx.NamedArgs, targets []rollout.Target) error {
	n := len(targets)
	var (
		positions                    = make([]int, n)
		states, phases, health       = make([]string, n), make([]string, n), make([]string, n)
		checks, problems             = make([]string, n), make([]string, n)
		versions, previous, calls    = make([]pgtype.Text, n), make([]pgtype.Text, n), make([]pgtype.Text, n)
		waves, attempts, tries, sent = make([]int, n), make([]int, n), make([]int, n), make([]int, n)
		back, fences                 = make([]bool, n), make([]int64, n)
		histories                    = make([]pgtype.Text, n)
		notBefore, phaseAt, errorAt  = make([]pgtype.Timestamptz, n), make([]pgtype.Timestamptz, n), make([]pgtype.Timestamptz, n)
		started, finished, updated   = make([]pgtype.Timestamptz, n), make([]pgtype.Timestamptz, n), make([]pgtype.Timestamptz, n)
	)
	for i := range targets {
		t := &targets[i]
		encoded, err := json.Marshal(checksOf(t))
		if err != nil {
			return fmt.Errorf("encode the checks of target %s: %w", t.ID, err)
		}
		if calls[i], err = encodeCall(t.Call); err != nil {
			return err
		}
		if histories[i], err = encodeHistory(&t.History); err != nil {
			return err
		}
		positions[i], states[i], phases[i], health[i] = t.Position, string(t.State), string(t.Phase), string(t.Health)
		checks[i], problems[i], back[i], fences[i] = string(encoded), t.Error, t.RollingBack, t.Fence
		versions[i], previous[i] = pg.TextArg(t.Version), pg.TextArg(t.PreviousVersion)
		waves[i], attempts[i], tries[i], sent[i] = t.Wave, t.Attempts, t.RetriesUsed, t.CallsSent
		notBefore[i], phaseAt[i], errorAt[i] = pg.TimeArg(t.NotBefore), pg.TimeArg(t.PhaseAt), pg.TimeArg(t.ErrorAt)
		started[i], finished[i], updated[i] = pg.TimeArg(t.StartedAt), pg.TimeArg(t.FinishedAt), pg.TimeArg(t.UpdatedAt)
	}
	maps.Copy(args, pgx.NamedArgs{
		"position": positions, "wave": waves, "target_state": states, "phase": phases, "back": back, "version": versions,
		"previous_version": previous, "health": health, "checks": checks, "attempts": attempts, "tries": tries, "sent": sent,
		"fence": fences, "call": calls, "call_history": histories, "not_before": notBefore, "phase_at": phaseAt, "error": problems, "error_at": errorAt,
		"target_started_at": started, "target_finished_at": finished, "updated_at": updated,
	})
	return nil
}

// addRemembered adds what rememberSQL needs: the router's fence at once and the slot that serves at the end, and the
// targets that anything is known of.
func addRemembered(args pgx.NamedArgs, d *rollout.Deployment, targets []rollout.Target) {
	var ids, health []string
	var versions, verified []pgtype.Text
	var fences []int64
	remember := func(id, version string, status healthcheck.Health, fence int64, arrived string) {
		ids, versions, verified = append(ids, id), append(versions, pg.TextArg(version)), append(verified, pg.TextArg(arrived))
		health, fences = append(health, string(status)), append(fences, fence)
	}
	if active, fence := routerOf(d); fence > 0 || active != "" {
		remember(routerID, active, healthcheck.Unknown, fence, "")
	}
	for i := range targets {
		if t := &targets[i]; t.Attempts > 0 || t.CallsSent > 0 || t.Version != "" {
			v, _ := d.VerifiedTarget(t)
			remember(t.ID, t.Version, t.Health, t.Fence, v.Version)
		}
	}
	args["known_id"], args["known_version"], args["known_health"], args["known_fence"] = ids, versions, health, fences
	args["known_verified"] = verified
}

// checksOf keeps a nil list from becoming null.
func checksOf(t *rollout.Target) []healthcheck.State {
	if t.Checks == nil {
		return []healthcheck.State{}
	}
	return t.Checks
}

func orNow(t, now time.Time) time.Time {
	if t.IsZero() {
		return now
	}
	return t
}

// encodeRules returns a target's rules as JSON; NULL when they say nothing.
func encodeRules(rules *rollout.TargetRules) (pgtype.Text, error) {
	if rules == nil || *rules == (rollout.TargetRules{}) {
		return pgtype.Text{}, nil
	}
	b, err := json.Marshal(rules)
	if err != nil {
		return pgtype.Text{}, fmt.Errorf("encode the rules of a target: %w", err)
	}
	return pg.TextArg(string(b)), nil
}

// encodeCall returns a call as JSON; nil is NULL.
func encodeCall(call *rollout.Call) (pgtype.Text, error) {
	if call == nil {
		return pgtype.Text{}, nil
	}
	b, err := json.Marshal(call)
	if err != nil {
		return pgtype.Text{}, fmt.Errorf("encode call %s: %w", call.WebhookID, err)
	}
	return pg.TextArg(string(b)), nil
}

// encodeHistory returns what earlier calls left behind as JSON; NULL when that is nothing.
func encodeHistory(h *rollout.CallHistory) (pgtype.Text, error) {
	if *h == (rollout.CallHistory{}) {
		return pgtype.Text{}, nil
	}
	b, err := json.Marshal(h)
	if err != nil {
		return pgtype.Text{}, fmt.Errorf("encode the call history: %w", err)
	}
	return pg.TextArg(string(b)), nil
}
