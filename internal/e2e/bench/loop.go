package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"

	"rollcall/internal/testtarget"
)

func startFleet(s scenario) (*testtarget.Fleet, error) {
	f, err := testtarget.New(s.targets, "v0")
	if err != nil {
		return nil, fmt.Errorf("start the targets: %w", err)
	}
	for _, t := range f.Targets {
		t.SetBehaviour(func(b *testtarget.Behaviour) { b.Delay = s.answer })
	}
	return f, nil
}

// plainLoop calls each target's webhook and then its health, a batch at a time, and stores nothing.
func plainLoop(ctx context.Context, f *testtarget.Fleet, s scenario, keepAlive bool, version string) (time.Duration, error) {
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: !keepAlive, MaxIdleConnsPerHost: 1}}
	defer client.CloseIdleConnections()
	errs := make([]error, len(f.Targets))
	began := time.Now()
	for from := 0; from < len(f.Targets); from += s.batch {
		var wave sync.WaitGroup
		for i := from; i < min(from+s.batch, len(f.Targets)); i++ {
			wave.Go(func() { errs[i] = callTarget(ctx, client, f.Targets[i], version) })
		}
		wave.Wait()
	}
	return time.Since(began), errors.Join(errs...)
}

func callTarget(ctx context.Context, client *http.Client, t *testtarget.Target, version string) error {
	body, err := json.Marshal(map[string]any{"action": "deploy", "version": version, "target": map[string]any{"id": t.ID}})
	if err != nil {
		return fmt.Errorf("encode a call: %w", err)
	}
	if err := exchange(ctx, client, http.MethodPost, t.URL()+"/deploy", body, nil); err != nil {
		return err
	}
	return exchange(ctx, client, http.MethodGet, t.URL()+"/health", nil, nil)
}

// exchange sends a request and decodes its answer, if into is not nil.
func exchange(ctx context.Context, client *http.Client, method, url string, body []byte, into any) error {
	req, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("%s %s: %w", method, url, err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "Bearer "+adminToken)
	res, err := client.Do(req)
	if err != nil {
		return fmt.Errorf("%s %s: %w", method, url, err)
	}
	data, err := io.ReadAll(res.Body)
	if err := errors.Join(err, res.Body.Close()); err != nil {
		return fmt.Errorf("%s %s: %w", method, url, err)
	}
	if res.StatusCode >= http.StatusMultipleChoices {
		return fmt.Errorf("%s %s answered %s: %s", method, url, res.Status, data)
	}
	if into == nil {
		return nil
	}
	if err := json.Unmarshal(data, into); err != nil {
		return fmt.Errorf("%s %s answered %s: %w", method, url, data, err)
	}
	return nil
}
