package chaos

import (
	"slices"
	"time"
)

const (
	// readingInterval is how often a router is read that is held to do what it was sent.
	readingInterval = 10 * time.Second
	// freshReading is how old a reading may be for a deployment to end on it.
	freshReading = 5 * time.Second
	// routerCall is how long one call of a router may take.
	routerCall = 2 * time.Second
)

// routerRestarted reports whether a service's router restarted between two times.
func (h *History) routerRestarted(service string, after, before time.Time) bool {
	return slices.ContainsFunc(h.Restarts, func(r Restart) bool {
		return r.Service == service && r.At.After(after) && r.At.Before(before)
	})
}

// forgottenDeployment returns the deployment under way whose setting a restart lost, nil when it lost none.
func (h *History) forgottenDeployment(r Restart) *Deployment {
	id, wrote := "", time.Time{}
	for _, w := range h.Writes {
		if w.Service == r.Service && w.Applied && w.At.Before(r.At) && w.At.After(wrote) {
			id, wrote = w.DeploymentID, w.At
		}
	}
	i := slices.IndexFunc(h.Deployments, func(d Deployment) bool { return d.ID == id })
	if i < 0 || !r.Forgot || !h.Deployments[i].FinishedAt.After(r.At) {
		return nil
	}
	return &h.Deployments[i]
}

// measureRewrites measures how soon after a restart a router is written to again, or its deployment ends, less the time in which no replica
// could work and the time in which a person held the deployment: a pause leaves the router as it is.
func (h *History) measureRewrites() Measure {
	m := Measure{Name: setsAgain, Bound: readingInterval + routerCall}
	for _, r := range h.Restarts {
		d := h.forgottenDeployment(r)
		if d == nil {
			continue
		}
		again := d.FinishedAt
		for _, w := range h.Writes {
			if w.DeploymentID == d.ID && w.Applied && w.At.After(r.At) && w.At.Before(again) {
				again = w.At
			}
		}
		m.add(max(again.Sub(r.At)-h.hinderedTime(d, r.At, again), 0), again)
	}
	return m
}

// hinderedTime returns for how much of a span no replica could be expected to work on a deployment's router.
func (h *History) hinderedTime(d *Deployment, from, to time.Time) time.Duration {
	total := time.Duration(0)
	for at := from; at.Before(to); at = at.Add(step) {
		if d.pausedAt(at) || h.databaseFaulted(Fault{}, at.Add(-resumesWithin), at) || h.allFaulted(at) || h.ownerAway(d, at) {
			total += step
		}
	}
	return total
}

// ownerAway reports whether the replica that has a deployment is faulted, or was so lately that neither it nor another has
// resumed.
func (h *History) ownerAway(d *Deployment, at time.Time) bool {
	owner, wrote := "", time.Time{}
	for _, e := range d.Events {
		if e.Replica != "" && !e.At.After(at) {
			owner, wrote = e.Replica, e.At
		}
	}
	return slices.ContainsFunc(h.Faults, func(f Fault) bool {
		return f.ReplicaID == owner && f.Replica >= 0 && !f.From.After(at) && f.To.Add(h.Lease+takeoverMargin).After(at) && !wrote.After(f.To)
	})
}

// pausedAt reports whether a person held the deployment at some time.
func (d *Deployment) pausedAt(at time.Time) bool {
	paused := false
	for _, e := range d.Events {
		if e.At.After(at) {
			break
		}
		switch e.Type {
		case "deployment.paused":
			paused = true
		case "deployment.resumed", "deployment.promoted", "deployment.abort_requested", "deployment.rollback_started":
			paused = false
		}
	}
	return paused
}
