package rollout

import (
	"maps"
	"slices"
	"time"

	"rollcall/internal/routing"
	"rollcall/internal/secret"
)

// State is the state of a deployment.
type State string

// The states of a deployment. Completed, Failed, RolledBack, Aborted and Superseded are terminal, and terminal is final.
const (
	StatePending     State = "pending"
	StateInProgress  State = "in_progress"
	StatePaused      State = "paused"
	StateRollingBack State = "rolling_back"
	StateCompleted   State = "completed"
	StateFailed      State = "failed"
	StateRolledBack  State = "rolled_back"
	StateAborted     State = "aborted"
	StateSuperseded  State = "superseded"
)

// States lists all states in the order of a deployment's life.
func States() []State {
	return []State{
		StatePending, StateInProgress, StatePaused, StateRollingBack,
		StateCompleted, StateFailed, StateRolledBack, StateAborted, StateSuperseded,
	}
}

// Terminal reports whether nothing can change any more.
func (s State) Terminal() bool {
	switch s {
	case StateCompleted, StateFailed, StateRolledBack, StateAborted, StateSuperseded:
		return true
	default:
		return false
	}
}

var successors = map[State][]State{
	StatePending:     {StateInProgress, StatePaused, StateAborted, StateSuperseded},
	StateInProgress:  {StatePaused, StateRollingBack, StateCompleted, StateFailed, StateRolledBack, StateAborted},
	StatePaused:      {StatePending, StateInProgress, StateRollingBack, StateCompleted, StateFailed, StateAborted, StateSuperseded},
	StateRollingBack: {StatePaused, StateRolledBack, StateFailed, StateAborted},
}

// EventType returns the type of the event with which a deployment begins or ends, empty for the states in between.
func (s State) EventType() string {
	return map[State]string{
		StateInProgress: EventStarted, StateCompleted: EventCompleted, StateFailed: EventFailed, StateRolledBack: EventRolledBack,
		StateAborted: EventAborted, StateSuperseded: EventSuperseded,
	}[s]
}

// CanBecome reports whether the step from s to next is legal. Staying is always legal.
func (s State) CanBecome(next State) bool {
	return s == next || slices.Contains(successors[s], next)
}

// Kind is the reason why a deployment exists.
type Kind string

// A KindDeploy brings targets to a new version; a KindRollback gives the targets of a finished deployment their own
// previous versions back.
const (
	KindDeploy   Kind = "deploy"
	KindRollback Kind = "rollback"
)

// Direction says whether a deployment brings targets to its version or takes them back.
type Direction string

// A deployment starts Forward and becomes Backward at most once.
const (
	Forward  Direction = "forward"
	Backward Direction = "backward"
)

// Stop says why a deployment starts no more forward calls by itself. The empty Stop means that it continues.
type Stop string

// The reasons to stop. StopPaused waits for resume; StopHalted ends as soon as nothing is in flight.
const (
	StopNone   Stop = ""
	StopPaused Stop = "paused"
	StopHalted Stop = "halted"
)

// OperatorIntent are the commands that are in force for a deployment. The API writes it, the planner only reads it.
type OperatorIntent struct {
	Pause    bool `json:"pause"`
	Abort    bool `json:"abort"`
	Rollback bool `json:"rollback"`
	// Resumes counts the resumes asked for; the planner forgives failures when it sees a higher number than before.
	Resumes int `json:"resumes"`
	// Promoted is the highest wave whose gate was opened; 0 opens none.
	Promoted int `json:"promoted"`
	// ApprovedBy let a protected deployment begin; empty until then.
	ApprovedBy string `json:"approved_by,omitempty"`
	// SkipGates skips all gates and bakes from now on.
	SkipGates bool `json:"full"`
	// Actor requested the abort for that Reason; both are for the event that ends the deployment.
	Actor  string `json:"actor"`
	Reason string `json:"why"`
}

// Intent returns the operator's intent in one word: "", "pause", "abort" or "rollback". A pause together with a rollback
// came after it, for a rollback ends a pause.
func (o OperatorIntent) Intent() string {
	switch {
	case o.Abort:
		return "abort"
	case o.Pause:
		return "pause"
	case o.Rollback:
		return "rollback"
	default:
		return ""
	}
}

// Deployment is one attempt to bring the targets of a (service, environment) to a version. Its record never changes
// after it ends.
type Deployment struct {
	ID          string
	Service     string
	Environment string
	// Version is empty only for a rollback whose targets go back to different versions.
	Version string
	Kind    Kind
	// RollbackOf is the deployment that a KindRollback undoes, else empty.
	RollbackOf  string
	RequestedBy string
	Labels      map[string]string
	Spec        Spec
	// DeploySecret signs the webhook calls; empty means the server's own key. It is never part of Spec, so that no
	// answer, event or log can show it.
	DeploySecret secret.Secret
	// Sealed holds the secrets as the store keeps them: DeploySecret, and those in Spec. What is read for people to see has
	// "***" in their places.
	Sealed []byte

	Status
	Operator  OperatorIntent
	Counts    Counts
	CreatedAt time.Time

	// Revision grows with every change that the API shows.
	Revision int64
	// OperatorRevision grows with every command; a save planned on an older one is refused.
	OperatorRevision int64
	// Owner is the replica that works on it now, empty for none. Epoch grows each time it changes hands.
	Owner string
	Epoch int64
	// Saves counts the engine's saves, so that a save repeated after a lost response is recognised.
	Saves int64
	// LastSeq is the number of the newest event.
	LastSeq int64
	// EventsHash is the hash of the newest event that has one.
	EventsHash Hash
}

// Active reports whether the deployment has begun and not ended: there is at most one such per (service, environment).
func (d *Deployment) Active() bool { return !d.StartedAt.IsZero() && d.FinishedAt.IsZero() }

// NeedsApproval reports whether the deployment must not begin before it is approved.
func (d *Deployment) NeedsApproval() bool {
	return d.Spec.Protected && d.Operator.ApprovedBy == "" && d.StartedAt.IsZero()
}

// Progress is the planner's memory of where in its waves a deployment is.
type Progress struct {
	// Wave is the number of the current wave, from 1; 0 before the start.
	Wave int `json:"wave"`
	// WaveStartedAt and WaveSettledAt bound the current wave: begun, and every target verified or given up.
	WaveStartedAt time.Time `json:"wave_started_at"`
	WaveSettledAt time.Time `json:"wave_settled_at"`
	// LastProgressAt is when progress was last made: the progress deadline counts from here.
	LastProgressAt time.Time `json:"at"`
	// PausedAt is since when the deployment is paused for a person; the deadline is suspended with it.
	PausedAt time.Time `json:"held_at"`
	// WaitedUntil is until when the work of earlier deployments is waited for at targets of the waves that have begun, or was;
	// zero when none had to be. The progress deadline counts from here when that is later.
	WaitedUntil time.Time `json:"waited_until,omitzero"`
	// Gate is the wave at whose gate the deployment waits for promote; 0 for none.
	Gate int `json:"gate"`
	// Forgiven is how many failures no longer count, and ResumesApplied the resumes that forgave them.
	Forgiven       int `json:"forgiven"`
	ResumesApplied int `json:"resumes_seen"`
	// ActiveSlot is the slot that served when the deployment began; empty without slots.
	ActiveSlot string `json:"active_slot,omitempty"`
	// Router is nil when Rollcall moves no traffic.
	Router *routing.State `json:"router,omitempty"`
	// FailureReason is why the deployment was rolled back or stopped; empty before.
	FailureReason string `json:"cause"`
	// Weight is the new side's share of traffic, in percent, as the router has last confirmed it; without one, that of the
	// last wave whose targets have their outcome.
	Weight int `json:"weight"`
}

// Counts sums up the states of a deployment's targets.
type Counts struct {
	Total      int `json:"total"`
	Updated    int `json:"updated"`
	Failed     int `json:"failed"`
	Unknown    int `json:"unknown"`
	RolledBack int `json:"rolled_back"`
	InFlight   int `json:"in_flight"`
}

// CountStates counts the states of targets.
func CountStates(targets []Target) Counts {
	c := Counts{Total: len(targets)}
	for i := range targets {
		switch targets[i].State {
		case TargetUpdated:
			c.Updated++
		case TargetFailed:
			c.Failed++
		case TargetUnknown:
			c.Unknown++
		case TargetRolledBack:
			c.RolledBack++
		case TargetPending, TargetUnchanged, TargetDeploying, TargetVerifying, TargetRollingBack:
		}
		if targets[i].OutOfService() {
			c.InFlight++
		}
	}
	return c
}

// Result is how a deployment ended.
type Result struct {
	Success           bool          `json:"success"`
	State             State         `json:"state"`
	TargetsUpdated    int           `json:"targets_updated"`
	TargetsFailed     int           `json:"targets_failed"`
	TargetsRolledBack int           `json:"targets_rolled_back"`
	DurationMS        float64       `json:"duration_ms"`
	Errors            []TargetError `json:"errors"`
	// Metadata has stopped_at_stage, of a canary that did not succeed, and active_slot; each is nil where it makes no sense.
	Metadata map[string]any `json:"metadata"`
}

// TargetError is what went wrong last at one target.
type TargetError struct {
	Target  string    `json:"target"`
	Message string    `json:"message"`
	At      time.Time `json:"at"`
}

// Snapshot is everything that the planner may know: facts only.
type Snapshot struct {
	Deployment Deployment
	// ActiveSlot is the slot that serves now, as far as known.
	ActiveSlot string
	// RouterBefore is how the previous deployment left the router; nil when none did, or this one has written to it.
	RouterBefore *routing.State
	// Targets stand in the order in which the waves take them.
	Targets []Target
}

// Clone copies the snapshot deeply enough that nothing the planner changes in one shows in the other.
func (s *Snapshot) Clone() *Snapshot {
	c := &Snapshot{Deployment: s.Deployment, ActiveSlot: s.ActiveSlot, RouterBefore: s.RouterBefore, Targets: make([]Target, len(s.Targets))}
	c.Deployment.Labels = maps.Clone(s.Deployment.Labels)
	for i := range s.Targets {
		c.Targets[i] = s.Targets[i].Clone()
	}
	return c
}
