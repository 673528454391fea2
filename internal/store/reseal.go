package store

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"

	"github.com/jackc/pgx/v5"

	"rollcall/internal/catalog"
	"rollcall/internal/rollout"
	"rollcall/internal/secret"
	"rollcall/internal/store/pg"
	"rollcall/internal/store/sealing"
)

// The conditions under which a row holds a secret that a reader of the database could read.
const (
	clearDeployment = `coalesce(deploy_secret, '***') <> '***'
		OR spec @? '$.health_checks[*].headers.* ? (@ != "***")' OR spec @? '$.tls.client_key ? (@ != "***")'`
	clearDefinition = `coalesce(deploy_secret, '***') <> '***'
		OR body @? '$.health_checks[*].headers.* ? (@ != "***")' OR body @? '$.tls.client_key ? (@ != "***")'`
)

// SealedTables returns the tables with sealed secrets.
func (s *Store) SealedTables() []sealing.Table {
	return []sealing.Table{
		{Name: "deployments", Keys: []string{"id"}, Needed: "finished_at IS NULL", Stale: clearDeployment, Reseal: s.resealDeployment},
		{Name: "definitions", Keys: []string{"service", "environment"}, Needed: "body IS NOT NULL", Stale: clearDefinition, Reseal: s.resealDefinition},
		s.sourceStore.SealedTable(),
		s.notificationStore.SealedTable(),
	}
}

func (s *Store) resealDeployment(ctx context.Context, tx pgx.Tx, keys []string) error {
	d, err := queryDeployment(ctx, tx, `SELECT `+deploymentColumns+` FROM deployments d WHERE d.id = $1 FOR UPDATE`, keys[0])
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
		d.ID, d.Sealed, pg.TextArg(redactedText(d.DeploySecret)), d.Spec)
	return err //nolint:wrapcheck // the caller names the operation
}

func (s *Store) resealDefinition(ctx context.Context, tx pgx.Tx, keys []string) error {
	d, err := pg.QueryOne(ctx, tx, scanDefinition, `SELECT `+definitionColumns+`
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
		d.Service, d.Environment, d.Sealed, pg.TextArg(redactedText(d.DeploySecret)), d.Body)
	return err //nolint:wrapcheck // the caller names the operation
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
		fields[name] = redactedText(secrets[name])
	}
	return secrets
}
