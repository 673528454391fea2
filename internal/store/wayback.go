package store

import (
	"context"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"rollcall/internal/rollout"
	"rollcall/internal/storage"
	"rollcall/internal/store/pg"
)

// verifiedSQL finds, for the targets of a service in an environment, the deployment in which each was last verified, and
// what it was there. A server of an older version does not write which that is; when the deployment that touched the target
// last has verified it, it is that one.
const verifiedSQL = `
	SELECT v.deployment_id, v.target_id, v.address, v.deploy_url, v.state, v.phase, v.back, v.want, v.version, v.previous_version, v.rules
	FROM remembered_targets r
		LEFT JOIN deployment_targets l ON l.deployment_id = r.deployment_id AND l.target_id = r.target_id
		JOIN deployment_targets v ON v.target_id = r.target_id
			AND v.deployment_id = CASE WHEN l.state IN ('updated', 'rolled_back') THEN l.deployment_id ELSE r.verified_by END
	WHERE r.service = $1 AND r.environment = $2 AND r.target_id <> '` + routerID + `'`

// learnWayBack stores with each deployment that has just been claimed, and has not begun, by which rules its targets were
// last verified: should it turn back, they are called and judged by them, whatever has been removed by then. It is done when
// the turn of a deployment has come, and not when it is made, because another may run in between. A rollback knows them from
// the deployment that it takes back.
func (s *Store) learnWayBack(ctx context.Context, tx pgx.Tx, claimed []storage.Claimed) error {
	for i := range claimed {
		snapshot := &claimed[i].Snapshot
		d := &snapshot.Deployment
		if !d.StartedAt.IsZero() || d.Kind != rollout.KindDeploy || s.openDeployment(d) != nil {
			continue
		}
		verified, err := s.readVerified(ctx, tx, d.Service, d.Environment)
		if err != nil {
			return fmt.Errorf("find out how the targets of %s in %s were verified: %w", d.Service, d.Environment, err)
		}
		if !snapshot.LearnWayBack(verified) {
			continue
		}
		if err := s.keepWayBack(ctx, tx, snapshot); err != nil {
			return fmt.Errorf("keep how the targets of deployment %s go back: %w", d.ID, err)
		}
	}
	return nil
}

// verifiedTarget is a target as it was when it was verified.
type verifiedTarget struct {
	deployment string
	target     rollout.Target
}

func scanVerified(row pgx.CollectableRow) (v verifiedTarget, err error) {
	t := &v.target
	err = row.Scan(&v.deployment, &t.ID, &t.Address, &t.DeployURL, &t.State, &t.Phase, &t.RollingBack, &t.DesiredVersion, (*pg.NullText)(&t.Version),
		(*pg.NullText)(&t.PreviousVersion), &t.Rules)
	return v, err //nolint:wrapcheck // the caller names the operation
}

// readVerified returns by target id how each was last verified; what can no longer be read is left out.
func (s *Store) readVerified(ctx context.Context, tx pgx.Tx, service, environment string) (map[string]rollout.Verified, error) {
	targets, err := pg.QueryAll(ctx, tx, scanVerified, verifiedSQL, service, environment)
	if err != nil || len(targets) == 0 {
		return nil, err
	}
	ids := make([]string, len(targets))
	for i := range targets {
		ids[i] = targets[i].deployment
	}
	slices.Sort(ids)
	deployments, err := pg.QueryAll(ctx, tx, scanDeployment, `SELECT `+deploymentColumns+` FROM deployments d WHERE d.id = ANY ($1::uuid[])`, slices.Compact(ids))
	if err != nil {
		return nil, err
	}
	byID := make(map[string]*rollout.Deployment, len(deployments))
	for i := range deployments {
		if d := &deployments[i]; s.openDeployment(d) == nil {
			byID[d.ID] = d
		}
	}
	known := make(map[string]rollout.Verified, len(targets))
	for i := range targets {
		d := byID[targets[i].deployment]
		if d == nil {
			continue
		}
		if v, ok := d.VerifiedTarget(&targets[i].target); ok {
			known[targets[i].target.ID] = v
		}
	}
	return known, nil
}

// keepWayBack writes the rules of a deployment and of its targets.
func (s *Store) keepWayBack(ctx context.Context, tx pgx.Tx, snapshot *rollout.Snapshot) error {
	d := &snapshot.Deployment
	if err := s.sealDeployment(d); err != nil {
		return err
	}
	positions, rules := make([]int, len(snapshot.Targets)), make([]pgtype.Text, len(snapshot.Targets))
	for i := range snapshot.Targets {
		encoded, err := encodeRules(snapshot.Targets[i].Rules)
		if err != nil {
			return err
		}
		positions[i], rules[i] = snapshot.Targets[i].Position, encoded
	}
	batch := &pgx.Batch{}
	batch.Queue(`UPDATE deployments SET spec = $2, secrets = $3 WHERE id = $1`, d.ID, d.Spec, d.Sealed)
	batch.Queue(`UPDATE deployment_targets t SET rules = u.rules::jsonb
		FROM unnest($2::int[], $3::text[]) AS u (position, rules) WHERE t.deployment_id = $1 AND t.position = u.position`, d.ID, positions, rules)
	return pg.ExecBatch(ctx, tx, batch)
}
