package chaos

import (
	"net/http"
	"slices"
)

// checkResponses checks that the API answers what the contract says, and with its database away 503 and when to come again.
func (c *checker) checkResponses() {
	for _, op := range c.h.Ops {
		switch op.Status {
		case 0, 200, 202, 409, 412:
		case 503:
			if op.RetryAfter == "" {
				c.report("A answers", op.Service, op.Sent, "%s %s answered 503 without Retry-After", op.Method, op.Path)
			}
		default:
			c.report("A answers", op.Service, op.Sent, "%s %s answered %d %s", op.Method, op.Path, op.Status, op.Body)
		}
	}
}

// checkCreations checks that what was answered with 2xx is there, one key makes one deployment, and nothing is there that was not requested.
func (c *checker) checkCreations() {
	ids := map[string]string{}
	for _, op := range c.h.Ops {
		if op.Key == "" || op.Status != 202 {
			continue
		}
		if c.of[op.ID] == nil {
			c.report("A durable", op.Service, op.Answered, "deployment %s was answered with 202 and is not there", op.ID)
		}
		if first, ok := ids[op.Key]; ok && first != op.ID {
			c.report("A durable", op.Service, op.Answered, "one key made deployments %s and %s", first, op.ID)
		}
		ids[op.Key] = op.ID
	}
	seen := map[string]string{}
	for _, d := range c.h.Deployments {
		if d.Kind != "deploy" {
			continue
		}
		if other, ok := seen[d.Key]; ok {
			c.report("A durable", d.Service, d.StartedAt, "key %s made deployments %s and %s", d.Key, other, d.ID)
		}
		seen[d.Key] = d.ID
	}
}

func isTerminal(state string) bool {
	return slices.Contains([]string{"completed", "failed", "rolled_back", "aborted", "superseded"}, state)
}

// checkTerminalStates checks that once a terminal state was answered, no later question is answered otherwise, and no revision falls.
func (c *checker) checkTerminalStates() {
	newest := map[string]Op{}
	for _, op := range c.deploymentReads() {
		last, known := newest[op.ID]
		later := known && op.Sent.After(last.Answered)
		switch {
		case later && isTerminal(last.State) && (op.State != last.State || op.Revision != last.Revision):
			c.report("T terminal is final", op.Service, op.Answered, "%s was %s at revision %d and then %s at %d",
				op.ID, last.State, last.Revision, op.State, op.Revision)
		case later && op.Revision < last.Revision:
			c.report("A durable", op.Service, op.Answered, "%s was at revision %d and then at %d", op.ID, last.Revision, op.Revision)
		}
		if op.Revision >= last.Revision {
			newest[op.ID] = op
		}
	}
}

// deploymentReads lists the answers to questions about one deployment, in order.
func (c *checker) deploymentReads() []Op {
	var ops []Op
	for _, op := range c.h.Ops {
		if op.Method == http.MethodGet && op.Status == http.StatusOK && op.ID != "" {
			ops = append(ops, op)
		}
	}
	slices.SortStableFunc(ops, func(a, b Op) int { return a.Answered.Compare(b.Answered) })
	return ops
}

// checkOneActive checks that of a service's deployments one runs at a time: by what they say, and by the order of what targets and routers
// saw, in which only a frozen owner that wakes may come late.
func (c *checker) checkOneActive() {
	for i, a := range c.h.Deployments {
		for _, b := range c.h.Deployments[i+1:] {
			if a.Service == b.Service && a.overlaps(&b) {
				c.report("E one active", a.Service, b.StartedAt, "%s and %s ran at the same time", a.ID, b.ID)
			}
		}
	}
	c.checkCallOrder()
}

func (d *Deployment) overlaps(o *Deployment) bool {
	return !d.StartedAt.IsZero() && !o.StartedAt.IsZero() &&
		d.StartedAt.Add(clock).Before(o.FinishedAt) && o.StartedAt.Add(clock).Before(d.FinishedAt)
}

// checkCallOrder compares the order of the calls with the deployments' order.
func (c *checker) checkCallOrder() {
	current, over := map[string]string{}, map[string]bool{}
	for _, call := range c.h.Calls {
		if over[call.DeploymentID] && !c.lateOfFrozen(call) {
			c.report("E one active", call.Service, call.Received, "%s was called for %s after %s had begun", call.Target, call.DeploymentID, current[call.Service])
			continue
		}
		if before := current[call.Service]; before != call.DeploymentID && !over[call.DeploymentID] {
			over[before] = true
			current[call.Service] = call.DeploymentID
		}
	}
}

// checkMetrics checks that what is counted agrees with what the API lists.
func (c *checker) checkMetrics() {
	states := map[string]int{}
	for _, d := range c.h.Deployments {
		states[d.State]++
	}
	for state := range states {
		if c.h.Metrics[state] != states[state] {
			c.report("R metrics", "", c.roundEnd(), "%d deployments are %s, the metrics say %d", states[state], state, c.h.Metrics[state])
		}
	}
	if c.h.Stuck != 0 {
		c.report("R metrics", "", c.roundEnd(), "%d deployments are said to be stuck", c.h.Stuck)
	}
}
