package store

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"rollcall/internal/catalog"
	"rollcall/internal/problem"
	"rollcall/internal/rollout"
	"rollcall/internal/seal"
	"rollcall/internal/secret"
)

// The conditions under which a row holds a secret that somebody who reads the database could read.
const (
	clearDeployment = `coalesce(deploy_secret, '***') <> '***'
		OR spec @? '$.health_checks[*].headers.* ? (@ != "***")' OR spec @? '$.tls.client_key ? (@ != "***")'`
	clearDefinition = `coalesce(deploy_secret, '***') <> '***'
		OR body @? '$.health_checks[*].headers.* ? (@ != "***")' OR body @? '$.tls.client_key ? (@ != "***")'`
)

// sealedTable is a table with a column of sealed secrets.
type sealedTable struct {
	name string
	// keys are its primary key, as text.
	keys []string
	// needed is the condition under which a server must be able to open the row's secrets.
	needed string
	// stale is the condition under which a row has secrets in the clear.
	stale string
	// reseal writes one row anew.
	reseal func(ctx context.Context, s *Store, tx pgx.Tx, keys []string) error
}

func sealedTables() []sealedTable {
	return []sealedTable{
		{"deployments", []string{"id"}, "finished_at IS NULL", clearDeployment, resealDeployment},
		{"definitions", []string{"service", "environment"}, "body IS NOT NULL", clearDefinition, resealDefinition},
		{"gitops_sources", []string{"name"}, "true", "false", resealSource},
		{"notifications", []string{"id"}, "true", "false", resealNotification},
	}
}

// CheckKeys says which key is missing to open what will be needed, or nil: a server without it would sign nothing.
func (s *Store) CheckKeys(ctx context.Context) error {
	for _, table := range sealedTables() {
		ids, err := all(ctx, s.pool, pgx.RowTo[string], `SELECT DISTINCT convert_from(
			substring(secrets FROM 3 FOR get_byte(secrets, 1)), 'UTF8') FROM `+table.name+` WHERE secrets IS NOT NULL AND `+table.needed)
		if err != nil {
			return failed("look which keys "+table.name+" were sealed with", err)
		}
		for _, id := range ids {
			if s.box == nil {
				return fmt.Errorf("%s hold secrets sealed with key %q: %w", table.name, id, seal.ErrNoKey)
			}
			if !s.box.Has(id) {
				return fmt.Errorf("%s hold secrets sealed with key %q, which is not among the keys of this server", table.name, id)
			}
		}
	}
	return nil
}

// Reseal seals all secrets with the current key: those of older keys, and those that an older version left in the clear. It
// may run while servers work, as long as they have the key, too. It gives the number of rows written; after an error it may
// be run again. A row that no key opens stays as it is, holds up no other, and is in the error.
func (s *Store) Reseal(ctx context.Context) (int, error) {
	done := 0
	var left error
	for _, table := range sealedTables() {
		stale, err := s.stale(ctx, table)
		if err != nil {
			return done, failed("look for secrets of "+table.name, err)
		}
		for _, keys := range stale {
			err := s.inTx(ctx, func(tx pgx.Tx) error { return table.reseal(ctx, s, tx, keys) })
			if errors.Is(err, pgx.ErrNoRows) || problem.CodeOf(err) == problem.CodeNotFound {
				continue // removed meanwhile, and its secrets with it
			}
			if err = failed(fmt.Sprintf("seal the secrets of %s %v", table.name, keys), err); problem.CodeOf(err) == problem.CodeUnavailable {
				return done, err
			}
			if left = errors.Join(left, err); err == nil {
				done++
			}
		}
	}
	return done, left
}

// stale lists the rows whose secrets are in the clear, or not sealed with the current key.
func (s *Store) stale(ctx context.Context, table sealedTable) ([][]string, error) {
	columns := ""
	for _, key := range table.keys {
		columns += key + "::text, "
	}
	var found [][]string
	_, err := all(ctx, s.pool, func(row pgx.CollectableRow) (struct{}, error) {
		keys := make([]string, len(table.keys))
		var sealed []byte
		var readable bool
		places := make([]any, 0, len(keys)+2)
		for i := range keys {
			places = append(places, &keys[i])
		}
		err := row.Scan(append(places, &sealed, &readable)...)
		if readable || sealed != nil && !s.box.Fresh(sealed) {
			found = append(found, keys)
		}
		return struct{}{}, err //nolint:wrapcheck // the caller says what was tried
	}, `SELECT `+columns+`secrets, coalesce(`+table.stale+`, false) FROM `+table.name+`
		WHERE secrets IS NOT NULL OR `+table.stale)
	return found, err
}

func resealDeployment(ctx context.Context, s *Store, tx pgx.Tx, keys []string) error {
	d, err := deployment(ctx, tx, `SELECT `+deploymentColumns+` FROM deployments d WHERE d.id = $1 FOR UPDATE`, keys[0])
	if err != nil {
		return err
	}
	if err := s.openDeployment(&d); err != nil {
		return err
	}
	if err := s.sealDeployment(&d); err != nil {
		return err
	}
	_, err = tx.Exec(ctx, `UPDATE deployments SET secrets = $2, deploy_secret = $3, spec = $4 WHERE id = $1`,
		d.ID, d.Sealed, text(shown(d.DeploySecret)), d.Spec)
	return err //nolint:wrapcheck // the caller says what was tried
}

func resealDefinition(ctx context.Context, s *Store, tx pgx.Tx, keys []string) error {
	d, err := one(ctx, tx, scanDefinition, `SELECT `+definitionColumns+`
		FROM definitions WHERE service = $1 AND environment = $2 FOR UPDATE`, keys[0], keys[1])
	if err != nil {
		return err
	}
	if err := s.openDefinition(&d); err != nil {
		return err
	}
	if d.Body != nil {
		if err := maskBody(&d); err != nil {
			return err
		}
	}
	if err := s.sealDefinition(&d); err != nil {
		return err
	}
	_, err = tx.Exec(ctx, `UPDATE definitions SET secrets = $3, deploy_secret = $4, body = $5 WHERE service = $1 AND environment = $2`,
		d.Service, d.Environment, d.Sealed, text(shown(d.DeploySecret)), d.Body)
	return err //nolint:wrapcheck // the caller says what was tried
}

// maskBody takes what stands in the clear out of a definition's body, and puts it with its secrets.
func maskBody(d *catalog.Definition) error {
	var body map[string]any
	decoder := json.NewDecoder(bytes.NewReader(d.Body))
	decoder.UseNumber()
	if err := decoder.Decode(&body); err != nil {
		return fmt.Errorf("decode the body of a definition: %w", err)
	}
	checks, _ := body["health_checks"].([]any)
	for len(d.Headers) < len(checks) {
		d.Headers = append(d.Headers, nil)
	}
	for i := range checks {
		check, _ := checks[i].(map[string]any)
		d.Headers[i] = maskAll(check["headers"], d.Headers[i])
	}
	if tls, ok := body["tls"].(map[string]any); ok {
		d.ClientKey = maskAll(tls, map[string]secret.Secret{"client_key": d.ClientKey}, "client_key")["client_key"]
	}
	var err error
	d.Body, err = json.Marshal(body)
	return err //nolint:wrapcheck // it was decoded a moment ago
}

// maskAll puts "***" for the values of an object (of all fields, or those named) and gives what stood there, or was known
// where "***" stood.
func maskAll(object any, known map[string]secret.Secret, only ...string) map[string]secret.Secret {
	fields, _ := object.(map[string]any)
	secrets := map[string]secret.Secret{}
	for name, value := range fields {
		text, isText := value.(string)
		if !isText || len(only) > 0 && only[0] != name {
			continue
		}
		secrets[name] = rollout.RestoreHeaders(map[string]secret.Secret{name: secret.Secret(text)}, known)[name]
		fields[name] = shown(secrets[name])
	}
	return secrets
}
