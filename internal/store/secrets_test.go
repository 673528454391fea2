package store_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"rollcall/internal/catalog"
	"rollcall/internal/dbtest"
	"rollcall/internal/keyring"
	"rollcall/internal/problem"
	"rollcall/internal/rollout"
	"rollcall/internal/secret"
	"rollcall/internal/storage"
	"rollcall/internal/store"
)

// secretive is a request with every kind of secret.
func secretive() storage.NewDeployment {
	r := request("checkout", 1)
	r.Deployment.DeploySecret = plantedDeploy
	r.Deployment.Spec.Checks[0].Headers = map[string]secret.Secret{"Authorization": plantedHeader}
	r.Deployment.Spec.TLS = &rollout.TLS{ClientCert: "cert", ClientKey: plantedKey}
	return r
}

func wantSecrets(t *testing.T, what string, d *rollout.Deployment) {
	t.Helper()
	if d.DeploySecret != plantedDeploy || d.Spec.Checks[0].Headers["Authorization"] != plantedHeader ||
		d.Spec.TLS.ClientKey != plantedKey || d.Spec.TLS.ClientCert != "cert" {
		t.Errorf("%s: %q %q %q", what, d.DeploySecret.Reveal(), d.Spec.Checks[0].Headers["Authorization"].Reveal(), d.Spec.TLS.ClientKey.Reveal())
	}
}

func TestSecrets_SealedAtRestOpenForEngine(t *testing.T) {
	t.Parallel()
	s := open(t)
	r := secretive()
	r.Key = key("k", "body")
	d := createDeployment(t, s, r)
	wantNoSecret(t, rows(t, s))
	wantSecrets(t, "claimed", &claimOne(t, s, "r1").Deployment)
	read, err := s.Deployment(ctx(t), d.ID)
	must(t, err)
	wantSecrets(t, "read", &read)
}

func TestSecrets_OfDefinitionAreSealedAtRest(t *testing.T) {
	t.Parallel()
	s := open(t)
	_, err := s.UpdateDefinition(ctx(t), "checkout", "production", func(*catalog.Definition) (*catalog.Definition, error) {
		return &catalog.Definition{
			Body: json.RawMessage(`{"health_checks":[{"headers":{"A":"***"}}],"tls":{"client_key":"***"}}`), DeploySecret: plantedDeploy,
			Headers: []map[string]secret.Secret{{"A": plantedHeader}}, ClientKey: plantedKey,
		}, nil
	})
	must(t, err)
	wantNoSecret(t, rows(t, s))
	d, err := s.Definition(ctx(t), "checkout", "production")
	must(t, err)
	if d.DeploySecret != plantedDeploy || d.Headers[0]["A"] != plantedHeader || d.ClientKey != plantedKey {
		t.Errorf("%q %q %q", d.DeploySecret.Reveal(), d.Headers, d.ClientKey.Reveal())
	}
	_, err = s.UpdateDefinition(ctx(t), "checkout", "production", forget)
	must(t, err)
	var kept bool
	must(t, s.Pool().QueryRow(ctx(t), `SELECT secrets IS NOT NULL FROM definitions`).Scan(&kept))
	if kept {
		t.Error("a definition that was forgotten keeps its secrets")
	}
}

func TestSecrets_OpenInTheirRowOnly(t *testing.T) {
	t.Parallel()
	s := open(t)
	victim, thief := secretive(), request("mine", 1)
	from, to := createDeployment(t, s, victim), createDeployment(t, s, thief)
	_, err := s.Pool().Exec(ctx(t), `UPDATE deployments SET deploy_secret = '***', secrets = (SELECT secrets FROM deployments WHERE id = $1)
		WHERE id = $2`, from.ID, to.ID)
	must(t, err)
	stolen, err := s.Deployment(ctx(t), to.ID)
	must(t, err)
	if !stolen.DeploySecret.Redacted() {
		t.Errorf("another row's secret was opened: %q", stolen.DeploySecret.Reveal())
	}
	if len(claimed(t, s, "r1")) != 2 {
		t.Error("a secret that cannot be opened keeps others from being worked on")
	}
}

func TestSecrets_WithoutKeyAreRefused(t *testing.T) {
	t.Parallel()
	s, err := store.Open(t.Context(), dbtest.New(t))
	must(t, err)
	t.Cleanup(s.Close)
	_, err = s.CreateDeployment(ctx(t), secretive())
	wantCode(t, err, problem.CodeInvalid)
	if !strings.Contains(err.Error(), "--secret-key-file") || strings.Contains(err.Error(), "planted") {
		t.Errorf("%v", err)
	}
	_, err = s.UpdateDefinition(ctx(t), "checkout", "production", func(*catalog.Definition) (*catalog.Definition, error) {
		return &catalog.Definition{Body: json.RawMessage(`{}`), DeploySecret: plantedDeploy}, nil
	})
	wantCode(t, err, problem.CodeInvalid)
	var left int
	must(t, s.Pool().QueryRow(ctx(t), `SELECT (SELECT count(*) FROM deployments) + (SELECT count(*) FROM definitions) +
		(SELECT count(*) FROM deployment_events)`).Scan(&left))
	if left != 0 {
		t.Errorf("%d rows are left of refused requests", left)
	}
	open := request("checkout", 1)
	open.Deployment.DeploySecret = ""
	createDeployment(t, s, open)
}

// old puts rows there as the version before this one wrote them, in the clear.
func old(t *testing.T, s *store.Store) (id string) {
	t.Helper()
	d := createDeployment(t, s, secretive())
	_, err := s.Pool().Exec(ctx(t), `UPDATE deployments SET secrets = NULL, deploy_secret = $1,
		spec = jsonb_set(jsonb_set(spec, '{health_checks,0,headers,Authorization}', to_jsonb($2::text)), '{tls,client_key}', to_jsonb($3::text))`,
		plantedDeploy, plantedHeader, plantedKey)
	must(t, err)
	_, err = s.Pool().Exec(ctx(t), `INSERT INTO definitions (service, environment, body, deploy_secret, revision, created_at, updated_at)
		VALUES ('checkout', 'production', jsonb_build_object('n', 12345678901234567890, 'health_checks', jsonb_build_array('{"type":"tcp"}'::jsonb,
			jsonb_build_object('headers', jsonb_build_object('A', $2::text)))), $1, 7, now(), now())`, plantedDeploy, plantedHeader)
	must(t, err)
	return d.ID
}

func TestRotation_SealsRowsOfOlderVersion(t *testing.T) {
	t.Parallel()
	s := open(t)
	id := old(t, s)
	for range 2 {
		d, err := s.Deployment(ctx(t), id)
		must(t, err)
		wantSecrets(t, "read", &d)
		defined, err := s.Definition(ctx(t), "checkout", "production")
		must(t, err)
		if defined.DeploySecret != plantedDeploy || defined.Revision != 7 || !strings.Contains(string(defined.Body), "12345678901234567890") {
			t.Errorf("%+v", defined)
		}
		if _, err := administer(s).RotateKeys(ctx(t)); err != nil {
			t.Fatal(err)
		}
	}
	wantNoSecret(t, rows(t, s))
	defined, err := s.Definition(ctx(t), "checkout", "production")
	must(t, err)
	if len(defined.Headers) != 2 || defined.Headers[1]["A"] != plantedHeader {
		t.Errorf("the header is lost: %q", defined.Headers)
	}
	if n, err := administer(s).RotateKeys(ctx(t)); n != 0 || err != nil {
		t.Errorf("nothing was left to seal, and %d rows were written: %v", n, err)
	}
}

func TestRotation_LeavesNothingAtOldKey(t *testing.T) {
	t.Parallel()
	url := dbtest.New(t)
	first, second := keyring.NewKey(time.Now()), keyring.NewKey(time.Now())
	before := keyed(t, url, first)
	d := createDeployment(t, before, secretive())
	define(t, before, `{}`)
	lost := keyed(t, url, second)
	if err := administer(lost).CheckKeys(ctx(t)); err == nil || !strings.Contains(err.Error(), first.ID()) {
		t.Errorf("a server without the key may start: %v", err)
	}
	both := keyed(t, url, second, first)
	must(t, administer(both).CheckKeys(ctx(t)))
	if n, err := administer(both).RotateKeys(ctx(t)); n != 2 || err != nil {
		t.Fatalf("%d rows, %v", n, err)
	}
	must(t, administer(lost).CheckKeys(ctx(t)))
	read, err := lost.Deployment(ctx(t), d.ID)
	must(t, err)
	wantSecrets(t, "with the new key alone", &read)
	if stale, err := before.Deployment(ctx(t), d.ID); err != nil || !stale.DeploySecret.Redacted() {
		t.Errorf("the old key opens it still: %v", err)
	}
}

// Else one deployment of long ago, whose key is gone, would keep every other secret at an old key without end.
func TestRotation_ReportsAndSkipsUnreadable(t *testing.T) {
	t.Parallel()
	url := dbtest.New(t)
	gone, first, second := keyring.NewKey(time.Now()), keyring.NewKey(time.Now()), keyring.NewKey(time.Now())
	lost := createDeployment(t, keyed(t, url, gone), secretive())
	other := secretive()
	other.Deployment.Service, other.Deployment.ID = "another", ""
	kept := createDeployment(t, keyed(t, url, first), other)
	define(t, keyed(t, url, first), `{}`)
	n, err := administer(keyed(t, url, second, first)).RotateKeys(ctx(t))
	if n != 2 || err == nil || !strings.Contains(err.Error(), lost.ID) || strings.Contains(err.Error(), kept.ID) {
		t.Errorf("%d rows, %v", n, err)
	}
	read, err := keyed(t, url, second).Deployment(ctx(t), kept.ID)
	must(t, err)
	wantSecrets(t, "with the new key alone", &read)
}
