package traffic

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"rollcall/internal/rollout"
	"rollcall/internal/routing"
)

// The administrative states of a server, as routing.BackendReading.HeldBy and routing.Config.TakeOut name them.
const (
	drainState = "drain"
	maintState = "maint"
)

// heldBy returns the administrative state that keeps new traffic away from a server.
func (s server) heldBy() string {
	switch {
	case s.admin&adminMaint != 0:
		return maintState
	case s.admin&adminDrain != 0:
		return drainState
	default:
		return ""
	}
}

// isUsable reports whether HAProxy would give a server new traffic if it were its turn.
func (s server) isUsable() bool {
	return s.heldBy() == "" && s.weight > 0 && (s.op == opRunning || s.op == opStarting)
}

// idleReason returns why a server gets no new traffic; empty when it does.
func (v *view) idleReason(name string) string {
	s := v.servers[name]
	switch {
	case s.heldBy() != "":
		return name + " is " + s.heldText()
	case s.op == opStopping:
		return name + " is stopping: " + s.cause
	case s.op == opStopped:
		return strings.TrimSuffix(name+" is down: "+s.cause, ": ")
	case s.weight == 0:
		return name + " has weight 0"
	case s.backup && !v.backupServes(name):
		return name + " is a backup, and serves only when others cannot"
	default:
		return ""
	}
}

func (s server) heldText() string {
	switch {
	case s.admin&(adminNoAddress|adminNoName) != 0:
		return "in maintenance, because its name has no address"
	case s.admin&(adminInheritedMaint|adminInheritedDrain) != 0 && s.admin&(adminForcedMaint|adminForcedDrain) == 0:
		return fmt.Sprintf("in %s through the server that it tracks (%s)", s.heldBy(), s.status)
	case s.admin&adminForcedMaint != 0:
		return "in maintenance"
	default:
		return "in drain"
	}
}

// backupServes reports whether a backup serves: no server that is none can, and it is the first of them, or all count.
func (v *view) backupServes(name string) bool {
	first, sum := "", 0
	for _, other := range v.order {
		s := v.servers[other]
		switch {
		case !s.isUsable():
		case !s.backup:
			return false
		default:
			if first == "" {
				first = other
			}
			sum += s.weight
		}
	}
	return first == name || v.total >= sum
}

// leavesNoServer reports whether the weights would leave no server where there is one now: all that they give traffic to
// is down in HAProxy's own opinion, which may be behind by a check or two after a deploy. Weights that are all zero are
// intended, and do not count.
func (v *view) leavesNoServer(p splitRequest, shares []serverWeight, call routing.Call) bool {
	after := view{servers: maps.Clone(v.servers)}
	for _, want := range shares {
		s := after.servers[want.server]
		if s.weight = want.weight; v.canRestore(p, want, call) {
			s.admin = 0
		}
		after.servers[want.server] = s
	}
	given := slices.ContainsFunc(shares, func(want serverWeight) bool { return want.weight > 0 })
	return given && v.hasUsableServer() && !after.hasUsableServer()
}

func (v *view) hasUsableServer() bool {
	for _, s := range v.servers {
		if s.isUsable() {
			return true
		}
	}
	return false
}

// readingOf returns what the view shows of the targets' servers.
func (v *view) readingOf(p splitRequest, shares []serverWeight) routing.Reading {
	r := routing.Reading{Backends: make([]routing.BackendReading, len(shares)), Instance: v.processID()}
	for i, want := range shares {
		s := v.servers[want.server]
		why := v.idleReason(want.server)
		r.Backends[i] = routing.BackendReading{
			Target: want.target, Weight: s.weightAsSet(lastSent(p.deployment, want.target)), Serving: why == "", Why: why,
			HeldBy: s.heldBy(), Sessions: s.sessions, Effective: s.effective,
		}
	}
	return r
}

// processID names the process that answered. A process id alone is the same again after a container was restarted.
func (v *view) processID() string {
	if v.pid == "" {
		return ""
	}
	return v.pid + "/" + v.started
}

// weightAsSet returns the weight of a server, without what an agent made of it: an agent's percentage replaces the weight
// that was set, in full rotation and in drain alike. sent is the weight that was last sent, -1 when none was.
func (s server) weightAsSet(sent int) int {
	switch {
	case !s.agent || s.weight == sent:
		return s.weight
	case sent == 0 && s.heldBy() != "":
		return 0
	case s.weight == 0:
		return 0
	default:
		return s.configured
	}
}

// lastSent returns the weight that a target has in the last write of the deployment, or -1.
func lastSent(d *rollout.Deployment, target string) int {
	if d.Progress.Router == nil || d.Progress.Router.Sent == nil {
		return -1
	}
	for _, b := range d.Progress.Router.Sent.Setting.Backends {
		if b.Target == target {
			return b.Weight
		}
	}
	return -1
}
