package main

import (
	"context"
	"time"
)

const refreshFiguresEvery = 5 * time.Second

// refreshFigures updates the stored figures of deployments, at the start and every 5 s.
func (s *server) refreshFigures(ctx context.Context) {
	ticker := time.NewTicker(refreshFiguresEvery)
	defer ticker.Stop()
	for {
		more := true
		for more && ctx.Err() == nil {
			var err error
			if more, err = s.workerStore.RefreshFigures(ctx); err != nil {
				if ctx.Err() == nil {
					s.log.WarnContext(ctx, "failed to update the figures of deployments", "error", err)
				}
				more = false
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}
