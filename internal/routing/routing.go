// Package routing has the state of the router that moves traffic between the targets of a deployment.
package routing

import (
	"reflect"
	"slices"
	"time"

	"rollcall/internal/duration"
)

// Config says what moves traffic between the targets of a deployment.
type Config struct {
	// Type is the kind of router: "webhook" or "haproxy".
	Type string `json:"type"`
	// Timeout bounds one write; Retries is how many further attempts follow a failed one, Backoff the wait before the
	// first of them, which doubles with each.
	Timeout duration.Duration `json:"timeout"`
	Retries int               `json:"retries"`
	Backoff duration.Duration `json:"backoff"`
	// Drain is how long a target that was taken out is left alone before it is called (rolling).
	Drain duration.Duration `json:"drain"`
	// URL receives the writes of a webhook router. With ReadBack a write counts only when the router says so itself.
	URL      string `json:"url,omitempty"`
	ReadBack bool   `json:"read_back"`
	// Socket is HAProxy's runtime API, "unix:/run/haproxy.sock" or "host:port"; Backend is the backend's name there. A
	// target's server is named by its metadata "haproxy_server", else by its id.
	Socket  string `json:"socket,omitempty"`
	Backend string `json:"backend,omitempty"`
	// TakeOut is how HAProxy takes a server out beside weight 0: "" leaves the choice to Rollcall, else "drain" or "maint".
	// Sockets and Backends are further ones beside Socket and Backend, to be kept alike.
	TakeOut  string   `json:"take_out,omitempty"`
	Sockets  []string `json:"sockets,omitempty"`
	Backends []string `json:"backends,omitempty"`
}

// Readable reports whether the router can be read.
func (t *Config) Readable() bool { return t != nil && (t.Type != routerWebhook || t.ReadBack) }

// routerWebhook is the type of router that is only read where the request says so.
const routerWebhook = "webhook"

// TrafficSplit is what a router should do with all targets of a deployment.
type TrafficSplit struct {
	// ActiveSlot is the slot that serves; empty without slots.
	ActiveSlot string `json:"active_slot"`
	// NewWeight and OldWeight are the sides' shares of traffic in percent; together 100.
	NewWeight int `json:"new_weight"`
	OldWeight int `json:"old_weight"`
	// Backends has a weight from 0 to 256 for every target, in the order of the snapshot.
	Backends []Backend `json:"backends"`
}

// Weights are the weights of the sides, as a router reports them when it is read back.
type Weights struct {
	ActiveSlot string `json:"active_slot"`
	NewWeight  int    `json:"new_weight"`
	OldWeight  int    `json:"old_weight"`
}

// Weights returns the split as a router that follows it reports it.
func (s *TrafficSplit) Weights() Weights { return Weights{s.ActiveSlot, s.NewWeight, s.OldWeight} }

// Backend is one target's weight at a router.
type Backend struct {
	Target string `json:"target"`
	Weight int    `json:"weight"`
}

// Reading is what a router reports when it is read.
type Reading struct {
	// DeploymentID names the deployment whose write a webhook router reports; empty for other routers.
	DeploymentID string
	// Weights are what a webhook router reports of its sides, with -1 for a weight that it leaves out or that is no whole
	// number; nil for routers that have no sides.
	Weights *Weights
	// Backends has one reading for every target, in the order of the snapshot; nil when the router does not report targets.
	Backends []BackendReading
	// Instance identifies the router's process: another one means that it was restarted or reloaded. Empty when unknown.
	Instance string
}

// BackendReading is what a router reports of one target.
type BackendReading struct {
	Target string
	// Weight is the weight that the target has now, from 0 to 256, as last set or configured; -1 when it is not reported.
	Weight int
	// Serving reports whether the target gets new traffic in the router's own opinion: up, not drained, not in maintenance.
	// Why says in words why not.
	Serving bool
	Why     string
	// HeldBy is the administrative state that keeps new traffic away: "", "drain" or "maint".
	HeldBy string
	// Sessions is how many sessions the target has now; -1 when unknown.
	Sessions int
	// Effective is the part of Weight, in percent, that counts now: less than 100 during a slow start or by an agent's word.
	Effective int
}

// Refusal is the error of a read that will fail as often as it is tried.
type Refusal string

func (r Refusal) Error() string { return string(r) }

// Call is one write to a router, written down before it is made.
type Call struct {
	// WebhookID is the same for every attempt of one split in one deployment.
	WebhookID string `json:"webhook_id"`
	Attempt   int    `json:"attempt"`
	// Fence never falls for a router of one service and environment.
	Fence    int64        `json:"fence"`
	Setting  TrafficSplit `json:"setting"`
	Deadline time.Time    `json:"until"`
	// Baseline are the weights that the targets have in full rotation; empty when they are not known.
	Baseline []Backend `json:"baseline,omitempty"`
	// TakenOut names the targets that Rollcall itself has taken out of rotation, and so may restore. What is out for any
	// other reason stays out.
	TakenOut []string `json:"taken_out,omitempty"`
}

// State is what a deployment knows of its router.
type State struct {
	// Applied is what the router is known to do, since AppliedAt; nil when it is not known.
	Applied   *TrafficSplit `json:"applied"`
	AppliedAt time.Time     `json:"applied_at"`
	// Sent is the last write. InFlight means that it is written down and not yet answered, InDoubt that it got no answer.
	Sent     *Call `json:"sent"`
	InFlight bool  `json:"open"`
	InDoubt  bool  `json:"doubt"`
	// PriorWeights are the weights that the router may have reported before the last write: what it was last known to do,
	// and what was sent since.
	PriorWeights []Weights `json:"before,omitempty"`
	// What follows is not stored, and so starts empty with each owner of the deployment. Reading is true while the router is
	// being read, Seen once this owner has read it or tried to. LookAt is when it may be read again after LooksFailed
	// attempts in a row.
	Reading     bool      `json:"-"`
	Seen        bool      `json:"-"`
	LookAt      time.Time `json:"-"`
	LooksFailed int       `json:"-"`
	// Last is the newest reading of this owner, as of SeenAt.
	Last *Reading `json:"-"`
	// Drifted is set while the last write was confirmed and undone since, by another party: it is to be written again, as
	// another write.
	Drifted bool `json:"drifted,omitempty"`
	// SplitSeq counts the different splits sent, RetriesUsed the failed attempts at the present one.
	SplitSeq    int       `json:"step"`
	RetriesUsed int       `json:"tries"`
	NotBefore   time.Time `json:"not_before"`
	// Fence never falls for the service and environment, over all deployments.
	Fence int64  `json:"fence"`
	Error string `json:"error"`
	// FenceRaised is true once a 409 has been answered with a higher fence; a second one is final.
	FenceRaised bool `json:"fence_raised,omitempty"`
	// Baseline and TakenOut are as in RouterCall.
	Baseline []Backend `json:"baseline,omitempty"`
	TakenOut []string  `json:"taken_out,omitempty"`
	// LateOut names the targets that a write without an answer takes out: it may do so at any time later.
	LateOut []string `json:"late_out,omitempty"`
	// SeenAt is when the router was last read with success, Instance the process that answered, and Differs says in words
	// where it deviates from what was written; empty when it does not.
	SeenAt   time.Time `json:"seen_at,omitzero"`
	Instance string    `json:"instance,omitempty"`
	Differs  string    `json:"differs,omitempty"`
	// Held are the targets that another party keeps out of rotation.
	Held []HeldBackend `json:"held,omitempty"`
	// OutBefore are the targets that an earlier deployment took out and left out: they stay so until they are verified.
	OutBefore []string `json:"out_before,omitempty"`
	// Idle are the targets that get less than their share by the newest reading.
	Idle []IdleBackend `json:"idle,omitempty"`
	// Refused is set when the router has refused the first look or write: nothing was changed, and nothing will be.
	Refused bool `json:"refused,omitempty"`
}

// IdleBackend is a target that gets less than its share at the router.
type IdleBackend struct {
	Target string `json:"target"`
	// Since is when it was first seen so.
	Since time.Time `json:"since"`
}

// HeldBackend is a target that another party than Rollcall keeps out of rotation.
type HeldBackend struct {
	Target string `json:"target"`
	// By is "drain", "maint", or "weight" for a weight of 0.
	By string `json:"by"`
}

// HeldByWeight is the HeldBackend.By of a target whose weight another party has set to 0.
const HeldByWeight = "weight"

// CanConfirm reports whether the router's weights can show that the last write was done. Where it may have reported the same
// before, they cannot.
func (r *State) CanConfirm() bool {
	return r.Sent != nil && !slices.Contains(r.PriorWeights, r.Sent.Setting.Weights())
}

// Known returns the weights in full rotation, as far as known.
func (r *State) Known() []Backend {
	if r == nil {
		return nil
	}
	return r.Baseline
}

// Same reports whether two states are the same in everything that is stored.
func (r *State) Same(o *State) bool {
	if r == o || r == nil || o == nil {
		return r == o
	}
	a, b := *r, *o
	a.Reading, a.Seen, a.LookAt, a.LooksFailed, a.Last = b.Reading, b.Seen, b.LookAt, b.LooksFailed, b.Last
	return reflect.DeepEqual(a, b)
}

// Equal reports whether the two splits are the same in everything.
func (s *TrafficSplit) Equal(o *TrafficSplit) bool {
	return s != nil && o != nil && s.ActiveSlot == o.ActiveSlot && s.NewWeight == o.NewWeight &&
		s.OldWeight == o.OldWeight && slices.Equal(s.Backends, o.Backends)
}
