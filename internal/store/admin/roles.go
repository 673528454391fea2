package admin

import (
	"context"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"

	"rollcall/internal/secret"
	"rollcall/internal/store/pg"
)

// rolesLock makes replicas that start at once give out rights one after another: PostgreSQL refuses to do it side by side.
const rolesLock = `SELECT pg_advisory_xact_lock(hashtextextended('rollcall/roles', 0))`

// rightsOn returns the rights that the server has and needs on a table. Events are only added, and a deployment is never
// removed but by forget_deployments.
func rightsOn(table string) []string {
	switch table {
	case "goose_db_version":
		return []string{"SELECT"}
	case "deployment_events":
		return []string{"SELECT", "INSERT"}
	case "deployments", "deployment_targets":
		return []string{"SELECT", "INSERT", "UPDATE"}
	default:
		return []string{"SELECT", "INSERT", "UPDATE", "DELETE"}
	}
}

// CurrentRole returns the database role of the connections.
func (a *Admin) CurrentRole(ctx context.Context) (string, error) {
	role, err := pg.QueryOne(ctx, a.db, pgx.RowTo[string], `SELECT current_user::text`)
	return role, pg.Wrap("ask who the database takes the server for", err)
}

// CreateRole creates the role, where it is missing, lets it log in with the password, and grants nothing else yet. It is
// for a database that nothing else uses.
func (a *Admin) CreateRole(ctx context.Context, role string, password secret.Secret) error {
	err := a.asOwner(ctx, func(tx pgx.Tx) error {
		known, err := pg.QueryOne(ctx, tx, pgx.RowTo[bool], `SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = $1)`, role)
		if err != nil {
			return err
		}
		if !known {
			if err := newRole(ctx, tx, role); err != nil {
				return err
			}
		}
		return setPassword(ctx, tx, role, password)
	})
	return pg.Wrap("make the role "+role, err)
}

func newRole(ctx context.Context, tx pgx.Tx, role string) error {
	database, err := pg.QueryOne(ctx, tx, pgx.RowTo[string], `SELECT current_database()::text`)
	if err != nil {
		return err
	}
	return execAll(ctx, tx, "CREATE ROLE "+quoteIdentifier(role)+" LOGIN", "REVOKE CREATE ON SCHEMA public FROM PUBLIC",
		"REVOKE ALL ON DATABASE "+quoteIdentifier(database)+" FROM PUBLIC", "GRANT CONNECT ON DATABASE "+quoteIdentifier(database)+" TO "+quoteIdentifier(role))
}

// setPassword lets the database quote the password, and repeats none of it in an error.
func setPassword(ctx context.Context, tx pgx.Tx, role string, password secret.Secret) error {
	sql, err := pg.QueryOne(ctx, tx, pgx.RowTo[string], `SELECT format('ALTER ROLE %I PASSWORD %L', $1::text, $2::text)`, role, password.Reveal())
	if err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, sql); err != nil {
		return fmt.Errorf("set the password of %s: %w", role, err)
	}
	return nil
}

// GrantTo grants another role what the server needs of the tables that this role owns, and no more; nothing is written when it has
// that already. To grant the owner itself is refused.
func (a *Admin) GrantTo(ctx context.Context, role string) error {
	err := a.asOwner(ctx, func(tx pgx.Tx) error {
		const sql = `SELECT current_user = $1, current_schema()::text`
		var same bool
		var schema string
		if err := tx.QueryRow(ctx, sql, role).Scan(&same, &schema); err != nil {
			return fmt.Errorf("ask who owns the database: %w", err)
		}
		if same {
			return fmt.Errorf("the owner and the server are both the role %s: they must be two", role)
		}
		changes, err := missingGrants(ctx, tx, role)
		if err != nil {
			return err
		}
		return execAll(ctx, tx, append(changes, "GRANT USAGE ON SCHEMA "+quoteIdentifier(schema)+" TO "+quoteIdentifier(role),
			"GRANT EXECUTE ON FUNCTION forget_deployments(uuid[]) TO "+quoteIdentifier(role))...)
	})
	return pg.Wrap("say what the database role "+role+" may do", err)
}

// missingGrants returns the statements that make the role's rights on the tables what they should be.
func missingGrants(ctx context.Context, tx pgx.Tx, role string) ([]string, error) {
	const sql = `
		SELECT c.relname::text, ARRAY(SELECT p FROM unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE', 'TRUNCATE']) WITH ORDINALITY AS r (p, n)
			WHERE has_table_privilege($1, c.oid, p) ORDER BY n)
		FROM pg_class c WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind IN ('r', 'p') AND c.relowner = current_user::regrole`
	type table struct {
		Name   string
		Rights []string
	}
	tables, err := pg.QueryAll(ctx, tx, pgx.RowToStructByPos[table], sql, role)
	if err != nil {
		return nil, fmt.Errorf("read what it may do now: %w", err)
	}
	var changes []string
	for _, t := range tables {
		want := strings.Join(rightsOn(t.Name), ", ")
		if strings.Join(t.Rights, ", ") == want {
			continue
		}
		changes = append(changes, "REVOKE ALL ON "+quoteIdentifier(t.Name)+" FROM "+quoteIdentifier(role), "GRANT "+want+" ON "+quoteIdentifier(t.Name)+" TO "+quoteIdentifier(role))
	}
	return changes, nil
}

// RevokeEventWrites takes from the role of s itself, if it owns the tables, the right to change events. Migrations keep
// working: an owner may alter what it may not update.
func (a *Admin) RevokeEventWrites(ctx context.Context) error {
	rights, err := a.EventPrivileges(ctx)
	if err != nil || len(rights.Held) == 0 || rights.Superuser || !rights.Owner {
		return err
	}
	err = a.asOwner(ctx, func(tx pgx.Tx) error {
		return execAll(ctx, tx, "REVOKE UPDATE, DELETE, TRUNCATE ON deployment_events FROM CURRENT_USER")
	})
	return pg.Wrap("give up the right to change events", err)
}

// EventRights is what a role may do to events that are written.
type EventRights struct {
	Role string
	// Owner owns the table, and could give itself any right; what a Superuser may do cannot be bounded.
	Owner, Superuser bool
	// Held are those of UPDATE, DELETE and TRUNCATE that the role has.
	Held []string
}

// EventPrivileges asks the database what the role of s may do to events.
func (a *Admin) EventPrivileges(ctx context.Context) (EventRights, error) {
	const sql = `
		SELECT current_user::text, pg_has_role(c.relowner, 'USAGE'), r.rolsuper,
			ARRAY(SELECT p FROM unnest(ARRAY['UPDATE', 'DELETE', 'TRUNCATE']) p WHERE has_table_privilege(c.oid, p))
		FROM pg_class c, pg_roles r WHERE c.oid = 'deployment_events'::regclass AND r.rolname = current_user`
	rights, err := pg.QueryOne(ctx, a.db, pgx.RowToStructByPos[EventRights], sql)
	return rights, pg.Wrap("ask what the database role may do", err)
}

// asOwner runs do in a transaction that no other replica's is beside.
func (a *Admin) asOwner(ctx context.Context, do func(tx pgx.Tx) error) error {
	return a.db.InTx(ctx, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, rolesLock); err != nil {
			return fmt.Errorf("wait for other replicas: %w", err)
		}
		return do(tx)
	})
}

func execAll(ctx context.Context, tx pgx.Tx, statements ...string) error {
	for _, statement := range statements {
		if _, err := tx.Exec(ctx, statement); err != nil {
			return fmt.Errorf("%s: %w", statement, err)
		}
	}
	return nil
}

func quoteIdentifier(name string) string { return pgx.Identifier{name}.Sanitize() }
