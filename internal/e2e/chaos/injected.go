package chaos

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// CountInjected counts the faults that demonstrably happened: those that the player noted, each confirmed by what was seen where its
// moment is a claim about calls, and those of targets, routers and clients by what they saw themselves.
func CountInjected(h *History) map[Kind]int {
	c := &checker{h: h, intents: map[callKey]Event{}, of: map[string]*Deployment{}}
	c.indexHistory()
	injected := map[Kind]int{}
	for _, f := range h.Faults {
		if !f.Missed {
			injected[c.confirmedKind(f)]++
		}
	}
	for i := range h.Deployments {
		c.countScenario(&h.Deployments[i], injected)
	}
	for _, w := range h.Writes {
		if w.Applied && w.Status == http.StatusInternalServerError {
			injected[RouterFailsLate]++
		}
	}
	for _, r := range h.Restarts {
		if h.forgottenDeployment(r) != nil {
			injected[RouterRestarts]++
		}
	}
	return injected
}

// around a kill: how long before it a call may have been written down or answered.
const justBefore = 2 * time.Second

// confirmedKind returns the kind that a fault turned out to be: a kill whose moment was missed is one at a random time.
func (c *checker) confirmedKind(f Fault) Kind {
	switch {
	case f.Kind == KillBeforeSend && !c.hasUnsentCall(f), f.Kind == KillAnswered && !c.hasUnsavedResult(f):
		return Kill
	default:
		return f.Kind
	}
}

// hasUnsentCall reports whether the killed replica had written a call down that no target received.
func (c *checker) hasUnsentCall(f Fault) bool {
	got := map[callKey]bool{}
	for _, call := range c.h.Calls {
		got[callKey{call.WebhookID, call.Attempt, call.Fence}] = true
	}
	for _, w := range c.h.Writes {
		got[callKey{w.WebhookID, w.Attempt, w.Fence}] = true
	}
	for key, intent := range c.intents {
		if intent.Replica == f.ReplicaID && !got[key] && isNearKill(intent.At, f.Ended) {
			return true
		}
	}
	return false
}

// hasUnsavedResult reports whether the killed replica had been answered by a target and has not written that down.
func (c *checker) hasUnsavedResult(f Fault) bool {
	saved := map[callKey]bool{}
	for _, d := range c.h.Deployments {
		for _, e := range d.Events {
			if e.Type == "target.result" && e.Replica == f.ReplicaID && e.At.Before(f.To) {
				saved[callKey{e.WebhookID, e.Attempt, e.Fence}] = true
			}
		}
	}
	return slices.ContainsFunc(c.h.Calls, func(call Call) bool {
		key := callKey{call.WebhookID, call.Attempt, call.Fence}
		return call.Status != 0 && c.intents[key].Replica == f.ReplicaID && !saved[key] && isNearKill(call.Answered, f.Ended)
	})
}

func isNearKill(at, kill time.Time) bool {
	return at.After(kill.Add(-justBefore)) && at.Before(kill.Add(clock))
}

// countScenario counts what befell a deployment by what it was to live through.
func (c *checker) countScenario(d *Deployment, injected map[Kind]int) {
	if d.Kind != "deploy" {
		return
	}
	switch d.Plan.Fault {
	case RouterRestarts: // its router has seen it
	case SamePost:
		injected[SamePost] += c.countFlood(d)
	case CommandsAtOnce, PromotesAtOnce:
		injected[d.Plan.Fault] += c.countRace(d)
	case TargetTurnsUnhealthy:
		if d.hasEvent("target.sick") || d.hasEvent("target.failed") {
			injected[TargetTurnsUnhealthy]++
		}
	case DeadlinePasses:
		injected[DeadlinePasses] += c.countOverdue(d)
	default:
		injected[d.Plan.Fault] += c.countTargetsHit(d)
	}
}

// countFlood returns 1 when a creation was asked for 32 times, and at least two replicas answered.
func (c *checker) countFlood(d *Deployment) int {
	asked, answered := 0, map[int]bool{}
	for _, op := range c.h.Ops {
		if op.Key == d.Key && op.Method == http.MethodPost {
			asked++
			if op.Status == http.StatusAccepted || op.Status == http.StatusConflict {
				answered[op.Replica] = true
			}
		}
	}
	if asked >= 32 && len(answered) >= 2 {
		return 1
	}
	return 0
}

// countRace returns 1 when two commands at least were asked for at one instant and answered by the deployment's state,
// one with success.
func (c *checker) countRace(d *Deployment) int {
	var ops []Op
	for _, op := range c.h.Ops {
		if op.Method == http.MethodPost && strings.HasPrefix(op.Path, "/deployments/"+d.ID+"/") && op.Status != 0 && op.Status != http.StatusServiceUnavailable {
			ops = append(ops, op)
		}
	}
	for i, a := range ops {
		if slices.ContainsFunc(ops[i+1:], func(b Op) bool { return a.racesWith(b) }) {
			return 1
		}
	}
	return 0
}

// racesWith reports whether two commands were under way together and one of them, at least, changed something.
func (op Op) racesWith(o Op) bool {
	together := op.Sent.Before(o.Answered) && o.Sent.Before(op.Answered)
	return together && (op.tookEffect() || o.tookEffect())
}

func (op Op) tookEffect() bool { return op.Status == http.StatusOK && !isTerminal(op.State) }

// countOverdue returns 1 when the deployment ended or rolled back after a deadline that it had.
func (c *checker) countOverdue(d *Deployment) int {
	for _, read := range c.h.deadlinesOf(d.ID) {
		if d.nextMove(read.Answered, c.h).After(read.Deadline) {
			return 1
		}
	}
	return 0
}

// countTargetsHit returns how many targets treated a call of the deployment as its fault says.
func (c *checker) countTargetsHit(d *Deployment) int {
	met := map[string]bool{}
	for _, call := range c.h.Calls {
		if call.DeploymentID == d.ID && call.Action == "deploy" && d.Plan.hitsTarget(call.Target) && d.Plan.Fault.matchesCall(call) {
			met[call.Target] = true
		}
	}
	return len(met)
}

// hitsTarget reports whether a target, "web-1" to "web-6", is one of those that the plan names: one in each slot.
func (p Plan) hitsTarget(target string) bool {
	number, err := strconv.Atoi(strings.TrimPrefix(target, "web-"))
	return err == nil && (number-1)%3 == p.Target%3
}

// ProxiedWork is how long a target works at least whose proxy gives up before.
const ProxiedWork = 600 * time.Millisecond

// matchesCall reports whether a call was treated as the fault says.
func (k Kind) matchesCall(call Call) bool {
	took := call.Answered.Sub(call.Received)
	switch k {
	case TargetHangs:
		return call.Status == 0 && !call.Applied && took >= time.Second
	case TargetProxied:
		return call.Status == http.StatusOK && call.Applied && took >= ProxiedWork
	case TargetResets:
		return call.Status == 0 && took >= 0 && took < 50*time.Millisecond
	default:
		want, known := map[Kind]treatment{
			TargetFails:     {http.StatusInternalServerError, false},
			TargetFailsLate: {http.StatusInternalServerError, true},
			TargetBusy:      {http.StatusTooManyRequests, false},
			TargetRedirects: {http.StatusFound, false},
			TargetLies:      {http.StatusOK, false},
			TargetDrips:     {http.StatusOK, true},
			TargetUnhealthy: {http.StatusOK, true},
		}[k]
		return known && want == treatment{call.Status, call.Applied}
	}
}

// treatment is what a target answered, and whether it did what was asked.
type treatment struct {
	status  int
	applied bool
}
