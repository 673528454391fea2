package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"strconv"
	"time"

	"rollcall/internal/api/gen"
	"rollcall/internal/client"
)

// statsCmd shows how well changes reach services.
type statsCmd struct {
	Service     string `arg:"" optional:"" help:"Only of this service."`
	Environment string `short:"e" help:"Only in this environment."`
	Window      string `help:"The time until now, such as 24h or 90d." default:"30d"`
}

// Run shows the sum of all at the end.
func (c *statsCmd) Run(ctx context.Context, s *session) error {
	query := url.Values{"window": {c.Window}}
	for name, value := range map[string]string{"service": c.Service, "environment": c.Environment} {
		if value != "" {
			query.Set(name, value)
		}
	}
	answer, err := s.client.Do(ctx, client.Get("/stats/dora", query))
	if err != nil {
		return err
	}
	var stats gen.DoraStats
	if err := json.Unmarshal(answer, &stats); err != nil {
		return fmt.Errorf("read the figures: %w", err)
	}
	return s.print(answer, func() {
		t := newTable("SERVICE", "ENVIRONMENT", "CHANGES", "PER DAY", "LEAD TIME", "FAIL RATE", "RECOVERY TIME", "OPEN")
		for i := range stats.Items {
			statsRow(t, orDash(stats.Items[i].Service), orDash(stats.Items[i].Environment), &stats.Items[i])
		}
		statsRow(t, "all", "", &stats.Total)
		t.write(s.out)
	})
}

func statsRow(t *table, service, environment string, f *gen.DoraFigures) {
	failRate := "-"
	if f.ChangeFailRate != nil {
		failRate = strconv.FormatFloat(*f.ChangeFailRate*100, 'f', 1, 64) + "%"
	}
	t.row(service, environment, f.Changes, strconv.FormatFloat(f.DeploymentFrequency, 'f', 2, 64),
		middle(&f.LeadTime), failRate, middle(&f.FailedDeploymentRecoveryTime), f.Unrecovered)
}

// middle is what half of them did not exceed.
func middle(s *gen.Spread) string {
	if s.P50Ms == nil {
		return "-"
	}
	return fmt.Sprint(time.Duration(*s.P50Ms * float64(time.Millisecond)).Round(time.Second))
}
