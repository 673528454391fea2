package chaos

import (
	"slices"
	"strings"
	"time"
)

// roundEnd returns the end of the round.
func (c *checker) roundEnd() time.Time { return c.h.roundEnd() }

func (h *History) roundEnd() time.Time {
	var last time.Time
	for _, op := range h.Ops {
		if op.Answered.After(last) {
			last = op.Answered
		}
	}
	return last
}

// checkEndStates checks that whatever died, a deployment ends as it would have.
func (c *checker) checkEndStates() {
	for _, d := range c.h.Deployments {
		right := d.Plan.Allowed
		if d.Kind == "rollback" {
			right = []string{"rolled_back"}
		}
		if !slices.Contains(right, d.State) {
			c.report("T the same end", d.Service, d.FinishedAt, "%s (%s, %s, %s) ended %s, not %v", d.ID, d.Plan.Strategy, d.Plan.Scenario, d.Plan.Fault, d.State, right)
		}
		c.checkNoneInDoubt(&d)
		if success := d.State == "completed" || d.State == "rolled_back" && d.Kind == "rollback"; d.Success != success {
			c.report("R success", d.Service, d.FinishedAt, "%s is %s with success %t", d.ID, d.State, d.Success)
		}
	}
}

// checkNoneInDoubt checks that a deployment that tolerates no failure completes with no target failed or unknown.
func (c *checker) checkNoneInDoubt(d *Deployment) {
	for _, t := range d.Targets {
		if d.State == "completed" && (t.State == "unknown" || t.State == "failed") {
			c.report("R unknown is no success", d.Service, d.FinishedAt, "%s is completed and %s is %s", d.ID, t.ID, t.State)
		}
	}
}

// checkReportedVersions checks that what is said of each target at the end is so, as far as the service's newest deployment speaks of it.
func (c *checker) checkReportedVersions() {
	newest := map[[2]string]*Deployment{}
	for i := range c.h.Deployments {
		d := &c.h.Deployments[i]
		counts := map[string]int{}
		for _, t := range d.Targets {
			counts[t.State]++
			key := [2]string{d.Service, t.ID}
			if t.State != "unchanged" && (newest[key] == nil || d.FinishedAt.After(newest[key].FinishedAt)) {
				newest[key] = d
			}
			if !slices.Contains([]string{"updated", "unchanged", "rolled_back", "failed", "unknown"}, t.State) {
				c.report("R each target ends", d.Service, d.FinishedAt, "%s is %s at the end of %s", t.ID, t.State, d.ID)
			}
		}
		if counts["updated"] != d.Updated || counts["failed"] != d.Failed || counts["rolled_back"] != d.RolledBack {
			c.report("R counts", d.Service, d.FinishedAt, "%s says %d updated, %d failed, %d rolled back; its targets are %v", d.ID, d.Updated, d.Failed, d.RolledBack, counts)
		}
	}
	for key, d := range newest {
		c.checkReportedVersion(d, key[1])
	}
}

func (c *checker) checkReportedVersion(d *Deployment, id string) {
	t := d.Targets[slices.IndexFunc(d.Targets, func(t Target) bool { return t.ID == id })]
	runs := c.h.Runs[d.Service][id]
	switch {
	case t.State == "updated" && d.Kind == "deploy" && runs != d.Version:
		c.report("R the truth", d.Service, d.FinishedAt, "%s is updated to %s and runs %s", id, d.Version, runs)
	case t.State == "rolled_back" && d.Kind == "deploy" && runs != t.Previous:
		c.report("R the truth", d.Service, d.FinishedAt, "%s is rolled back to %s and runs %s", id, t.Previous, runs)
	case t.Version != "" && t.State != "unknown" && runs != t.Version:
		c.report("R the truth", d.Service, d.FinishedAt, "%s is said to run %s and runs %s", id, t.Version, runs)
	}
}

// checkFinalWeights checks that at the end traffic goes where the newest deployment says, and to none of its failed targets.
func (c *checker) checkFinalWeights() {
	for service, w := range c.h.Weights {
		d := c.newestDeployment(service)
		if d == nil || w.DeploymentID == "" {
			continue
		}
		if want, known := d.finalWeight(); known && w.DeploymentID == d.ID && w.NewWeight != want {
			c.report("S weights set back", service, d.FinishedAt, "%s is %s and the router is left at %d", d.ID, d.State, w.NewWeight)
		}
		c.checkNoneLeftOut(d, w)
	}
}

// finalWeight returns what the new side must be left with, where the end says so.
func (d *Deployment) finalWeight() (share int, known bool) {
	switch {
	case d.Kind != "deploy":
		return 0, false
	case d.State == "completed":
		return 100, true
	default:
		return 0, d.State == "rolled_back" || d.State == "aborted" && d.hasOldSide()
	}
}

// hasOldSide reports whether a target is left that was never touched: without one, traffic cannot go back to the old side.
func (d *Deployment) hasOldSide() bool {
	return slices.ContainsFunc(d.Targets, func(t Target) bool { return t.State == "unchanged" })
}

// checkNoneLeftOut checks that where no slot stands idle, all targets serve after a success and after a rollback. What the
// deployment before had left out, and this one did not touch, may stay so.
func (c *checker) checkNoneLeftOut(d *Deployment, w Write) {
	total, before := 0, c.h.leftBefore(d)
	for id, weight := range w.Weights {
		total += weight
		if weight == 0 && before[id] && d.stateOf(id) == "unchanged" {
			continue
		}
		if weight == 0 && d.Plan.Strategy != BlueGreen && (d.State == "completed" || d.State == "rolled_back") {
			c.report("S weights set back", d.Service, d.FinishedAt, "%s is %s and %s is left without traffic", d.ID, d.State, id)
		}
	}
	if total == 0 {
		c.report("S weights set back", d.Service, d.FinishedAt, "no target of %s gets traffic", d.Service)
	}
}

// leftBefore returns the targets without traffic when a deployment first wrote to its router.
func (h *History) leftBefore(d *Deployment) map[string]bool {
	first := slices.IndexFunc(h.Writes, func(w Write) bool { return w.DeploymentID == d.ID && w.Applied })
	var last Write
	for _, w := range h.Writes[:max(first, 0)] {
		if w.Service == d.Service && w.Applied {
			last = w
		}
	}
	left := map[string]bool{}
	for id, weight := range last.Weights {
		left[id] = weight == 0
	}
	return left
}

// stateOf returns how a target ended, "" when it is none of the deployment's.
func (d *Deployment) stateOf(id string) string {
	for _, t := range d.Targets {
		if t.ID == id {
			return t.State
		}
	}
	return ""
}

func (c *checker) newestDeployment(service string) *Deployment {
	var newest *Deployment
	for i := range c.h.Deployments {
		d := &c.h.Deployments[i]
		if d.Service == service && !d.StartedAt.IsZero() && (newest == nil || d.FinishedAt.After(newest.FinishedAt)) {
			newest = d
		}
	}
	return newest
}

// checkEventLogs checks that events are numbered without a gap, say who did it, and end with the deployment's end, once.
func (c *checker) checkEventLogs() {
	for _, d := range c.h.Deployments {
		ends := 0
		for i, e := range d.Events {
			if e.Seq != i+1 {
				c.report("R events", d.Service, e.At, "event %d of %s has number %d", i+1, d.ID, e.Seq)
			}
			if e.Actor == "" {
				c.report("R events", d.Service, e.At, "event %d of %s names no actor", e.Seq, d.ID)
			}
			if end, ok := strings.CutPrefix(e.Type, "deployment."); ok && isTerminal(end) {
				ends++
			}
		}
		if ends != 1 {
			c.report("R events", d.Service, d.FinishedAt, "%s has ended %d times", d.ID, ends)
		}
	}
}
