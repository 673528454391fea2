package testtarget

import (
	"slices"
	"sync"
	"time"
)

// Call is one deploy call as the target saw it.
type Call struct {
	// Target is the id of the pretend target that was called, whatever the body says.
	Target string
	// Received is when the whole call had arrived. Answered is when it was answered or the caller left, zero while it
	// is open.
	Received, Answered time.Time
	// Status is the code that was answered, 0 for none: open, hung, or reset.
	Status int
	// Applied reports whether the call changed what the target runs, or confirmed it.
	Applied bool

	// The headers as they came; empty or 0 when they were missing or no number.
	WebhookID, WebhookTimestamp, WebhookSignature string
	Attempt                                       int
	Fence                                         int64
	// Body is what came, and these are parts of it.
	Body                                                       []byte
	Action, DeploymentID, Version, PreviousVersion, BodyTarget string
}

// journal is the record of all calls of a fleet. One lock orders them.
type journal struct {
	watcher

	mu    sync.Mutex
	calls []*Call
	// open and most count calls by target; the empty id stands for all.
	open, most map[string]int
}

// recordCall records a new call.
func (j *journal) recordCall(c *Call) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.open == nil {
		j.open, j.most = map[string]int{}, map[string]int{}
	}
	c.Received = time.Now()
	j.calls = append(j.calls, c)
	for _, id := range []string{c.Target, ""} {
		j.open[id]++
		j.most[id] = max(j.most[id], j.open[id])
	}
}

// finishCall notes that the call is open no more; only the first time counts.
func (j *journal) finishCall(c *Call, status int) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if !c.Answered.IsZero() {
		return
	}
	c.Answered, c.Status = time.Now(), status
	j.open[c.Target]--
	j.open[""]--
}

// markApplied notes that the call took effect.
func (j *journal) markApplied(c *Call) {
	j.mu.Lock()
	defer j.mu.Unlock()
	c.Applied = true
}

// listCalls copies the calls of one target, or of all.
func (j *journal) listCalls(target string) []Call {
	j.mu.Lock()
	defer j.mu.Unlock()
	var calls []Call
	for _, c := range j.calls {
		if target == "" || c.Target == target {
			one := *c
			one.Body = slices.Clone(c.Body)
			calls = append(calls, one)
		}
	}
	return calls
}

func (j *journal) countCalls() int {
	j.mu.Lock()
	defer j.mu.Unlock()
	return len(j.calls)
}

func (j *journal) maxOpen(target string) int {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.most[target]
}
