package e2e

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"rollcall/internal/dbtest"
)

// problems is what is wrong with a request, by pointer.
func problems(t *testing.T, method, url string, body object) map[string]string {
	t.Helper()
	var problem struct {
		Status int
		Errors []struct{ Pointer, Detail string }
	}
	res, data := call(t, method, url, body, &problem)
	if res.StatusCode != http.StatusUnprocessableEntity {
		t.Errorf("%s %s: %d %s", method, url, res.StatusCode, data)
	}
	found := map[string]string{}
	for _, e := range problem.Errors {
		found[e.Pointer] = e.Detail
	}
	return found
}

// TestChecks_ForbiddenCommandIsRefused in every place that takes checks, with the names of those that are allowed.
func TestChecks_ForbiddenCommandIsRefused(t *testing.T) {
	t.Parallel()
	f := newFleet(t, 1, "v1")
	p := serve(t, dbtest.New(t), "--allow-command=disk=/bin/true", "--allow-command=fits=/bin/true", "--allow-file-remotes")
	body := request(f, "v2", object{"type": "rolling"})
	body["health_checks"] = []object{{"type": "command", "command": "x"}}
	definition := object{"targets": body["targets"], "health_checks": body["health_checks"]}
	for _, r := range []struct {
		method, path string
		body         object
	}{
		{http.MethodPost, "/deployments", body},
		{http.MethodPost, "/deployments?dry_run=true", body},
		{http.MethodPut, "/services/checkout/environments/production", definition},
		{http.MethodPost, "/checks", object{"address": f.Targets[0].URL(), "health_checks": body["health_checks"]}},
	} {
		found := problems(t, r.method, p.url+r.path, r.body)
		if detail := found["/health_checks/0/command"]; !strings.Contains(detail, "disk, fits") {
			t.Errorf("%s %s: %v", r.method, r.path, found)
		}
	}
	repo := newRepository(t)
	repo.push("a command", map[string]string{"a.yaml": fmt.Sprintf(
		"service: checkout\nversion: v2\ntargets:\n- {id: a, address: %q}\nhealth_checks:\n- {type: command, command: x}\n", f.Targets[0].URL())})
	if res, data := call(t, http.MethodPut, p.url+"/gitops/sources/main", object{"url": "file://" + repo.bare}, nil); res.StatusCode != http.StatusCreated {
		t.Fatalf("%d %s", res.StatusCode, data)
	}
	p.awaitSource("refused at the field", func(s *source) bool {
		for _, file := range s.Files {
			for _, problem := range file.Problems {
				if problem.Pointer == "/health_checks/0/command" && strings.Contains(problem.Detail, "disk, fits") {
					return true
				}
			}
		}
		return false
	})
	body["health_checks"] = []object{{"type": "command", "command": "disk"}}
	p.post(body)
	if len(f.Calls()) > 1 {
		t.Errorf("%d calls", len(f.Calls()))
	}
}

func TestDeploy_SameVersionReportsNoCall(t *testing.T) {
	t.Parallel()
	f := newFleet(t, 2, "v0")
	p := serve(t, dbtest.New(t))
	for _, says := range []string{"completed", "already runs latest; no target was called (force calls them)"} {
		body := request(f, "latest", object{"type": "rolling"})
		p.rollcall(t, "deploy", "--file="+release(t, body), "--wait").want(0, says)
	}
	if n := len(f.Calls()); n != 2 {
		t.Errorf("%d calls", n)
	}
}
