package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"rollcall/internal/testtarget"
)

// state is what a watcher reads of a deployment.
type state struct {
	ID, State, Reason string
	Revision          int
	FinishedAt        *time.Time `json:"finished_at"`
}

// follow posts a deployment and waits for its end as the scenario's watcher does. It returns how many bytes the watcher was
// sent.
func (r *running) follow(ctx context.Context, f *testtarget.Fleet, s scenario, version string) (sent int, err error) {
	body, err := json.Marshal(request(f, s, version))
	if err != nil {
		return 0, fmt.Errorf("encode a request: %w", err)
	}
	called := f.CallCount()
	var d state
	if err := exchange(ctx, http.DefaultClient, http.MethodPost, r.url+"/deployments", body, &d); err != nil {
		return 0, err
	}
	switch s.watch {
	case unwatched:
		for f.CallCount() < called+len(f.Targets) && ctx.Err() == nil {
			time.Sleep(time.Millisecond) // the figure is no finer than that
		}
		_, err = r.awaitEnd(ctx, d)
	case longPoll:
		sent, err = r.awaitEnd(ctx, d)
	case sse:
		sent, err = r.awaitEndOfStream(ctx, d)
	}
	return sent, err
}

func request(f *testtarget.Fleet, s scenario, version string) map[string]any {
	var targets []map[string]any
	for _, t := range f.Targets {
		targets = append(targets, map[string]any{"id": t.ID, "address": t.URL()})
	}
	body := map[string]any{
		"service": "checkout", "environment": "production", "version": version, "targets": targets,
		"strategy":      map[string]any{"type": "rolling", "batch_size": s.batch},
		"health_checks": []map[string]any{{"type": "http", "path": "/health", "healthy_threshold": 1}},
	}
	if s.rendered {
		body["deploy"] = map[string]any{"request": renderedRequest()}
	}
	return body
}

// renderedRequest makes the call of Rollcall's own webhook of placeholders.
func renderedRequest() map[string]any {
	return map[string]any{
		"url": "{target.address}/deploy?tag={version}&id={target.id}",
		"json": map[string]any{
			"action": "{action}", "deployment_id": "{deployment_id}", "service": "{service}", "environment": "{environment}",
			"version": "{version}", "previous_version": "{previous_version}",
			"target": map[string]any{"id": "{target.id}", "name": "{target.name}", "address": "{target.address}", "slot": "{target.slot}"},
		},
	}
}

// awaitEnd waits by long polls.
func (r *running) awaitEnd(ctx context.Context, d state) (sent int, err error) {
	for d.FinishedAt == nil {
		var raw json.RawMessage
		at := fmt.Sprintf("%s/deployments/%s?wait=30s&after=%d", r.url, d.ID, d.Revision)
		if err := exchange(ctx, http.DefaultClient, http.MethodGet, at, nil, &raw); err != nil {
			return sent, err
		}
		sent += len(raw)
		if err := json.Unmarshal(raw, &d); err != nil {
			return sent, fmt.Errorf("read a deployment: %w", err)
		}
	}
	return sent, d.check()
}

// awaitEndOfStream waits by the deployment's event stream, which ends with it.
func (r *running) awaitEndOfStream(ctx context.Context, d state) (sent int, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, r.url+"/deployments/"+d.ID+"/events", http.NoBody)
	if err != nil {
		return 0, fmt.Errorf("follow the events: %w", err)
	}
	req.Header.Set("Authorization", "Bearer "+adminToken)
	req.Header.Set("Accept", "text/event-stream")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, fmt.Errorf("follow the events: %w", err)
	}
	defer res.Body.Close() //nolint:errcheck // it is read to its end
	lines := bufio.NewReader(res.Body)
	for {
		line, err := lines.ReadString('\n')
		sent += len(line)
		if errors.Is(err, io.EOF) || strings.HasPrefix(line, "event: end") || strings.Contains(line, `"deployment.completed"`) {
			_, err = r.awaitEnd(ctx, state{ID: d.ID})
			return sent, err
		}
		if err != nil {
			return sent, fmt.Errorf("follow the events: %w", err)
		}
	}
}

func (d state) check() error {
	if d.State != "completed" {
		return fmt.Errorf("deployment %s ended %s: %s", d.ID, d.State, d.Reason)
	}
	return nil
}
