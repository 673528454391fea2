package rollout

// WebhookBody is the body of Rollcall's own webhook. Fields may be added, never renamed or given another type.
type WebhookBody struct {
	Action          CallAction    `json:"action"`
	DeploymentID    string        `json:"deployment_id"`
	Service         string        `json:"service"`
	Environment     string        `json:"environment"`
	Version         string        `json:"version"`
	PreviousVersion *string       `json:"previous_version"`
	Target          WebhookTarget `json:"target"`
}

// WebhookTarget is the target in a WebhookBody.
type WebhookTarget struct {
	ID       string         `json:"id"`
	Name     string         `json:"name"`
	Address  string         `json:"address"`
	Slot     string         `json:"slot"`
	Metadata map[string]any `json:"metadata"`
}

// NewWebhookBody returns the body of a call.
func NewWebhookBody(d *Deployment, t *Target, call *Call) WebhookBody {
	b := WebhookBody{
		Action:       call.Action,
		DeploymentID: d.ID,
		Service:      d.Service,
		Environment:  d.Environment,
		Version:      call.Version,
		Target:       WebhookTarget{ID: t.ID, Name: t.Name, Address: t.Address, Slot: t.Slot, Metadata: t.Metadata},
	}
	if call.PreviousVersion != "" {
		b.PreviousVersion = &call.PreviousVersion
	}
	if b.Target.Metadata == nil {
		b.Target.Metadata = map[string]any{}
	}
	return b
}
