package main

import (
	"context"
	"time"
)

const pruneEvery = time.Hour

// prune removes what is kept for a time only: at the start, and every hour.
func (s *server) prune(ctx context.Context) {
	ticker := time.NewTicker(pruneEvery)
	defer ticker.Stop()
	for {
		if err := s.store.Prune(ctx); err != nil && ctx.Err() == nil {
			s.log.WarnContext(ctx, "what is kept for a time only could not be removed", "error", err)
		}
		if s.config.retain > 0 {
			s.forget(ctx)
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// forget removes deployments that ended too long ago, batch by batch.
func (s *server) forget(ctx context.Context) {
	sum := 0
	for {
		n, err := s.work.Forget(ctx, s.config.retain)
		s.metrics.Forgotten(n)
		sum += n
		if err != nil && ctx.Err() == nil {
			s.log.WarnContext(ctx, "old deployments could not be removed", "error", err)
		}
		if n == 0 || err != nil {
			break
		}
	}
	if sum > 0 {
		s.log.InfoContext(ctx, "old deployments were removed", "deployments", sum, "ended_before", time.Now().Add(-s.config.retain).UTC())
	}
}
