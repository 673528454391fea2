package target

import "rollcall/internal/rollout"

// body is the wire form of a call. Fields may be added, never renamed or given another type.
type body struct {
	Action          rollout.CallAction `json:"action"`
	DeploymentID    string             `json:"deployment_id"`
	Service         string             `json:"service"`
	Environment     string             `json:"environment"`
	Version         string             `json:"version"`
	PreviousVersion *string            `json:"previous_version"`
	Target          bodyTarget         `json:"target"`
}

type bodyTarget struct {
	ID       string         `json:"id"`
	Name     string         `json:"name"`
	Address  string         `json:"address"`
	Slot     string         `json:"slot"`
	Metadata map[string]any `json:"metadata"`
}

func newBody(d *rollout.Deployment, t *rollout.Target, call rollout.Call) body {
	b := body{
		Action:       call.Action,
		DeploymentID: d.ID,
		Service:      d.Service,
		Environment:  d.Environment,
		Version:      call.Version,
		Target:       bodyTarget{ID: t.ID, Name: t.Name, Address: t.Address, Slot: t.Slot, Metadata: t.Metadata},
	}
	if call.PreviousVersion != "" {
		b.PreviousVersion = &call.PreviousVersion
	}
	if b.Target.Metadata == nil {
		b.Target.Metadata = map[string]any{}
	}
	return b
}
