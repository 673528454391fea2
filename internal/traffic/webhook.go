package traffic

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"rollcall/internal/outbound"
	"rollcall/internal/rollout"
)

// webhook is any router that takes a signed POST, and perhaps tells with a GET what it does.
type webhook struct{ *Mover }

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
	Backends        []rollout.Backend `json:"backends"`
}

func newWebhookBody(p position) webhookBody {
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
		b.Backends = []rollout.Backend{}
	}
	return b
}

// previousVersion is the version that all touched targets ran before, or nil when they share none.
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

func (w webhook) write(ctx context.Context, p position, call rollout.RouterCall) rollout.Answer {
	answer := w.out.Post(ctx, outbound.Webhook{
		URL: p.traffic().URL, ID: call.WebhookID, Attempt: call.Attempt, Fence: call.Fence,
		Secret: p.deployment.DeploySecret, Body: newWebhookBody(p), Trust: p.deployment.Spec.TLS,
	})
	// Nothing tells later when a router that answers 202 is ready, except its read-back: it is as good as any 2xx.
	if answer.Kind == rollout.AnswerAccepted {
		answer.Kind = rollout.AnswerDone
	}
	return answer
}

func (w webhook) read(ctx context.Context, p position) (reading, error) {
	if !p.traffic().ReadBack {
		return reading{}, errBlind
	}
	began := time.Now()
	req, err := w.get(ctx, p)
	if err != nil {
		return reading{}, err
	}
	resp, err := w.out.Do(req, p.deployment.Spec.TLS)
	if err != nil {
		return reading{}, errors.New("no answer: " + outbound.Why(ctx, err, began))
	}
	defer resp.Body.Close() //nolint:errcheck // it was only read
	if resp.StatusCode != http.StatusOK {
		return reading{}, fmt.Errorf("HTTP %d", resp.StatusCode)
	}
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxReply+1))
	if err != nil {
		return reading{}, errors.New("no whole answer: " + outbound.Why(ctx, err, began))
	}
	if len(text) > maxReply {
		return reading{}, fmt.Errorf("the answer is longer than %d MiB", maxReply>>20)
	}
	var now report
	if err := json.Unmarshal(text, &now); err != nil {
		return reading{}, errors.New("the answer is not as expected: " + outbound.OneLine(err.Error()))
	}
	return reading{differs: now.differs(p), whole: now.Backends != nil}, nil
}

// get asks about the service in its environment. A query that the URL has already is kept as it is.
func (w webhook) get(ctx context.Context, p position) (*http.Request, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.traffic().URL, http.NoBody)
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

// report is what a router says of itself. A weight that it leaves out is nil, and agrees with none. It need not tell
// those of its backends; when it does, they must be all there.
type report struct {
	DeploymentID string   `json:"deployment_id"`
	ActiveSlot   string   `json:"active_slot"`
	NewWeight    *float64 `json:"new_weight"`
	OldWeight    *float64 `json:"old_weight"`
	Backends     []struct {
		Target string   `json:"target"`
		Weight *float64 `json:"weight"`
	} `json:"backends"`
}

func (r report) differs(p position) string {
	switch {
	case r.DeploymentID != p.deployment.ID:
		return outbound.OneLine(fmt.Sprintf("deployment_id %q, not %q", r.DeploymentID, p.deployment.ID))
	case r.ActiveSlot != p.setting.ActiveSlot:
		return outbound.OneLine(fmt.Sprintf("active_slot %q, not %q", r.ActiveSlot, p.setting.ActiveSlot))
	case !isWeight(r.NewWeight, p.setting.NewWeight):
		return fmt.Sprintf("new_weight %s, not %d", shown(r.NewWeight), p.setting.NewWeight)
	case !isWeight(r.OldWeight, p.setting.OldWeight):
		return fmt.Sprintf("old_weight %s, not %d", shown(r.OldWeight), p.setting.OldWeight)
	case r.Backends != nil:
		return r.backendsDiffer(p)
	default:
		return ""
	}
}

func (r report) backendsDiffer(p position) string {
	weights := map[string]*float64{}
	for _, b := range r.Backends {
		weights[b.Target] = b.Weight
	}
	for _, b := range p.setting.Backends {
		if is := weights[b.Target]; !isWeight(is, b.Weight) {
			return outbound.OneLine(fmt.Sprintf("target %s with weight %s, not %d", b.Target, shown(is), b.Weight))
		}
	}
	return ""
}

func isWeight(said *float64, want int) bool { return said != nil && *said == float64(want) }

func shown(weight *float64) string {
	if weight == nil {
		return "missing"
	}
	return strconv.FormatFloat(*weight, 'g', -1, 64)
}
