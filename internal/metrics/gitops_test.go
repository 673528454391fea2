package metrics

import (
	"context"
	"testing"
	"time"

	"rollcall/internal/gitsource"
)

type gauges []gitsource.Gauge

func (g gauges) SourceGauges(context.Context) ([]gitsource.Gauge, error) {
	if g == nil {
		return nil, errAway
	}
	return g, nil
}

func TestGitops_SyncsDriftAndAgeAreOnPage(t *testing.T) {
	t.Parallel()
	m := New(known())
	m.RegisterSources(gauges{{Source: "main", State: gitsource.StateDrifted, Drifted: 3, Age: 90 * time.Second}})
	m.SyncDone("main", time.Second, false)
	m.SyncDone("main", time.Second, true)
	m.SyncDone("main", time.Second, true)
	wantLines(
		t, scrape(t, m), `rollcall_gitops_syncs_total{result="ok",source="main"} 1`,
		`rollcall_gitops_syncs_total{result="error",source="main"} 2`, `rollcall_gitops_drifted_targets{source="main"} 3`,
		`rollcall_gitops_last_good_sync_age_seconds{source="main"} 90`, `rollcall_gitops_source_state{source="main",state="drifted"} 1`,
		`rollcall_gitops_source_state{source="main",state="synced"} 0`,
	)
}

func TestGitops_WithoutDatabaseSourcesAreLeftOut(t *testing.T) {
	t.Parallel()
	m := New(known())
	m.RegisterSources(gauges(nil))
	m.SyncDone("main", time.Second, false)
	wantLines(t, scrape(t, m), `rollcall_gitops_syncs_total{result="ok",source="main"} 1`)
}
