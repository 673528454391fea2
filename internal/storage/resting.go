package storage

import (
	"time"

	"rollcall/internal/rollout"
	"rollcall/internal/routing"
)

// RestingRouter is the state of a router after the last deployment of its service and environment has ended.
type RestingRouter struct {
	// Router continues what the deployment knew when it ended.
	Router routing.State `json:"router"`
	// Error is why the router could not be read the last time; empty when it could.
	Error string `json:"error,omitempty"`
	// Failures counts the failed attempts to read it, in a row.
	Failures int `json:"failures,omitempty"`
	// Restores counts how often in a row, each within an hour of the one before, the router was set again.
	Restores int `json:"restores,omitempty"`
}

// ClaimedRouter is a router at rest that a replica may read and write to.
type ClaimedRouter struct {
	Service, Environment string
	Owner                string
	Epoch                int64
	// Now was the database's time when the router was claimed.
	Now time.Time
	// Snapshot is the deployment that has left the router, with its targets and the fence that is remembered.
	Snapshot rollout.Snapshot
	// Resting is what is known since; nil when the router was not looked at since that deployment.
	Resting *RestingRouter
}

// SavedRouter is one step in the care for a router at rest.
type SavedRouter struct {
	Resting RestingRouter
	// Events are appended to the log of the deployment that has left the router.
	Events []rollout.Event
	// WriteFor is how long a write that is written down with this step may take to arrive; 0 when there is none.
	WriteFor time.Duration
	// Unchanged leaves what is known as it is stored.
	Unchanged bool
	// Release gives the router up, to be read again after RecheckIn.
	Release   bool
	RecheckIn time.Duration
}

// RouterDrift names a router at rest that does not do what the last deployment has left.
type RouterDrift struct{ Service, Environment string }
