package rollout

import (
	"maps"
	"slices"
)

// Secrets are what a request may say and nobody may read back. Wherever else they stand, "***" stands for them.
type Secrets struct {
	// Deploy signs the webhook calls.
	Deploy Secret
	// Headers are those of each check, in order; nil for a check without any.
	Headers []map[string]Secret
	// ClientKey is that of TLS.
	ClientKey Secret
	// Rules are those of Spec.Rules, in order.
	Rules []Secrets
}

// Empty reports whether there is nothing to keep.
func (s *Secrets) Empty() bool {
	return s.Deploy == "" && s.ClientKey == "" && !slices.ContainsFunc(s.Rules, func(r Secrets) bool { return !r.Empty() }) &&
		!slices.ContainsFunc(s.Headers, func(h map[string]Secret) bool { return len(h) > 0 })
}

// Secrets are those of the deployment.
func (d *Deployment) Secrets() Secrets {
	s := secretsOf(d.DeploySecret, d.Spec.Checks, d.Spec.TLS)
	for i := range d.Spec.Rules {
		r := &d.Spec.Rules[i]
		s.Rules = append(s.Rules, secretsOf(r.DeploySecret, r.Checks, r.TLS))
	}
	return s
}

func secretsOf(deploy Secret, checks []Check, tls *TLS) Secrets {
	s := Secrets{Deploy: deploy, Headers: make([]map[string]Secret, len(checks))}
	for i := range checks {
		s.Headers[i] = checks[i].Headers
	}
	if tls != nil {
		s.ClientKey = tls.ClientKey
	}
	return s
}

// Reveal puts secrets where "***" stands for them; what does not stand there is left as it is.
func (d *Deployment) Reveal(s Secrets) {
	d.DeploySecret = d.DeploySecret.or(s.Deploy)
	d.Spec.Checks, d.Spec.TLS = revealed(d.Spec.Checks, d.Spec.TLS, &s)
	d.Spec.Rules = slices.Clone(d.Spec.Rules)
	for i := range d.Spec.Rules {
		if i < len(s.Rules) {
			r := &d.Spec.Rules[i]
			r.DeploySecret = r.DeploySecret.or(s.Rules[i].Deploy)
			r.Checks, r.TLS = revealed(r.Checks, r.TLS, &s.Rules[i])
		}
	}
}

// revealed are copies of checks and trust with their secrets in place.
func revealed(checks []Check, trust *TLS, s *Secrets) ([]Check, *TLS) {
	checks = slices.Clone(checks)
	for i := range checks {
		if i < len(s.Headers) {
			checks[i].Headers = RevealHeaders(checks[i].Headers, s.Headers[i])
		}
	}
	if trust != nil {
		copied := *trust
		copied.ClientKey = copied.ClientKey.or(s.ClientKey)
		trust = &copied
	}
	return checks, trust
}

// RevealHeaders are the headers with each "***" that is known among the secrets in its place.
func RevealHeaders(headers, secrets map[string]Secret) map[string]Secret {
	revealed := maps.Clone(headers)
	for name, value := range revealed {
		revealed[name] = value.or(secrets[name])
	}
	return revealed
}

// Masked reports whether "***" stands for the secret.
func (s Secret) Masked() bool { return s == hidden }

// or is known where "***" stands and it is, else s.
func (s Secret) or(known Secret) Secret {
	if s.Masked() && known != "" {
		return known
	}
	return s
}
