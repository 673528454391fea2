package web

import (
	"bytes"
	"encoding/json"
	"fmt"

	"rollcall/internal/authz"
	"rollcall/internal/catalog"
	"rollcall/internal/problem"
	"rollcall/internal/rollout"
	"rollcall/internal/storage"
)

// servicePage shows a service in an environment.
type servicePage struct {
	Row        serviceRow
	Definition string
	Protected  bool
	Recent     []rollout.Deployment
}

const recentDeployments = 12

func (s *site) showService(v *pageRequest) error {
	service, environment := v.pathValue("service"), v.pathValue("environment")
	if err := v.requireRead(service, environment); err != nil {
		return err
	}
	ctx := v.r.Context()
	recent, err := s.Store.Deployments(ctx, v.principal.Scopes,
		storage.Filter{Service: service, Environment: environment}, storage.Page{Limit: recentDeployments})
	if err != nil {
		return err
	}
	page := servicePage{Recent: recent.Items, Row: serviceRow{Service: catalog.Service{Service: service, Environment: environment}}}
	defined, err := s.Store.Definition(ctx, service, environment)
	switch {
	case err == nil:
		page.Row.Defined, page.Protected = true, defined.Protected
		if page.Definition, err = indentJSON(defined.Body); err != nil {
			return err
		}
	case problem.CodeOf(err) != problem.CodeNotFound:
		return err
	case len(recent.Items) == 0:
		return &problem.Error{Code: problem.CodeNotFound, Message: "no deployment or definition of " + service + " in " + environment}
	}
	runs, err := s.countRuns(v, []catalog.Service{page.Row.Service})
	if err != nil {
		return err
	}
	key := authz.Scope{Service: service, Environment: environment}
	page.Row.runs, page.Row.Active = runs[key], activeDeployment(recent.Items, key)
	page.Row.CanDeploy = page.Row.Defined && v.isAllowed(authz.PermissionDeploy, service, environment)
	s.renderPage(v, "page_service.html", service+" in "+environment, "services", page)
	return nil
}

func indentJSON(body []byte) (string, error) {
	var out bytes.Buffer
	if err := json.Indent(&out, body, "", "  "); err != nil {
		return "", fmt.Errorf("indent a definition: %w", err)
	}
	return out.String(), nil
}
