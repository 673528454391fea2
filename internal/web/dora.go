package web

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"rollcall/internal/rollout"
)

// doraPage is how well changes reach services.
type doraPage struct {
	Service, Environment string
	Days                 int
	Choices              []int
	Within               time.Duration
	Sum                  rollout.Dora
	Each                 []rollout.Dora
	// Trend has the changes of equal parts of the time: those that did well, and those that failed.
	Trend outcomes
}

// trendParts are the bars of the trend: few enough that each part is asked for by itself.
const trendParts = 15

func (s *site) showDora(v *visit) error {
	q := v.r.URL.Query()
	page := doraPage{Service: q.Get("service"), Environment: q.Get("environment"), Days: defaultDays, Choices: []int{7, 30, 90, 365}}
	if days, err := strconv.Atoi(q.Get("days")); err == nil && slices.Contains(page.Choices, days) {
		page.Days = days
	}
	until := time.Now().UTC()
	selection := rollout.Selection{Service: page.Service, Environment: page.Environment, Since: until.AddDate(0, 0, -page.Days), Until: until}
	page.Within = until.Sub(selection.Since)
	var err error
	if page.Sum, page.Each, err = s.Store.Dora(v.r.Context(), v.who.Scopes, selection); err != nil {
		return err
	}
	if page.Sum.Changes > 0 {
		if page.Trend, err = s.trend(v, selection); err != nil {
			return err
		}
	}
	s.show(v, "page_dora.html", "Software delivery", "dora", &page)
	return nil
}

func (s *site) trend(v *visit, whole rollout.Selection) (outcomes, error) {
	bars := make([]bar, trendParts)
	step := whole.Until.Sub(whole.Since) / trendParts
	for i := range bars {
		part := whole
		part.Since = whole.Since.Add(step * time.Duration(i))
		if i < trendParts-1 {
			part.Until = part.Since.Add(step)
		}
		sum, _, err := s.Store.Dora(v.r.Context(), v.who.Scopes, part)
		if err != nil {
			return outcomes{}, err
		}
		bars[i].Good, bars[i].Bad = sum.Changes-sum.Failed, sum.Failed
	}
	return drawOutcomes(bars, whole.Since, whole.Until), nil
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
