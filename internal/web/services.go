package web

import (
	"rollcall/internal/authz"
	"rollcall/internal/catalog"
	"rollcall/internal/healthcheck"
	"rollcall/internal/rollout"
)

// servicesPage is what is running where, and what is happening now.
type servicesPage struct {
	Now  []running
	Rows []serviceRow
	Next string
}

// running is a deployment that has not ended, with what it waits for.
type running struct {
	rollout.Deployment
	Gate bool
}

// serviceRow is a service in an environment.
type serviceRow struct {
	catalog.Service
	runs
	Active *rollout.Deployment
	Deploy bool
}

// runs sums up what runs on the targets of a service in an environment.
type runs struct {
	Versions []versionCount
	Targets  int
	// Sick counts the targets whose health is bad, Unsure those of which nobody knows it.
	Sick, Degraded, Unsure int
}

type versionCount struct {
	Version string
	Targets int
}

// add counts what shares a version and a health.
func (r *runs) add(s *catalog.VersionCount) {
	r.Targets += s.Targets
	switch s.Health {
	case healthcheck.Unhealthy:
		r.Sick += s.Targets
	case healthcheck.Degraded:
		r.Degraded += s.Targets
	case healthcheck.Unknown:
		r.Unsure += s.Targets
	case healthcheck.Healthy:
	}
	for i := range r.Versions {
		if r.Versions[i].Version == s.Version {
			r.Versions[i].Targets += s.Targets
			return
		}
	}
	r.Versions = append(r.Versions, versionCount{s.Version, s.Targets})
}

const servicesPerPage = 100

func (s *site) showServices(v *visit) error {
	ctx, scopes := v.r.Context(), v.who.Scopes
	list, err := s.Store.Services(ctx, scopes, rollout.Page{Limit: servicesPerPage, Cursor: v.r.FormValue("cursor")})
	if err != nil {
		return err
	}
	now, err := s.Store.Unfinished(ctx, scopes)
	if err != nil {
		return err
	}
	page := servicesPage{Next: list.NextCursor}
	for i := range now {
		page.Now = append(page.Now, running{now[i], waitsForPeople(&now[i])})
	}
	runs, err := s.runs(v, list.Items)
	if err != nil {
		return err
	}
	for i := range list.Items {
		item := list.Items[i]
		pair := authz.Scope{Service: item.Service, Environment: item.Environment}
		page.Rows = append(page.Rows, serviceRow{
			Service: item, runs: runs[pair], Active: activeOf(now, pair),
			Deploy: item.Defined && v.may(authz.PermissionDeploy, pair.Service, pair.Environment),
		})
	}
	s.show(v, "page_services.html", "Services", "services", page)
	return nil
}

// runs counts what runs, for each of the services.
func (s *site) runs(v *visit, services []catalog.Service) (map[authz.Scope]runs, error) {
	pairs := make([]authz.Scope, len(services))
	for i := range services {
		pairs[i] = authz.Scope{Service: services[i].Service, Environment: services[i].Environment}
	}
	shares, err := s.Store.Shares(v.r.Context(), pairs)
	if err != nil {
		return nil, err
	}
	found := map[authz.Scope]runs{}
	for i := range shares {
		pair := authz.Scope{Service: shares[i].Service, Environment: shares[i].Environment}
		sum := found[pair]
		sum.add(&shares[i])
		found[pair] = sum
	}
	return found, nil
}

// activeOf is the deployment of the pair that has begun and not ended.
func activeOf(unfinished []rollout.Deployment, pair authz.Scope) *rollout.Deployment {
	for i := range unfinished {
		if d := &unfinished[i]; d.Active() && d.Service == pair.Service && d.Environment == pair.Environment {
			return d
		}
	}
	return nil
}

// waitsForPeople reports whether the deployment does nothing before someone presses a button.
func waitsForPeople(d *rollout.Deployment) bool {
	return d.State == rollout.StatePaused || d.Progress.Gate > 0 || d.Unapproved()
}
