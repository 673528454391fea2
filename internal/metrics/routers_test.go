package metrics

import (
	"context"
	"errors"
	"strings"
	"testing"

	"rollcall/internal/storage"

	"github.com/prometheus/client_golang/prometheus/testutil"
)

type drifts []storage.RouterDrift

func (d drifts) RouterDrifts(context.Context) ([]storage.RouterDrift, error) {
	if d == nil {
		return nil, errors.New("away")
	}
	return d, nil
}

func TestRouterDrift_OneSeriesPerDifferingRouter(t *testing.T) {
	t.Parallel()
	m := New(known())
	m.RegisterRouters(drifts{{Service: "checkout", Environment: "production"}})
	const want = `
# HELP rollcall_router_drift 1 for a router whose weights differ from what the last deployment set, no series for others; at most 200, from the database.
# TYPE rollcall_router_drift gauge
rollcall_router_drift{environment="production",service="checkout"} 1
`
	if err := testutil.GatherAndCompare(m.registry, strings.NewReader(want), "rollcall_router_drift"); err != nil {
		t.Error(err)
	}
	away := New(known())
	away.RegisterRouters(drifts(nil))
	if n, err := testutil.GatherAndCount(away.registry, "rollcall_router_drift"); n != 0 || err != nil {
		t.Errorf("%d series while the database is away: %v", n, err)
	}
}
