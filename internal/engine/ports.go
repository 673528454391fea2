package engine

import (
	"context"
	"time"

	"rollcall/internal/healthcheck"
	"rollcall/internal/rollout"
	"rollcall/internal/routing"
)

// Registry knows which replicas are alive.
type Registry interface {
	// Heartbeat says that the replica lives for another lease, and answers with the database's clock.
	Heartbeat(ctx context.Context, replica string, lease time.Duration) (time.Time, error)
	// Leave frees all deployments that the replica owns.
	Leave(ctx context.Context, replica string) error
}

// Deployments are claimed, saved and read again.
type Deployments interface {
	// Claim takes up to limit deployments that need attention: those free and due, those of dead replicas, and those of
	// this replica that are not among mine, the ones it works on. It also answers when the next free one is due.
	Claim(ctx context.Context, replica string, mine []string, limit int) (claimed []rollout.Claimed, next time.Time, err error)
	// Save stores one step; see rollout.SaveRequest.
	Save(ctx context.Context, save rollout.SaveRequest) (rollout.SaveResult, error)
	// Deployment reads the row again, without its targets.
	Deployment(ctx context.Context, id string) (rollout.Deployment, error)
}

// Signals tell what others have written.
type Signals interface {
	// OperatorRevisions answers with the operator revision of each deployment that the replica owns.
	OperatorRevisions(ctx context.Context, replica string) (map[string]int64, error)
	// Listen calls wake with a deployment's id when it has changed, until ctx ends. Wakes may be lost.
	Listen(ctx context.Context, wake func(id string)) error
}

// Caller makes one call of a deploy webhook. It never retries.
type Caller interface {
	Call(ctx context.Context, d *rollout.Deployment, t *rollout.Target, call rollout.Call) rollout.CallResult
}

// Prober makes one check of one target, trusting what the deployment trusts (nil: the system's roots). It never retries.
type Prober interface {
	Probe(ctx context.Context, check healthcheck.Check, address string, trust *rollout.TLS) healthcheck.ProbeResult
}

// Mover moves traffic. It never retries.
type Mover interface {
	// Set writes call.Setting to the deployment's router once.
	Set(ctx context.Context, d *rollout.Deployment, targets []rollout.Target, call routing.Call) rollout.CallResult
	// Read asks the router what it does now. A routing.Refusal is an error that will not pass.
	Read(ctx context.Context, d *rollout.Deployment, targets []rollout.Target) (routing.Reading, error)
}

// Recorder counts what happens.
type Recorder interface {
	CallDone(action rollout.CallAction, kind rollout.ResultKind, d time.Duration)
	RouteDone(router string, kind rollout.ResultKind, d time.Duration)
	ProbeDone(checkType string, status healthcheck.Health, d time.Duration)
	DeploymentEnded(strategy string, outcome rollout.State, d time.Duration)
	SaveDone(d time.Duration, targets int, failed bool)
	TakenOver()
	Fenced()
}
