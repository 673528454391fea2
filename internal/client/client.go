package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"rollcall/internal/clock"
)

const (
	// responseTimeout bounds one response, beyond the wait that was requested.
	responseTimeout = 20 * time.Second
	firstBackoff    = 100 * time.Millisecond
	lastBackoff     = 2 * time.Second
	maxResponse     = 64 << 20
)

// Config configures a Client.
type Config struct {
	// URL is the server's, such as https://rollcall.example.
	URL string
	// Token is sent as the bearer token; empty sends none.
	Token string
	// RetryFor is how long a request is retried while the server is unreachable or unavailable.
	RetryFor time.Duration
	// OnOutage is called once when an outage begins, with the reason, and once when it ends, with nil. It may be nil.
	OnOutage func(err error)
}

// Client calls one server. It is for one goroutine at a time.
type Client struct {
	config Config
	base   *url.URL
	http   *http.Client
	outage bool
}

// New returns a client of the server at c.URL; it fails if that is no URL of a server.
func New(c Config) (*Client, error) {
	base, err := url.Parse(strings.TrimRight(c.URL, "/"))
	if err != nil || base.Host == "" || base.Scheme != "http" && base.Scheme != "https" {
		return nil, fmt.Errorf("%q is not the URL of a server, such as http://localhost:8080", c.URL)
	}
	if c.OnOutage == nil {
		c.OnOutage = func(error) {}
	}
	transport := &http.Transport{Proxy: http.ProxyFromEnvironment, IdleConnTimeout: time.Minute, ResponseHeaderTimeout: 2 * time.Minute}
	stay := func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse } // a token is for one host
	return &Client{config: c, base: base, http: &http.Client{Transport: transport, CheckRedirect: stay}}, nil
}

// Request is one call of the API.
type Request struct {
	Method, Path string
	Query        url.Values
	// Body is encoded as JSON; nil sends none.
	Body any
	// Key is the Idempotency-Key: the server executes the request once, however often it is sent. Do makes one for a
	// request that is no GET and has none.
	Key string
	// Wait is how long the server may wait before it responds.
	Wait time.Duration
}

// Get returns a GET request.
func Get(path string, query url.Values) Request {
	return Request{Method: http.MethodGet, Path: path, Query: query}
}

// Post returns a POST request.
func Post(path string, body any) Request {
	return Request{Method: http.MethodPost, Path: path, Body: body}
}

// Do sends the request until there is a response, and returns its body. The error is an *APIError if the server rejects the
// request, and an *UnreachableError if there was no response within Config.RetryFor; an ended ctx passes through.
func (c *Client) Do(ctx context.Context, r Request) ([]byte, error) {
	var body []byte
	if r.Body != nil {
		var err error
		if body, err = json.Marshal(r.Body); err != nil {
			return nil, fmt.Errorf("encode the request: %w", err)
		}
	}
	if r.Key == "" && r.Method != http.MethodGet {
		r.Key = uuid.NewString()
	}
	var answer []byte
	err := c.retryUntilDone(ctx, func(ctx context.Context) (err error) {
		ctx, cancel := context.WithTimeout(ctx, r.Wait+responseTimeout)
		defer cancel()
		answer, err = c.sendOnce(ctx, r, body)
		return err
	})
	return answer, err
}

// Call sends a request as Do does, and decodes the response.
func Call[T any](ctx context.Context, c *Client, r Request) (T, error) {
	var answer T
	data, err := c.Do(ctx, r)
	if err != nil {
		return answer, err
	}
	if err := json.Unmarshal(data, &answer); err != nil {
		return answer, &UnreachableError{URL: c.base.String(), Err: fmt.Errorf("the response is not Rollcall's: %w", err)}
	}
	return answer, nil
}

// retryUntilDone calls try until it succeeds, the server rejects the request, or Config.RetryFor has passed.
func (c *Client) retryUntilDone(ctx context.Context, try func(context.Context) error) error {
	deadline, sent := time.Now().Add(c.config.RetryFor), false
	for backoff := firstBackoff; ; backoff = min(2*backoff, lastBackoff) {
		err := try(ctx)
		if ctx.Err() != nil && err != nil {
			return ctx.Err()
		}
		retryable, ok := errors.AsType[*retryableError](err)
		c.reportOutage(ok, err)
		if !ok {
			return err
		}
		sent = sent || !retryable.notSent
		if time.Now().Add(backoff).After(deadline) {
			return &UnreachableError{URL: c.base.String(), Err: retryable.err, Sent: sent}
		}
		if !clock.Sleep(ctx, max(backoff, min(retryable.after, lastBackoff))) {
			return ctx.Err()
		}
	}
}

func (c *Client) reportOutage(outage bool, err error) {
	if outage == c.outage {
		return
	}
	c.outage = outage
	if !outage {
		err = nil
	}
	c.config.OnOutage(err)
}

// sendOnce sends the request once.
func (c *Client) sendOnce(ctx context.Context, r Request, body []byte) ([]byte, error) {
	request, err := c.newRequest(ctx, r, body)
	if err != nil {
		return nil, err
	}
	response, err := c.http.Do(request)
	if err != nil {
		return nil, transportError(err)
	}
	defer func() { _ = response.Body.Close() }() // already read
	answer, err := io.ReadAll(io.LimitReader(response.Body, maxResponse))
	if err != nil {
		return nil, transportError(err)
	}
	return answer, checkResponse(response, answer)
}

func (c *Client) newRequest(ctx context.Context, r Request, body []byte) (*http.Request, error) {
	target := *c.base
	target.Path = c.base.Path + r.Path
	target.RawQuery = r.Query.Encode()
	request, err := http.NewRequestWithContext(ctx, r.Method, target.String(), bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("make the request: %w", err)
	}
	request.GetBody = nil // else net/http itself repeats a request that has a key
	if len(body) > 0 {
		request.Header.Set("Content-Type", "application/json")
	}
	if r.Key != "" {
		request.Header.Set("Idempotency-Key", r.Key)
	}
	if c.config.Token != "" {
		request.Header.Set("Authorization", "Bearer "+c.config.Token)
	}
	return request, nil
}

// checkResponse returns nil for a response of Rollcall that is a success.
func checkResponse(response *http.Response, answer []byte) error {
	switch {
	case response.StatusCode >= 300 && response.StatusCode < 400:
		return notRollcallError(response)
	case response.StatusCode >= 200 && response.StatusCode < 300:
		if response.StatusCode != http.StatusNoContent && !json.Valid(answer) {
			return notRollcallError(response)
		}
		return nil
	}
	rejection := newAPIError(response, answer)
	retryable := rejection.Problem.Type == "urn:rollcall:problem:in-progress"
	switch response.StatusCode {
	case http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout, http.StatusTooManyRequests:
		retryable = true
	}
	switch {
	case !retryable && rejection.Problem.Type == "":
		return notRollcallError(response)
	case !retryable:
		return rejection
	}
	seconds, err := strconv.Atoi(response.Header.Get("Retry-After"))
	if err != nil {
		seconds = 0 // none given
	}
	return &retryableError{err: rejection, after: time.Duration(seconds) * time.Second}
}
