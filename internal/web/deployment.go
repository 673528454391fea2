package web

import (
	"fmt"
	"time"

	"rollcall/internal/rollout"
	"rollcall/internal/storage"
)

// deploymentPage shows one deployment. The summary is refreshed while it runs; the grid and the log follow its events.
type deploymentPage struct {
	Summary summary
	Grid    grid
	Events  []rollout.Event
	// Truncated is true if there are events before the first of Events; After is the id from which the stream continues.
	Truncated bool
	After     int64
}

// summary shows a deployment's state and the available actions.
type summary struct {
	D            rollout.Deployment
	Actions      []action
	RolledBackBy string
	From         string
	Waiting      bool
	Took         time.Duration
	Pending      int
}

const eventsShown = 200

func (s *site) showDeployment(v *pageRequest) error {
	d, err := s.readDeployment(v)
	if err != nil {
		return err
	}
	page := deploymentPage{}
	if page.Summary, err = s.makeSummary(v, d); err != nil {
		return err
	}
	if v.r.Header.Get("Rollcall-Part") != "summary" {
		if err := s.addTargetsAndEvents(v, &d, &page); err != nil {
			return err
		}
	}
	s.renderPage(v, "page_deployment.html", fmt.Sprintf("%s in %s: %s", d.Service, d.Environment, humanize(d.State)), "history", page)
	return nil
}

// addTargetsAndEvents adds the targets and the newest events.
func (s *site) addTargetsAndEvents(v *pageRequest, d *rollout.Deployment, page *deploymentPage) (err error) {
	after := max(d.LastSeq-eventsShown, 0)
	if page.Events, err = s.Store.DeploymentEvents(v.r.Context(), d.ID, after, d.LastSeq, eventsShown); err != nil {
		return err
	}
	page.Truncated = after > 0
	if n := len(page.Events); n > 0 {
		page.After = page.Events[n-1].ID
	}
	targets, err := s.readTargets(v, d.ID)
	page.Grid = makeGrid(d, targets)
	return err
}

// readDeployment returns the deployment in the path, if the user may read it.
func (s *site) readDeployment(v *pageRequest) (rollout.Deployment, error) {
	d, err := s.Store.Deployment(v.r.Context(), v.pathValue("id"))
	if err == nil {
		err = v.requireRead(d.Service, d.Environment)
	}
	return d, err
}

func (s *site) makeSummary(v *pageRequest, d rollout.Deployment) (summary, error) {
	sum := summary{D: d, Waiting: needsAction(&d), Pending: d.Counts.Total - d.Counts.Updated - d.Counts.Failed -
		d.Counts.RolledBack - d.Counts.InFlight}
	latest := d.ID
	if d.State.Terminal() {
		by, err := s.Store.RolledBackBy(v.r.Context(), []string{d.ID})
		if err != nil {
			return sum, err
		}
		sum.RolledBackBy = by[d.ID]
		last, err := s.Store.LatestDeployment(v.r.Context(), d.Service, d.Environment)
		if err != nil {
			return sum, err
		}
		latest = last.ID
		if !d.StartedAt.IsZero() {
			sum.Took = d.FinishedAt.Sub(d.StartedAt)
		}
	}
	sum.Actions = availableActions(v, &d, latest == d.ID && sum.RolledBackBy == "")
	return sum, nil
}

// readTargets returns all targets of a deployment.
func (s *site) readTargets(v *pageRequest, id string) ([]rollout.Target, error) {
	const pageSize = 200
	var targets []rollout.Target
	for cursor := ""; ; {
		list, err := s.Store.Targets(v.r.Context(), id, storage.Page{Limit: pageSize, Cursor: cursor})
		if err != nil {
			return nil, err
		}
		if targets = append(targets, list.Items...); list.NextCursor == "" {
			return targets, nil
		}
		cursor = list.NextCursor
	}
}
