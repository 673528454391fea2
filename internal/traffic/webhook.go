package traffic

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/url"
	"time"

	"rollcall/internal/egress"
	"rollcall/internal/rollout"
	"rollcall/internal/routing"
)

// webhook is any router that takes a signed POST, and perhaps reports on a GET what it does.
type webhook struct{ *Client }

// webhookBody is the wire form of a write. Fields may be added, never renamed or given another type.
type webhookBody struct {
	Service         string            `json:"service"`
	Environment     string            `json:"environment"`
	DeploymentID    string            `json:"deployment_id"`
	Version         *string           `json:"version"`
	PreviousVersion *string           `json:"previous_version"`
	ActiveSlot      string            `json:"active_slot"`
	NewWeight       int               `json:"new_weight"`
	OldWeight       int               `json:"old_weight"`
	Backends        []routing.Backend `json:"backends"`
}

func newWebhookBody(p splitRequest) webhookBody {
	d := p.deployment
	b := webhookBody{
		Service: d.Service, Environment: d.Environment, DeploymentID: d.ID,
		PreviousVersion: previousVersion(p.targets),
		ActiveSlot:      p.setting.ActiveSlot,
		NewWeight:       p.setting.NewWeight, OldWeight: p.setting.OldWeight,
		Backends: p.setting.Backends,
	}
	if d.Version != "" { // targets that go back to different versions share none
		b.Version = &d.Version
	}
	if b.Backends == nil {
		b.Backends = []routing.Backend{}
	}
	return b
}

// previousVersion returns the version that all touched targets ran before, or nil when they share none.
func previousVersion(targets []rollout.Target) *string {
	var shared *string
	for i := range targets {
		if !targets[i].Touched() {
			continue
		}
		version := targets[i].PreviousVersion
		if version == "" || shared != nil && *shared != version {
			return nil
		}
		shared = &version
	}
	return shared
}

func (w webhook) writeSplit(ctx context.Context, p splitRequest, call routing.Call) rollout.CallResult {
	answer := w.out.Post(ctx, egress.Webhook{
		URL: p.routerConfig().URL, ID: call.WebhookID, Attempt: call.Attempt, Fence: call.Fence,
		Secret: p.deployment.DeploySecret, Body: newWebhookBody(p), Trust: p.deployment.Spec.TLS,
	})
	// Only a read-back shows when a router that answers 202 is ready: it is as good as any 2xx.
	if answer.Kind == rollout.ResultAccepted {
		answer.Kind = rollout.ResultDone
	}
	return answer
}

func (w webhook) readState(ctx context.Context, p splitRequest) (routing.Reading, error) {
	if !p.routerConfig().ReadBack {
		return routing.Reading{}, errNoReadBack
	}
	began := time.Now()
	req, err := w.readRequest(ctx, p)
	if err != nil {
		return routing.Reading{}, err
	}
	resp, err := w.out.Do(req, p.deployment.Spec.TLS)
	if err != nil {
		return routing.Reading{}, errors.New("no answer: " + egress.ErrorText(ctx, err, began))
	}
	defer resp.Body.Close() //nolint:errcheck // it was only read
	if resp.StatusCode != http.StatusOK {
		return routing.Reading{}, fmt.Errorf("HTTP %d", resp.StatusCode)
	}
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxReply+1))
	if err != nil {
		return routing.Reading{}, errors.New("no whole answer: " + egress.ErrorText(ctx, err, began))
	}
	if len(text) > maxReply {
		return routing.Reading{}, fmt.Errorf("the answer is longer than %d MiB", maxReply>>20)
	}
	var now readBackBody
	if err := json.Unmarshal(text, &now); err != nil {
		return routing.Reading{}, errors.New("the answer is not as expected: " + egress.Sanitize(err.Error()))
	}
	return now.toReading(p.targets), nil
}

// readRequest asks about the service in its environment. A query that the URL has already is kept as it is.
func (w webhook) readRequest(ctx context.Context, p splitRequest) (*http.Request, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.routerConfig().URL, http.NoBody)
	if err != nil {
		return nil, errors.New("the router's URL is not a URL")
	}
	query := url.Values{"service": {p.deployment.Service}, "environment": {p.deployment.Environment}}.Encode()
	if req.URL.RawQuery != "" {
		query = req.URL.RawQuery + "&" + query
	}
	req.URL.RawQuery = query
	req.Header.Set("Accept", "application/json")
	req.Header.Set("Cache-Control", "no-cache")
	return req, nil
}

// readBackBody is what a router reports. A weight that it leaves out is nil, and agrees with none. It need not report
// its backends; when it does, they must be all there.
type readBackBody struct {
	DeploymentID string   `json:"deployment_id"`
	ActiveSlot   string   `json:"active_slot"`
	NewWeight    *float64 `json:"new_weight"`
	OldWeight    *float64 `json:"old_weight"`
	Backends     []struct {
		Target string   `json:"target"`
		Weight *float64 `json:"weight"`
	} `json:"backends"`
}

func (r readBackBody) toReading(targets []rollout.Target) routing.Reading {
	reading := routing.Reading{
		DeploymentID: r.DeploymentID,
		Weights:      &routing.Weights{ActiveSlot: r.ActiveSlot, NewWeight: wholeWeight(r.NewWeight), OldWeight: wholeWeight(r.OldWeight)},
	}
	if r.Backends == nil {
		return reading
	}
	weights := map[string]*float64{}
	for _, b := range r.Backends {
		weights[b.Target] = b.Weight
	}
	reading.Backends = make([]routing.BackendReading, len(targets))
	for i := range targets {
		reading.Backends[i] = routing.BackendReading{
			Target: targets[i].ID, Weight: wholeWeight(weights[targets[i].ID]), Serving: true, Sessions: -1, Effective: 100,
		}
	}
	return reading
}

// wholeWeight returns a weight as reported, or -1 when there is none or it is no whole number that a weight could be.
func wholeWeight(weight *float64) int {
	if weight == nil || *weight < 0 || *weight > maxWeight || *weight != math.Trunc(*weight) {
		return -1
	}
	return int(*weight)
}
