package web

import (
	"cmp"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"

	"rollcall/internal/problem"
)

// planPage shows what a deployment would do, and a form to start it.
type planPage struct {
	Service, Environment, Version, Strategy string
	Kinds                                   []strategyKind
	// Key is the idempotency key of the form.
	Key  string
	Plan *plan
	// Traffic is true if the service has a router.
	Traffic bool
	// Problem is the reason why the form's values are invalid; empty if they are valid.
	Problem         string
	previousVersion string
}

// strategyKind describes a strategy.
type strategyKind struct {
	Type       string
	Summary    string
	Parameters []parameter
}

// parameter describes a parameter of a strategy, with its value in the form; an empty Value means the default.
type parameter struct {
	Name, Type, Description string
	Default                 json.RawMessage
	Field, Value            string
}

// plan is the API's response to a dry run.
type plan struct {
	Protected bool
	Strategy  struct{ Type string }
	Waves     []struct {
		Wave          int
		Targets       []string
		TrafficWeight int `json:"traffic_weight"`
		Gate          string
		Bake          string
	}
	LeastCapacity    int    `json:"least_capacity"`
	ShortestDuration string `json:"shortest_duration"`
}

// CountTargets returns the number of targets of all waves.
func (p *plan) CountTargets() int {
	n := 0
	for _, w := range p.Waves {
		n += len(w.Targets)
	}
	return n
}

// fromDefinition selects the definition's strategy.
const fromDefinition = ""

func (s *site) newPlanPage(v *pageRequest) (planPage, error) {
	page := planPage{
		Service: v.pathValue("service"), Environment: v.pathValue("environment"), Key: rand.Text(),
		Version: strings.TrimSpace(v.r.FormValue("version")), Strategy: v.r.FormValue("strategy"), previousVersion: v.r.FormValue("change"),
	}
	var list struct{ Items []strategyKind }
	err := s.getAPI(v, "/strategies", &list)
	if err != nil {
		return page, err
	}
	page.Kinds = list.Items
	if page.Traffic, err = s.movesTraffic(v, page.Service, page.Environment); err != nil {
		return page, err
	}
	for i := range page.Kinds {
		for j := range page.Kinds[i].Parameters {
			p := &page.Kinds[i].Parameters[j]
			p.Field = page.Kinds[i].Type + "." + p.Name
			p.Value = strings.TrimSpace(v.r.FormValue(p.Field))
		}
	}
	return page, nil
}

// movesTraffic reports whether the definition names a router.
func (s *site) movesTraffic(v *pageRequest, service, environment string) (bool, error) {
	d, err := s.Store.Definition(v.r.Context(), service, environment)
	if problem.CodeOf(err) == problem.CodeNotFound {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	var body struct{ Traffic map[string]any }
	if err := json.Unmarshal(d.Body, &body); err != nil {
		return false, fmt.Errorf("read a definition: %w", err)
	}
	return body.Traffic != nil, nil
}

// FormVersion returns the version to show in the form.
func (p *planPage) FormVersion() string { return cmp.Or(p.Version, p.previousVersion) }

// FilledParameters returns the parameters of the selected strategy that have a value.
func (p *planPage) FilledParameters() []parameter {
	var filled []parameter
	for i := range p.Kinds {
		for _, parameter := range p.Kinds[i].Parameters {
			if p.Kinds[i].Type == p.Strategy && parameter.Value != "" {
				filled = append(filled, parameter)
			}
		}
	}
	return filled
}

// requestBody returns the body of the request to the API.
func (p *planPage) requestBody() map[string]any {
	body := map[string]any{"service": p.Service, "environment": p.Environment, "version": p.Version}
	if p.Strategy != fromDefinition {
		strategy := map[string]any{"type": p.Strategy}
		for _, parameter := range p.FilledParameters() {
			strategy[parameter.Name] = parameter.jsonValue()
		}
		body["strategy"] = strategy
	}
	return body
}

// jsonValue converts the value for the API: to JSON if it is JSON, to a list if a list is allowed and it has a comma, to a
// number if one is allowed, else to a string. The API validates it.
func (p *parameter) jsonValue() any {
	structured := strings.HasPrefix(p.Value, "[") || strings.HasPrefix(p.Value, "{")
	if structured && json.Valid([]byte(p.Value)) {
		return json.RawMessage(p.Value)
	}
	if !strings.Contains(p.Type, "list") || !strings.Contains(p.Value, ",") {
		return p.scalarValue(p.Value)
	}
	var list []any
	for item := range strings.SplitSeq(p.Value, ",") {
		list = append(list, p.scalarValue(strings.TrimSpace(item)))
	}
	return list
}

func (p *parameter) scalarValue(text string) any {
	isText := p.Type == "string" || p.Type == "duration"
	if number := json.Number(text); !isText && json.Valid([]byte(text)) {
		if _, err := number.Float64(); err == nil {
			return number
		}
	}
	return text
}

// showPlan shows a form for a version, or what deploying it would do.
func (s *site) showPlan(v *pageRequest) error {
	if err := v.requireRead(v.pathValue("service"), v.pathValue("environment")); err != nil {
		return err
	}
	page, err := s.newPlanPage(v)
	if err != nil {
		return err
	}
	if page.Version != "" {
		page.Plan = &plan{}
		err = s.postAPI(v, "/deployments?dry_run=true", nil, page.requestBody(), page.Plan)
	}
	if problem.CodeOf(err) == problem.CodeInvalid {
		page.Plan, page.Problem, v.status, err = nil, userMessage(err), http.StatusUnprocessableEntity, nil
	}
	if err != nil {
		return err
	}
	s.renderPage(v, "page_plan.html", "Deploy "+page.Service+" to "+page.Environment, "services", &page)
	return nil
}

func (s *site) startDeployment(v *pageRequest) error {
	if err := verifyCSRF(v.r); err != nil {
		return err
	}
	page, err := s.newPlanPage(v)
	if err != nil {
		return err
	}
	var created struct{ ID string }
	if err := s.postAPI(v, "/deployments", idempotencyHeader(v), page.requestBody(), &created); err != nil {
		return err
	}
	if created.ID == "" {
		return fmt.Errorf("the API returned no deployment for %s in %s", page.Service, page.Environment)
	}
	redirectToDeployment(v, created.ID)
	return nil
}

// idempotencyHeader returns the headers of a form's request.
func idempotencyHeader(v *pageRequest) http.Header {
	header := http.Header{}
	if key := v.r.PostFormValue("key"); key != "" {
		header.Set("Idempotency-Key", "dashboard-"+key)
	}
	return header
}

func redirectToDeployment(v *pageRequest, id string) {
	http.Redirect(v.w, v.r, root+"/deployments/"+id, http.StatusSeeOther)
}
