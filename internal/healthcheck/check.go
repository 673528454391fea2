// Package healthcheck has the checks of targets, their results, and how these add up.
package healthcheck

import (
	"slices"
	"time"

	"rollcall/internal/duration"
	"rollcall/internal/secret"
)

// Health is the status of one check, or of one target over all its checks.
type Health string

// The statuses. Degraded passes, and is reported.
const (
	Unknown   Health = "unknown"
	Healthy   Health = "healthy"
	Degraded  Health = "degraded"
	Unhealthy Health = "unhealthy"
)

// Passing reports whether a target with this status may serve.
func (h Health) Passing() bool { return h == Healthy || h == Degraded }

// Check describes one health probe of a target. Which fields count depends on Type; the others are zero.
type Check struct {
	Name     string `json:"name"`
	Type     string `json:"type"`
	Critical bool   `json:"critical"`
	// Interval is the time from the end of one probe to the start of the next; Timeout bounds one probe.
	Interval duration.Duration `json:"interval"`
	Timeout  duration.Duration `json:"timeout"`
	// So many results in a row turn the check healthy, or unhealthy.
	HealthyThreshold   int `json:"healthy_threshold"`
	UnhealthyThreshold int `json:"unhealthy_threshold"`
	// InitialDelay is how long after a deploy call the first probe waits.
	InitialDelay duration.Duration `json:"initial_delay"`

	// http, metric: URL, or Path appended to the target's address.
	Method string `json:"method,omitempty"`
	Path   string `json:"path,omitempty"`
	URL    string `json:"url,omitempty"`
	// Headers hold credentials as often as not, so each value is a secret.
	Headers map[string]secret.Secret `json:"headers,omitempty"`
	// ExpectedStatus lists codes ("204") and ranges ("200-299").
	ExpectedStatus []string `json:"expected_status,omitempty"`
	// ExpectedBody is a substring of an http answer, or of a command's output.
	ExpectedBody string `json:"expected_body,omitempty"`
	// WarnStatus lists codes and ranges that mean degraded; they need not be in ExpectedStatus.
	WarnStatus []string `json:"warn_status,omitempty"`
	// StatusPointer is a JSON pointer (RFC 6901) to the status that an http answer gives in words; without one, and with
	// any of the lists, the whole answer is that word. The lists are compared without regard to case; a word that is in
	// none of them leaves the health unknown.
	StatusPointer string   `json:"status_pointer,omitempty"`
	PassValues    []string `json:"pass_values,omitempty"`
	WarnValues    []string `json:"warn_values,omitempty"`
	FailValues    []string `json:"fail_values,omitempty"`
	// VersionPointer is a JSON pointer (RFC 6901) to the running version in the answer.
	VersionPointer string `json:"version_pointer,omitempty"`
	// Port of tcp and grpc; 0 means the address's own.
	Port int `json:"port,omitempty"`
	// Service is the name asked for in grpc.health.v1; empty asks for the server as a whole.
	Service string `json:"service,omitempty"`
	TLS     bool   `json:"tls,omitempty"`
	// Pointer (JSON), Metric (a page of Prometheus text) or Query (PromQL, asked of Prometheus' HTTP API) finds the number
	// of a metric check.
	Pointer   string   `json:"pointer,omitempty"`
	Metric    string   `json:"metric,omitempty"`
	Query     string   `json:"query,omitempty"`
	WarnAbove *float64 `json:"warn_above,omitempty"`
	FailAbove *float64 `json:"fail_above,omitempty"`
	WarnBelow *float64 `json:"warn_below,omitempty"`
	FailBelow *float64 `json:"fail_below,omitempty"`
	// Command is the name under which the operator allowed a program; Args are its arguments.
	Command string   `json:"command,omitempty"`
	Args    []string `json:"args,omitempty"`
}

// TypeNone is the check type that probes nothing: the deploy webhook's answer is enough.
const TypeNone = "none"

// ProbeResult is what one probe found.
type ProbeResult struct {
	Status Health
	// Version is what the target reports that it runs; empty when it does not.
	Version string
	// Message says in one line what was seen, fit for people.
	Message string
	Latency time.Duration
}

// State is what a deployment knows of one check of one target.
type State struct {
	// Status changes only after a threshold; LastStatus is the newest result, counted Streak times in a row.
	Status     Health    `json:"status"`
	LastStatus Health    `json:"last"`
	Streak     int       `json:"streak"`
	Message    string    `json:"message"`
	NextAt     time.Time `json:"next_at"`
	// UnknownSince is when the results began to be unknown; zero when the newest one is not.
	UnknownSince time.Time `json:"unknown_since,omitzero"`
	// Probing is true while a probe is out; it is not stored.
	Probing bool `json:"-"`
}

// Unchecked reports whether a target is not checked: there is no check, or none that probes.
func Unchecked(checks []Check) bool {
	return !slices.ContainsFunc(checks, func(c Check) bool { return c.Type != TypeNone })
}

// AggregateHealth returns up checks: a critical one that does not pass makes the target unhealthy, anything else that is not
// healthy makes it degraded. Checks that ask nothing do not count; where no other is left, the health is unknown.
func AggregateHealth(checks []Check, states []State) Health {
	if Unchecked(checks) {
		return Unknown
	}
	sum := Healthy
	for i := range checks {
		switch {
		case checks[i].Type == TypeNone:
		case checks[i].Critical && !states[i].Status.Passing():
			return Unhealthy
		case states[i].Status != Healthy:
			sum = Degraded
		}
	}
	return sum
}
