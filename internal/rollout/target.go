package rollout

import (
	"slices"
	"time"

	"rollcall/internal/healthcheck"
)

// TargetState is the state of one target within a deployment.
type TargetState string

// The states of a target. TargetUnknown means that a call got no response and what it did is not known yet, or ever.
const (
	TargetPending     TargetState = "pending"
	TargetDeploying   TargetState = "deploying"
	TargetVerifying   TargetState = "verifying"
	TargetUpdated     TargetState = "updated"
	TargetFailed      TargetState = "failed"
	TargetUnknown     TargetState = "unknown"
	TargetRollingBack TargetState = "rolling_back"
	TargetRolledBack  TargetState = "rolled_back"
	TargetUnchanged   TargetState = "unchanged"
)

// Phase is what a target needs next. State is what people see of it.
type Phase string

// The phases of a target, in the order of a call's life. They are assigned in internal/strategy only.
const (
	// PhaseNew has not been asked what it runs.
	PhaseNew Phase = "new"
	// PhaseReady waits to be called, or for its next attempt.
	PhaseReady Phase = "ready"
	// PhaseCalling has a call that is written down and not yet answered.
	PhaseCalling Phase = "calling"
	// PhaseInDoubt had a call that got no response; it is probed for what it runs before anything is sent again.
	PhaseInDoubt Phase = "asking"
	// PhaseVerifying has taken the call; its checks decide.
	PhaseVerifying Phase = "verifying"
	// PhaseSettled has its outcome for the present direction.
	PhaseSettled Phase = "settled"
)

// Target is one thing that runs the service, and all that is known of it within one deployment.
type Target struct {
	ID       string
	Name     string
	Address  string
	Slot     string
	Metadata map[string]any
	// Weight is the target's weight at the router in full rotation, from 1 to 256; 0 when the request does not say.
	Weight int
	// DeployURL receives the deploy webhook.
	DeployURL string
	// Position is its place in the request's list, from 0. Wave is the number of its wave, from 1; 0
	// when no wave takes it.
	Position int
	Wave     int
	// DesiredVersion is the version that going forward means for this target.
	DesiredVersion string

	// Rules are the rules by which the target is called and judged; nil: the deployment's own.
	Rules *TargetRules

	State TargetState
	Phase Phase
	// RollingBack is true once the target is on its way back to PreviousVersion.
	RollingBack bool
	// Version is what it runs as far as known; PreviousVersion is what it ran before this deployment's first call.
	Version         string
	PreviousVersion string
	Health          healthcheck.Health
	Checks          []healthcheck.State

	// Attempts counts the calls of the present action that were written down, RetriesUsed those that used up a retry.
	// A call interrupted by the end of its sender uses none.
	Attempts    int
	RetriesUsed int
	// CallsSent counts the calls that may have reached the target in this deployment.
	CallsSent int
	Fence     int64
	// Call is the call that is written down and not yet answered; History is what those before it left behind.
	Call    *Call
	History CallHistory
	// NotBefore is the earliest time of the next call.
	NotBefore time.Time
	// PhaseAt is when the present phase began.
	PhaseAt time.Time

	Error string
	// ErrorAt is when Error happened.
	ErrorAt    time.Time
	StartedAt  time.Time
	FinishedAt time.Time
	UpdatedAt  time.Time
}

// Clone copies the target with everything that the planner changes in it.
func (t *Target) Clone() Target {
	c := *t
	c.Checks = slices.Clone(t.Checks)
	if t.Call != nil {
		call := *t.Call
		c.Call = &call
	}
	return c
}

// Touched reports whether a call of this deployment may have reached the target.
func (t *Target) Touched() bool { return t.CallsSent > 0 }

// OutOfService reports whether the target may be out of service because of this deployment: it was called and has no outcome.
func (t *Target) OutOfService() bool {
	switch t.State {
	case TargetDeploying, TargetVerifying, TargetRollingBack:
		return t.Phase != PhaseSettled
	case TargetUnknown:
		return t.Phase != PhaseSettled
	default:
		return false
	}
}

// Done reports whether the target has its outcome for the present direction.
func (t *Target) Done() bool { return t.Phase == PhaseSettled }

// ExpectedVersion returns the version that the target should run now.
func (t *Target) ExpectedVersion() string {
	if t.RollingBack {
		return t.PreviousVersion
	}
	return t.DesiredVersion
}
