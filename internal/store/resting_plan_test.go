package store_test

import (
	"testing"

	"github.com/jackc/pgx/v5"

	"rollcall/internal/dbtest/teststore"
	"rollcall/internal/store"
)

// Every replica claims every few seconds: what it reads grows with the routers, and not with the deployments that have ended.
func TestRest_ClaimPlanFindsDeploymentsByKey(t *testing.T) {
	t.Parallel()
	s := open(t)
	teststore.ManyEnded(t, s, "checkout", 5_000)
	exec(t, s, `INSERT INTO remembered_targets (service, environment, target_id, fence, deployment_id, health, updated_at)
		SELECT 'service-' || n, 'production', target, 1, (SELECT id FROM deployments LIMIT 1), 'unknown', now()
		FROM generate_series(1, 200) n, unnest('{"",a,b,c,d}'::text[]) target`)
	exec(t, s, `INSERT INTO resting_routers (service, environment, look_at)
		SELECT service, environment, now() FROM remembered_targets WHERE target_id = ''`)
	exec(t, s, `ANALYZE`)
	args := pgx.NamedArgs{"replica": "one", "mine": []string{}, "limit": 64}
	for step, sql := range map[string]string{
		"Index Scan using deployments_pkey on deployments b":                         store.ClaimRestingSQL,
		"Index Scan using deployments_claimable on deployments u":                    store.ClaimRestingSQL,
		"Index Only Scan using remembered_targets_pkey on remembered_targets":        store.NewRestingSQL,
		"Index Only Scan using resting_routers_pkey on resting_routers d":            store.NewRestingSQL,
		"Index Cond: (ROW(service, environment) > ROW(p_1.service, p_1.environment)": store.NewRestingSQL,
	} {
		wantPlan(t, s, step, sql, args)
	}
}
