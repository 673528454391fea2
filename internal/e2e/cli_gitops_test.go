package e2e

import (
	"encoding/json"
	"strings"
	"testing"

	"rollcall/internal/dbtest"
	"rollcall/internal/testtarget"
)

func TestCLI_SourcesLifecycle(t *testing.T) {
	t.Parallel()
	r, f := newRepository(t), newFleet(t, 1, "v0")
	p := serve(t, dbtest.New(t), "--allow-file-remotes")
	first := r.push("v1", map[string]string{"deploy/a.yaml": definition("checkout", "v1", f)})
	p.rollcall(t, "gitops", "list").want(0, "SOURCE", "REPOSITORY")
	p.rollcall(t, "gitops", "status", "main").want(2, "no source")
	p.rollcall(t, "gitops", "put", "main").want(2, "url")
	p.rollcall(t, "gitops", "put", "main", "--repository=ext::sh -c id").want(2, "/url")
	file := written(t, "source.yaml", "url: https://elsewhere.example/x\ninterval: 1h\nhook_secret: a-planted-hook-secret\n")
	p.rollcall(t, "gitops", "put", "main", "-f", file, "--repository=file://"+r.bare, "--path=deploy").want(0, "main is unknown: was not read yet", r.bare)
	p.awaitSource("synced", func(s *source) bool { return s.synced(first) })
	p.rollcall(t, "gitops", "list").want(0, "main", "synced", first[:12], r.bare)
	p.rollcall(t, "gitops", "status", "main").want(0, "main is synced: what runs is what Git says", "branch main", "deploy/a.yaml", "checkout", "v1")

	second := r.push("v2, and a broken one", map[string]string{"deploy/a.yaml": definition("checkout", "v2", f), "deploy/b.yaml": "service: x\ntargets: 7\n"})
	p.rollcall(t, "gitops", "sync", "main", "--plan").want(0, "deploy/a.yaml", "sync", "v2", "deploy/b.yaml", "line 2: /targets", "at "+second[:12])
	if n := len(p.ofGit()); n != 1 {
		t.Errorf("%d deployments after a plan", n)
	}
	f.Targets[0].SetBehaviour(func(b *testtarget.Behaviour) { b.Status = 500 })
	p.rollcall(t, "gitops", "sync", "main").want(0, "main is")
	p.awaitSource("failed", func(s *source) bool { return s.at(second) && s.Files[0].Attempt.State == "failed" })
	p.rollcall(t, "gitops", "status", "main").want(0, "main is error: 1 file is broken", "failed: deployment", "line 2: /targets")
	f.Targets[0].SetBehaviour(func(b *testtarget.Behaviour) { b.Status = 200 })
	p.rollcall(t, "gitops", "sync", "main", "--retry").want(0)
	p.awaitSource("done", func(s *source) bool { return s.Files[0].Attempt.State == "done" && s.Files[0].State == "synced" })

	p.rollcall(t, "rollback", "checkout", "--wait").want(0)
	p.rollcall(t, "gitops", "sync", "main").want(0)
	p.awaitSource("held", func(s *source) bool { return s.Files[0].Attempt.State == "held" })
	p.rollcall(t, "gitops", "status", "main").want(0, "held: deployment")
	p.rollcall(t, "gitops", "sync", "main", "--release").want(0)
	p.awaitSource("released", func(s *source) bool { return s.Files[0].Attempt.State == "done" })

	p.rollcall(t, "gitops", "delete", "main").want(0, "source main deleted")
	p.rollcall(t, "gitops", "list").want(0)
	if runs := f.Versions()["web-1"]; runs != "v2" {
		t.Errorf("the target runs %s after its source was forgotten", runs)
	}
}

func TestCLI_GitopsJSONAndRoles(t *testing.T) {
	t.Parallel()
	r := newRepository(t)
	p := serve(t, dbtest.New(t), "--allow-file-remotes")
	r.push("nothing", map[string]string{"README": "x"})
	p.rollcall(t, "gitops", "put", "main", "--repository=file://"+r.bare, "--path=deploy", "--heal").want(0)
	for _, command := range [][]string{{"put", "main", "--repository=file://" + r.bare}, {"list"}, {"status", "main"}, {"sync", "main"}} {
		out := p.rollcall(t, append(append([]string{"gitops"}, command...), "--json")...).want(0).out
		if !json.Valid([]byte(out)) || !strings.Contains(out, r.bare) {
			t.Errorf("%v prints %s", command, out)
		}
	}
	viewer := p.issued("viewer", object{})
	p.rollcall(t, "gitops", "list", "--token="+viewer).want(0, "main")
	for _, command := range [][]string{{"sync", "main"}, {"delete", "main"}, {"put", "main", "--repository=file:///x"}} {
		p.rollcall(t, append(append([]string{"gitops"}, command...), "--token="+viewer)...).want(2, "viewer")
	}
}
