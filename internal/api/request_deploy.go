package api

import (
	"encoding/json"
	"slices"
	"time"

	"rollcall/internal/duration"
	"rollcall/internal/rollout"
	"rollcall/internal/secret"
)

const (
	defaultDeployPath    = "/deploy"
	defaultDeployTimeout = 30 * time.Second
	minDeployTimeout     = 100 * time.Millisecond
	maxDeployTimeout     = time.Hour
	defaultRetries       = 2
	defaultBackoff       = time.Second
	maxBackoff           = 10 * time.Minute
	// Standard Webhooks 1.0 advises 24 to 64.
	minSecretBytes = 16
)

// deploy reads how targets are called, and the secret that signs the calls.
func (q *request) deploy() (rollout.Deploy, secret.Secret) {
	timeout := bounds{defaultDeployTimeout, minDeployTimeout, maxDeployTimeout}
	backoff := bounds{defaultBackoff, 0, maxBackoff}
	b := q.body.Deploy
	if b == nil {
		return rollout.Deploy{
			Path: defaultDeployPath, Timeout: duration.Duration(timeout.fallback),
			Retries: defaultRetries, Backoff: duration.Duration(backoff.fallback),
		}, ""
	}
	return rollout.Deploy{
		Path: or(b.Path, defaultDeployPath), Timeout: q.duration(b.Timeout, "/deploy/timeout", timeout),
		Retries: or(b.Retries, defaultRetries), Backoff: q.duration(b.Backoff, "/deploy/backoff", backoff),
	}, q.text(b.Secret)
}

// secret reads a secret; nothing and null are none.
func (q *request) text(given json.RawMessage) secret.Secret {
	var text *string
	if len(given) > 0 {
		if err := json.Unmarshal(given, &text); err != nil {
			q.add("/deploy/secret", "must be a string")
		}
	}
	if text == nil {
		return ""
	}
	keys, err := secret.SigningKeys(secret.Secret(*text))
	if err != nil || slices.ContainsFunc(keys, func(key []byte) bool { return len(key) < minSecretBytes }) {
		q.add("/deploy/secret", "must be \"whsec_\" and the base64 of at least %d bytes, or two such with a space between them", minSecretBytes)
	}
	return secret.Secret(*text)
}
