package api

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"

	"rollcall/internal/api/types"
	"rollcall/internal/catalog"
	"rollcall/internal/problem"
	outbound "rollcall/internal/request"
	"rollcall/internal/rollout"
	"rollcall/internal/secret"
)

// requestDestinations returns the servers that a request addresses: scheme, host and port, so that equal ones are equal
// strings.
func requestDestinations(d *rollout.Deployment, targets []rollout.Target) map[string]bool {
	found := map[string]bool{}
	add := func(raw string) {
		if u, detail := parseURL(raw); detail == "" {
			found[rollout.CanonicalAddress((&url.URL{Scheme: u.Scheme, Host: u.Host}).String())] = true
		}
	}
	for i := range targets {
		add(targets[i].Address)
		add(targets[i].DeployURL)
	}
	for i := range d.Spec.Checks {
		add(d.Spec.Checks[i].URL)
	}
	if d.Spec.Deploy.Request != nil {
		add(outbound.Base(d.Spec.Deploy.Request.URL))
	}
	if d.Spec.Traffic != nil {
		add(d.Spec.Traffic.URL)
	}
	return found
}

// hasNewDestination reports whether a request addresses a server that the one before did not: stored secrets are not sent
// there.
func hasNewDestination(from, to map[string]bool) bool {
	for server := range to {
		if !from[server] {
			return true
		}
	}
	return false
}

// destinationsOf returns the destinations of a stored definition.
func destinationsOf(d *types.DefinitionRequest) map[string]bool {
	body := withDefaults(types.DeploymentRequest{}, d)
	q := request{body: &body, checkAddress: func(string) error { return nil }, masked: true}
	q.parseBody(context.Background())
	q.setDeployURLs()
	return requestDestinations(&q.deployment, q.targets)
}

// carryOver copies to next the secrets that the request does not give: the signing secret, and those masked as "***".
func carryOver(next *catalog.Definition, asked *types.DefinitionRequest, present *catalog.Definition) error {
	var known types.DefinitionRequest
	if present != nil {
		var err error
		if known, err = definedRequest(present); err != nil {
			return err
		}
	}
	fresh := present == nil || hasNewDestination(destinationsOf(&known), destinationsOf(asked))
	if present != nil && !fresh {
		next.DeploySecret = mergeSecret(asked.Deploy, next.DeploySecret, present.DeploySecret)
	}
	f := findings{}
	next.Headers = f.inheritHeaders(asked, &known, fresh)
	next.RequestHeaders = f.inheritRequestHeaders(asked, &known, fresh)
	next.ClientKey = f.inheritKey(asked, &known, fresh)
	if err := f.err(); err != nil {
		return err
	}
	deploy, _ := (&request{body: &types.DeploymentRequest{Deploy: asked.Deploy}, masked: true}).readDeploy()
	return checkSigning(&deploy, next.DeploySecret)
}

// requestHeaders returns the headers of the call of a target.
func requestHeaders(d *types.DefinitionRequest) map[string]secret.Secret {
	if d.Deploy == nil || d.Deploy.Request == nil {
		return nil
	}
	return valueOr(d.Deploy.Request.Headers, nil)
}

func (f *findings) inheritRequestHeaders(asked, known *types.DefinitionRequest, fresh bool) map[string]secret.Secret {
	own := requestHeaders(asked)
	if !fresh {
		own = rollout.RestoreHeaders(own, requestHeaders(known))
	}
	for header, value := range own {
		if value.Redacted() {
			f.add(requestPointer+"/headers/"+problem.EscapePointer(header), "%q %s", maskedSecret, noStoredSecret)
		}
	}
	return own
}

// noStoredSecret is the detail of "***" where no secret is stored.
const noStoredSecret = "is not valid here: there is no stored secret for this address; supply the value"

func (f *findings) inheritHeaders(asked, known *types.DefinitionRequest, fresh bool) []map[string]secret.Secret {
	names := (&request{}).checkNames
	before := map[string]map[string]secret.Secret{}
	given := valueOr(known.HealthChecks, nil)
	for i, name := range names(given) {
		before[name] = valueOr(given[i].Headers, nil)
	}
	checks := valueOr(asked.HealthChecks, nil)
	headers := make([]map[string]secret.Secret, len(checks))
	for i, name := range names(checks) {
		own := valueOr(checks[i].Headers, nil)
		if !fresh {
			own = rollout.RestoreHeaders(own, before[name])
		}
		for header, value := range own {
			if value.Redacted() {
				f.add(fmt.Sprintf("/health_checks/%d/headers/%s", i, problem.EscapePointer(header)), "%q %s", maskedSecret, noStoredSecret)
			}
		}
		headers[i] = own
	}
	return headers
}

func (f *findings) inheritKey(asked, known *types.DefinitionRequest, fresh bool) secret.Secret {
	if asked.TLS == nil {
		return ""
	}
	key := valueOr(asked.TLS.ClientKey, "")
	if !key.Redacted() {
		return key
	}
	if !fresh && known.TLS != nil && valueOr(known.TLS.ClientCert, "") == valueOr(asked.TLS.ClientCert, "") {
		return valueOr(known.TLS.ClientKey, "")
	}
	f.add("/tls/client_key", "%q %s", maskedSecret, noStoredSecret)
	return ""
}

// definedRequest returns the request that was registered, with all its secrets but the one that signs.
func definedRequest(d *catalog.Definition) (types.DefinitionRequest, error) {
	var request types.DefinitionRequest
	if err := json.Unmarshal(d.Body, &request); err != nil {
		return request, fmt.Errorf("decode the stored definition of %s in %s: %w", d.Service, d.Environment, err)
	}
	checks := valueOr(request.HealthChecks, nil)
	for i := range checks {
		if checks[i].Headers != nil && i < len(d.Headers) {
			revealed := rollout.RestoreHeaders(*checks[i].Headers, d.Headers[i])
			checks[i].Headers = &revealed
		}
	}
	if headers := requestHeaders(&request); headers != nil {
		revealed := rollout.RestoreHeaders(headers, d.RequestHeaders)
		request.Deploy.Request.Headers = &revealed
	}
	if request.TLS != nil && request.TLS.ClientKey != nil && request.TLS.ClientKey.Redacted() && d.ClientKey != "" {
		request.TLS.ClientKey = &d.ClientKey
	}
	return request, nil
}

// mergeSecret returns the secret of a definition after a request that may leave it out (kept), or be null (removed).
func mergeSecret(deploy *types.DeployRequest, asked, present secret.Secret) secret.Secret {
	if deploy == nil || len(deploy.Secret) == 0 {
		return present
	}
	return asked
}

// finishWithDefinition fills the body from a stored definition, with its secrets and its protection; nil means none.
func (q *request) finishWithDefinition(defined *definition) error {
	if defined == nil {
		if err := q.fillFromDefinition(nil); err != nil {
			return err
		}
		return checkSigning(&q.deployment.Spec.Deploy, q.deployment.DeploySecret)
	}
	if err := q.fillFromDefinition(&defined.request); err != nil {
		return err
	}
	q.deployment.Spec.Protected = defined.protected
	if err := q.applyDefinitionSecrets(defined); err != nil {
		return err
	}
	return checkSigning(&q.deployment.Spec.Deploy, q.deployment.DeploySecret)
}

// applyDefinitionSecrets copies into a deployment the secrets of the definition that it takes the rest from, unless it goes
// where the definition does not: signatures and credentials are for the definition's addresses alone.
func (q *request) applyDefinitionSecrets(defined *definition) error {
	body, d := q.body, &q.deployment
	if !hasNewDestination(destinationsOf(&defined.request), requestDestinations(d, q.targets)) {
		d.DeploySecret = mergeSecret(body.Deploy, d.DeploySecret, defined.secret)
		return nil
	}
	f := findings{}
	if body.HealthChecks == defined.request.HealthChecks {
		for i := range d.Spec.Checks {
			if len(d.Spec.Checks[i].Headers) > 0 {
				f.add(fmt.Sprintf("/health_checks/%d/headers", i), "are secret and are not sent to addresses outside the definition; supply them in the request")
			}
		}
	}
	if body.Deploy == defined.request.Deploy && len(requestHeaders(&defined.request)) > 0 {
		f.add(requestPointer+"/headers", "are secret and are not sent to addresses outside the definition; supply them in the request")
	}
	if body.TLS != nil && body.TLS == defined.request.TLS && body.TLS.ClientKey != nil {
		f.add("/tls/client_key", "is secret and is not used for addresses outside the definition; supply it in the request")
	}
	return f.err()
}
