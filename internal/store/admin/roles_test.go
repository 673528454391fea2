package admin_test

import (
	"strings"
	"testing"

	"rollcall/internal/audit"
	"rollcall/internal/dbtest"
	"rollcall/internal/store"
)

func wantEventsSafe(t *testing.T, s *store.Store) {
	t.Helper()
	for _, sql := range []string{
		`UPDATE deployment_events SET message = 'nothing'`, `DELETE FROM deployment_events`, `TRUNCATE deployment_events`,
	} {
		if _, err := s.Pool().Exec(ctx(t), sql); err == nil || !strings.Contains(err.Error(), "permission denied") {
			t.Errorf("%s: %v", sql, err)
		}
	}
	if rights, err := administer(s).EventPrivileges(ctx(t)); err != nil || len(rights.Held) > 0 {
		t.Errorf("it has %+v (%v)", rights, err)
	}
}

func TestRoles_ServerCannotChangeEvents(t *testing.T) {
	t.Parallel()
	address := dbtest.New(t)
	owner := openAt(t, address)
	role := newRole(t, owner)
	for range 2 { // the second time there is nothing to do
		must(t, administer(owner).GrantTo(ctx(t), role))
	}
	s := openAt(t, as(t, address, role))
	d := lived(t, s)
	wantEventsSafe(t, s)
	for _, sql := range []string{
		`DELETE FROM deployments`, `DELETE FROM deployment_targets`, `ALTER TABLE deployment_events ADD COLUMN x int`,
		`DROP TABLE deployment_events`, `CREATE TABLE mine (x int)`, `ALTER TABLE deployment_events DISABLE TRIGGER ALL`,
		`GRANT ALL ON deployment_events TO ` + role + `; UPDATE deployment_events SET message = 'nothing'`,
	} {
		if _, err := s.Pool().Exec(ctx(t), sql); err == nil {
			t.Errorf("it may: %s", sql)
		}
	}
	if p := audit.VerifyChain(events(t, s, d.ID), d.EventsHash); len(p.Violations) > 0 {
		t.Errorf("%+v", p)
	}
}

func TestRoles_OwnerIsNotMadeServerRole(t *testing.T) {
	t.Parallel()
	s := open(t)
	role, err := administer(s).CurrentRole(ctx(t))
	must(t, err)
	if administer(s).GrantTo(ctx(t), role) == nil {
		t.Error("the owner gave rights to itself")
	}
}

func TestRoles_OwnerAsServerCannotChangeEvents(t *testing.T) {
	t.Parallel()
	address := dbtest.NewEmpty(t)
	admin := openAt(t, address)
	role := newRole(t, admin)
	exec(t, admin, "ALTER DATABASE "+admin.Pool().Config().ConnConfig.Database+" OWNER TO "+role)
	exec(t, admin, "ALTER SCHEMA public OWNER TO "+role)
	s := openAt(t, as(t, address, role))
	must(t, administer(s).Migrate(ctx(t)))
	must(t, administer(s).RevokeEventWrites(ctx(t)))
	lived(t, s)
	wantEventsSafe(t, s)
	exec(t, s, `ALTER TABLE deployment_events ADD COLUMN later text NOT NULL DEFAULT 'x'`)
	wantForgets(t, admin, s)
	wantEventsSafe(t, s)
}

func TestRoles_OnlyOldEndedMayBeDeleted(t *testing.T) {
	t.Parallel()
	address := dbtest.New(t)
	owner := openAt(t, address)
	role := newRole(t, owner)
	must(t, administer(owner).GrantTo(ctx(t), role))
	wantForgets(t, owner, openAt(t, as(t, address, role)))
}

// wantForgets checks that s can have old deployments forgotten, and no others, whatever it writes into their rows.
func wantForgets(t *testing.T, admin, s *store.Store) {
	t.Helper()
	fresh := lived(t, s)
	exec(t, s, `UPDATE deployments SET finished_at = now() - interval '1 year' WHERE id = $1`, fresh.ID)
	begun := started(t, s, "desk", "r3").Deployment
	exec(t, admin, `UPDATE deployment_events SET at = at - interval '2 days' WHERE deployment_id = $1`, begun.ID)
	old := lived(t, s)
	exec(t, admin, `UPDATE deployment_events SET at = at - interval '2 days' WHERE deployment_id = $1`, old.ID)
	var gone int
	ids := []string{fresh.ID, begun.ID, old.ID}
	must(t, s.Pool().QueryRow(ctx(t), `SELECT forget_deployments($1)`, ids).Scan(&gone))
	var left []string
	must(t, s.Pool().QueryRow(ctx(t), `SELECT array_agg(DISTINCT deployment_id::text ORDER BY deployment_id::text)
		FROM (SELECT id AS deployment_id FROM deployments UNION ALL SELECT deployment_id FROM deployment_events
			UNION ALL SELECT deployment_id FROM deployment_targets) x WHERE deployment_id = ANY ($1)`, ids).Scan(&left))
	if gone != 1 || len(left) != 2 || left[0] == old.ID || left[1] == old.ID {
		t.Errorf("%d were forgotten, %v of %v are left", gone, left, ids)
	}
}
