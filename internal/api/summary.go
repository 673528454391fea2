package api

import (
	"context"
	"time"

	"rollcall/internal/api/gen"
	"rollcall/internal/catalog"
	"rollcall/internal/duration"
	"rollcall/internal/rollout"
)

// The time that the summary's durations look back.
const (
	day           = 24 * time.Hour
	defaultWindow = 30 * day
	minWindow     = time.Minute
	maxWindow     = 3650 * day
)

// GetSummary says in numbers what there is and how it went.
func (s *server) GetSummary(ctx context.Context, in gen.GetSummaryRequestObject) (gen.GetSummaryResponseObject, error) {
	var f findings
	window := f.window(in.Params.Window, "/window")
	if err := f.err(); err != nil {
		return nil, err
	}
	scopes := asker(ctx).Scopes
	tallies, err := s.store.Tallies(ctx, scopes)
	if err != nil {
		return nil, err
	}
	services, err := s.store.ServiceTallies(ctx, scopes)
	if err != nil {
		return nil, err
	}
	durations, err := s.store.Durations(ctx, scopes, window)
	if err != nil {
		return nil, err
	}
	byState := map[rollout.State]int{}
	for _, t := range tallies {
		byState[t.State] += t.Count
	}
	return gen.GetSummary200JSONResponse{
		ByState: statesJSON(byState), ByService: encodeAll(services, serviceTallyJSON),
		Durations: durationsJSON(&durations, window),
	}, nil
}

// window reads a Go duration or a number of days ("30d").
func (f *findings) window(given *string, pointer string) time.Duration {
	text := or(given, defaultWindow.String())
	window, err := duration.ParseDays(text)
	switch {
	case err != nil:
		f.add(pointer, "is not a duration such as \"24h\" or \"30d\"")
	case window < minWindow || window > maxWindow:
		f.add(pointer, "must be from %s to %dd", minWindow, maxWindow/day)
	}
	return window
}

// statesJSON has every state, also those that nothing is in.
func statesJSON(counts map[rollout.State]int) gen.StateTotals {
	totals := gen.StateTotals{}
	for _, state := range rollout.States() {
		totals[string(state)] = counts[state]
	}
	return totals
}

func serviceTallyJSON(t *catalog.ServiceCounts) gen.ServiceTotals {
	return gen.ServiceTotals{Service: t.Service, Total: t.Total, ByState: statesJSON(t.ByState)}
}

func durationsJSON(t *catalog.DurationStats, window time.Duration) gen.DurationTotals {
	totals := gen.DurationTotals{Window: window.String(), Count: t.Count}
	if t.Count > 0 {
		rate, p50, p95 := float64(t.Succeeded)/float64(t.Count), milliseconds(t.P50), milliseconds(t.P95)
		totals.SuccessRate, totals.P50Ms, totals.P95Ms = &rate, &p50, &p95
	}
	return totals
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
