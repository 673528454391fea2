package web

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"rollcall/internal/dora"
	"rollcall/internal/problem"
)

// doraPage shows DORA metrics.
type doraPage struct {
	Service, Environment string
	Days                 int
	Choices              []int
	Within               time.Duration
	Total                dora.Metrics
	Rows                 []dora.Metrics
	// Problem is the reason why there are no figures; empty if there are.
	Problem string
	// Trend counts the successful and the failed changes of equal parts of the time.
	Trend outcomes
}

// trendParts is the number of bars of the trend.
const trendParts = 15

func (s *site) showDora(v *pageRequest) error {
	q := v.r.URL.Query()
	page := doraPage{Service: q.Get("service"), Environment: q.Get("environment"), Days: defaultDays, Choices: []int{7, 30, 90, 365}}
	if days, err := strconv.Atoi(q.Get("days")); err == nil && slices.Contains(page.Choices, days) {
		page.Days = days
	}
	until, err := s.Store.DatabaseTime(v.r.Context())
	if err != nil {
		return err
	}
	since := until.AddDate(0, 0, -page.Days)
	page.Within = until.Sub(since)
	report, err := s.Store.DORAReport(v.r.Context(), v.principal.Scopes, dora.Query{
		Service: page.Service, Environment: page.Environment, Since: since, Until: until, Buckets: trendParts,
	})
	if problem.CodeOf(err) == problem.CodeUnavailable { // the user can select a shorter time in the form
		page.Problem, v.status, err = userMessage(err), http.StatusServiceUnavailable, nil
	}
	if err != nil {
		return err
	}
	page.Total, page.Rows, page.Trend = report.Total, report.ByService, makeTrend(report.Buckets, since, until)
	s.renderPage(v, "page_dora.html", "Software delivery", "dora", &page)
	return nil
}

func makeTrend(parts []dora.Metrics, since, until time.Time) outcomes {
	bars := make([]bar, len(parts))
	for i, part := range parts {
		bars[i].Good, bars[i].Bad = part.Changes-part.Failed, part.Failed
	}
	return drawOutcomes(bars, since, until)
}

// formatFrequency formats a frequency per day, week or month: the shortest of them in which it happens at least once.
func formatFrequency(perDay float64) string {
	switch {
	case perDay <= 0:
		return "none"
	case perDay >= 1:
		return trimNumber(perDay) + " a day"
	case perDay*7 >= 1:
		return trimNumber(perDay*7) + " a week"
	default:
		return trimNumber(perDay*30) + " a month"
	}
}

// trimNumber formats a number with at most one decimal.
func trimNumber(n float64) string {
	if n >= 10 {
		return fmt.Sprintf("%.0f", n)
	}
	return strings.TrimSuffix(fmt.Sprintf("%.1f", n), ".0")
}

// formatPercent formats a share in percent.
func formatPercent(share float64) string { return trimNumber(share*100) + " %" }
