package web

import (
	"rollcall/internal/authz"
	"rollcall/internal/catalog"
	"rollcall/internal/healthcheck"
	"rollcall/internal/rollout"
	"rollcall/internal/storage"
)

// servicesPage lists what each service runs, and the unfinished deployments.
type servicesPage struct {
	Now  []running
	Rows []serviceRow
	Next string
}

// running is an unfinished deployment; Gate is true if it needs a command.
type running struct {
	rollout.Deployment
	Gate bool
}

// serviceRow shows a service in an environment.
type serviceRow struct {
	catalog.Service
	runs
	Active    *rollout.Deployment
	CanDeploy bool
}

// runs counts the versions and the health of the targets of a service in an environment.
type runs struct {
	Versions                     []versionCount
	Targets                      int
	Unhealthy, Degraded, Unknown int
}

type versionCount struct {
	Version string
	Count   int
}

// addVersion adds the targets of one version and health.
func (r *runs) addVersion(s *catalog.VersionCount) {
	r.Targets += s.Targets
	switch s.Health {
	case healthcheck.Unhealthy:
		r.Unhealthy += s.Targets
	case healthcheck.Degraded:
		r.Degraded += s.Targets
	case healthcheck.Unknown:
		r.Unknown += s.Targets
	case healthcheck.Healthy:
	}
	for i := range r.Versions {
		if r.Versions[i].Version == s.Version {
			r.Versions[i].Count += s.Targets
			return
		}
	}
	r.Versions = append(r.Versions, versionCount{s.Version, s.Targets})
}

const servicesPerPage = 100

func (s *site) showServices(v *pageRequest) error {
	ctx, scopes := v.r.Context(), v.principal.Scopes
	list, err := s.Store.Services(ctx, scopes, storage.Page{Limit: servicesPerPage, Cursor: v.r.FormValue("cursor")})
	if err != nil {
		return err
	}
	now, err := s.Store.UnfinishedDeployments(ctx, scopes)
	if err != nil {
		return err
	}
	page := servicesPage{Next: list.NextCursor}
	for i := range now {
		page.Now = append(page.Now, running{now[i], needsAction(&now[i])})
	}
	runs, err := s.countRuns(v, list.Items)
	if err != nil {
		return err
	}
	for i := range list.Items {
		item := list.Items[i]
		key := authz.Scope{Service: item.Service, Environment: item.Environment}
		page.Rows = append(page.Rows, serviceRow{
			Service: item, runs: runs[key], Active: activeDeployment(now, key),
			CanDeploy: item.Defined && v.isAllowed(authz.PermissionDeploy, key.Service, key.Environment),
		})
	}
	s.renderPage(v, "page_services.html", "Services", "services", page)
	return nil
}

// countRuns returns the counts for each of the services.
func (s *site) countRuns(v *pageRequest, services []catalog.Service) (map[authz.Scope]runs, error) {
	keys := make([]authz.Scope, len(services))
	for i := range services {
		keys[i] = authz.Scope{Service: services[i].Service, Environment: services[i].Environment}
	}
	shares, err := s.Store.VersionCounts(v.r.Context(), keys)
	if err != nil {
		return nil, err
	}
	found := map[authz.Scope]runs{}
	for i := range shares {
		key := authz.Scope{Service: shares[i].Service, Environment: shares[i].Environment}
		sum := found[key]
		sum.addVersion(&shares[i])
		found[key] = sum
	}
	return found, nil
}

// activeDeployment returns the deployment of a service in an environment that has started and not ended.
func activeDeployment(unfinished []rollout.Deployment, key authz.Scope) *rollout.Deployment {
	for i := range unfinished {
		if d := &unfinished[i]; d.Active() && d.Service == key.Service && d.Environment == key.Environment {
			return d
		}
	}
	return nil
}

// needsAction reports whether the deployment waits for a command.
func needsAction(d *rollout.Deployment) bool {
	return d.State == rollout.StatePaused || d.Progress.Gate > 0 || d.NeedsApproval()
}
