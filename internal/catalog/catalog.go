// Package catalog has what is registered and counted: definitions, services and their deployments in numbers.
package catalog

import (
	"encoding/json"
	"time"

	"rollcall/internal/healthcheck"
	"rollcall/internal/rollout"
	"rollcall/internal/secret"
)

// Definition is what a service is in one environment, as it was registered.
type Definition struct {
	Service     string
	Environment string
	// Body is the request that deployments start from, as a JSON object, without its secret.
	Body json.RawMessage
	// DeploySecret signs the webhook calls; empty means the server's own key. It is never part of Body, so that no
	// answer can show it.
	DeploySecret secret.Secret
	// Headers are those of the checks in Body, in order, where they stand as "***"; ClientKey is that of its TLS.
	Headers   []map[string]secret.Secret
	ClientKey secret.Secret
	// RequestHeaders are those of the call of a target, where they stand as "***" in Body.
	RequestHeaders map[string]secret.Secret
	// Sealed holds the secrets as the store keeps them.
	Sealed    []byte
	Protected bool
	// Revision grows with every change, also over a time in which there was no definition. The store sets it and the
	// times.
	Revision  int64
	CreatedAt time.Time
	UpdatedAt time.Time
}

// Service is a (service, environment) that has a definition or had a deployment.
type Service struct {
	Service     string
	Environment string
	Defined     bool
	// Last is the newest deployment; nil when there was none.
	Last *rollout.Deployment
}

// RunningTarget is what a status shows of a target.
type RunningTarget struct {
	Target string
	// Version is empty when it is not known.
	Version string
	Health  healthcheck.Health
}

// ServiceCounts counts the deployments of a service, over all environments.
type ServiceCounts struct {
	Service string
	Total   int
	// ByState leaves out the states that no deployment is in.
	ByState map[rollout.State]int
}

// DurationStats sums up deployments that began and have ended.
type DurationStats struct {
	Count     int
	Succeeded int
	// P50 and P95 are the durations that half and 95 % of them did not exceed; zero when Count is.
	P50, P95 time.Duration
}

// VersionCount is how many targets of a service in an environment run one version with the same health.
type VersionCount struct {
	Service     string
	Environment string
	// Version is empty when it is not known.
	Version string
	Health  healthcheck.Health
	Targets int
}

// StateCount counts deployments that share a state and a strategy.
type StateCount struct {
	State    rollout.State
	Strategy string
	Count    int
}
