package traffic

import (
	"fmt"
	"strings"

	"rollcall/internal/rollout"
	"rollcall/internal/routing"
)

// unsupportedBalance says of each way to balance that does not share by weights at run time why not.
var unsupportedBalance = map[string]string{
	"first":      "fills one server after the other and ignores weights",
	"static-rr":  "does not take weights at run time",
	"source":     "sends each client to the server of its hash",
	"uri":        "sends each path to the server of its hash",
	"url_param":  "sends each value to the server of its hash",
	"hdr":        "sends each value to the server of its hash",
	"rdp-cookie": "sends each value to the server of its hash",
	"hash":       "sends each value to the server of its hash",
	"none":       "does not balance",
}

// unsupportedReason returns why HAProxy, as it is configured, can never do what is asked; empty when it can. Each reason names
// what to change.
func (v *view) unsupportedReason(p splitRequest, shares []serverWeight, call routing.Call) string {
	switch why, no := unsupportedBalance[v.algorithm]; {
	case v.level != "" && v.level != levelAdmin:
		return fmt.Sprintf("the socket %s has level %s, and only level admin may set weights (\"stats socket … level admin\")", v.place.socket, v.level)
	case no:
		return fmt.Sprintf("%s has \"balance %s\", which %s: use roundrobin, leastconn or random", v.place, v.algorithm, why)
	}
	for _, want := range shares {
		if _, ok := v.servers[want.server]; !ok {
			return fmt.Sprintf("HAProxy's %s has no server %s", v.place, want.server)
		}
	}
	if why := v.agentConflict(p, shares); why != "" {
		return why
	}
	return v.starvedServers(shares, call)
}

// agentConflict returns which server's agent would overrule a share of traffic. That can only be seen before the first
// write: later the weight may be one that was set.
func (v *view) agentConflict(p splitRequest, shares []serverWeight) string {
	if r := p.deployment.Progress.Router; r != nil && (r.Applied != nil || r.SplitSeq > 1) || !sharesTraffic(p.deployment) {
		return ""
	}
	for _, want := range shares {
		if s := v.servers[want.server]; s.agent && s.weight > 0 && s.weight != s.configured && s.weight != want.weight {
			return fmt.Sprintf("the agent of server %s sets its weight (%d instead of %d): no share of traffic can be kept there", want.server, s.weight, s.configured)
		}
	}
	return ""
}

// sharesTraffic reports whether both sides of a deployment serve for a while: rolling and blue-green put servers in and out.
func sharesTraffic(d *rollout.Deployment) bool { return d.Spec.Strategy.Type == "canary" }

// maxOutgrown is by how many percent the weights of the targets may outgrow those in full rotation.
const maxOutgrown = 2

// starvedServers names the servers that are no targets and would lose their share: the weights of the targets together would be
// greater than in full rotation.
func (v *view) starvedServers(shares []serverWeight, call routing.Call) string {
	full, sum := 0, 0
	for _, b := range call.Baseline {
		full += b.Weight
	}
	ours := map[string]bool{}
	for _, want := range shares {
		sum += want.weight
		ours[want.server] = true
	}
	if full == 0 || sum*fullShare <= full*(fullShare+maxOutgrown) {
		return ""
	}
	var others []string
	for _, name := range v.order {
		if s := v.servers[name]; !ours[name] && s.isUsable() && !s.backup {
			others = append(others, name)
		}
	}
	if len(others) == 0 {
		return ""
	}
	return fmt.Sprintf("whole numbers cannot give these shares without taking from %s in %s, which are no targets (weights of %d together instead of %d): "+
		"give all its servers greater weights", strings.Join(others, ", "), v.place, sum, full)
}
