package web

import (
	"cmp"
	"slices"
	"strconv"
	"time"

	"rollcall/internal/rollout"
	"rollcall/internal/storage"
)

// durationsPage shows how long deployments took and how they ended.
type durationsPage struct {
	Service, Environment string
	Days                 int
	Choices              []int
	Ended                []rollout.Deployment
	Succeeded            int
	Median, P95          time.Duration
	Plot                 plot
	Outcomes             outcomes
	// Truncated is true if there were more than are shown.
	Truncated bool
}

const (
	defaultDays = 30
	// maxPlotted bounds the deployments of a plot, plotPageSize those of one query.
	maxPlotted   = 1000
	plotPageSize = 200
)

func (s *site) showDurations(v *pageRequest) error {
	q := v.r.URL.Query()
	page := durationsPage{Service: q.Get("service"), Environment: q.Get("environment"), Days: defaultDays, Choices: []int{1, 7, 30, 90, 365}}
	if days, err := strconv.Atoi(q.Get("days")); err == nil && slices.Contains(page.Choices, days) {
		page.Days = days
	}
	until := time.Now().UTC()
	since := until.AddDate(0, 0, -page.Days)
	if err := s.readEnded(v, &page, since); err != nil {
		return err
	}
	page.sumUp()
	page.Plot = makePlot(page.Ended, since, until)
	page.Outcomes = makeOutcomes(page.Ended, since, until)
	s.renderPage(v, "page_durations.html", "Durations and outcomes", "durations", page)
	return nil
}

// readEnded reads the deployments that started and ended, newest first.
func (s *site) readEnded(v *pageRequest, page *durationsPage, since time.Time) error {
	filter := storage.Filter{Service: page.Service, Environment: page.Environment, Since: since}
	for cursor := ""; ; {
		list, err := s.Store.Deployments(v.r.Context(), v.principal.Scopes, filter, storage.Page{Limit: plotPageSize, Cursor: cursor})
		if err != nil {
			return err
		}
		for i := range list.Items {
			if d := &list.Items[i]; d.State.Terminal() && !d.StartedAt.IsZero() && d.Result != nil {
				page.Ended = append(page.Ended, *d)
			}
		}
		cursor = list.NextCursor
		if page.Truncated = cursor != "" && len(page.Ended) >= maxPlotted; cursor == "" || page.Truncated {
			return nil
		}
	}
}

func (p *durationsPage) sumUp() {
	took := make([]time.Duration, len(p.Ended))
	for i := range p.Ended {
		took[i] = runTime(&p.Ended[i])
		if p.Ended[i].Result.Success {
			p.Succeeded++
		}
	}
	slices.SortFunc(took, cmp.Compare[time.Duration])
	if n := len(took); n > 0 {
		p.Median, p.P95 = took[n/2], took[min(n*95/100, n-1)]
	}
}

func runTime(d *rollout.Deployment) time.Duration { return max(d.FinishedAt.Sub(d.StartedAt), 0) }
