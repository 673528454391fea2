package target

import (
	"context"
	"crypto/hmac"
	"crypto/sha1" //nolint:gosec // some receivers know nothing else, and HMAC-SHA-1 is not broken
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"hash"
	"net/http"
	"strconv"
	"time"

	"rollcall/internal/egress"
	"rollcall/internal/request"
	"rollcall/internal/rollout"
	"rollcall/internal/secret"
)

// send renders the call, signs it and sends it once.
func (c *Client) send(ctx context.Context, d *rollout.Deployment, t *rollout.Target, call *rollout.Call) rollout.CallResult {
	rendered, err := d.RenderCall(t, call)
	if err != nil {
		return notSent(err)
	}
	if d.Spec.Deploy.IsOwnProtocol() {
		return c.out.Post(ctx, egress.Webhook{
			URL: rendered.URL, ID: call.WebhookID, Attempt: call.Attempt, Fence: call.Fence,
			Secret: d.DeploySecret, Body: json.RawMessage(rendered.Body), Trust: d.Spec.TLS,
		})
	}
	if unreadable(d.Spec.Deploy.Request) {
		return notSent(errNoHeader)
	}
	outgoing := egress.Request{
		Method: rendered.Method, URL: rendered.URL, Header: header(&rendered, call), Body: rendered.Body, Trust: d.Spec.TLS,
	}
	if err := sign(&outgoing, d, call.WebhookID); err != nil {
		return notSent(err)
	}
	response := c.out.Send(ctx, outgoing)
	if response.Status == 0 {
		return response.Failure
	}
	return judge(&d.Spec.Deploy, &rendered, &response)
}

func notSent(err error) rollout.CallResult {
	return rollout.CallResult{Kind: rollout.ResultNotSent, Message: "not sent: " + egress.Sanitize(err.Error())}
}

func header(rendered *request.Rendered, call *rollout.Call) http.Header {
	h := http.Header{}
	for name, value := range rendered.Headers {
		h.Set(name, value.Reveal())
	}
	h.Set("Webhook-Id", call.WebhookID)
	h.Set("Rollcall-Attempt", strconv.Itoa(call.Attempt))
	h.Set("Rollcall-Fence", strconv.FormatInt(call.Fence, 10))
	return h
}

var errNoHeader = errors.New("a header of the request is sealed with a key that this server does not have")

// unreadable reports whether the value of a header could not be opened: a receiver is not to get the stars.
func unreadable(r *request.Request) bool {
	if r != nil {
		for _, value := range r.Headers {
			if value.Redacted() {
				return true
			}
		}
	}
	return false
}

var errNoKey = errors.New("deploy.secret, which signs the call, is missing or cannot be read")

// sign signs the call as its request says.
func sign(r *egress.Request, d *rollout.Deployment, id string) error {
	how, key := signing(&d.Spec.Deploy), d.DeploySecret
	if how.Type == request.SignStandard {
		r.ID, r.Secret = id, key // a client with an id signs
		return nil
	}
	r.Header.Set("Webhook-Timestamp", strconv.FormatInt(time.Now().Unix(), 10))
	if how.Type == request.SignNone {
		return nil
	}
	if key == "" || key.Redacted() {
		return errNoKey
	}
	r.Header.Set(how.Header, how.Prefix+signature(how, key, r.Body))
	return nil
}

func signing(deploy *rollout.Deploy) request.Sign {
	if deploy.Request == nil || deploy.Request.Sign == nil {
		return request.Sign{Type: request.SignStandard}
	}
	return *deploy.Request.Sign
}

func signature(how request.Sign, key secret.Secret, body []byte) string {
	var algorithm func() hash.Hash
	switch how.Algorithm {
	case "sha512":
		algorithm = sha512.New
	case "sha1":
		algorithm = sha1.New
	default:
		algorithm = sha256.New
	}
	mac := hmac.New(algorithm, []byte(key.Reveal()))
	mac.Write(body)
	if how.Encoding == "base64" {
		return base64.StdEncoding.EncodeToString(mac.Sum(nil))
	}
	return hex.EncodeToString(mac.Sum(nil))
}
