package api

import (
	"context"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"rollcall/internal/api/types"
	"rollcall/internal/duration"
	"rollcall/internal/problem"
	outbound "rollcall/internal/request"
	"rollcall/internal/rollout"
	"rollcall/internal/secret"
)

// Defaults and bounds of a request that are not a number in openapi.yaml.
const (
	defaultEnvironment     = "production"
	defaultHealthyDeadline = time.Minute
	minHealthyDeadline     = 100 * time.Millisecond
	maxHealthyDeadline     = 24 * time.Hour
	maxLabelKey            = 63
)

// request is a body of POST /deployments whose schema has been checked. parseBody reads it once, and fillFromDefinition adds
// the fields that only the definition has.
type request struct {
	findings
	body         *types.DeploymentRequest
	checkAddress func(address string) error
	// checkTrust is nil when all certificates are accepted.
	checkTrust func(*rollout.TLS) error
	// checkCommand is nil when every command may be run.
	checkCommand func(name string) error
	// masked allows "***" for secrets that are known: those of a definition that is replaced.
	masked bool

	// What was read: the deployment without its strategy, and its targets.
	deployment rollout.Deployment
	targets    []rollout.Target
}

// parseBody reads the body and collects its problems. Targets may be missing: a definition may have them.
func (q *request) parseBody(ctx context.Context) {
	b := q.body
	q.checkVersion(b.Version, "/version")
	q.deployment = rollout.Deployment{
		Service: b.Service, Environment: valueOr(b.Environment, defaultEnvironment), Version: b.Version,
		Kind: rollout.KindDeploy, RequestedBy: principalName(ctx),
	}
	q.readFields(&types.DeploymentRequest{})
}

// fillFromDefinition adds what the definition has and the body leaves out, field by field at the top level; nil adds nothing.
func (q *request) fillFromDefinition(defined *types.DefinitionRequest) error {
	if defined != nil {
		read := *q.body
		whole := withDefaults(read, defined)
		q.body = &whole
		q.readFields(&read)
	}
	if q.body.Targets == nil {
		q.add("/targets", noTargets)
	}
	if q.setDeployURLs(); q.err() == nil {
		q.checkCalls()
	}
	return q.err()
}

// readFields reads those fields of the body that were not read yet.
func (q *request) readFields(read *types.DeploymentRequest) {
	b, d := q.body, &q.deployment
	if read.Deploy == nil {
		d.Spec.Deploy, d.DeploySecret = q.readDeploy()
	}
	if read.Labels == nil {
		d.Labels = q.readLabels()
	}
	if read.HealthChecks == nil {
		d.Spec.Checks = q.readChecks()
	}
	if read.HealthyDeadline == nil {
		d.Spec.HealthyDeadline = q.parseDuration(b.HealthyDeadline, "/healthy_deadline",
			bounds{defaultHealthyDeadline, minHealthyDeadline, maxHealthyDeadline})
	}
	if read.Traffic == nil {
		d.Spec.Traffic = q.readTraffic()
	}
	if read.TLS == nil {
		d.Spec.TLS = q.readTLS(b.TLS)
	}
	if read.Targets == nil {
		q.targets = q.readTargets()
	}
	d.Spec.Force = valueOr(b.Force, false)
	d.Spec.OnConflict = rollout.OnConflict(valueOr(b.OnConflict, types.OnConflict(rollout.OnConflictQueue)))
}

func (q *request) readLabels() map[string]string {
	labels := valueOr(q.body.Labels, types.Labels{})
	for _, key := range slices.Sorted(maps.Keys(labels)) {
		length := utf8.RuneCountInString(key)
		if length < 1 || length > maxLabelKey || strings.ContainsFunc(key, unicode.IsControl) {
			q.add("/labels/"+problem.EscapePointer(key), "a label key must have 1 to %d characters, without control characters",
				maxLabelKey)
		}
	}
	if given, there := labels[rollout.LabelCommitTime]; there {
		if _, err := time.Parse(time.RFC3339, given); err != nil {
			q.add("/labels/"+rollout.LabelCommitTime, "must be the commit time, such as 2026-01-31T09:30:00Z")
		}
	}
	return labels
}

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

// readDeploy reads how targets are called, and the secret that signs the calls.
func (q *request) readDeploy() (rollout.Deploy, secret.Secret) {
	timeout := bounds{defaultDeployTimeout, minDeployTimeout, maxDeployTimeout}
	backoff := bounds{defaultBackoff, 0, maxBackoff}
	b := q.body.Deploy
	if b == nil {
		return rollout.Deploy{
			Path: defaultDeployPath, Timeout: duration.Duration(timeout.fallback),
			Retries: defaultRetries, Backoff: duration.Duration(backoff.fallback),
		}, ""
	}
	d := rollout.Deploy{
		Path: valueOr(b.Path, defaultDeployPath), Timeout: q.parseDuration(b.Timeout, "/deploy/timeout", timeout),
		Retries: valueOr(b.Retries, defaultRetries), Backoff: q.parseDuration(b.Backoff, "/deploy/backoff", backoff),
	}
	q.readCall(b, &d)
	if d.Request == nil {
		q.checkTemplate("{target.address}"+d.Path, "/deploy/path")
	}
	return d, q.readDeploySecret(b.Secret, d.Request)
}

// readDeploySecret reads the signing secret; a missing one and null are none.
func (q *request) readDeploySecret(given json.RawMessage, call *outbound.Request) secret.Secret {
	var text *string
	if len(given) > 0 {
		if err := json.Unmarshal(given, &text); err != nil {
			q.add("/deploy/secret", "must be a string")
		}
	}
	if text == nil {
		return ""
	}
	if call != nil && call.SignType() == outbound.SignHMAC {
		return secret.Secret(*text) // checkSigning judges it
	}
	keys, err := secret.SigningKeys(secret.Secret(*text))
	if err != nil || slices.ContainsFunc(keys, func(key []byte) bool { return len(key) < minSecretBytes }) {
		q.add("/deploy/secret", "must be \"whsec_\" and the base64 of at least %d bytes, or two of them separated by a space", minSecretBytes)
	}
	return secret.Secret(*text)
}

// maskedSecret replaces a secret in responses.
const maskedSecret = "***"

// readTLS reads the certificates of calls; nil when none are given.
func (q *request) readTLS(g *types.TLSRequest) *rollout.TLS {
	if g == nil || *g == (types.TLSRequest{}) {
		return nil
	}
	t := &rollout.TLS{CA: valueOr(g.CA, ""), ClientCert: valueOr(g.ClientCert, ""), ClientKey: valueOr(g.ClientKey, "")}
	kept := q.secretGiven(t.ClientKey, "/tls/client_key")
	switch {
	case t.ClientCert == "" && t.ClientKey != "":
		q.add("/tls/client_cert", "is required with client_key")
	case t.ClientCert != "" && t.ClientKey == "":
		q.add("/tls/client_key", "is required with client_cert")
	case q.checkTrust != nil && !kept:
		if err := q.checkTrust(t); err != nil {
			q.add("/tls", "%v", err)
		}
	}
	return t
}

// secretGiven reports whether the secret is masked as "***", and reports a problem when no secret is stored.
func (q *request) secretGiven(s secret.Secret, pointer string) bool {
	if !s.Redacted() {
		return false
	}
	if !q.masked {
		q.add(pointer, "%q is not valid here: there is no stored secret; supply the value", maskedSecret)
	}
	return true
}
