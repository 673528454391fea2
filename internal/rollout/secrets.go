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
}

// Empty reports whether there is nothing to keep.
func (s *Secrets) Empty() bool {
	return s.Deploy == "" && s.ClientKey == "" &&
		!slices.ContainsFunc(s.Headers, func(h map[string]Secret) bool { return len(h) > 0 })
}

// Secrets are those of the deployment.
func (d *Deployment) Secrets() Secrets {
	s := Secrets{Deploy: d.DeploySecret, Headers: make([]map[string]Secret, len(d.Spec.Checks))}
	for i := range d.Spec.Checks {
		s.Headers[i] = d.Spec.Checks[i].Headers
	}
	if d.Spec.TLS != nil {
		s.ClientKey = d.Spec.TLS.ClientKey
	}
	return s
}

// Reveal puts secrets where "***" stands for them; what does not stand there is left as it is.
func (d *Deployment) Reveal(s Secrets) {
	d.DeploySecret = d.DeploySecret.or(s.Deploy)
	d.Spec.Checks = slices.Clone(d.Spec.Checks)
	for i := range d.Spec.Checks {
		if i < len(s.Headers) {
			d.Spec.Checks[i].Headers = RevealHeaders(d.Spec.Checks[i].Headers, s.Headers[i])
		}
	}
	if d.Spec.TLS != nil {
		tls := *d.Spec.TLS
		tls.ClientKey = tls.ClientKey.or(s.ClientKey)
		d.Spec.TLS = &tls
	}
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
