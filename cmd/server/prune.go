package main

import (
	"context"
	"time"

	"rollcall/internal/store/admin"
)

const pruneEvery = time.Hour

// deleteExpiredHourly deletes expired records, at the start and every hour.
func (s *server) deleteExpiredHourly(ctx context.Context) {
	ticker := time.NewTicker(pruneEvery)
	defer ticker.Stop()
	for {
		if err := s.store.DeleteExpiredRecords(ctx); err != nil && ctx.Err() == nil {
			s.log.WarnContext(ctx, "failed to delete expired records", "error", err)
		}
		if s.config.retain > 0 {
			s.deleteExpiredDeployments(ctx)
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// deleteExpiredDeployments deletes deployments past their retention, in batches.
func (s *server) deleteExpiredDeployments(ctx context.Context) {
	sum, database := 0, admin.New(s.workerStore, s.log)
	for {
		n, err := database.DeleteExpiredDeployments(ctx, s.config.retain)
		s.metrics.DeploymentsDeleted(n)
		sum += n
		if err != nil && ctx.Err() == nil {
			s.log.WarnContext(ctx, "failed to delete expired deployments", "error", err)
		}
		if n == 0 || err != nil {
			break
		}
	}
	if sum > 0 {
		s.log.InfoContext(ctx, "expired deployments deleted", "deployments", sum, "ended_before", time.Now().Add(-s.config.retain).UTC())
	}
}
