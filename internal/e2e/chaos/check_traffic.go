package chaos

import (
	"slices"
	"time"
)

// rounding is by how many percent whole weights may miss a share.
const rounding = 2

// checkTraffic checks that a write that a router took gives no target weight whose newest call is not verified, and a canary's or a
// blue-green deployment's new side no more than what runs there by then allows. A frozen owner that wakes may send late what
// was right when it was written down.
func (c *checker) checkTraffic() {
	for _, w := range c.h.Writes {
		d := c.of[w.DeploymentID]
		if d == nil || !w.Applied || c.wasFrozen(c.senderOf(w.WebhookID, w.Attempt, w.Fence), w.At, w.At) {
			continue
		}
		before := d.eventsBefore(w)
		for _, id := range unverifiedTargets(before) {
			if w.Weights[id] > 0 {
				c.report("S only verified targets", w.Service, w.At, "the router was set to weight %d for %s, which %s has called and not verified", w.Weights[id], id, d.ID)
			}
		}
		if d.Kind == "deploy" {
			c.checkExposure(d, w, startedWave(before))
		}
	}
}

// eventsBefore returns the events of a deployment before it recorded a write to its router.
func (d *Deployment) eventsBefore(w Write) []Event {
	i := slices.IndexFunc(d.Events, func(e Event) bool {
		return e.Type == "traffic.intent" && e.WebhookID == w.WebhookID && e.Attempt == w.Attempt && e.Fence == w.Fence
	})
	return d.Events[:max(i, 0)]
}

// unverifiedTargets returns the targets that a log has called and not verified since, or given up after that. One that no call has
// reached serves as it did.
func unverifiedTargets(log []Event) []string {
	calls, verified, unhealthy := map[string]int{}, map[string]bool{}, map[string]bool{}
	for _, e := range log {
		switch e.Type {
		case "target.intent":
			calls[e.Target]++
		case "target.not_sent":
			calls[e.Target]--
		case "target.verified":
			calls[e.Target], verified[e.Target], unhealthy[e.Target] = 0, true, false
		case "target.failed":
			unhealthy[e.Target] = verified[e.Target]
		}
	}
	var ids []string
	for id, n := range calls {
		if n > 0 || unhealthy[id] {
			ids = append(ids, id)
		}
	}
	return ids
}

func startedWave(log []Event) int {
	wave := 0
	for _, e := range log {
		if e.Type == "wave.started" {
			wave = max(wave, e.Wave)
		}
	}
	return wave
}

// checkExposure compares what a router sends to the new side with how many targets had got the new version by then.
func (c *checker) checkExposure(d *Deployment, w Write, wave int) {
	running := c.targetsRunning(d, w.At)
	most := 100
	switch d.Plan.Strategy {
	case Canary:
		most = maxExposure(wave, len(running), len(d.Targets))
	case BlueGreen:
		if 2*len(running) < len(d.Targets) {
			most = 0
		}
	case Rolling:
	}
	if w.NewWeight > most {
		c.report("S exposure", d.Service, w.At, "the router was set to %d %% for the new side of %s when %d targets ran it in wave %d: at most %d %%",
			w.NewWeight, d.ID, len(running), wave, most)
	}
	got, total := 0, 0
	for id, weight := range w.Weights {
		total += weight
		if running[id] {
			got += weight
		}
	}
	if total > 0 && 100*got > (most+rounding)*total {
		c.report("S exposure", d.Service, w.At, "%d of %d parts of the traffic went to targets that run what %s brings, in wave %d: at most %d %%",
			got, total, d.ID, wave, most)
	}
}

// maxExposure returns the share of the highest stage that was begun and whose targets all have the new version. The last
// stage leaves no old side that could take any traffic.
func maxExposure(wave, running, targets int) int {
	most := 0
	for stage := 1; stage <= min(wave, len(CanaryStages())); stage++ {
		if share := CanaryStages()[stage-1]; running >= maxTouched(stage, targets) || share == 100 {
			most = share
		}
	}
	return most
}

// targetsRunning returns the targets that by some time had got a deployment's version last, as they saw it.
func (c *checker) targetsRunning(d *Deployment, by time.Time) map[string]bool {
	has := map[string]bool{}
	for _, call := range c.h.Calls {
		if call.Service != d.Service || !call.Applied || call.Received.After(by) {
			continue
		}
		delete(has, call.Target)
		if call.DeploymentID == d.ID && call.Action == "deploy" {
			has[call.Target] = true
		}
	}
	return has
}

// checkRoutersAtEnd checks that when a deployment has ended, its router was left with what its end says, and does that, unless it restarted
// later than the last reading had to be. One that is out of time does not wait for a reading.
func (c *checker) checkRoutersAtEnd() {
	for i := range c.h.Deployments {
		d := &c.h.Deployments[i]
		w := c.h.lastWrite(d)
		if w == nil || d.State == "failed" || d.Plan.Fault == DeadlinePasses {
			continue
		}
		if want, known := d.finalWeight(); known && w.NewWeight != want {
			c.report("S weights set back", d.Service, d.FinishedAt, "%s is %s and its router was set to %d at last", d.ID, d.State, w.NewWeight)
		}
		seen := d.FinishedAt.Add(-freshReading - routerCall - busy - c.h.Starved)
		if c.h.routerRestarted(d.Service, w.At, seen) {
			c.report("S ends on what the router does", d.Service, d.FinishedAt, "%s is %s and its router had forgotten that since before %s",
				d.ID, d.State, seen.UTC().Format("15:04:05.000"))
		}
	}
}

// lastWrite returns the last write that its router took of a deployment until it ended, nil when there was none. Later ones
// set a router again that forgot at rest.
func (h *History) lastWrite(d *Deployment) *Write {
	var last *Write
	for i := range h.Writes {
		w := &h.Writes[i]
		if w.DeploymentID == d.ID && w.Applied && !w.At.After(d.FinishedAt.Add(busy)) && (last == nil || w.At.After(last.At)) {
			last = w
		}
	}
	return last
}
