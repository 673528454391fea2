package egress

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"

	"rollcall/internal/rollout"
	"rollcall/internal/secret"
)

// Webhook is one signed POST.
type Webhook struct {
	URL string
	// ID is the same for every attempt; receivers recognize a repeated call by it.
	ID      string
	Attempt int
	Fence   int64
	// Secret signs it; empty means the client's own key.
	Secret secret.Secret
	// Body is sent as JSON.
	Body any
	// Trust may be nil.
	Trust *rollout.TLS
}

// Post sends w once and returns its result. It ends with ctx. All that goes wrong is in the result: ResultNotSent when no
// byte of the request can have left, ResultUnknown if that is unknown.
func (c *Client) Post(ctx context.Context, w Webhook) rollout.CallResult {
	r, err := w.toRequest()
	if err != nil {
		return notSent(err)
	}
	resp, failure := c.sendOnce(ctx, r, w.Trust)
	if resp == nil {
		return failure
	}
	return readResult(resp)
}

func (w Webhook) toRequest() (Request, error) {
	payload, err := json.Marshal(w.Body)
	if err != nil {
		return Request{}, fmt.Errorf("the call cannot be encoded: %w", err)
	}
	header := http.Header{}
	header.Set("Content-Type", "application/json")
	header.Set("Rollcall-Attempt", strconv.Itoa(w.Attempt))
	header.Set("Rollcall-Fence", strconv.FormatInt(w.Fence, 10))
	return Request{Method: http.MethodPost, URL: w.URL, Header: header, Body: payload, ID: w.ID, Secret: w.Secret, signed: true}, nil
}
