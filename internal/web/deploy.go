package web

import (
	"crypto/rand"
	"fmt"
	"net/http"
	"strings"
)

// planPage is what a deployment would do, and the question whether it shall.
type planPage struct {
	Service, Environment, Version, Strategy string
	Kinds                                   []string
	// Key makes the form safe to send twice.
	Key  string
	Plan *plan
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

func newPlanPage(v *visit) planPage {
	return planPage{
		Service: v.path("service"), Environment: v.path("environment"), Key: rand.Text(),
		Version: strings.TrimSpace(v.r.FormValue("version")), Strategy: v.r.FormValue("strategy"),
		Kinds: []string{asRegistered, "rolling", "canary", "blue_green"},
	}
}

// request is what is asked of the API.
func (p *planPage) request() map[string]any {
	body := map[string]any{"service": p.Service, "environment": p.Environment, "version": p.Version}
	if p.Strategy != asRegistered {
		body["strategy"] = map[string]any{"type": p.Strategy}
	}
	return body
}

// showPlan asks for a version, and shows what deploying it would do.
func (s *site) showPlan(v *visit) error {
	page := newPlanPage(v)
	if err := v.sees(page.Service, page.Environment); err != nil {
		return err
	}
	if page.Version != "" {
		page.Plan = &plan{}
		if err := s.ask(v, "/deployments?dry_run=true", nil, page.request(), page.Plan); err != nil {
			return err
		}
	}
	s.show(v, "page_plan.html", "Deploy "+page.Service+" to "+page.Environment, "services", page)
	return nil
}

func (s *site) doDeploy(v *visit) error {
	if err := ours(v.r); err != nil {
		return err
	}
	page := newPlanPage(v)
	var made struct{ ID string }
	header := http.Header{}
	if key := v.r.PostFormValue("key"); key != "" {
		header.Set("Idempotency-Key", "dashboard-"+key)
	}
	if err := s.ask(v, "/deployments", header, page.request(), &made); err != nil {
		return err
	}
	if made.ID == "" {
		return fmt.Errorf("the API names no deployment for %s in %s", page.Service, page.Environment)
	}
	seeDeployment(v, made.ID)
	return nil
}

func seeDeployment(v *visit, id string) {
	http.Redirect(v.w, v.r, root+"/deployments/"+id, http.StatusSeeOther)
}
