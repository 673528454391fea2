package main

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"time"
)

// pages are what is measured with many finished deployments.
func pages() []struct{ name, path string } {
	return []struct{ name, path string }{
		{"GET /summary", "/summary"},
		{"GET /summary?window=365d", "/summary?window=365d"},
		{"GET /services?limit=200", "/services?limit=200"},
		{"GET /stats/dora", "/stats/dora"},
		{"GET /stats/dora?window=365d", "/stats/dora?window=365d"},
		{"GET /deployments?limit=50", "/deployments?limit=50"},
		{"dashboard, services", "/ui/"},
		{"dashboard, history", "/ui/deployments"},
		{"dashboard, durations", "/ui/durations"},
		{"dashboard, delivery in 365 days", "/ui/dora?days=365"},
		{"GET /metrics", "/metrics"},
	}
}

// measureFinished measures pages of a server with n finished deployments.
func (s *scale) measureFinished(ctx context.Context, n int) error {
	there := 0
	if err := s.conn.QueryRow(ctx, `SELECT count(*) FROM deployments`).Scan(&there); err != nil {
		return fmt.Errorf("count deployments: %w", err)
	}
	if there < n {
		if err := s.makeFinished(ctx, n); err != nil {
			return err
		}
	}
	if err := s.refreshFigures(ctx); err != nil {
		return err
	}
	after, err := s.count(ctx)
	if err != nil {
		return err
	}
	s.note("database", "%d MB", after.size>>20)
	for _, p := range pages() {
		if err := s.measurePage(ctx, p.name, p.path); err != nil {
			return err
		}
	}
	return nil
}

// makeFinished copies one finished deployment n times.
func (s *scale) makeFinished(ctx context.Context, n int) error {
	strategy := map[string]any{"type": "rolling", "batch_size": 1}
	d, err := s.post(ctx, "copied", strategy, func(d state) bool { return d.State == "completed" })
	if err != nil {
		return err
	}
	began := time.Now()
	if err := copyPlanned(ctx, s.conn, planFinishedSQL, n, d.ID); err != nil {
		return err
	}
	s.note(fmt.Sprintf("%d finished deployments of 3 targets, made", n), "%.0f s", time.Since(began).Seconds())
	return nil
}

// readPage reads a page to its end, as a browser that is signed in, or a program with the token.
func (s *scale) readPage(ctx context.Context, path string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url+path, http.NoBody)
	if err != nil {
		return fmt.Errorf("GET %s: %w", path, err)
	}
	req.Header.Set("Authorization", "Bearer "+adminToken)
	req.AddCookie(&http.Cookie{Name: "rollcall_token", Value: base64.RawURLEncoding.EncodeToString([]byte(adminToken))}) //nolint:gosec // to the server, not from it
	res, err := http.DefaultTransport.RoundTrip(req)                                                                     // a redirection would be to the page for signing in
	if err != nil {
		return fmt.Errorf("GET %s: %w", path, err)
	}
	_, err = io.Copy(io.Discard, res.Body)
	if err := errors.Join(err, res.Body.Close()); err != nil {
		return fmt.Errorf("GET %s: %w", path, err)
	}
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("GET %s answered %s", path, res.Status)
	}
	return nil
}

// measurePage requests a page again and again. The CPU time of server and database is steadier than the time on a busy machine.
func (s *scale) measurePage(ctx context.Context, name, path string) error {
	const warmUp = 2
	rounds := 4 * s.repeat
	var took []time.Duration
	var before counters
	for i := range warmUp + rounds {
		if i == warmUp {
			var err error
			if before, err = s.count(ctx); err != nil {
				return err
			}
		}
		began := time.Now()
		if err := s.readPage(ctx, path); err != nil {
			return err
		}
		took = append(took, time.Since(began))
	}
	after, err := s.count(ctx)
	if err != nil {
		return err
	}
	took = took[warmUp:]
	slices.Sort(took)
	used := after.since(before)
	s.note(name, "%.0f ms (fastest %.0f, slowest %.0f; CPU %.0f)", milliseconds(took[len(took)/2]), milliseconds(took[0]),
		milliseconds(took[len(took)-1]), milliseconds(used.server+used.database)/float64(rounds))
	return nil
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
