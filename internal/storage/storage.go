// Package storage has what stores are asked and what they return: pages, fenced saves, claims, and what is kept between
// deployments.
package storage

import (
	"time"

	"rollcall/internal/healthcheck"
	"rollcall/internal/problem"
	"rollcall/internal/rollout"
)

// NewDeployment is a request that was found valid, ready to be stored as pending.
type NewDeployment struct {
	Deployment rollout.Deployment
	Targets    []rollout.Target
	// Reason is the requester's reason, for the first event; empty for none.
	Reason string
	// QueueLimit is how many deployments of the service, over all environments, may be unfinished when this one comes;
	// 0 is any number. It holds for requests at the same instant, too.
	QueueLimit int
	// Key makes the request repeatable: the same Key.Caller and Key.Value answer with what was stored the first time.
	// A zero Key is not remembered.
	Key IdempotencyKey
	// Claim must still be held when the deployment is stored, else CodeOwnershipLost; nil demands nothing.
	Claim *SourceClaim
}

// IdempotencyKey is a caller's own name for one request.
type IdempotencyKey struct {
	Caller string
	Value  string
	// Hash is the SHA-256 of the request's body: the same key with another body is refused with CodeKeyReused.
	Hash [32]byte
	// NoExpiry keys are remembered without limit, others for 24 hours.
	NoExpiry bool
}

// Created is the result of creating a deployment.
type Created struct {
	Deployment rollout.Deployment
	// Replayed is true when the key had been used before with the same request; Deployment is then as it was at
	// creation.
	Replayed bool
}

// Filter selects deployments. Zero fields select everything.
type Filter struct {
	Service, Environment, Version string
	State                         rollout.State
	// Since is inclusive, Until exclusive; both compare the time of creation.
	Since, Until time.Time
}

// Page asks for one page of a list.
type Page struct {
	// Limit is the maximum number of items, from 1 to 200.
	Limit int
	// Cursor is where the previous page ended, as List.NextCursor gave it; empty for the first page.
	Cursor string
}

// List is one page of items. NextCursor is empty on the last page.
type List[T any] struct {
	Items      []T
	NextCursor string
}

// TargetRecord is what is stored of a target between deployments, per service, environment and target id.
type TargetRecord struct {
	// Address is where the target was when this was found out; empty when that is not known. What is stored of it holds
	// only there: see ForAddress.
	Address string
	// Version is what Rollcall last left there, empty when it cannot say.
	Version string
	Health  healthcheck.Health
	// Fence is the highest fence that was ever written down for the target.
	Fence int64
}

// ForAddress returns what is stored of a target that is at the address now. Another address is another machine, of which nothing is
// known; only its fence stays, because it must not fall.
func (r TargetRecord) ForAddress(address string) TargetRecord {
	if r.Address == "" || !rollout.SameAddress(r.Address, address) {
		return TargetRecord{Address: address, Health: healthcheck.Unknown, Fence: r.Fence}
	}
	return r
}

// SaveRequest is one fenced write of the engine: it lands whole or not at all.
type SaveRequest struct {
	// Deployment carries the new status. Its ID, Owner, Epoch, Saves and OperatorRevision are what the writer expects
	// to be stored: another owner or epoch is CodeOwnershipLost, another operator revision CodeStale; Saves one higher than
	// expected means that this very save has landed before, and its result is the same.
	Deployment rollout.Deployment
	// Targets are those that changed, whole.
	Targets []rollout.Target
	// InFlight are those that changed and are about to change again, whole. They take the place of those of the save before:
	// each of these is in one of the two lists. There are none in a save that releases or ends the deployment.
	InFlight []rollout.Target
	// Events are appended in order and numbered, from the deployment's LastSeq and EventsHash on. Each brings its time: a
	// save that is repeated must say the same.
	Events []rollout.Event
	// Release gives the deployment up; another replica may claim it from RunAt on.
	Release bool
	// RunAt is when the deployment needs attention next.
	RunAt time.Time
}

// CheckTimes returns a CodeInvalid error when one of the events has no time.
func (s *SaveRequest) CheckTimes() error {
	for i := range s.Events {
		if s.Events[i].At.IsZero() {
			return &problem.Error{Code: problem.CodeInvalid, ID: s.Deployment.ID, Message: "an event " + s.Events[i].Type + " has no time"}
		}
	}
	return nil
}

// SaveResult are the counters as they are stored now.
type SaveResult struct {
	Revision int64
	LastSeq  int64
	Saves    int64
	// EventsHash is that of the newest event; the next save continues from it.
	EventsHash rollout.Hash
}

// Claimed is a deployment that changed hands.
type Claimed struct {
	Snapshot rollout.Snapshot
	// PreviousOwner is the dead replica that owned it before; empty when it was free.
	PreviousOwner string
	// OverdueBy is how long ago it was due: much only when no replica could claim it, or when it waited for another
	// deployment of its service and environment.
	OverdueBy time.Duration
}

// EventCursor is a position in the events of all deployments, in the order of their ids. Ids are drawn before they are committed,
// so one may still be missing below another: such a gap is kept here until it is known that no transaction can fill it any more.
type EventCursor struct {
	// After is the id of the last event that was read, Last what it was and LastAt when; zero where that is not known.
	After  int64
	Last   rollout.EventMark
	LastAt time.Time
	// GapEnd is the highest id that was seen beyond a missing one; 0 when none was missing.
	GapEnd int64
	// OpenWriters are the transactions that may still bring what is missing up to GapEnd.
	OpenWriters []string
}

// MoveTo moves the cursor to an event that was read.
func (t *EventCursor) MoveTo(e *rollout.Event) { t.After, t.Last, t.LastAt = e.ID, e.Mark(), e.At }

// SourceClaim is the right of one replica to work on a source, until another one has a higher epoch.
type SourceClaim struct {
	Name  string
	Owner string
	Epoch int64
}
