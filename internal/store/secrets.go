package store

import (
	"fmt"

	"rollcall/internal/catalog"
	"rollcall/internal/rollout"
	"rollcall/internal/secret"
	"rollcall/internal/storage"
	"rollcall/internal/store/sealing"
)

// storedSecrets is what is sealed. Fields may be added, never renamed or given another type.
type storedSecrets struct {
	Deploy    string              `json:"deploy,omitempty"`
	Headers   []map[string]string `json:"headers,omitempty"`
	ClientKey string              `json:"client_key,omitempty"`
	Request   map[string]string   `json:"request,omitempty"`
	Rules     []storedSecrets     `json:"rules,omitempty"`
}

func storedOf(secrets rollout.Secrets) storedSecrets {
	stored := storedSecrets{Deploy: secrets.Deploy.Reveal(), ClientKey: secrets.ClientKey.Reveal()}
	for _, headers := range secrets.Headers {
		stored.Headers = append(stored.Headers, revealHeaders(headers))
	}
	if len(secrets.Request) > 0 {
		stored.Request = revealHeaders(secrets.Request)
	}
	for _, rules := range secrets.Rules {
		stored.Rules = append(stored.Rules, storedOf(rules))
	}
	return stored
}

func (s *storedSecrets) toSecrets() rollout.Secrets {
	secrets := rollout.Secrets{Deploy: secret.Secret(s.Deploy), ClientKey: secret.Secret(s.ClientKey)}
	for _, revealed := range s.Headers {
		secrets.Headers = append(secrets.Headers, secretHeaders(revealed))
	}
	if len(s.Request) > 0 {
		secrets.Request = secretHeaders(s.Request)
	}
	for i := range s.Rules {
		secrets.Rules = append(secrets.Rules, s.Rules[i].toSecrets())
	}
	return secrets
}

func revealHeaders(headers map[string]secret.Secret) map[string]string {
	revealed := make(map[string]string, len(headers))
	for name, value := range headers {
		revealed[name] = value.Reveal()
	}
	return revealed
}

func secretHeaders(revealed map[string]string) map[string]secret.Secret {
	headers := make(map[string]secret.Secret, len(revealed))
	for name, value := range revealed {
		headers[name] = secret.Secret(value)
	}
	return headers
}

// sealSecrets returns what is written to a column secrets; nil when there are none.
func (s *Store) sealSecrets(place string, secrets rollout.Secrets) ([]byte, error) {
	if secrets.Empty() {
		return nil, nil
	}
	return s.sealer.Seal(place, storedOf(secrets))
}

// openSecrets returns what sealSecrets has sealed; the zero Secrets when there is nothing.
func (s *Store) openSecrets(place string, sealed []byte) (rollout.Secrets, error) {
	if sealed == nil {
		return rollout.Secrets{}, nil
	}
	var stored storedSecrets
	if err := s.sealer.Open(place, sealed, &stored); err != nil {
		return rollout.Secrets{}, err
	}
	return stored.toSecrets(), nil
}

func placeOfDeployment(id string) string { return "deployments.secrets:" + id }

func placeOfDefinition(service, environment string) string {
	return "definitions.secrets:" + service + "/" + environment
}

// sealDeployment makes d fit to be written: its secrets are in Sealed. They stay where they were, too, where each is
// encoded as "***".
func (s *Store) sealDeployment(d *rollout.Deployment) (err error) {
	d.Sealed, err = s.sealSecrets(placeOfDeployment(d.ID), d.Secrets())
	return err
}

// revealSecrets puts the secrets of a deployment that was read where they belong. What cannot be opened stays "***", with which
// nothing is signed: a deployment whose key is gone can be seen and stopped, and makes no call under a wrong name.
func (s *Store) revealSecrets(d *rollout.Deployment) { _ = s.openDeployment(d) }

// openDeployment restores the secrets of a deployment, and returns an error when they cannot be opened.
func (s *Store) openDeployment(d *rollout.Deployment) error {
	secrets, err := s.openSecrets(placeOfDeployment(d.ID), d.Sealed)
	d.RestoreSecrets(secrets)
	return err
}

func (s *Store) sealDefinition(d *catalog.Definition) (err error) {
	secrets := rollout.Secrets{Deploy: d.DeploySecret, Headers: d.Headers, ClientKey: d.ClientKey, Request: d.RequestHeaders}
	d.Sealed, err = s.sealSecrets(placeOfDefinition(d.Service, d.Environment), secrets)
	return err
}

func (s *Store) openDefinition(d *catalog.Definition) error {
	secrets, err := s.openSecrets(placeOfDefinition(d.Service, d.Environment), d.Sealed)
	if d.DeploySecret.Redacted() {
		d.DeploySecret = secrets.Deploy
	}
	d.Headers, d.ClientKey, d.RequestHeaders = secrets.Headers, secrets.ClientKey, secrets.Request
	return err
}

// openingSecrets lets build see the secrets of what it builds on, and seals those of what it made.
func (s *Store) openingSecrets(
	build func(*rollout.Snapshot) (storage.NewDeployment, error),
) func(*rollout.Snapshot) (storage.NewDeployment, error) {
	return func(ended *rollout.Snapshot) (storage.NewDeployment, error) {
		if err := s.openDeployment(&ended.Deployment); err != nil {
			refusal := sealing.UnreadableError("deployment")
			refusal.ID, refusal.Err = ended.Deployment.ID, err
			return storage.NewDeployment{}, refusal
		}
		made, err := build(ended)
		if err != nil {
			return made, err
		}
		if err := ensureID(&made.Deployment); err != nil {
			return made, err
		}
		return made, s.sealDeployment(&made.Deployment)
	}
}

// redactedText returns a secret as its old column has it: nothing, or "***".
func redactedText(s secret.Secret) string { return fmt.Sprint(s) }
