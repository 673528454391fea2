package store

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5/pgtype"

	"rollcall/internal/healthcheck"
	"rollcall/internal/rollout"
	"rollcall/internal/store/pg"
)

// presentTargets are the targets t of deployment $1 from position $2 on, as they are now: those in flight have changed since
// their rows were written.
const presentTargets = `deployment_targets b
	LEFT JOIN (SELECT (j ->> 'position')::int AS position, j AS changed
		FROM deployments d, jsonb_array_elements(d.in_flight) j WHERE d.id = $1) f ON f.position = b.position,
	LATERAL (SELECT b.* WHERE f.changed IS NULL UNION ALL SELECT p.* FROM jsonb_populate_record(b, f.changed) p WHERE f.changed IS NOT NULL) t
	WHERE b.deployment_id = $1 AND b.position > $2::bigint`

// inFlightTarget is what changes of a target while its deployment runs (changingColumns), by column: the trigger
// write_targets_in_flight writes it to its row when the owner changes.
type inFlightTarget struct {
	Position        int                  `json:"position"`
	Wave            int                  `json:"wave"`
	State           rollout.TargetState  `json:"state"`
	Phase           rollout.Phase        `json:"phase"`
	RollingBack     bool                 `json:"back"`
	Version         *string              `json:"version"`
	PreviousVersion *string              `json:"previous_version"`
	Health          healthcheck.Health   `json:"health"`
	Checks          []healthcheck.State  `json:"checks"`
	Attempts        int                  `json:"attempts"`
	RetriesUsed     int                  `json:"tries"`
	CallsSent       int                  `json:"sent"`
	Fence           int64                `json:"fence"`
	Call            *rollout.Call        `json:"call"`
	History         *rollout.CallHistory `json:"call_history"`
	NotBefore       *time.Time           `json:"not_before"`
	PhaseAt         *time.Time           `json:"phase_at"`
	Error           string               `json:"error"`
	ErrorAt         *time.Time           `json:"error_at"`
	StartedAt       *time.Time           `json:"started_at"`
	FinishedAt      *time.Time           `json:"finished_at"`
	UpdatedAt       *time.Time           `json:"updated_at"`
}

// encodeInFlight returns targets as the JSON of in_flight; NULL when there are none.
func encodeInFlight(targets []rollout.Target) (pgtype.Text, error) {
	if len(targets) == 0 {
		return pgtype.Text{}, nil
	}
	list := make([]inFlightTarget, len(targets))
	for i := range targets {
		t := &targets[i]
		list[i] = inFlightTarget{
			Position: t.Position, Wave: t.Wave, State: t.State, Phase: t.Phase, RollingBack: t.RollingBack,
			Version: nonZero(t.Version), PreviousVersion: nonZero(t.PreviousVersion), Health: t.Health, Checks: checksOf(t),
			Attempts: t.Attempts, RetriesUsed: t.RetriesUsed, CallsSent: t.CallsSent, Fence: t.Fence, Call: t.Call, History: nonZero(t.History),
			NotBefore: storedTime(t.NotBefore), PhaseAt: storedTime(t.PhaseAt), Error: t.Error, ErrorAt: storedTime(t.ErrorAt),
			StartedAt: storedTime(t.StartedAt), FinishedAt: storedTime(t.FinishedAt), UpdatedAt: storedTime(t.UpdatedAt),
		}
	}
	b, err := json.Marshal(list)
	if err != nil {
		return pgtype.Text{}, fmt.Errorf("encode %d targets in flight: %w", len(list), err)
	}
	return pg.TextArg(string(b)), nil
}

// nonZero returns nil for a zero value, which is NULL.
func nonZero[T comparable](value T) *T {
	var zero T
	if value == zero {
		return nil
	}
	return &value
}

// storedTime returns a time as a column keeps it, in microseconds; nil for none.
func storedTime(t time.Time) *time.Time {
	return nonZero(t.UTC().Truncate(time.Microsecond))
}
