package chaos

import (
	"slices"
	"time"
)

// checkWaves checks that of a rolling deployment no more than a wave is out of service, targets given up as failed aside.
func (c *checker) checkWaves() {
	for _, d := range c.h.Deployments {
		if d.Plan.Strategy != Rolling || d.Kind != "deploy" {
			continue
		}
		out := map[string]bool{}
		for _, e := range d.Events {
			switch e.Type {
			case "target.intent":
				out[e.Target] = true
			case "target.verified", "target.failed":
				delete(out, e.Target)
			}
			if len(out) > d.Plan.Batch {
				c.report("S a wave", d.Service, e.At, "%s had %d targets out of service at event %d, its waves are of %d", d.ID, len(out), e.Seq, d.Plan.Batch)
				break
			}
		}
	}
}

// CanaryStages returns the shares of a canary deployment, in percent.
func CanaryStages() []int { return []int{25, 50, 100} }

// checkTouchedTargets checks that a canary never touches more targets than its stage's share, rounded up, nor sends more traffic there.
func (c *checker) checkTouchedTargets() {
	for _, d := range c.h.Deployments {
		if d.Plan.Strategy != Canary || d.Kind != "deploy" {
			continue
		}
		touched, stage := map[string]bool{}, 0
		for _, e := range d.Events {
			if e.Type == "wave.started" {
				stage = max(stage, e.Wave)
			}
			if e.Type != "target.intent" || e.Action != "deploy" {
				continue
			}
			touched[e.Target] = true
			if most := maxTouched(stage, len(d.Targets)); len(touched) > most {
				c.report("S exposure", d.Service, e.At, "%s has touched %d targets in stage %d, which allows %d", d.ID, len(touched), stage, most)
				break
			}
		}
	}
}

func maxTouched(stage, targets int) int {
	if stage < 1 || stage > len(CanaryStages()) {
		return 0
	}
	return (CanaryStages()[stage-1]*targets + 99) / 100
}

// checkNoForwardCalls checks that nothing forward is written down once the way back has begun, or after the end.
func (c *checker) checkNoForwardCalls() {
	for _, d := range c.h.Deployments {
		if d.Kind != "deploy" {
			continue
		}
		turned, over := false, false
		for _, e := range d.Events {
			switch e.Type {
			case "deployment.rollback_started", "deployment.abort_requested":
				turned = true
			case "deployment.completed", "deployment.failed", "deployment.aborted", "deployment.rolled_back":
				over = true
			case "target.intent":
				if over || turned && e.Action == "deploy" {
					c.report("S no forward call", d.Service, e.At, "%s wrote down %s of %s as event %d, after it was to stop", d.ID, e.Action, e.Target, e.Seq)
				}
			}
		}
	}
}

// checkRollbacks checks that a target that is rolled back was touched before, and gets what it ran before.
func (c *checker) checkRollbacks() {
	touched := map[[2]string]bool{}
	for _, call := range c.h.Calls {
		if call.Action == "deploy" {
			touched[[2]string{call.DeploymentID, call.Target}] = true
			continue
		}
		d := c.of[call.DeploymentID]
		if d == nil {
			continue // checkIntents has reported it
		}
		origin := d
		if d.RollbackOf != "" && c.of[d.RollbackOf] != nil {
			origin = c.of[d.RollbackOf]
		}
		i := slices.IndexFunc(origin.Targets, func(t Target) bool { return t.ID == call.Target })
		if i < 0 {
			continue
		}
		if call.Version != origin.Targets[i].Previous {
			c.report("S its own version back", call.Service, call.Received, "%s was rolled back to %s, it had run %s", call.Target, call.Version, origin.Targets[i].Previous)
		}
		if !c.hasIntent(origin, call.Target) {
			c.report("S no other target", call.Service, call.Received, "%s was rolled back and never touched", call.Target)
		}
	}
}

func (c *checker) hasIntent(d *Deployment, target string) bool {
	return slices.ContainsFunc(d.Events, func(e Event) bool {
		return e.Type == "target.intent" && e.Target == target && (e.Action == "deploy" || d.Kind == "rollback")
	})
}

// checkPauses checks that between a pause and its end nothing is written down, and no call comes once the pause was felt.
func (c *checker) checkPauses() {
	for _, d := range c.h.Deployments {
		paused := false
		for _, e := range d.Events {
			switch e.Type {
			case "deployment.paused":
				paused = true
			case "deployment.resumed", "deployment.abort_requested", "deployment.rollback_started":
				paused = false
			case "target.intent":
				if paused {
					c.report("C pause", d.Service, e.At, "%s wrote down a call of %s as event %d while it was paused", d.ID, e.Target, e.Seq)
				}
			}
		}
	}
}

// checkPauseDelay checks that no call comes between a second after the answer to a pause and whatever ends it.
func (c *checker) checkPauseDelay() {
	for _, d := range c.h.Deployments {
		for _, pause := range c.opsOf(d.ID, "pause") {
			if pause.State != "paused" {
				continue // answered again, when an abort or a rollback had come before
			}
			until := c.nextCommand(d.ID, pause)
			for _, call := range c.h.Calls {
				during := call.Received.After(pause.Answered.Add(felt)) && call.Received.Before(until)
				if call.DeploymentID == d.ID && during && !c.lateOfFrozen(call) {
					c.report("C pause", d.Service, call.Received, "%s was called %s after the pause was answered", call.Target, call.Received.Sub(pause.Answered))
				}
			}
		}
	}
}

// nextCommand returns when something that ends a pause was first asked for, however it was answered.
func (c *checker) nextCommand(id string, pause Op) time.Time {
	next := c.roundEnd()
	for _, op := range c.h.Ops {
		for _, command := range []string{"resume", "abort", "rollback", "promote"} {
			if !op.Again && op.Path == "/deployments/"+id+"/"+command && op.Answered.After(pause.Sent) && op.Sent.Before(next) {
				next = op.Sent
			}
		}
	}
	return next
}

// checkAborts checks that no forward call comes a second after the answer to an abort, except those of a frozen owner that wakes.
func (c *checker) checkAborts() {
	for _, d := range c.h.Deployments {
		aborts := c.opsOf(d.ID, "abort")
		if len(aborts) == 0 {
			continue
		}
		first := slices.MinFunc(aborts, func(a, b Op) int { return a.Answered.Compare(b.Answered) })
		for _, call := range c.h.Calls {
			late := call.DeploymentID == d.ID && call.Action == "deploy" && call.Received.After(first.Answered.Add(felt))
			if late && !c.lateOfFrozen(call) {
				c.report("C abort", d.Service, call.Received, "%s was called %s after the abort was answered", call.Target, call.Received.Sub(first.Answered))
			}
		}
	}
}

// checkPromotions checks that however often one gate is promoted, it is passed once.
func (c *checker) checkPromotions() {
	for _, d := range c.h.Deployments {
		passed := map[int]int{}
		for _, e := range d.Events {
			if e.Type == "deployment.promoted" {
				passed[e.Wave]++
			}
		}
		for wave, times := range passed {
			if times > 1 {
				c.report("C promote", d.Service, d.FinishedAt, "%s passed the gate of wave %d %d times", d.ID, wave, times)
			}
		}
	}
}
