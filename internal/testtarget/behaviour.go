package testtarget

import "time"

// Reset says whether a call's connection is cut instead of answered, and when.
type Reset string

// ResetBefore cuts it before the call takes effect, ResetAfter when it has taken effect: the caller cannot see which.
const (
	ResetNever  Reset = ""
	ResetBefore Reset = "before"
	ResetAfter  Reset = "after"
)

// Behaviour is how a target answers deploy calls and health requests. The zero value is a good target: it applies every
// call at once, answers 200, and is healthy.
type Behaviour struct {
	// Status is the code answered, 0 for 200. A code from 300 on is answered without applying the call.
	Status int
	// OnVersion, when it is not empty, limits the behaviour to calls with that version; others are answered by a good target.
	OnVersion string
	// FailLate applies a call before it answers with an error code.
	FailLate bool
	// Drip is the pause after each byte of the answer's body.
	Drip time.Duration
	// RetryAfter is sent as the Retry-After header when it is not empty.
	RetryAfter string
	// Delay is how long the call's work takes. The work is done even when the caller leaves in the meantime.
	Delay time.Duration
	// Hang never answers and never applies; it ends when the caller leaves.
	Hang bool
	// Reset cuts the connection.
	Reset Reset
	// Proxy, when it is not 0, is how long a proxy before the target waits: after it the caller gets a 504 with a page of the
	// proxy, and the work continues. The journal shows the call as the target saw it: open until its work is done.
	Proxy time.Duration
	// Accept answers 202 at once and applies the call after Delay.
	Accept bool
	// Lie answers as if all was well and keeps the old version.
	Lie bool
	// Fenced refuses a call whose fence is lower than the highest seen, with 409.
	Fenced bool
	// Unhealthy makes the target unhealthy whatever it runs, UnhealthyOn as long as it runs that version: at once, or when it
	// has been found healthy UnhealthyAfter times on that version.
	Unhealthy      bool
	UnhealthyOn    string
	UnhealthyAfter int
	// HealthzOn is a version on which the target answers for its health at /healthz and not at /health.
	HealthzOn string
	// Warn makes a healthy target answer "warn".
	Warn bool
}

// SetBehaviour changes how the target behaves from now on; calls that it works on already are not affected. The function gets
// the present behaviour and must not call the target.
func (t *Target) SetBehaviour(change func(*Behaviour)) {
	t.mu.Lock()
	defer t.mu.Unlock()
	change(&t.behaviour)
}

// QueueBehaviours sets the behaviour of the following deploy calls, one each in order; then the behaviour set before returns.
// The parts about health count only in SetBehaviour.
func (t *Target) QueueBehaviours(calls ...Behaviour) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.script = append(t.script, calls...)
}

// ClearQueue drops queued behaviours whose calls have not come.
func (t *Target) ClearQueue() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.script = nil
}

// nextBehaviour takes the behaviour for the call that just came.
func (t *Target) nextBehaviour() Behaviour {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.script) == 0 {
		return t.behaviour
	}
	b := t.script[0]
	t.script = t.script[1:]
	return b
}
