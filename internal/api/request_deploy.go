package api

import (
	"encoding/base64"
	"encoding/json"
	"strings"
	"time"

	"rollcall/internal/rollout"
)

const (
	defaultDeployPath    = "/deploy"
	defaultDeployTimeout = 30 * time.Second
	minDeployTimeout     = 100 * time.Millisecond
	maxDeployTimeout     = time.Hour
	defaultRetries       = 2
	defaultBackoff       = time.Second
	maxBackoff           = 10 * time.Minute
	// Standard Webhooks 1.0, "Signature scheme": secrets are base64 with this prefix.
	secretPrefix   = "whsec_"
	minSecretBytes = 16
)

// deploy reads how targets are called, and the secret that signs the calls.
func (q *request) deploy() (rollout.Deploy, rollout.Secret) {
	timeout := bounds{defaultDeployTimeout, minDeployTimeout, maxDeployTimeout}
	backoff := bounds{defaultBackoff, 0, maxBackoff}
	b := q.body.Deploy
	if b == nil {
		return rollout.Deploy{
			Path: defaultDeployPath, Timeout: rollout.Duration(timeout.fallback),
			Retries: defaultRetries, Backoff: rollout.Duration(backoff.fallback),
		}, ""
	}
	return rollout.Deploy{
		Path: or(b.Path, defaultDeployPath), Timeout: q.duration(b.Timeout, "/deploy/timeout", timeout),
		Retries: or(b.Retries, defaultRetries), Backoff: q.duration(b.Backoff, "/deploy/backoff", backoff),
	}, q.secret(b.Secret)
}

// secret reads a secret; nothing and null are none.
func (q *request) secret(given json.RawMessage) rollout.Secret {
	var secret *string
	if len(given) > 0 {
		if err := json.Unmarshal(given, &secret); err != nil {
			q.add("/deploy/secret", "must be a string")
		}
	}
	if secret == nil {
		return ""
	}
	encoded, prefixed := strings.CutPrefix(*secret, secretPrefix)
	key, err := base64.StdEncoding.Strict().DecodeString(encoded)
	if !prefixed || err != nil || len(key) < minSecretBytes || strings.ContainsAny(encoded, "\r\n") {
		q.add("/deploy/secret", "must be %q and the base64 of at least %d bytes", secretPrefix, minSecretBytes)
	}
	return rollout.Secret(*secret)
}
