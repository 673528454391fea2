package egress

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptrace"
	"strconv"
	"sync/atomic"
	"time"

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

// Post sends w once and says what came of it. It ends with ctx. All that goes wrong is in the answer: ResultNotSent when
// no byte of the request can have left, ResultUnknown if that is unknown.
func (c *Client) Post(ctx context.Context, w Webhook) rollout.CallResult {
	began := time.Now()
	var connected atomic.Bool // set by the transport's own goroutines
	req, err := c.request(httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GotConn: func(httptrace.GotConnInfo) { connected.Store(true) },
	}), w)
	if err != nil {
		return rollout.CallResult{Kind: rollout.ResultNotSent, Message: "not sent: " + Sanitize(err.Error())}
	}
	resp, err := c.Do(req, w.Trust)
	if err != nil {
		return FailedCall(ctx, connected.Load(), err, began)
	}
	return readResult(resp)
}

// request builds the POST. Its errors are fit for users and contain neither secrets nor the URL's credentials.
func (c *Client) request(ctx context.Context, w Webhook) (*http.Request, error) {
	payload, err := json.Marshal(w.Body)
	if err != nil {
		return nil, fmt.Errorf("the call cannot be encoded: %w", err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, w.URL, bytes.NewReader(payload))
	if err != nil {
		return nil, errors.New("the address is not a URL")
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Rollcall-Attempt", strconv.Itoa(w.Attempt))
	req.Header.Set("Rollcall-Fence", strconv.FormatInt(w.Fence, 10))
	secret := w.Secret
	if secret == "" {
		secret = c.key
	}
	return req, signRequest(req.Header, secret, w.ID, time.Now(), payload)
}
