package teststore

import (
	"context"
	"crypto/rand"
	"log/slog"
	"net/url"
	"strings"
	"testing"
	"time"

	"rollcall/internal/dbtest"
	"rollcall/internal/rollout"
	"rollcall/internal/storage"
	"rollcall/internal/store"
	"rollcall/internal/store/admin"
	"rollcall/migrations"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
)

// NewRole creates a role that may log in, and returns its name.
func NewRole(t *testing.T, s *store.Store) string {
	t.Helper()
	role := "role_" + strings.ToLower(rand.Text())
	Exec(t, s, "CREATE ROLE "+role+" LOGIN")
	address := s.Pool().Config().ConnString()
	t.Cleanup(func() {
		conn, err := pgx.Connect(context.Background(), address)
		Must(t, err)
		defer func() { Must(t, conn.Close(context.Background())) }()
		_, err = conn.Exec(context.Background(), "REASSIGN OWNED BY "+role+" TO CURRENT_USER; DROP OWNED BY "+role+"; DROP ROLE "+role)
		Must(t, err)
	})
	return role
}

// AsRole returns the database's URL for another role.
func AsRole(t *testing.T, address, role string) string {
	t.Helper()
	u, err := url.Parse(address)
	Must(t, err)
	u.User = url.User(role)
	return u.String()
}

// PlayDeployment returns a deployment that has gone through all that a store does: creation, command, save, takeover and end.
func PlayDeployment(t *testing.T, s *store.Store) rollout.Deployment {
	t.Helper()
	snap := StartDeployment(t, s, "checkout", "r1")
	_, err := s.UpdateDeployment(Context(t), snap.Deployment.ID, 0, PauseDeployment)
	Must(t, err)
	_, err = s.Heartbeat(Context(t), "r1", -time.Second)
	Must(t, err)
	snap = ClaimOne(t, s, "r2")
	SaveStep(t, s, snap, storage.SaveRequest{Targets: snap.Targets})
	FinishDeployment(t, s, snap, rollout.StateCompleted)
	Must(t, s.DeleteExpiredRecords(Context(t)))
	return ReadDeployment(t, s, snap.Deployment.ID)
}

// AtVersion returns the URL of a database as an older binary has left it.
func AtVersion(t *testing.T, version int64) string {
	t.Helper()
	url := dbtest.NewEmpty(t)
	config, err := pgx.ParseConfig(url)
	Must(t, err)
	db := stdlib.OpenDB(*config)
	defer func() { Must(t, db.Close()) }()
	p, err := migrations.Provider(db)
	Must(t, err)
	_, err = p.UpTo(Context(t), version)
	Must(t, err)
	return url
}

// HoldStatement runs a statement in a transaction that lasts until release is called.
func HoldStatement(t *testing.T, url, sql string) (release func()) {
	t.Helper()
	conn, err := pgx.Connect(Context(t), url)
	Must(t, err)
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	tx, err := conn.BeginTx(Context(t), pgx.TxOptions{IsoLevel: pgx.RepeatableRead})
	Must(t, err)
	_, err = tx.Exec(Context(t), sql)
	Must(t, err)
	return func() { Must(t, tx.Rollback(Context(t))) }
}

// PauseDeployment pauses a deployment; it is a change for UpdateDeployment.
func PauseDeployment(d *rollout.Deployment, _ time.Time) ([]rollout.Event, error) {
	if d.Operator.Pause {
		return nil, nil
	}
	d.Operator.Pause, d.State = true, rollout.StatePaused
	return []rollout.Event{{Type: rollout.EventPaused, Actor: "ann"}}, nil
}

// NewAdmin returns an Admin of the store's database.
func NewAdmin(s *store.Store) *admin.Admin { return admin.New(s, slog.Default()) }

// Noon is when the deployments of ManyEnded began.
var Noon = time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC)

// ManyEnded creates deployments of a service that completed, one each second from Noon on.
func ManyEnded(t *testing.T, s *store.Store, service string, n int) {
	t.Helper()
	tx := BeginTx(t, s)
	_, err := tx.Exec(Context(t), `SET LOCAL statement_timeout = 0`)
	Must(t, err)
	_, err = tx.Exec(Context(t), `INSERT INTO deployments (id, service, environment, kind, strategy, spec, state, direction, counts, result, created_at, finished_at, next_run_at)
		SELECT gen_random_uuid(), $1, 'production', 'deploy', 'rolling', '{}', 'completed', 'forward',
			'{"updated": 1, "failed": 0, "unknown": 0, "rolled_back": 0}', '{"success": true}',
			$2::timestamptz, $2::timestamptz + n * interval '1 second', $2::timestamptz FROM generate_series(0, $3::int - 1) n`, service, Noon, n)
	Must(t, err)
	Must(t, tx.Commit(Context(t)))
}

// ApplySettings makes settings of a database, as ALTER DATABASE … SET does, and returns its URL.
func ApplySettings(t *testing.T, url string, settings ...string) string {
	t.Helper()
	config, err := pgx.ParseConfig(url)
	Must(t, err)
	conn, err := pgx.ConnectConfig(Context(t), config)
	Must(t, err)
	defer func() { Must(t, conn.Close(Context(t))) }()
	for _, setting := range settings {
		_, err = conn.Exec(Context(t), "ALTER DATABASE "+config.Database+" SET "+setting)
		Must(t, err)
	}
	return url
}
