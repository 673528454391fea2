package api

import (
	"context"
	"time"

	"rollcall/internal/api/gen"
	"rollcall/internal/api/types"
	"rollcall/internal/catalog"
	"rollcall/internal/dora"
	"rollcall/internal/duration"
	"rollcall/internal/nullable"
	"rollcall/internal/rollout"
)

// The time that the summary's durations look back.
const (
	day           = 24 * time.Hour
	defaultWindow = 30 * day
	minWindow     = time.Minute
	maxWindow     = 3650 * day
)

// GetSummary returns counts and durations of deployments.
func (s *server) GetSummary(ctx context.Context, in gen.GetSummaryRequestObject) (gen.GetSummaryResponseObject, error) {
	var f findings
	window := f.parseWindow(in.Params.Window, "/window")
	if err := f.err(); err != nil {
		return nil, err
	}
	scopes := principalOf(ctx).Scopes
	tallies, err := s.stats.StateCounts(ctx, scopes)
	if err != nil {
		return nil, err
	}
	services, err := s.stats.ServiceCounts(ctx, scopes)
	if err != nil {
		return nil, err
	}
	durations, err := s.stats.DurationStats(ctx, scopes, window)
	if err != nil {
		return nil, err
	}
	byState := map[rollout.State]int{}
	for _, t := range tallies {
		byState[t.State] += t.Count
	}
	return gen.GetSummary200JSONResponse{
		ByState: statesJSON(byState), ByService: encodeAll(services, serviceCountsJSON),
		Durations: durationsJSON(&durations, window),
	}, nil
}

// parseWindow reads a Go duration or a number of days ("30d").
func (f *findings) parseWindow(given *string, pointer string) time.Duration {
	text := valueOr(given, defaultWindow.String())
	window, err := duration.ParseDays(text)
	switch {
	case err != nil:
		f.add(pointer, "must be a duration such as \"24h\" or \"30d\"")
	case window < minWindow || window > maxWindow:
		f.add(pointer, "must be from %s to %dd", minWindow, maxWindow/day)
	}
	return window
}

// statesJSON returns the count of every state, including zeros.
func statesJSON(counts map[rollout.State]int) types.StateTotals {
	totals := types.StateTotals{}
	for _, state := range rollout.States() {
		totals[string(state)] = counts[state]
	}
	return totals
}

func serviceCountsJSON(t *catalog.ServiceCounts) types.ServiceTotals {
	return types.ServiceTotals{Service: t.Service, Total: t.Total, ByState: statesJSON(t.ByState)}
}

func durationsJSON(t *catalog.DurationStats, window time.Duration) types.DurationTotals {
	totals := types.DurationTotals{Window: window.String(), Count: t.Count}
	if t.Count > 0 {
		rate, p50, p95 := float64(t.Succeeded)/float64(t.Count), toMilliseconds(t.P50), toMilliseconds(t.P95)
		totals.SuccessRate, totals.P50Ms, totals.P95Ms = &rate, &p50, &p95
	}
	return totals
}

func toMilliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// GetDora returns DORA metrics by service.
func (s *server) GetDora(ctx context.Context, in gen.GetDoraRequestObject) (gen.GetDoraResponseObject, error) {
	now, err := s.stats.DatabaseTime(ctx)
	if err != nil {
		return nil, err
	}
	selection, err := readDoraQuery(&in.Params, now)
	if err != nil {
		return nil, err
	}
	report, err := s.stats.DORAReport(ctx, principalOf(ctx).Scopes, selection)
	if err != nil {
		return nil, err
	}
	within := selection.Until.Sub(selection.Since)
	encode := func(d *dora.Metrics) types.DoraFigures { return figuresJSON(d, within) }
	return gen.GetDora200JSONResponse{
		Since: selection.Since, Until: selection.Until, Total: encode(&report.Total), Items: encodeAll(report.ByService, encode),
	}, nil
}

// readDoraQuery reads the selection of changes.
func readDoraQuery(p *types.GetDoraParams, now time.Time) (dora.Query, error) {
	var f findings
	s := dora.Query{Service: valueOr(p.Service, ""), Environment: valueOr(p.Environment, ""), Until: valueOr(p.Until, now).UTC()}
	switch {
	case p.Since == nil:
		s.Since = s.Until.Add(-f.parseWindow(p.Window, "/window"))
	case p.Window != nil:
		f.add("/window", "mutually exclusive with since")
	default:
		s.Since = p.Since.UTC()
		if !s.Since.Before(s.Until) {
			f.add("/since", "must be before until (default: now)")
		}
	}
	return s, f.err()
}

func figuresJSON(d *dora.Metrics, within time.Duration) types.DoraFigures {
	out := types.DoraFigures{
		Service: nullable.Of(d.Service), Environment: nullable.Of(d.Environment), Changes: d.Changes, DeploymentFrequency: d.PerDay(within),
		Failed: d.Failed, Unrecovered: d.Unrecovered, FailedDeploymentRecoveryTime: percentilesJSON(&d.Recovery), LeadTime: percentilesJSON(&d.Lead),
	}
	if d.Changes > 0 {
		rate := d.FailRate()
		out.ChangeFailRate = &rate
	}
	return out
}

func percentilesJSON(s *dora.Percentiles) types.Spread {
	out := types.Spread{Count: s.Count}
	if s.Count > 0 {
		p50, p95 := toMilliseconds(s.P50), toMilliseconds(s.P95)
		out.P50Ms, out.P95Ms = &p50, &p95
	}
	return out
}
