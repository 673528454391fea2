package e2e

import (
	"encoding/base64"
	"net/http"
	"testing"

	"rollcall/internal/dbtest"
)

// The API refuses what is no text before it looks at a request. The pages are another way in.
func TestPages_NoInputCausesServerError(t *testing.T) {
	t.Parallel()
	f := newFleet(t, 1, "v1")
	p := serve(t, dbtest.New(t))
	p.registered(request(f, "", object{"type": "rolling"}))
	d := p.awaitEnd(p.post(request(f, "v2", object{"type": "rolling"})).ID)
	const definition = "/ui/services/checkout/environments/production"
	client := &http.Client{
		Transport:     plainTransport(),
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	cookies := []string{"Cookie", "rollcall_token=" + base64.RawURLEncoding.EncodeToString([]byte(adminToken))}
	if res, _ := page(t, client, http.MethodGet, p.url+"/ui/deployments?service=checkout", nil, cookies...); res.StatusCode != http.StatusOK {
		t.Fatalf("signed in: %d", res.StatusCode)
	}
	for _, bad := range []string{"%00", "%FF", "%ED%A0%80", "a%00b", "%25zz", "%0A", "%E2%80%AE", "%3F%23"} {
		for _, path := range []string{
			"/ui/deployments?service=", "/ui/deployments?environment=", "/ui/deployments?version=", "/ui/deployments?state=",
			"/ui/deployments?since=", "/ui/deployments?cursor=", "/ui/durations?service=", "/ui/durations?environment=", "/ui/durations?days=",
			"/ui/?cursor=", "/ui/gitops?cursor=", "/ui/gitops/", "/ui/deployments/", "/ui/services/checkout/environments/",
			definition + "/deploy?version=", definition + "/deploy?version=v1&strategy=", "/ui/events?service=", "/ui/sign-in?next=",
			"/ui/deployments/" + d.ID + "/", "/ui/static/x/",
		} {
			if res, said := page(t, client, http.MethodGet, p.url+path+bad, nil, cookies...); res.StatusCode >= http.StatusInternalServerError {
				t.Errorf("GET %s%s: %d %.200s", path, bad, res.StatusCode, said)
			}
		}
		if res, said := page(t, client, http.MethodGet, p.url+"/ui/services/"+bad+"/environments/x", nil, cookies...); res.StatusCode >= http.StatusInternalServerError {
			t.Errorf("service %s: %d %.200s", bad, res.StatusCode, said)
		}
	}
}
