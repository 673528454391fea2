package target

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"rollcall/internal/rollout"
)

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

// request builds the signed POST. Its errors are fit for people and hold neither secrets nor the URL's credentials.
func (c *Client) request(
	ctx context.Context, d *rollout.Deployment, t *rollout.Target, call rollout.Call,
) (*http.Request, error) {
	payload, err := json.Marshal(newBody(d, t, call))
	if err != nil {
		return nil, fmt.Errorf("encode the target's metadata: %w", err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, t.DeployURL, bytes.NewReader(payload))
	if err != nil {
		return nil, errors.New("the deploy URL is not a URL")
	}
	// With GetBody net/http could send the request again by itself.
	req.GetBody = nil
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", c.userAgent)
	req.Header.Set("Rollcall-Attempt", strconv.Itoa(call.Attempt))
	req.Header.Set("Rollcall-Fence", strconv.FormatInt(call.Fence, 10))
	secret := d.DeploySecret
	if secret == "" {
		secret = c.key
	}
	return req, sign(req.Header, secret, call.WebhookID, time.Now(), payload)
}
