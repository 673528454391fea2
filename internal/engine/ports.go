package engine

import (
	"context"
	"time"

	"rollcall/internal/healthcheck"
	"rollcall/internal/rollout"
	"rollcall/internal/routing"
	"rollcall/internal/storage"
)

// Leases are the replicas' leases in the database.
type Leases interface {
	// Heartbeat renews the replica's lease, and returns the database's time.
	Heartbeat(ctx context.Context, replica string, lease time.Duration) (time.Time, error)
	// ReleaseDeployments releases all deployments that the replica owns.
	ReleaseDeployments(ctx context.Context, replica string) error
}

// Deployments stores deployments.
type Deployments interface {
	// ClaimDeployments takes up to limit deployments that need attention: those free and due, those of dead replicas, and those of
	// this replica that are not in mine, the ones it works on. It also returns when the next free one is due.
	ClaimDeployments(ctx context.Context, replica string, mine []string, limit int) (claimed []storage.Claimed, next time.Time, err error)
	// SaveDeployment stores one step; see storage.SaveRequest.
	SaveDeployment(ctx context.Context, save storage.SaveRequest) (storage.SaveResult, error)
	// Deployment reads the row again, without its targets.
	Deployment(ctx context.Context, id string) (rollout.Deployment, error)
}

// Changes are what API servers and other replicas have written.
type Changes interface {
	// OperatorRevisions returns the operator revision of each deployment that the replica owns.
	OperatorRevisions(ctx context.Context, replica string) (map[string]int64, error)
	// Listen calls wake with a deployment's id when it has changed, until ctx ends. Calls may be lost.
	Listen(ctx context.Context, wake func(id string)) error
}

// TargetClient calls deploy webhooks. It never retries.
type TargetClient interface {
	Deploy(ctx context.Context, d *rollout.Deployment, t *rollout.Target, call rollout.Call) rollout.CallResult
}

// Prober runs one check of one target, with the deployment's trusted roots (nil: the system's). It may use a connection that an
// earlier check with the same ctx has opened after since.
type Prober interface {
	ProbeAgain(ctx context.Context, check healthcheck.Check, address string, trust *rollout.TLS, since time.Time) healthcheck.ProbeResult
}

// Router writes and reads traffic weights. It never retries.
type Router interface {
	// SetWeights writes call.Setting to the deployment's router once.
	SetWeights(ctx context.Context, d *rollout.Deployment, targets []rollout.Target, call routing.Call) rollout.CallResult
	// Read asks the router what it does now. A routing.Refusal is an error that will not pass.
	Read(ctx context.Context, d *rollout.Deployment, targets []rollout.Target) (routing.Reading, error)
}

// Recorder counts events for metrics.
type Recorder interface {
	CallDone(action rollout.CallAction, kind rollout.ResultKind, d time.Duration)
	RouteDone(router string, kind rollout.ResultKind, d time.Duration)
	ProbeDone(checkType string, status healthcheck.Health, d time.Duration)
	DeploymentEnded(strategy string, outcome rollout.State, d time.Duration)
	SaveDone(d time.Duration, targets int, failed bool)
	TakenOver()
	SaveFenced()
}
