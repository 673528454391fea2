package rollout

import (
	"reflect"
	"slices"
	"time"
)

// Traffic says what moves traffic between the targets of a deployment.
type Traffic struct {
	// Type is the kind of router: "webhook" or "haproxy".
	Type string `json:"type"`
	// Timeout bounds one write; Retries is how many further attempts follow a failed one, Backoff the wait before the
	// first of them, which doubles with each.
	Timeout Duration `json:"timeout"`
	Retries int      `json:"retries"`
	Backoff Duration `json:"backoff"`
	// Drain is how long a target that was taken out is left alone before it is called (rolling).
	Drain Duration `json:"drain"`
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

// Readable reports whether the router can be asked what it does.
func (t *Traffic) Readable() bool { return t != nil && (t.Type != routerWebhook || t.ReadBack) }

// routerWebhook is the type of router that is only read where the request says so.
const routerWebhook = "webhook"

// Setting is one position of a router: what it should do with all targets of a deployment.
type Setting struct {
	// ActiveSlot is the slot that serves; empty without slots.
	ActiveSlot string `json:"active_slot"`
	// NewWeight and OldWeight are the sides' shares of traffic in percent; together 100.
	NewWeight int `json:"new_weight"`
	OldWeight int `json:"old_weight"`
	// Backends has a weight from 0 to 256 for every target, in the order of the snapshot.
	Backends []Backend `json:"backends"`
}

// Shares is what a router tells of itself when it is read back.
type Shares struct {
	ActiveSlot string `json:"active_slot"`
	NewWeight  int    `json:"new_weight"`
	OldWeight  int    `json:"old_weight"`
}

// Shares is the setting as a router that does it tells it.
func (s *Setting) Shares() Shares { return Shares{s.ActiveSlot, s.NewWeight, s.OldWeight} }

// Backend is one target's weight at a router.
type Backend struct {
	Target string `json:"target"`
	Weight int    `json:"weight"`
}

// RouterReading is what a router reports when it is read.
type RouterReading struct {
	// DeploymentID names the deployment whose write a webhook router reports; empty for other routers.
	DeploymentID string
	// Shares are what a webhook router reports of its sides, with -1 for a weight that it leaves out or that is no whole
	// number; nil for routers that have no sides.
	Shares *Shares
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

// RouterRefusal is the error of a read that will fail as often as it is tried.
type RouterRefusal string

func (r RouterRefusal) Error() string { return string(r) }

// RouterCall is one write to a router, written down before it is made.
type RouterCall struct {
	// WebhookID is the same for every attempt of one setting in one deployment.
	WebhookID string `json:"webhook_id"`
	Attempt   int    `json:"attempt"`
	// Fence never falls for a router of one service and environment.
	Fence   int64     `json:"fence"`
	Setting Setting   `json:"setting"`
	Until   time.Time `json:"until"`
	// Baseline are the weights that the targets have in full rotation; empty when they are not known.
	Baseline []Backend `json:"baseline,omitempty"`
	// TakenOut names the targets that Rollcall itself has taken out of rotation, and so may put back. What is out for any
	// other reason stays out.
	TakenOut []string `json:"taken_out,omitempty"`
}

// RouterState is what a deployment knows of its router.
type RouterState struct {
	// Applied is what the router is known to do, since AppliedAt; nil when nobody knows.
	Applied   *Setting  `json:"applied"`
	AppliedAt time.Time `json:"applied_at"`
	// Sent is the last write. Open means that it is written down and not yet answered, Doubt that it got no answer.
	Sent  *RouterCall `json:"sent"`
	Open  bool        `json:"open"`
	Doubt bool        `json:"doubt"`
	// Before are the shares that the router may have told before the last write: what it was last known to do, and what
	// was sent since.
	Before []Shares `json:"before,omitempty"`
	// What follows is not stored, and so begins anew with each owner of the deployment. Asking is true while the router is
	// being read, Seen once this owner has read it or tried to. LookAt is when it may be read again after LooksFailed
	// attempts in a row.
	Asking      bool      `json:"-"`
	Seen        bool      `json:"-"`
	LookAt      time.Time `json:"-"`
	LooksFailed int       `json:"-"`
	// Last is the newest reading of this owner, as of SeenAt.
	Last *RouterReading `json:"-"`
	// Drifted is set while the last write was confirmed and undone since, by somebody else: it is to be written again, as
	// another write.
	Drifted bool `json:"drifted,omitempty"`
	// Step counts the different settings sent, Tries the failed attempts at the present one.
	Step      int       `json:"step"`
	Tries     int       `json:"tries"`
	NotBefore time.Time `json:"not_before"`
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
	// where it did not do what it was told; empty when it did.
	SeenAt   time.Time `json:"seen_at,omitzero"`
	Instance string    `json:"instance,omitempty"`
	Differs  string    `json:"differs,omitempty"`
	// Held are the targets that somebody else keeps out of rotation.
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

// HeldBackend is a target that somebody other than Rollcall keeps out of rotation.
type HeldBackend struct {
	Target string `json:"target"`
	// By is "drain", "maint", or "weight" for a weight of 0.
	By string `json:"by"`
}

// HeldByWeight is the HeldBackend.By of a target whose weight somebody else has set to 0.
const HeldByWeight = "weight"

// Tells reports whether the router's shares tell that the last write was done. Where it may have told the same before,
// they do not.
func (r *RouterState) Tells() bool {
	return r.Sent != nil && !slices.Contains(r.Before, r.Sent.Setting.Shares())
}

// Known are the weights in full rotation, as far as known.
func (r *RouterState) Known() []Backend {
	if r == nil {
		return nil
	}
	return r.Baseline
}

// Same reports whether two states are the same in everything that is stored.
func (r *RouterState) Same(o *RouterState) bool {
	if r == o || r == nil || o == nil {
		return r == o
	}
	a, b := *r, *o
	a.Asking, a.Seen, a.LookAt, a.LooksFailed, a.Last = b.Asking, b.Seen, b.LookAt, b.LooksFailed, b.Last
	return reflect.DeepEqual(a, b)
}

// Equal reports whether the two settings are the same in everything.
func (s *Setting) Equal(o *Setting) bool {
	return s != nil && o != nil && s.ActiveSlot == o.ActiveSlot && s.NewWeight == o.NewWeight &&
		s.OldWeight == o.OldWeight && slices.Equal(s.Backends, o.Backends)
}
