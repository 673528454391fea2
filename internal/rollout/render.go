package rollout

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"rollcall/internal/request"
	"rollcall/internal/secret"
)

// IsOwnProtocol reports whether targets are called by Rollcall's own webhook, and their answers read as it says.
func (d *Deploy) IsOwnProtocol() bool {
	return d.Request == nil && d.OK == nil && d.RetryOn == nil && d.Done == nil
}

// RenderCall returns the call of a target, in whose name ForTarget has returned the deployment. The same deployment, target
// and call make the same request again.
func (d *Deployment) RenderCall(t *Target, call *Call) (request.Rendered, error) {
	values := callValues(d, t, call)
	ownBody := func() ([]byte, error) { return json.Marshal(NewWebhookBody(d, t, call)) }
	if r := d.Spec.Deploy.Request; r != nil {
		return r.Render(values, ownBody) //nolint:wrapcheck // it says where and what
	}
	body, err := ownBody()
	if err != nil {
		return request.Rendered{}, fmt.Errorf("the call cannot be encoded: %w", err)
	}
	url, err := renderDeployURL(t.CallURL(), values)
	if err != nil {
		return request.Rendered{}, fmt.Errorf("deploy_url %w", err)
	}
	return request.Rendered{
		Method: "POST", URL: url, Headers: map[string]secret.Secret{"content-type": "application/json"}, Body: body,
	}, nil
}

// renderDeployURL returns the URL of Rollcall's own webhook. One that was stored before there were placeholders is called as
// it is when it is no template.
func renderDeployURL(url string, values request.Values) (string, error) {
	isTemplate := strings.ContainsAny(url, "{}") && request.CheckURL(url, request.TargetNames) == nil
	if !isTemplate {
		return url, nil
	}
	return request.RenderURL(url, values) //nolint:wrapcheck // it says what
}

// describeCall returns what is recorded of a rendered call; nil for Rollcall's own webhook, and for what cannot be rendered,
// which is not sent.
func (d *Deployment) describeCall(t *Target, call *Call) *SentRequest {
	if d.Spec.Deploy.Request == nil {
		return nil
	}
	rendered, err := d.RenderCall(t, call)
	if err != nil {
		return nil
	}
	return &SentRequest{Method: rendered.Method, URL: request.WithoutQuery(rendered.URL), BodySHA256: rendered.BodySHA256()}
}

// DescribeCall sets what is recorded of the target's call.
func (d *Deployment) DescribeCall(t *Target, call *Call) {
	call.Request = d.ForTarget(t).describeCall(t, call)
}

// callValues returns the values of placeholders in the call of a target.
func callValues(d *Deployment, t *Target, call *Call) request.Values {
	return func(name string) (request.Value, bool) {
		if key, found := request.MetadataKey(name); found {
			return metadataValue(t.Metadata, key)
		}
		if key, found := request.LabelKey(name); found {
			label, there := d.Labels[key]
			return request.Value{Text: label}, there
		}
		value, found := callValue(d, t, call, name)
		return value, found
	}
}

func callValue(d *Deployment, t *Target, call *Call, name string) (request.Value, bool) {
	texts := map[string]string{
		"version": call.Version, "previous_version": call.PreviousVersion, "action": string(call.Action),
		"service": d.Service, "environment": d.Environment, "deployment_id": d.ID, "webhook_id": call.WebhookID,
		"target.id": t.ID, "target.name": t.Name, request.Address: t.Address, "target.slot": t.Slot,
	}
	if text, found := texts[name]; found {
		return request.Value{Text: text}, true
	}
	numbers := map[string]int64{"attempt": int64(call.Attempt), "fence": call.Fence, "wave": int64(t.Wave)}
	number, found := numbers[name]
	text := strconv.FormatInt(number, 10)
	return request.Value{Text: text, JSON: []byte(text)}, found
}

// metadataValue returns a string, number or boolean of the metadata.
func metadataValue(metadata map[string]any, key string) (request.Value, bool) {
	switch v := metadata[key].(type) {
	case string:
		return request.Value{Text: v}, true
	case bool, float64, json.Number:
		text, err := json.Marshal(v)
		return request.Value{Text: string(text)}, err == nil
	default:
		return request.Value{}, false
	}
}
