package e2e

import (
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"rollcall/internal/dbtest"
	"rollcall/internal/testtarget"
)

// registered puts the definition of a service on the server: everything of a request but its version.
func (p *process) registered(body object) {
	p.t.Helper()
	definition := object{}
	for name, value := range body {
		if name != "version" && name != "service" && name != "environment" {
			definition[name] = value
		}
	}
	res, data := call(p.t, http.MethodPut, p.url+"/services/checkout/environments/production", definition, nil)
	if res.StatusCode >= 300 {
		p.t.Fatalf("the definition: %d %s", res.StatusCode, data)
	}
}

// shownID is the deployment that the page is about.
func (b *browser) shownID() string {
	b.t.Helper()
	b.awaitThat("a deployment is shown", `document.getElementById("deployment") !== null && document.documentElement.dataset.ready !== undefined`)
	return eval[string](b, `document.getElementById("deployment").dataset.id`)
}

// assertShows compares the screen with what the API says: state, reason, counts, and the state of each target.
func (b *browser) assertShows(p *process, id string) {
	b.t.Helper()
	var d deployment
	call(b.t, http.MethodGet, p.url+"/deployments/"+id, nil, &d)
	b.awaitThat("the state is "+d.State, `document.querySelector("#part-summary .state").classList.contains(`+quoted(d.State)+`)`)
	b.awaitThat("the reason is "+d.Reason, `document.getElementById("reason").dataset.said === `+quoted(d.Reason))
	targets := list[targetResult](p, "/deployments/"+id+"/targets")
	for _, target := range targets {
		b.awaitThat(target.ID+" is "+target.State,
			`document.querySelector('.cells [data-t="`+target.ID+`"]').classList.contains(`+quoted(target.State)+`)`)
	}
	if n := eval[int](b, `document.querySelectorAll(".cells .cell").length`); n != len(targets) {
		b.t.Errorf("%d cells for %d targets", n, len(targets))
	}
	events := list[event](p, "/deployments/"+id+"/events")
	b.awaitThat("the log is complete", `Number(document.getElementById("log").lastElementChild.dataset.seq) >= `+strconv.Itoa(len(events)))
	if gaps := eval[bool](b, `[...document.querySelectorAll("#log li")].some((li, i, all) => i && Number(li.dataset.seq) !== Number(all[i-1].dataset.seq) + 1)`); gaps {
		b.t.Error("the log has gaps, or says things twice")
	}
}

// slowCanary is a canary with a gate after its first stage and a long look at its second.
func slowCanary(b *balancer, version string) object {
	return routed(b, version, object{"type": "canary", "stages": []object{
		{"percent": 10, "promotion": "manual", "duration": "100ms"}, {"percent": 50, "duration": "5m"}, {"percent": 100, "duration": "100ms"},
	}})
}

func TestDashboard_DrivesCanaryByClicks(t *testing.T) {
	t.Parallel()
	f := newFleet(t, 10, "v1")
	for _, target := range f.Targets {
		target.SetBehaviour(func(b *testtarget.Behaviour) { b.Delay = 100 * time.Millisecond })
	}
	router := newBalancer(t, f, twoSides)
	p := serve(t, dbtest.New(t))
	p.registered(slowCanary(router, ""))
	b := browse(t)

	b.signIn(p, "/")
	b.click(`a[href$="/checkout/environments/production/deploy"]`)
	b.fill("#version", "v2")
	b.click("#plan")
	b.awaitText("main", "10 targets in 3 waves")
	b.click("#confirm")
	id := b.shownID()

	b.awaitText("#reason", "waiting for promotion")
	b.awaitText(".needs", "Action required")
	b.assertShows(p, id)
	b.awaitText(".meters", "10 % to the new version")

	b.action("promote", "Wave 2 of 3 starts and updates 4 more targets to v2", "50 % of the traffic")
	b.awaitText("#counts", "5 of 10 updated")
	b.awaitText("#reason", "baking until")
	b.awaitText(".meters", "50 % to the new version")
	b.assertShows(p, id)

	b.action("pause", "No new call starts", "50 % to the new version")
	b.awaitThat("it is paused", `document.querySelector("#part-summary .state").classList.contains("paused")`)
	b.assertShows(p, id)
	b.action("resume", "continues where it stopped")
	b.awaitThat("it continues", `document.querySelector("#part-summary .state").classList.contains("in_progress")`)

	b.action("rollback", "All traffic returns to the old version first", "(5 of 10)")
	b.awaitThat("it is rolled back", `document.querySelector("#part-summary .state").classList.contains("rolled_back")`)
	b.assertShows(p, id)
	assertRuns(t, f, allRun("v1"))
	assertEnd(p, p.awaitEnd(id), "rolled_back", false)
	router.assertSettled(p, id, 0)
}

func TestDashboard_RollsFinishedDeploymentBack(t *testing.T) {
	t.Parallel()
	f := newFleet(t, 3, "v1")
	p := serve(t, dbtest.New(t))
	d := p.awaitEnd(p.post(request(f, "v2", object{"type": "rolling"})).ID)
	b := browse(t)
	b.signIn(p, "/ui/deployments/"+d.ID)
	b.assertShows(p, d.ID)
	b.action("rollback", "A new deployment starts", "(3 of 3)")
	b.awaitThat("another page is shown", `(document.getElementById("deployment")?.dataset.id ?? `+quoted(d.ID)+`) !== `+quoted(d.ID))
	id := b.shownID()
	b.awaitThat("it is rolled back", `document.querySelector("#part-summary .state").classList.contains("rolled_back")`)
	b.assertShows(p, id)
	assertRuns(t, f, allRun("v1"))
}

func TestDashboard_StalePageSaysSoAndResumes(t *testing.T) {
	t.Parallel()
	f := newFleet(t, 12, "v1")
	database, address := dbtest.New(t), "--addr="+freeAddress(t)
	p := serve(t, database, address)
	d := p.post(request(f, "v2", gated()))
	b := browse(t)
	b.forgiven = []string{"ERR_CONNECTION_REFUSED", "ERR_INCOMPLETE_CHUNKED_ENCODING", "ERR_CONNECTION_RESET", "ERR_EMPTY_RESPONSE"}
	b.signIn(p, "/ui/deployments/"+d.ID)
	b.awaitText("#reason", "waiting for promotion")
	b.awaitText("#live", "live")
	p.kill()
	b.awaitText("#live", "disconnected since")
	p = serve(t, database, address)
	call(t, http.MethodPost, p.url+"/deployments/"+d.ID+"/promote", nil, nil)
	b.awaitThat("it is over", `document.getElementById("live").classList.contains("over")`)
	p.awaitEnd(d.ID)
	b.assertShows(p, d.ID)
}

// gated is a canary that waits for a person after its first stage.
func gated() object {
	return object{"type": "canary", "success_threshold": 0.5, "stages": []object{
		{"percent": 10, "promotion": "manual", "duration": "100ms"}, {"percent": 100, "duration": "100ms"},
	}}
}

// audit finds what keeps people from using a page: fields and buttons without names, ids twice, no heading, text that is
// hard to read on its ground, and a page wider than its window.
const audit = `(() => {
	const bad = [];
	const named = (e) => (e.getAttribute("aria-label") || e.textContent || e.title || (e.labels && e.labels.length && e.labels[0].textContent) || "").trim();
	for (const e of document.querySelectorAll("a[href], button, input:not([type=hidden]), select, svg[role=img], summary"))
		if (!e.closest("[hidden]") && !named(e)) bad.push("no name: " + e.outerHTML.slice(0, 120));
	const ids = [...document.querySelectorAll("[id]")].map((e) => e.id);
	for (const id of new Set(ids)) if (ids.filter((x) => x === id).length > 1) bad.push("id twice: " + id);
	if (document.querySelectorAll("h1").length !== 1) bad.push(document.querySelectorAll("h1").length + " h1");
	if (!document.documentElement.lang || !document.querySelector("main") || !document.querySelector("header")) bad.push("no landmarks");
	if (document.documentElement.scrollWidth > innerWidth) bad.push("wider than the window: " + document.documentElement.scrollWidth);
	const parse = (c) => (c.match(/[\d.]+/g) || []).map(Number);
	const light = ([r, g, b]) => [r, g, b].map((v) => (v /= 255) <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4).reduce((s, v, i) => s + v * [0.2126, 0.7152, 0.0722][i], 0);
	const ground = (e) => { for (; e; e = e.parentElement) { const c = parse(getComputedStyle(e).backgroundColor); if (c.length === 3 || c[3] > 0.99) return c; } return [255, 255, 255]; };
	const words = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
	const seen = new Set();
	while (words.nextNode()) {
		const e = words.currentNode.parentElement;
		if (!words.currentNode.data.trim() || !e.checkVisibility() || e.closest("svg") || seen.has(e)) continue;
		seen.add(e);
		const a = light(parse(getComputedStyle(e).color)), b = light(ground(e));
		const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
		if (ratio < 4.5) bad.push("contrast " + ratio.toFixed(2) + ": " + e.className + " " + e.textContent.slice(0, 40));
	}
	return bad;
})()`

func TestDashboard_PagesAreAccessible(t *testing.T) {
	t.Parallel()
	f := newFleet(t, 12, "v1")
	f.Targets[1].SetBehaviour(func(b *testtarget.Behaviour) { b.Status = http.StatusTeapot })
	p := serve(t, dbtest.New(t))
	p.registered(request(f, "", object{"type": "rolling"}))
	failed := p.awaitEnd(p.post(request(f, "v2", object{"type": "rolling", "on_failure": "halt"})).ID)
	waits := p.post(request(f, "v3", gated()))
	p.await(waits.ID, "waits at its gate", func(d *deployment) bool { return strings.Contains(d.Reason, "waiting for promotion") })
	b := browse(t)
	b.signIn(p, "/")
	for _, path := range []string{
		"/", "/ui/deployments", "/ui/deployments?state=failed", "/ui/durations", "/ui/dora", "/ui/gitops", "/ui/deployments/" + failed.ID, "/ui/deployments/" + waits.ID,
		"/ui/deployments/" + waits.ID + "/targets", "/ui/deployments/" + waits.ID + "/promote", "/ui/deployments/" + waits.ID + "/abort",
		"/ui/services/checkout/environments/production", "/ui/services/checkout/environments/production/deploy",
		"/ui/services/checkout/environments/production/deploy?version=v4", "/ui/sign-in",
	} {
		for _, theme := range []string{"light", "dark"} {
			b.theme(theme)
			for _, width := range []int64{1280, 390} {
				b.do(chromedp.EmulateViewport(width, 844))
				b.open(p.url + path)
				for _, bad := range eval[[]string](b, audit) {
					t.Errorf("%s, %s, %d wide: %s", path, theme, width, bad)
				}
			}
		}
	}
	eval[bool](b, `document.querySelector("main").append(Object.assign(document.createElement("button"), { className: "button main" })) ?? true`)
	if len(eval[[]string](b, audit)) == 0 {
		t.Error("the audit finds nothing wrong with a button without a name")
	}
}

// page asks for a page as a browser does, without a script.
func page(t *testing.T, client *http.Client, method, address string, form url.Values, headers ...string) (*http.Response, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, address, strings.NewReader(form.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Accept", "text/html")
	req.Header["Authorization"] = nil
	if method == http.MethodPost {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	res, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res, string(body)
}

var proofField = regexp.MustCompile(`name="proof" value="([^"]+)"`)

func proofIn(t *testing.T, body string) string {
	t.Helper()
	found := proofField.FindStringSubmatch(body)
	if found == nil {
		t.Fatalf("no proof in %s", body)
	}
	return found[1]
}

func TestDashboard_WorksWithoutScriptRefusesForeign(t *testing.T) {
	t.Parallel()
	f := newFleet(t, 2, "v1")
	p := serve(t, dbtest.New(t))
	d := p.awaitEnd(p.post(request(f, "v2", object{"type": "rolling"})).ID)
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Jar: jar, Transport: plainTransport()}
	at := p.url + "/ui/deployments/" + d.ID

	res, body := page(t, client, http.MethodGet, at, nil)
	if res.Request.URL.Path != "/ui/sign-in" {
		t.Fatalf("who is not signed in sees %s", res.Request.URL)
	}
	proof := proofIn(t, body)
	if _, body = page(t, client, http.MethodPost, p.url+"/ui/sign-in", url.Values{"proof": {proof}, "token": {"wrong-wrong-wrong-wrong"}}); !strings.Contains(body, `role="alert"`) {
		t.Error("a wrong token is taken")
	}
	res, body = page(t, client, http.MethodPost, p.url+"/ui/sign-in", url.Values{"proof": {proof}, "token": {adminToken}, "next": {"/ui/deployments/" + d.ID}})
	if res.Request.URL.Path != "/ui/deployments/"+d.ID || !strings.Contains(body, "completed") {
		t.Fatalf("signing in leads to %s: %s", res.Request.URL, body)
	}
	if policy := res.Header.Get("Content-Security-Policy"); !strings.Contains(policy, "default-src 'none'") || strings.Contains(policy, "unsafe") {
		t.Errorf("the policy is %q", policy)
	}
	if strings.Contains(body, adminToken) || strings.Contains(body, "style=") || strings.Contains(body, "onclick") {
		t.Error("the page shows the token, or has something inline")
	}

	before := len(list[deployment](p, "/deployments"))
	for name, send := range map[string][]string{
		"without its proof":        {""},
		"with another's proof":     {proof},
		"from the page of another": {proofIn(t, body), "Origin", "https://evil.example", "Sec-Fetch-Site", "cross-site"},
	} {
		res, _ := page(t, client, http.MethodPost, at+"/rollback", url.Values{"proof": {send[0]}}, send[1:]...)
		if res.StatusCode != http.StatusForbidden {
			t.Errorf("a form %s: %s", name, res.Status)
		}
	}
	if n := len(list[deployment](p, "/deployments")); n != before {
		t.Errorf("%d deployments were made", n-before)
	}
	_, question := page(t, client, http.MethodGet, at+"/rollback", nil)
	res, _ = page(t, client, http.MethodPost, at+"/rollback", url.Values{"proof": {proofIn(t, question)}})
	if res.StatusCode != http.StatusOK || strings.HasSuffix(res.Request.URL.Path, d.ID) {
		t.Errorf("the form of our own page: %s at %s", res.Status, res.Request.URL)
	}
}

// The session cookie is out of reach of scripts, and is sent by no other site's page.
func TestDashboard_CookiesAndHeadersAreStrict(t *testing.T) {
	t.Parallel()
	p := serve(t, dbtest.New(t))
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Jar: jar, Transport: plainTransport(), CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	asked, body := page(t, client, http.MethodGet, p.url+"/ui/sign-in", nil)
	signedIn, _ := page(t, client, http.MethodPost, p.url+"/ui/sign-in", url.Values{"proof": {proofIn(t, body)}, "token": {adminToken}})
	cookies := append(asked.Cookies(), signedIn.Cookies()...)
	for _, c := range cookies {
		if !c.HttpOnly || c.SameSite != http.SameSiteStrictMode || c.Domain != "" || c.Name != "rollcall_form" && c.MaxAge > 24*60*60 {
			t.Errorf("the cookie %s: HttpOnly %t, SameSite %v, domain %q, %d s", c.Name, c.HttpOnly, c.SameSite, c.Domain, c.MaxAge)
		}
	}
	if len(cookies) == 0 {
		t.Error("signing in sets no cookie")
	}
	behindTLS, _ := page(t, &http.Client{Transport: plainTransport()}, http.MethodGet, p.url+"/ui/sign-in", nil, "X-Forwarded-Proto", "https")
	for _, c := range behindTLS.Cookies() {
		if !c.Secure {
			t.Errorf("the cookie %s would be sent without TLS", c.Name)
		}
	}
	for name, want := range map[string]string{
		"X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY", "Referrer-Policy": "no-referrer",
		"Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Resource-Policy": "same-origin", "Cache-Control": "no-store",
	} {
		if got := asked.Header.Get(name); got != want {
			t.Errorf("%s is %q", name, got)
		}
	}
	policy := asked.Header.Get("Content-Security-Policy")
	for _, rule := range []string{"default-src 'none'", "frame-ancestors 'none'", "base-uri 'none'", "form-action 'self'"} {
		if !strings.Contains(policy, rule) {
			t.Errorf("the policy %q lacks %s", policy, rule)
		}
	}
}

func plainTransport() http.RoundTripper {
	return &http.Transport{}
}

func TestDashboard_ForeignLinkKeepsSession(t *testing.T) {
	t.Parallel()
	p := serve(t, dbtest.New(t))
	client := &http.Client{Transport: plainTransport(), CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	res, _ := page(t, client, http.MethodGet, p.url+"/ui/deployments", nil, "Sec-Fetch-Site", "cross-site")
	if res.StatusCode != http.StatusOK || res.Header.Get("Refresh") != "0" {
		t.Errorf("%s, to come again: %q", res.Status, res.Header.Get("Refresh"))
	}
	res, _ = page(t, client, http.MethodGet, p.url+"/ui/deployments", nil, "Sec-Fetch-Site", "same-origin")
	if res.StatusCode != http.StatusSeeOther || res.Header.Get("Location") != "/ui/sign-in?next=%2Fui%2Fdeployments" {
		t.Errorf("%s to %s", res.Status, res.Header.Get("Location"))
	}
}

func TestDashboard_OffersOnlyWhatTokenAllows(t *testing.T) {
	t.Parallel()
	f := newFleet(t, 1, "v1")
	p := serve(t, dbtest.New(t))
	theirs := p.awaitEnd(p.post(request(f, "v2", object{"type": "rolling"})).ID)
	other := request(newFleet(t, 1, "v1"), "v2", object{"type": "rolling"})
	other["service"] = "billing"
	ours := p.awaitEnd(p.post(other).ID)
	var token struct{ Token string }
	call(t, http.MethodPost, p.url+"/tokens", object{"name": "eve", "role": "viewer", "scopes": []object{{"service": "billing", "environment": "*"}}}, &token)

	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Jar: jar, Transport: plainTransport()}
	_, body := page(t, client, http.MethodGet, p.url+"/ui/sign-in", nil)
	_, body = page(t, client, http.MethodPost, p.url+"/ui/sign-in", url.Values{"proof": {proofIn(t, body)}, "token": {token.Token}})
	if !strings.Contains(body, "billing") || strings.Contains(body, "checkout") || strings.Contains(body, "/ui/gitops") {
		t.Errorf("the first page shows %s", body)
	}
	proof := proofIn(t, body)
	for path, want := range map[string]int{
		"/ui/deployments/" + ours.ID: 200, "/ui/deployments/" + ours.ID + "/targets": 200, "/ui/deployments/" + ours.ID + "/rollback": 409,
		"/ui/services/billing/environments/production": 200,
		"/ui/deployments/" + theirs.ID:                 404, "/ui/deployments/" + theirs.ID + "/targets": 404, "/ui/deployments/" + theirs.ID + "/rollback": 404,
		"/ui/deployments/" + theirs.ID + "/events":                      404,
		"/ui/services/checkout/environments/production":                 404,
		"/ui/services/checkout/environments/production/deploy?version=": 404, "/ui/gitops": 404, "/ui/nothing": 404,
	} {
		res, body := page(t, client, http.MethodGet, p.url+path, nil)
		if res.StatusCode != want || strings.Contains(body, "data-ask") {
			t.Errorf("%s: %s, want %d", path, res.Status, want)
		}
	}
	for path, want := range map[string]int{
		"/ui/deployments/" + ours.ID + "/rollback": 409, "/ui/deployments/" + theirs.ID + "/rollback": 404,
		"/ui/services/billing/environments/production/deploy": 403, "/ui/services/checkout/environments/production/deploy": 403,
	} {
		res, _ := page(t, client, http.MethodPost, p.url+path, url.Values{"proof": {proof}, "version": {"v3"}})
		if res.StatusCode != want {
			t.Errorf("a form for %s: %s, want %d", path, res.Status, want)
		}
	}
	if n := len(list[deployment](p, "/deployments")); n != 2 {
		t.Errorf("%d deployments", n)
	}
}
