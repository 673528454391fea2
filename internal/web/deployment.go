package web

import (
	"fmt"
	"time"

	"rollcall/internal/rollout"
)

// deploymentPage is one deployment. Summary is renewed while it runs; the grid and the log follow its events.
type deploymentPage struct {
	Summary summary
	Grid    grid
	Events  []rollout.Event
	// Earlier says that the log began before the first of Events; After is the id that the stream goes on from.
	Earlier bool
	After   int64
}

// summary is where a deployment stands and what can be asked of it.
type summary struct {
	D            rollout.Deployment
	Verbs        []verb
	RolledBackBy string
	From         string
	Waiting      bool
	Took         time.Duration
	Pending      int
}

const eventsShown = 200

func (s *site) showDeployment(v *visit) error {
	d, err := s.deployment(v)
	if err != nil {
		return err
	}
	page := deploymentPage{}
	if page.Summary, err = s.summarize(v, d); err != nil {
		return err
	}
	if v.r.Header.Get("Rollcall-Part") != "summary" {
		if err := s.fill(v, &d, &page); err != nil {
			return err
		}
	}
	s.show(v, "page_deployment.html", fmt.Sprintf("%s in %s: %s", d.Service, d.Environment, plain(d.State)), "history", page)
	return nil
}

// fill adds the targets and the newest events.
func (s *site) fill(v *visit, d *rollout.Deployment, page *deploymentPage) (err error) {
	after := max(d.LastSeq-eventsShown, 0)
	if page.Events, err = s.Store.EventsOf(v.r.Context(), d.ID, after, d.LastSeq, eventsShown); err != nil {
		return err
	}
	page.Earlier = after > 0
	if n := len(page.Events); n > 0 {
		page.After = page.Events[n-1].ID
	}
	targets, err := s.targets(v, d.ID)
	page.Grid = makeGrid(d, targets)
	return err
}

// deployment is the one that the path names, if the visitor may see it.
func (s *site) deployment(v *visit) (rollout.Deployment, error) {
	d, err := s.Store.Deployment(v.r.Context(), v.path("id"))
	if err == nil {
		err = v.sees(d.Service, d.Environment)
	}
	return d, err
}

func (s *site) summarize(v *visit, d rollout.Deployment) (summary, error) {
	sum := summary{D: d, Waiting: waitsForPeople(&d), Pending: d.Counts.Total - d.Counts.Updated - d.Counts.Failed -
		d.Counts.RolledBack - d.Counts.InFlight}
	latest := d.ID
	if d.State.Terminal() {
		by, err := s.Store.RolledBackBy(v.r.Context(), []string{d.ID})
		if err != nil {
			return sum, err
		}
		sum.RolledBackBy = by[d.ID]
		last, err := s.Store.Latest(v.r.Context(), d.Service, d.Environment)
		if err != nil {
			return sum, err
		}
		latest = last.ID
		if !d.StartedAt.IsZero() {
			sum.Took = d.FinishedAt.Sub(d.StartedAt)
		}
	}
	sum.Verbs = verbsFor(v, &d, latest == d.ID && sum.RolledBackBy == "")
	return sum, nil
}

// targets are all of a deployment's.
func (s *site) targets(v *visit, id string) ([]rollout.Target, error) {
	const most = 200
	var targets []rollout.Target
	for cursor := ""; ; {
		list, err := s.Store.Targets(v.r.Context(), id, rollout.Page{Limit: most, Cursor: cursor})
		if err != nil {
			return nil, err
		}
		if targets = append(targets, list.Items...); list.NextCursor == "" {
			return targets, nil
		}
		cursor = list.NextCursor
	}
}
