package e2e

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	cdppage "github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"

	"rollcall/internal/dbtest"
	"rollcall/internal/keyring"
)

func TestPages_SourceShowsDriftErrorAndSync(t *testing.T) {
	t.Parallel()
	f := newFleet(t, 2, "v1")
	r := newRepository(t)
	file := func(version string) map[string]string {
		return map[string]string{"checkout.yaml": definition("checkout", version, f)}
	}
	p := serve(t, dbtest.New(t), "--secret-key="+keyring.NewKey(time.Now()).Text(), "--allow-file-remotes")
	first := r.push("v2", file("v2"))
	p.follows(object{"url": "file://" + r.bare, "interval": "1h"}) // from now on only a person makes it read
	p.awaitSource("synced", func(s *source) bool { return s.synced(first) })

	b := browse(t)
	b.signIn(p, "/ui/gitops")
	b.awaitText("table.list", "main")
	b.click(`a[href$="/gitops/main"]`)
	b.awaitText("#part-source h1", "main")
	b.awaitText("#part-source .state", "synced")
	b.awaitText("#part-source .facts", first[:10])

	second := r.push("v3", file("v3"))
	sync := func() {
		b.click(`a[href$="/gitops/main/sync"]`)
		b.awaitText("dialog[open]", "Each changed file starts one deployment")
		b.click("dialog #confirm")
	}
	sync()
	b.awaitText("#part-source .facts", second[:10])
	p.awaitSource("synced at v3", func(s *source) bool { return s.synced(second) })
	b.awaitText("#part-source .list", "v3")
	b.awaitText("#part-source .list .why", "done")

	f.Targets[0].SetVersion("v0")
	sync()
	b.awaitText("#part-source .headline .state", "drifted")
	b.awaitText(`#part-source [data-label="Drifted targets"]`, "1")

	broken := r.push("broken", map[string]string{"checkout.yaml": strings.SplitAfter(definition("checkout", "v4", f), "targets:")[0] + " 7\n"})
	sync()
	p.awaitSource("in error", func(s *source) bool { return s.at(broken) && s.State == "error" })
	b.awaitText("#part-source .headline .state", "error")
	b.awaitText("#part-source .list .why", "line 3: /targets")
}

func TestPages_FormDeploysAndShowsFieldErrors(t *testing.T) {
	t.Parallel()
	f := newFleet(t, 4, "v1")
	p := serve(t, dbtest.New(t))
	p.registered(request(f, "", object{"type": "rolling"}))
	b := browse(t)
	b.forgiven = []string{"422"}
	b.signIn(p, "/ui/services/checkout/environments/production/deploy")
	b.fill("#version", "v2")
	if shown := eval[int](b, `[...document.querySelectorAll("fieldset")].filter((f) => f.checkVisibility()).length`); shown != 0 {
		t.Errorf("%d groups of parameters are shown before a strategy is chosen", shown)
	}
	choose := func(name string) {
		eval[bool](b, `(() => { const s = document.getElementById("strategy"); s.value = "`+name+`"; s.dispatchEvent(new Event("change", { bubbles: true })); return true; })()`)
	}
	choose("canary")
	b.fill(`[name="canary.stages"]`, "50, 60")
	b.fill(`[name="canary.stage_duration"]`, "0s")
	b.click("#plan")
	b.awaitText(".problem", "/strategy/stages")
	b.awaitThat("what was filled in is still there", `document.querySelector('[name="canary.stages"]').value === "50, 60" && document.querySelector("#version").value === "v2"`)
	eval[string](b, `document.querySelector('[name="canary.stages"]').value = ""`)
	b.fill(`[name="canary.stages"]`, "50, 100")
	b.click("#plan")
	b.awaitText("main", "4 targets in 2 waves")
	b.click("#confirm")
	id := b.shownID()
	p.awaitEnd(id)
	var made struct {
		Strategy struct {
			Type   string
			Stages []struct{ Percent, Targets int }
		}
	}
	_, data := call(t, http.MethodGet, p.url+"/deployments/"+id, nil, &made)
	if s := made.Strategy; s.Type != "canary" || len(s.Stages) != 2 || s.Stages[0].Percent != 50 {
		t.Errorf("it was made as %s", data)
	}
}

// everyPage are the paths of all pages of a server that has one source and one finished deployment.
func everyPage(id string) map[string]string {
	const page = "/ui/services/checkout/environments/production"
	return map[string]string{
		"/": "/{$}", "/ui/": "/ui/{$}", "/ui/deployments": "/ui/deployments", "/ui/durations": "/ui/durations", "/ui/dora": "/ui/dora",
		"/ui/deployments/" + id:               "/ui/deployments/{id}",
		"/ui/deployments/" + id + "/targets":  "/ui/deployments/{id}/targets",
		"/ui/deployments/" + id + "/rollback": "/ui/deployments/{id}/{verb}",
		page:                                  "/ui/services/{service}/environments/{environment}",
		page + "/deploy":                      "/ui/services/{service}/environments/{environment}/deploy",
		page + "/deploy?version=v3":           "/ui/services/{service}/environments/{environment}/deploy",
		"/ui/gitops":                          "/ui/gitops", "/ui/gitops/main": "/ui/gitops/{name}", "/ui/gitops/main/sync": "/ui/gitops/{name}/sync",
		"/ui/sign-in": "/ui/sign-in", "/ui/nowhere": "/ui/",
	}
}

// paged is a server with something on every page, and the id of its deployment.
func paged(t *testing.T, args ...string) (p *process, id string) {
	t.Helper()
	f := newFleet(t, 1, "v1")
	p = serve(t, dbtest.New(t), append(args, "--allow-file-remotes")...)
	p.registered(request(f, "", object{"type": "rolling"}))
	p.follows(object{"url": "file://" + newRepository(t).bare, "interval": "1h"})
	return p, p.awaitEnd(p.post(request(f, "v2", object{"type": "rolling"})).ID).ID
}

func TestPages_OpenServerShowsWarning(t *testing.T) {
	t.Parallel()
	p, id := paged(t, "--admin-token=")
	client := &http.Client{Transport: plainTransport()}
	for path := range everyPage(id) {
		if _, body := page(t, client, http.MethodGet, p.url+path, nil); !strings.Contains(body, "Authentication is disabled.") {
			t.Errorf("%s does not: %s", path, body)
		}
	}
}

func TestPages_ClosedServerShowsNoWarning(t *testing.T) {
	t.Parallel()
	p, _ := paged(t)
	if _, body := page(t, &http.Client{Transport: plainTransport()}, http.MethodGet, p.url+"/ui/sign-in", nil); strings.Contains(body, "Authentication is disabled.") {
		t.Error("the page to sign in does")
	}
}

func TestPages_MetricsUseRoutePattern(t *testing.T) {
	t.Parallel()
	p, id := paged(t, "--admin-token=")
	client := &http.Client{Transport: plainTransport()}
	for path := range everyPage(id) {
		page(t, client, http.MethodGet, p.url+path, url.Values{})
	}
	page(t, client, http.MethodGet, p.url+"/ui/static/anything/app.css", nil)
	_, metrics := call(t, http.MethodGet, p.url+"/metrics", nil, nil)
	for path, pattern := range everyPage(id) {
		if !strings.Contains(string(metrics), `rollcall_http_request_duration_seconds_count{method="GET",route="`+pattern+`"}`) {
			t.Errorf("%s is not counted as %s", path, pattern)
		}
	}
	if strings.Contains(string(metrics), id) || strings.Contains(string(metrics), `route="unmatched"`) {
		t.Error("a path is counted as itself, or as none")
	}
}

func TestPages_FirstRedrawKeepsFocus(t *testing.T) {
	t.Parallel()
	p, _ := paged(t)
	b := browse(t)
	b.signIn(p, "/ui/deployments")
	_, err := chromedp.Call(b.ctx, cdppage.AddScriptToEvaluateOnNewDocument, cdppage.AddScriptToEvaluateOnNewDocumentParams{
		Source: `addEventListener("DOMContentLoaded", () => { window.kept = [...document.querySelectorAll("[data-live] a")]; })`,
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"/ui/gitops", "/ui/gitops/main", "/", "/ui/services/checkout/environments/production"} {
		b.open(p.url + path)
		b.awaitThat("it was redrawn", `performance.getEntriesByName(location.href, "resource").length > 0`)
		b.awaitText("#live", "live")
		if !eval[bool](b, `window.kept.length > 0 && window.kept.every((a) => a.isConnected)`) {
			t.Errorf("%s has other links than before", path)
		}
	}
}
