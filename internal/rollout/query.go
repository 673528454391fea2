package rollout

import (
	"time"

	"rollcall/internal/healthcheck"
	"rollcall/internal/problem"
)

// NewDeployment is a request that was found valid, ready to be stored as pending.
type NewDeployment struct {
	Deployment Deployment
	Targets    []Target
	// Why is what the person who asked said about it, for the first event; empty for nothing.
	Why string
	// MostUnfinished is how many deployments of the service, over all environments, may be unfinished when this one comes;
	// 0 is any number. It holds for requests at the same instant, too.
	MostUnfinished int
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
	// Lasting keys are remembered for ever, others for 24 hours.
	Lasting bool
}

// Created is what a create call answers.
type Created struct {
	Deployment Deployment
	// Replayed is true when the key had been used before with the same request; Deployment is then as it was at
	// creation.
	Replayed bool
}

// Filter selects deployments. Zero fields select everything.
type Filter struct {
	Service, Environment, Version string
	State                         State
	// Since is inclusive, Until exclusive; both compare the time of creation.
	Since, Until time.Time
}

// Page asks for one page of a list.
type Page struct {
	// Limit is the most items wanted, from 1 to 200.
	Limit int
	// Cursor is where the previous page ended, as List.NextCursor gave it; empty for the first page.
	Cursor string
}

// List is one page of items. NextCursor is empty on the last page.
type List[T any] struct {
	Items      []T
	NextCursor string
}

// Remembered is what Rollcall knows of a target between deployments, per service, environment and target id.
type Remembered struct {
	// Address is where the target was when this was found out; empty when that is not known. What is remembered of it holds
	// there and nowhere else: see At.
	Address string
	// Version is what Rollcall last left there, empty when it cannot say.
	Version string
	Health  healthcheck.Health
	// Fence is the highest fence that was ever written down for the target.
	Fence int64
}

// At is what is remembered of a target that is at the address now. Another address is another machine, of which nothing is
// known; only its fence stays, because it must not fall.
func (r Remembered) At(address string) Remembered {
	if r.Address == "" || !SameAddress(r.Address, address) {
		return Remembered{Address: address, Health: healthcheck.Unknown, Fence: r.Fence}
	}
	return r
}

// Save is one fenced write of the engine: it lands whole or not at all.
type Save struct {
	// Deployment carries the new status. Its ID, Owner, Epoch, Saves and OperatorRevision say what the writer believes
	// to be stored: another owner or epoch is CodeOwnershipLost, another operator revision CodeStale; Saves one higher than
	// believed means that this very save has landed before, and it answers as it did then.
	Deployment Deployment
	// Targets are those that changed, whole.
	Targets []Target
	// Events are appended in order and numbered, from the deployment's LastSeq and EventsHash on. Each brings its time: a
	// save that is repeated must say the same.
	Events []Event
	// Release gives the deployment up; another replica may claim it from RunAt on.
	Release bool
	// RunAt is when the deployment needs attention next.
	RunAt time.Time
}

// CheckTimes is CodeInvalid when one of the events has no time.
func (s *Save) CheckTimes() error {
	for i := range s.Events {
		if s.Events[i].At.IsZero() {
			return &problem.Error{Code: problem.CodeInvalid, ID: s.Deployment.ID, Message: "an event " + s.Events[i].Type + " has no time"}
		}
	}
	return nil
}

// Saved is what a save answers: the counters as they are stored now.
type Saved struct {
	Revision int64
	LastSeq  int64
	Saves    int64
	// EventsHash is that of the newest event; the next save goes on from it.
	EventsHash Hash
}

// Claimed is a deployment that changed hands.
type Claimed struct {
	Snapshot Snapshot
	// From is the dead replica that owned it before; empty when it was free.
	From string
	// Late is how long ago it was due: much only when no replica was there to claim it, or when it waited for another
	// deployment of its pair.
	Late time.Duration
}

// Tail is a place in the events of all deployments, in the order of their ids. Ids are drawn before they are committed,
// so one may still be missing below another: such a doubt is kept here until it is known that nobody brings it any more.
type Tail struct {
	// After is the id of the last event that was read, Last what it was and LastAt when; zero where that is not known.
	After  int64
	Last   EventMark
	LastAt time.Time
	// UpTo is the highest id that was seen beyond a missing one; 0 when none was missing.
	UpTo int64
	// Writers are the transactions that may still bring what is missing up to UpTo.
	Writers []string
}

// At moves the place to an event that was read.
func (t *Tail) At(e *Event) { t.After, t.Last, t.LastAt = e.ID, e.Mark(), e.At }

// SourceClaim is the right of one replica to work on a source, until another one has a higher epoch.
type SourceClaim struct {
	Name  string
	Owner string
	Epoch int64
}
