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

// doraPage is how well changes reach services.
type doraPage struct {
	Service, Environment string
	Days                 int
	Choices              []int
	Within               time.Duration
	Sum                  dora.Metrics
	Each                 []dora.Metrics
	// Complaint says why there are no figures; empty when there are.
	Complaint string
	// Trend has the changes of equal parts of the time: those that did well, and those that failed.
	Trend outcomes
}

// trendParts are the bars of the trend.
const trendParts = 15

func (s *site) showDora(v *visit) error {
	q := v.r.URL.Query()
	page := doraPage{Service: q.Get("service"), Environment: q.Get("environment"), Days: defaultDays, Choices: []int{7, 30, 90, 365}}
	if days, err := strconv.Atoi(q.Get("days")); err == nil && slices.Contains(page.Choices, days) {
		page.Days = days
	}
	until, err := s.Store.Clock(v.r.Context())
	if err != nil {
		return err
	}
	since := until.AddDate(0, 0, -page.Days)
	page.Within = until.Sub(since)
	report, err := s.Store.Dora(v.r.Context(), v.who.Scopes, dora.Query{
		Service: page.Service, Environment: page.Environment, Since: since, Until: until, Buckets: trendParts,
	})
	if problem.CodeOf(err) == problem.CodeUnavailable { // the form is where a shorter time is asked for
		page.Complaint, v.status, err = sentence(err), http.StatusServiceUnavailable, nil
	}
	if err != nil {
		return err
	}
	page.Sum, page.Each, page.Trend = report.Total, report.ByService, trend(report.Buckets, since, until)
	s.show(v, "page_dora.html", "Software delivery", "dora", &page)
	return nil
}

func trend(parts []dora.Metrics, since, until time.Time) outcomes {
	bars := make([]bar, len(parts))
	for i, part := range parts {
		bars[i].Good, bars[i].Bad = part.Changes-part.Failed, part.Failed
	}
	return drawOutcomes(bars, since, until)
}

// often is how many times a day, a week or a month something happens, in the shortest time in which it happens once.
func often(perDay float64) string {
	switch {
	case perDay <= 0:
		return "none"
	case perDay >= 1:
		return few(perDay) + " a day"
	case perDay*7 >= 1:
		return few(perDay*7) + " a week"
	default:
		return few(perDay*30) + " a month"
	}
}

// few is a number with as many digits as matter.
func few(n float64) string {
	if n >= 10 {
		return fmt.Sprintf("%.0f", n)
	}
	return strings.TrimSuffix(fmt.Sprintf("%.1f", n), ".0")
}

// rate is a share in percent.
func rate(share float64) string { return few(share*100) + " %" }
