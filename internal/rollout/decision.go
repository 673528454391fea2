package rollout

import (
	"time"

	"rollcall/internal/healthcheck"
	"rollcall/internal/routing"
)

// ActionKind is what the engine has to do.
type ActionKind string

// The kinds of action. ActionCall changes the world and is written down first; ActionProbe only looks.
const (
	ActionCall  ActionKind = "call"
	ActionProbe ActionKind = "probe"
	// ActionSetWeights writes to the router, and is written down first as well; ActionReadWeights only reads it.
	ActionSetWeights  ActionKind = "route"
	ActionReadWeights ActionKind = "ask_router"
)

// Action is one thing to do for a target, or for the router: then Target and Check are -1.
type Action struct {
	Kind ActionKind
	// Target is an index into Snapshot.Targets, Check one into Spec.Checks.
	Target int
	Check  int
	// Back is true for a call that takes the target back to its previous version.
	Back bool
	// Route is the write for ActionSetWeights, and the one in doubt for ActionReadWeights.
	Route routing.Call
	// Call is set for ActionCall. Of a probe only Fence counts: that of the newest call when the probe began.
	Call Call
	// Begun is when a probe began.
	Begun time.Time
}

// Outcome is what came of an action: of a call its Result, of a probe its Probe, of a router its Reading.
type Outcome struct {
	Action Action
	Result CallResult
	Probe  healthcheck.ProbeResult
	// Reading is what the router reported: after a write that it answered, and when it was only read. It is nil where it
	// could not be read; then Result has the reason.
	Reading *routing.Reading
}

// Status is the part of a deployment that a decision may change.
type Status struct {
	State     State
	Direction Direction
	Stop      Stop
	// Reason describes what the deployment does or waits for.
	Reason   string
	Progress Progress

	StartedAt  time.Time
	FinishedAt time.Time
	// DeadlineAt is when lack of progress ends the way forward, as on_failure says, or a rollback that is under way; zero
	// while pending, paused and terminal.
	DeadlineAt time.Time
	// NextActionAt is when the deployment next does something by itself; zero when it waits for a person.
	NextActionAt time.Time
	Result       *Result
}

// Decision is the planner's answer: what to do, what is true now, and when to look again.
type Decision struct {
	Status Status
	// Events record what changed, for the log that people read. They carry no number yet.
	Events  []Event
	Actions []Action
	// Transitions are the steps of targets that need no call, such as giving up those that are never called.
	Transitions []Transition
	// CancelCalls asks the engine to cancel all calls in flight: their time is over.
	CancelCalls bool
	// Replan asks for another decision at once, because this one changed what the next depends on.
	Replan bool
	// WakeAt is when to look again if nothing happens before; zero only when the deployment is over.
	WakeAt time.Time
}

// Transition is a step of one target that follows from a decision alone.
type Transition struct {
	Target int
	Phase  Phase
	State  TargetState
	// Message is the error of a target that is given up, else says why it moves.
	Message string
}

// Event is one line of a deployment's append-only log.
type Event struct {
	// Seq counts 1, 2, 3 … within the deployment; ID grows over all deployments. The store sets both.
	Seq          int64
	ID           int64
	At           time.Time
	Type         string
	DeploymentID string
	// Service and Environment are the deployment's. They are not stored with the event: the store fills them in.
	Service     string
	Environment string
	// Actor is "engine", or the principal that made the request.
	Actor   string
	Replica string
	Epoch   int64
	Target  string
	Wave    int
	From    string
	To      string
	Message string
	Call    *Call
	// Hash makes the event a link in a chain; see HashEvent. The store sets it. Zero for what was written before there was one.
	Hash Hash
}

// EventMark identifies an event that was read before.
type EventMark struct {
	ID           int64
	DeploymentID string
	Seq          int64
	Hash         Hash
}

// Mark returns the event's mark.
func (e *Event) Mark() EventMark {
	return EventMark{ID: e.ID, DeploymentID: e.DeploymentID, Seq: e.Seq, Hash: e.Hash}
}

// The types of event.
const (
	EventCreated         = "deployment.created"
	EventQueued          = "deployment.queued"
	EventStarted         = "deployment.started"
	EventPaused          = "deployment.paused"
	EventResumed         = "deployment.resumed"
	EventPromoted        = "deployment.promoted"
	EventTakenOver       = "deployment.taken_over"
	EventRollbackStarted = "deployment.rollback_started"
	EventCompleted       = "deployment.completed"
	EventFailed          = "deployment.failed"
	EventAborted         = "deployment.aborted"
	EventAbortRequested  = "deployment.abort_requested"
	EventRolledBack      = "deployment.rolled_back"
	EventSuperseded      = "deployment.superseded"
	EventWaveStarted     = "wave.started"
	EventWaveFinished    = "wave.finished"
	EventGateWaiting     = "gate.waiting"
	EventTargetIntent    = "target.intent"
	EventTargetResult    = "target.result"
	EventTargetUnknown   = "target.unknown"
	EventTargetNotSent   = "target.not_sent"
	EventTargetVerified  = "target.verified"
	EventTargetUnhealthy = "target.sick"
	EventTargetFailed    = "target.failed"
	EventTrafficIntent   = "traffic.intent"
	EventTrafficResult   = "traffic.result"
	EventTrafficUnknown  = "traffic.unknown"
	EventTrafficDrifted  = "traffic.drifted"
	// EventTrafficRestored says that a router at rest was set again as the deployment has left it.
	EventTrafficRestored = "traffic.restored"
)

// ActorEngine is the actor of everything that Rollcall does by itself.
const ActorEngine = "engine"
