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

// planPage is what a deployment would do, and the question whether it shall.
type planPage struct {
	Service, Environment, Version, Strategy string
	Kinds                                   []kind
	// Key makes the form safe to send twice.
	Key  string
	Plan *plan
	// Traffic says that a router is told.
	Traffic bool
	// Complaint says what is wrong with what was filled in; empty for nothing.
	Complaint string
	change    string
}

// kind is a strategy as the API describes it.
type kind struct {
	Type       string
	Summary    string
	Parameters []parameter
}

// parameter is one of a strategy's, with what was filled in for it; an empty Value leaves the default.
type parameter struct {
	Name, Type, Description string
	Default                 json.RawMessage
	Field, Value            string
}

// plan is the API's answer to a dry run.
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

// Targets counts those of all waves.
func (p *plan) Targets() int {
	n := 0
	for _, w := range p.Waves {
		n += len(w.Targets)
	}
	return n
}

// asRegistered stands for the strategy of the definition.
const asRegistered = ""

func (s *site) newPlanPage(v *visit) (planPage, error) {
	page := planPage{
		Service: v.path("service"), Environment: v.path("environment"), Key: rand.Text(),
		Version: strings.TrimSpace(v.r.FormValue("version")), Strategy: v.r.FormValue("strategy"), change: v.r.FormValue("change"),
	}
	var known struct{ Items []kind }
	err := s.read(v, "/strategies", &known)
	if err != nil {
		return page, err
	}
	page.Kinds = known.Items
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
func (s *site) movesTraffic(v *visit, service, environment string) (bool, error) {
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

// Asked is the version in the form: what was asked for, or what shall be changed.
func (p *planPage) Asked() string { return cmp.Or(p.Version, p.change) }

// Given are the parameters of the chosen strategy that were filled in.
func (p *planPage) Given() []parameter {
	var given []parameter
	for i := range p.Kinds {
		for _, parameter := range p.Kinds[i].Parameters {
			if p.Kinds[i].Type == p.Strategy && parameter.Value != "" {
				given = append(given, parameter)
			}
		}
	}
	return given
}

// request is what is asked of the API.
func (p *planPage) request() map[string]any {
	body := map[string]any{"service": p.Service, "environment": p.Environment, "version": p.Version}
	if p.Strategy != asRegistered {
		strategy := map[string]any{"type": p.Strategy}
		for _, parameter := range p.Given() {
			strategy[parameter.Name] = parameter.meant()
		}
		body["strategy"] = strategy
	}
	return body
}

// meant is what was filled in as the API takes it: JSON where it is that, a list where one may stand and a comma does, a
// number where one may stand, else text. Whether it is good the API says.
func (p *parameter) meant() any {
	structured := strings.HasPrefix(p.Value, "[") || strings.HasPrefix(p.Value, "{")
	if structured && json.Valid([]byte(p.Value)) {
		return json.RawMessage(p.Value)
	}
	if !strings.Contains(p.Type, "list") || !strings.Contains(p.Value, ",") {
		return p.one(p.Value)
	}
	var list []any
	for item := range strings.SplitSeq(p.Value, ",") {
		list = append(list, p.one(strings.TrimSpace(item)))
	}
	return list
}

func (p *parameter) one(text string) any {
	worded := p.Type == "string" || p.Type == "duration"
	if number := json.Number(text); !worded && json.Valid([]byte(text)) {
		if _, err := number.Float64(); err == nil {
			return number
		}
	}
	return text
}

// showPlan asks for a version, and shows what deploying it would do.
func (s *site) showPlan(v *visit) error {
	if err := v.sees(v.path("service"), v.path("environment")); err != nil {
		return err
	}
	page, err := s.newPlanPage(v)
	if err != nil {
		return err
	}
	if page.Version != "" {
		page.Plan = &plan{}
		err = s.ask(v, "/deployments?dry_run=true", nil, page.request(), page.Plan)
	}
	if problem.CodeOf(err) == problem.CodeInvalid {
		page.Plan, page.Complaint, v.status, err = nil, sentence(err), http.StatusUnprocessableEntity, nil
	}
	if err != nil {
		return err
	}
	s.show(v, "page_plan.html", "Deploy "+page.Service+" to "+page.Environment, "services", &page)
	return nil
}

func (s *site) doDeploy(v *visit) error {
	if err := ours(v.r); err != nil {
		return err
	}
	page, err := s.newPlanPage(v)
	if err != nil {
		return err
	}
	var made struct{ ID string }
	if err := s.ask(v, "/deployments", keyed(v), page.request(), &made); err != nil {
		return err
	}
	if made.ID == "" {
		return fmt.Errorf("the API names no deployment for %s in %s", page.Service, page.Environment)
	}
	seeDeployment(v, made.ID)
	return nil
}

// keyed is the header that goes with what a form asks for.
func keyed(v *visit) http.Header {
	header := http.Header{}
	if key := v.r.PostFormValue("key"); key != "" {
		header.Set("Idempotency-Key", "dashboard-"+key)
	}
	return header
}

func seeDeployment(v *visit, id string) {
	http.Redirect(v.w, v.r, root+"/deployments/"+id, http.StatusSeeOther)
}
