package store_test

import (
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"rollcall/internal/store"
)

// A connection keeps the plan that it made of the statement, and may have made it while the tables were empty.
func TestSave_PlanFindsTargetsByKey(t *testing.T) {
	t.Parallel()
	conn, err := open(t).Pool().Acquire(ctx(t))
	must(t, err)
	defer conn.Release()
	sql, args, err := pgx.NamedArgs{}.RewriteQuery(ctx(t), conn.Conn(), store.SaveSQL, nil)
	must(t, err)
	_, err = conn.Exec(ctx(t), `PREPARE save AS `+sql)
	must(t, err)
	_, err = conn.Exec(ctx(t), `SET plan_cache_mode = force_generic_plan`)
	must(t, err)
	rows, err := conn.Query(ctx(t), `EXPLAIN EXECUTE save (NULL`+strings.Repeat(", NULL", len(args)-1)+`)`, pgx.QueryExecModeSimpleProtocol)
	must(t, err)
	lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
	must(t, err)
	plan := strings.Join(lines, "\n")
	for _, found := range []string{
		"Index Scan using deployments_pkey on deployments",
		"Index Scan using deployment_targets_position on deployment_targets t",
		`Index Cond: ((deployment_id = u.deployment_id) AND ("position" = u."position"))`,
	} {
		if !strings.Contains(plan, found) {
			t.Errorf("no %q in\n%s", found, plan)
		}
	}
}
