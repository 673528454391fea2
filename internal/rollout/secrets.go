package rollout

import (
	"maps"
	"slices"

	"rollcall/internal/healthcheck"
	"rollcall/internal/request"
	"rollcall/internal/secret"
)

// Secrets are the parts of a request that cannot be read back. Everywhere else "***" stands for them.
type Secrets struct {
	// Deploy signs the webhook calls.
	Deploy secret.Secret
	// Headers are those of each check, in order; nil for a check without any.
	Headers []map[string]secret.Secret
	// ClientKey is that of TLS.
	ClientKey secret.Secret
	// Request are the headers of the call of a target.
	Request map[string]secret.Secret
	// Rules are those of Spec.Rules, in order.
	Rules []Secrets
}

// Empty reports whether there is no secret.
func (s *Secrets) Empty() bool {
	return s.Deploy == "" && s.ClientKey == "" && len(s.Request) == 0 && !slices.ContainsFunc(s.Rules, func(r Secrets) bool { return !r.Empty() }) &&
		!slices.ContainsFunc(s.Headers, func(h map[string]secret.Secret) bool { return len(h) > 0 })
}

// Secrets returns those of the deployment.
func (d *Deployment) Secrets() Secrets {
	s := secretsOf(d.DeploySecret, &d.Spec.Deploy, d.Spec.Checks, d.Spec.TLS)
	for i := range d.Spec.Rules {
		r := &d.Spec.Rules[i]
		s.Rules = append(s.Rules, secretsOf(r.DeploySecret, &r.Deploy, r.Checks, r.TLS))
	}
	return s
}

func secretsOf(signing secret.Secret, deploy *Deploy, checks []healthcheck.Check, tls *TLS) Secrets {
	s := Secrets{Deploy: signing, Headers: make([]map[string]secret.Secret, len(checks))}
	for i := range checks {
		s.Headers[i] = checks[i].Headers
	}
	if tls != nil {
		s.ClientKey = tls.ClientKey
	}
	if deploy.Request != nil {
		s.Request = deploy.Request.Headers
	}
	return s
}

// RestoreSecrets puts secrets where "***" stands for them; values that are not redacted stay.
func (d *Deployment) RestoreSecrets(s Secrets) {
	d.DeploySecret = d.DeploySecret.Or(s.Deploy)
	d.Spec.Checks, d.Spec.TLS = restoreSecrets(d.Spec.Checks, d.Spec.TLS, &s)
	d.Spec.Deploy.Request = restoreRequest(d.Spec.Deploy.Request, &s)
	d.Spec.Rules = slices.Clone(d.Spec.Rules)
	for i := range d.Spec.Rules {
		if i < len(s.Rules) {
			r := &d.Spec.Rules[i]
			r.DeploySecret = r.DeploySecret.Or(s.Rules[i].Deploy)
			r.Checks, r.TLS = restoreSecrets(r.Checks, r.TLS, &s.Rules[i])
			r.Deploy.Request = restoreRequest(r.Deploy.Request, &s.Rules[i])
		}
	}
}

// restoreSecrets returns copies of checks and trust with their secrets in place.
func restoreSecrets(checks []healthcheck.Check, trust *TLS, s *Secrets) ([]healthcheck.Check, *TLS) {
	checks = slices.Clone(checks)
	for i := range checks {
		if i < len(s.Headers) {
			checks[i].Headers = RestoreHeaders(checks[i].Headers, s.Headers[i])
		}
	}
	if trust != nil {
		copied := *trust
		copied.ClientKey = copied.ClientKey.Or(s.ClientKey)
		trust = &copied
	}
	return checks, trust
}

func restoreRequest(r *request.Request, s *Secrets) *request.Request {
	if r == nil || len(r.Headers) == 0 {
		return r
	}
	copied := *r
	copied.Headers = RestoreHeaders(r.Headers, s.Request)
	return &copied
}

// RestoreHeaders returns the headers with each "***" that is known among the secrets in its place.
func RestoreHeaders(headers, secrets map[string]secret.Secret) map[string]secret.Secret {
	restored := maps.Clone(headers)
	for name, value := range restored {
		restored[name] = value.Or(secrets[name])
	}
	return restored
}
