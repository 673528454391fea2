package egress

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"time"

	"rollcall/internal/rollout"
	"rollcall/internal/secret"
)

// Request is one call of another service's API.
type Request struct {
	// Method is GET if it is empty.
	Method, URL string
	// Header is added to the client's headers; it may be nil.
	Header http.Header
	Body   []byte
	// ID makes it a webhook of that id (Standard Webhooks 1.0); empty for what is none. Secret signs that; empty means the
	// client's own key.
	ID     string
	Secret secret.Secret
	// Trust may be nil.
	Trust *rollout.TLS
	// signed says that it is a webhook even without an id.
	signed bool
}

// Response is a response, or the reason why there is none.
type Response struct {
	// Status is 0 if there was none; Failure then has the reason, and how far the request got.
	Status  int
	Header  http.Header
	Failure rollout.CallResult
	// Body is at most MaxBody of the body.
	Body []byte
}

// Send sends r once and returns the response, which the caller evaluates. It ends with ctx.
func (c *Client) Send(ctx context.Context, r Request) Response {
	resp, failure := c.sendOnce(ctx, r, r.Trust)
	if resp == nil {
		return Response{Failure: failure}
	}
	defer resp.Body.Close() //nolint:errcheck // nothing depends on how the body ends
	answer := Response{Status: resp.StatusCode, Header: resp.Header}
	if resp.StatusCode != http.StatusSwitchingProtocols { // after that the body is the bare connection, and has no end
		answer.Body, _ = io.ReadAll(io.LimitReader(resp.Body, MaxBody)) // cut short, it is judged as far as it came
	}
	return answer
}

// sendOnce sends r once and returns the response, whose body the caller closes; nil comes with the result of the failed call.
func (c *Client) sendOnce(ctx context.Context, r Request, trust *rollout.TLS) (*http.Response, rollout.CallResult) {
	began := time.Now()
	req, err := c.newHTTPRequest(ctx, r)
	if err != nil {
		return nil, notSent(err)
	}
	resp, connected, err := c.exchange(req, trust)
	if err != nil {
		return nil, FailedCall(ctx, connected, err, began)
	}
	return resp, rollout.CallResult{}
}

// newHTTPRequest builds the request. Its errors are fit for users and contain neither secrets nor the URL's credentials.
func (c *Client) newHTTPRequest(ctx context.Context, r Request) (*http.Request, error) {
	req, err := http.NewRequestWithContext(ctx, r.Method, r.URL, bytes.NewReader(r.Body))
	if err != nil {
		return nil, errors.New("the address is not a URL")
	}
	for name, values := range r.Header {
		req.Header[name] = values
	}
	if r.ID == "" && !r.signed {
		return req, nil
	}
	secret := r.Secret
	if secret == "" {
		secret = c.key
	}
	return req, signRequest(req.Header, secret, r.ID, time.Now(), r.Body)
}

func notSent(err error) rollout.CallResult {
	return rollout.CallResult{Kind: rollout.ResultNotSent, Message: "not sent: " + Sanitize(err.Error())}
}
