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
)

const (
	// answerWithin is how long one answer may take, beyond the wait that was asked for.
	answerWithin = 20 * time.Second
	firstBackoff = 100 * time.Millisecond
	lastBackoff  = 2 * time.Second
	maxAnswer    = 64 << 20
)

// Config says whom to ask.
type Config struct {
	// URL is where the server is, such as https://rollcall.example.
	URL string
	// Token is sent as the bearer token; empty sends none.
	Token string
	// Patience is how long a server that cannot be reached, or cannot do its work, is asked again.
	Patience time.Duration
	// Notice is told once when a server does not answer, with the reason, and once when it does again, with nil. nil tells
	// nobody.
	Notice func(err error)
}

// Client asks one server. Its methods may be called one after another, by one goroutine at a time.
type Client struct {
	config Config
	base   *url.URL
	http   *http.Client
	silent bool
}

// New is a client of the server at c.URL; an error says what is wrong with that.
func New(c Config) (*Client, error) {
	base, err := url.Parse(strings.TrimRight(c.URL, "/"))
	if err != nil || base.Host == "" || base.Scheme != "http" && base.Scheme != "https" {
		return nil, fmt.Errorf("%q is not the URL of a server, such as http://localhost:8080", c.URL)
	}
	if c.Notice == nil {
		c.Notice = func(error) {}
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
	// Key is the Idempotency-Key, under which the server carries the request out once however often it is sent. Do makes
	// one for a request that is no GET and has none.
	Key string
	// Wait is how long the server was asked to wait before it answers.
	Wait time.Duration
}

// Get reads what is at a path.
func Get(path string, query url.Values) Request {
	return Request{Method: http.MethodGet, Path: path, Query: query}
}

// Post asks for something at a path.
func Post(path string, body any) Request {
	return Request{Method: http.MethodPost, Path: path, Body: body}
}

// Do sends the request until it is answered, and gives the answer's body. The error is a *Refusal when the server said no,
// and an *Unreachable when patience was over first; an ended ctx passes through.
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
	err := c.persist(ctx, func(ctx context.Context) (err error) {
		ctx, cancel := context.WithTimeout(ctx, r.Wait+answerWithin)
		defer cancel()
		answer, err = c.once(ctx, r, body)
		return err
	})
	return answer, err
}

// Ask is Do with the answer decoded.
func Ask[T any](ctx context.Context, c *Client, r Request) (T, error) {
	var answer T
	data, err := c.Do(ctx, r)
	if err != nil {
		return answer, err
	}
	if err := json.Unmarshal(data, &answer); err != nil {
		return answer, &Unreachable{URL: c.base.String(), Err: fmt.Errorf("the answer is not Rollcall's: %w", err)}
	}
	return answer, nil
}

// persist tries until it works, the server refuses, or patience is over.
func (c *Client) persist(ctx context.Context, try func(context.Context) error) error {
	deadline, sent := time.Now().Add(c.config.Patience), false
	for backoff := firstBackoff; ; backoff = min(2*backoff, lastBackoff) {
		err := try(ctx)
		if ctx.Err() != nil && err != nil {
			return ctx.Err()
		}
		passing, isPassing := errors.AsType[*passingError](err)
		c.notice(isPassing, err)
		if !isPassing {
			return err
		}
		sent = sent || !passing.notSent
		if time.Now().Add(backoff).After(deadline) {
			return &Unreachable{URL: c.base.String(), Err: passing.err, Sent: sent}
		}
		if err := wait(ctx, max(backoff, min(passing.after, lastBackoff))); err != nil {
			return err
		}
	}
}

func (c *Client) notice(silent bool, err error) {
	if silent == c.silent {
		return
	}
	c.silent = silent
	if !silent {
		err = nil
	}
	c.config.Notice(err)
}

func wait(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// once sends the request once.
func (c *Client) once(ctx context.Context, r Request, body []byte) ([]byte, error) {
	request, err := c.request(ctx, r, body)
	if err != nil {
		return nil, err
	}
	response, err := c.http.Do(request)
	if err != nil {
		return nil, lost(err)
	}
	defer func() { _ = response.Body.Close() }() // it was read as far as it is wanted
	answer, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	if err != nil {
		return nil, lost(err)
	}
	return answer, judge(response, answer)
}

func (c *Client) request(ctx context.Context, r Request, body []byte) (*http.Request, error) {
	target := *c.base
	target.Path = c.base.Path + r.Path
	target.RawQuery = r.Query.Encode()
	request, err := http.NewRequestWithContext(ctx, r.Method, target.String(), bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("make the request: %w", err)
	}
	request.GetBody = nil // net/http would repeat a request with a key by itself, unseen
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

// judge is nil for a good answer.
func judge(response *http.Response, answer []byte) error {
	switch {
	case response.StatusCode >= 300 && response.StatusCode < 400:
		return strange(response)
	case response.StatusCode >= 200 && response.StatusCode < 300:
		if response.StatusCode != http.StatusNoContent && !json.Valid(answer) {
			return strange(response)
		}
		return nil
	}
	refusal := newRefusal(response, answer)
	again := refusal.Problem.Type == "urn:rollcall:problem:in-progress"
	switch response.StatusCode {
	case http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout, http.StatusTooManyRequests:
		again = true
	}
	switch {
	case !again && refusal.Problem.Type == "":
		return strange(response)
	case !again:
		return refusal
	}
	seconds, err := strconv.Atoi(response.Header.Get("Retry-After"))
	if err != nil {
		seconds = 0 // it does not say
	}
	return &passingError{err: refusal, after: time.Duration(seconds) * time.Second}
}
