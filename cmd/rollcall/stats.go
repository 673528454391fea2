package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"strconv"
	"time"

	"rollcall/internal/api/types"
	"rollcall/internal/client"
)

// statsCmd shows DORA metrics.
type statsCmd struct {
	Service     string `arg:"" optional:"" help:"Only this service."`
	Environment string `short:"e" help:"Only this environment."`
	Window      string `help:"Time window that ends now, such as 24h or 90d." default:"30d"`
}

// Run prints a row for each service and environment, and the totals.
func (c *statsCmd) Run(ctx context.Context, a *app) error {
	query := url.Values{"window": {c.Window}}
	for name, value := range map[string]string{"service": c.Service, "environment": c.Environment} {
		if value != "" {
			query.Set(name, value)
		}
	}
	response, err := a.client.Do(ctx, client.Get("/stats/dora", query))
	if err != nil {
		return err
	}
	var stats types.DoraStats
	if err := json.Unmarshal(response, &stats); err != nil {
		return fmt.Errorf("read the figures: %w", err)
	}
	return a.printResponse(response, func() {
		t := newTable("SERVICE", "ENVIRONMENT", "CHANGES", "PER DAY", "LEAD TIME", "FAIL RATE", "RECOVERY TIME", "OPEN")
		for i := range stats.Items {
			addStatsRow(t, orDash(stats.Items[i].Service), orDash(stats.Items[i].Environment), &stats.Items[i])
		}
		addStatsRow(t, "all", "", &stats.Total)
		t.writeTo(a.out)
	})
}

func addStatsRow(t *table, service, environment string, f *types.DoraFigures) {
	failRate := "-"
	if f.ChangeFailRate != nil {
		failRate = strconv.FormatFloat(*f.ChangeFailRate*100, 'f', 1, 64) + "%"
	}
	t.addRow(service, environment, f.Changes, strconv.FormatFloat(f.DeploymentFrequency, 'f', 2, 64),
		formatMedian(&f.LeadTime), failRate, formatMedian(&f.FailedDeploymentRecoveryTime), f.Unrecovered)
}

// formatMedian formats the median.
func formatMedian(s *types.Spread) string {
	if s.P50Ms == nil {
		return "-"
	}
	return fmt.Sprint(time.Duration(*s.P50Ms * float64(time.Millisecond)).Round(time.Second))
}
