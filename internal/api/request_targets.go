package api

import (
	"encoding/json"
	"fmt"
	"strings"

	"rollcall/internal/api/gen"
	"rollcall/internal/rollout"
)

// maxMetadata bounds a target's metadata, in bytes of JSON.
const maxMetadata = 16 << 10

// targets reads the targets in the request's order.
func (q *request) targets(deployPath string) []rollout.Target {
	given := or(q.body.Targets, nil)
	if q.body.Targets == nil && q.partial {
		return nil
	}
	if len(given) == 0 {
		q.add("/targets", "there are none: give targets here, or register a definition of the service in this environment")
		return nil
	}
	byID, byAddress := map[string]int{}, map[string]int{}
	targets := make([]rollout.Target, len(given))
	for i := range given {
		pointer := fmt.Sprintf("/targets/%d", i)
		t, normal := q.target(&given[i], pointer, deployPath)
		q.unique(byID, t.ID, i, pointer+"/id")
		if normal != "" {
			q.unique(byAddress, normal, i, pointer+"/address")
		}
		targets[i] = t
	}
	return targets
}

// unique blames the later of two targets that share a value.
func (q *request) unique(seen map[string]int, value string, i int, pointer string) {
	if first, taken := seen[value]; taken {
		q.add(pointer, "is the same as that of /targets/%d", first)
		return
	}
	seen[value] = i
}

// target reads one target; its normal address is empty when the address is wrong.
func (q *request) target(g *gen.TargetRequest, pointer, deployPath string) (t rollout.Target, normal string) {
	normal = q.address(g.Address, pointer+"/address")
	t = rollout.Target{
		ID: g.ID, Name: or(g.Name, g.ID), Address: g.Address, Slot: or(g.Slot, ""), Metadata: or(g.Metadata, nil),
		Version: or(g.Version, ""), Weight: or(g.Weight, 0), DeployURL: strings.TrimRight(g.Address, "/") + deployPath,
	}
	q.version(t.Version, pointer+"/version")
	if g.DeployURL != nil {
		t.DeployURL = *g.DeployURL
		q.url(*g.DeployURL, pointer+"/deploy_url")
	}
	if t.Metadata == nil {
		t.Metadata = map[string]any{}
	}
	if encoded, err := json.Marshal(t.Metadata); err != nil || len(encoded) > maxMetadata {
		q.add(pointer+"/metadata", "must have at most %d bytes", maxMetadata)
	}
	return t, normal
}
