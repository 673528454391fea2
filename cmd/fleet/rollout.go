package main

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"rollcall/internal/testtarget"
)

// Rollcall is called once at a time, and again while it does not answer: it may be restarting.
const (
	longPoll    = 5 * time.Second
	callTimeout = 15 * time.Second
	retryWait   = 250 * time.Millisecond
	maxSilence  = time.Minute
	maxAnswer   = 4 << 20
)

// deployment is the part of Rollcall's answer that is shown.
type deployment struct {
	ID       string `json:"id"`
	State    string `json:"state"`
	Reason   string `json:"reason"`
	Revision int64  `json:"revision"`
	Result   *struct {
		Success    bool    `json:"success"`
		DurationMS float64 `json:"duration_ms"`
		Errors     []struct {
			Target  string `json:"target"`
			Message string `json:"message"`
		} `json:"errors"`
	} `json:"result"`
}

// rollOut asks Rollcall for the rollout and follows it to its end.
func rollOut(ctx context.Context, f flags, targets *testtarget.Fleet, out io.Writer) error {
	c := client{base: strings.TrimRight(f.Deploy, "/"), token: f.Token}
	if err := c.awaitReady(ctx, f.ReadyWithin); err != nil {
		return err
	}
	began := time.Now()
	body, err := json.Marshal(newRequest(f, targets))
	if err != nil {
		return fmt.Errorf("write the request: %w", err)
	}
	var d deployment
	if err := c.callUntilAnswered(ctx, http.MethodPost, "/deployments", body, &d); err != nil {
		return fmt.Errorf("ask for the rollout: %w", err)
	}
	fmt.Fprintf(out, "rolling out %s, %d at a time: %s/deployments/%s\n", f.Version, f.Batch, c.base, d.ID)
	shown := ""
	for {
		if line := progressLine(d, targets); line != shown {
			fmt.Fprintf(out, "%6.1fs  %s\n", time.Since(began).Seconds(), line)
			shown = line
		}
		if d.Result != nil {
			return printResult(out, d, targets)
		}
		next := url.Values{"wait": {longPoll.String()}, "after": {fmt.Sprint(d.Revision)}}
		if err := c.callUntilAnswered(ctx, http.MethodGet, "/deployments/"+d.ID+"?"+next.Encode(), nil, &d); err != nil {
			return fmt.Errorf("follow the rollout: %w", err)
		}
	}
}

// newRequest returns the body of POST /deployments.
func newRequest(f flags, targets *testtarget.Fleet) map[string]any {
	var list []map[string]any
	for _, t := range targets.Targets {
		list = append(list, map[string]any{"id": t.ID, "name": t.ID, "address": targetAddress(f, t), "version": t.Version()})
	}
	return map[string]any{
		"service": f.Service, "environment": f.Environment, "version": f.Version,
		"strategy": map[string]any{"type": "rolling", "batch_size": f.Batch},
		"targets":  list,
		"deploy":   map[string]any{"timeout": "5s", "retries": 1, "backoff": "500ms"},
		"health_checks": []map[string]any{{
			"name": "health", "type": "http", "path": "/health", "version_pointer": "/version", "interval": "500ms",
		}},
		"healthy_deadline": "10s",
	}
}

// targetAddress returns the URL at which Rollcall reaches a target.
func targetAddress(f flags, t *testtarget.Target) string {
	if f.Advertise == "" {
		return t.URL()
	}
	_, port, err := net.SplitHostPort(strings.TrimPrefix(t.URL(), "http://"))
	if err != nil {
		return t.URL() // it never is without a port
	}
	return "http://" + net.JoinHostPort(f.Advertise, port)
}

// progressLine returns one line: the state, what each target runs, and the reason.
func progressLine(d deployment, targets *testtarget.Fleet) string {
	var running []string
	for _, t := range targets.Targets {
		running = append(running, t.Version())
	}
	return fmt.Sprintf("%-12s [%s]  %s", d.State, strings.Join(running, " "), d.Reason)
}

// printResult prints how it ended; the error is nil when it ended well.
func printResult(out io.Writer, d deployment, targets *testtarget.Fleet) error {
	for _, e := range d.Result.Errors {
		fmt.Fprintf(out, "         %s: %s\n", cmp.Or(e.Target, "router"), e.Message)
	}
	if !d.Result.Success {
		return fmt.Errorf("the rollout ended as %s: %s", d.State, d.Reason)
	}
	fmt.Fprintf(out, "%s in %.1f s, %d deploy calls, never more than %d targets at once\n",
		d.State, d.Result.DurationMS/1000, len(targets.Calls()), targets.MaxOpen())
	return nil
}

// client calls one Rollcall.
type client struct{ base, token string }

// errFinal marks an answer that will be the same next time.
var errFinal = errors.New("refused")

// awaitReady waits until Rollcall is ready.
func (c client) awaitReady(ctx context.Context, within time.Duration) error {
	if err := c.repeatCall(ctx, within, func() error { return c.callOnce(ctx, http.MethodGet, "/readyz", "", nil, nil) }); err != nil {
		return fmt.Errorf("no Rollcall is ready at %s: %w", c.base, err)
	}
	return nil
}

// callUntilAnswered makes one call, as often as it takes to be answered. The key makes the repetition of a POST harmless.
func (c client) callUntilAnswered(ctx context.Context, method, path string, body []byte, into any) error {
	key := ""
	if method == http.MethodPost {
		key = rand.Text()
	}
	return c.repeatCall(ctx, maxSilence, func() error { return c.callOnce(ctx, method, path, key, body, into) })
}

// repeatCall repeats call until it succeeds, fails with errFinal, or the time is over.
func (c client) repeatCall(ctx context.Context, within time.Duration, call func() error) error {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	wait := time.NewTicker(retryWait)
	defer wait.Stop()
	for {
		err := call()
		if err == nil || errors.Is(err, errFinal) {
			return err
		}
		select {
		case <-wait.C:
		case <-ctx.Done():
			return err
		}
	}
}

// callOnce makes one call and reads the answer into into, unless that is nil.
func (c client) callOnce(ctx context.Context, method, path, key string, body []byte, into any) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, c.base+path, bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("%w: %w", errFinal, err)
	}
	if key != "" {
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set("Idempotency-Key", key)
	}
	if c.token != "" {
		req.Header.Set("Authorization", "Bearer "+c.token)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return err //nolint:wrapcheck // it names method and URL already
	}
	defer func() { _ = res.Body.Close() }() // it was only read
	answer, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer))
	if err != nil {
		return fmt.Errorf("read the answer of %s: %w", path, err)
	}
	return decodeAnswer(res, answer, into)
}

// decodeAnswer decodes the answer; a status of 300 or more is an error, final for a 4xx.
func decodeAnswer(res *http.Response, answer []byte, into any) error {
	short := strings.TrimSpace(string(answer[:min(len(answer), 500)]))
	switch {
	case res.StatusCode >= http.StatusInternalServerError, res.StatusCode == http.StatusTooManyRequests:
		return fmt.Errorf("%s: %s", res.Status, short)
	case res.StatusCode >= http.StatusMultipleChoices:
		return fmt.Errorf("%w: %s: %s", errFinal, res.Status, short)
	case into == nil:
		return nil
	}
	if err := json.Unmarshal(answer, into); err != nil {
		return fmt.Errorf("%w: the answer is no JSON: %w", errFinal, err)
	}
	return nil
}
