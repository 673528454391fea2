package api_test

import (
	"bytes"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"rollcall/internal/api"
	"rollcall/internal/auth"
	"rollcall/internal/authz"
)

func TestToken_IsShownOnceAndWorksUntilRevoked(t *testing.T) {
	t.Parallel()
	operator, s := serveGuarded(t)
	other := serve(t, api.Config{Store: s, Who: auth.New(auth.Config{Store: s})}) // a second replica
	made := operator.do(http.MethodPost, "/tokens",
		`{"name":"ci","role":"deployer","scopes":[{"service":"checkout"},{"environment":"staging"}],"expires_in":"90d"}`).want(t, http.StatusCreated)
	issued := made.object(t)
	secret, _ := issued["token"].(string)
	at := made.Header.Get("Location")
	if !strings.HasPrefix(secret, "rct_") || issued["created_by"] != "admin" || at != fmt.Sprint("/tokens/", issued["id"]) {
		t.Errorf("%v at %s", issued, at)
	}
	expires, err := time.Parse(time.RFC3339, fmt.Sprint(issued["expires_at"]))
	if left := time.Until(expires); err != nil || left < 89*24*time.Hour || left > 91*24*time.Hour {
		t.Errorf("%v: it expires at %v", err, issued["expires_at"])
	}
	for _, replica := range []*client{operator.as(secret), other.as(secret)} {
		self := replica.get("/tokens/self").want(t, http.StatusOK).object(t)
		if self["name"] != "token:ci" || self["role"] != "deployer" || fmt.Sprint(self["scopes"]) !=
			"[map[environment:* service:checkout] map[environment:staging service:*]]" {
			t.Errorf("%v", self)
		}
	}
	for _, path := range []string{"/tokens", at} {
		if shown := operator.get(path).want(t, http.StatusOK); bytes.Contains(shown.body, []byte(secret)) {
			t.Errorf("%s shows the token again: %s", path, shown.body)
		}
	}
	for range 2 {
		operator.do(http.MethodDelete, at, "").want(t, http.StatusNoContent)
		other.as(secret).get("/tokens/self").want(t, http.StatusUnauthorized)
		operator.as(secret).get("/tokens/self").want(t, http.StatusUnauthorized)
	}
	if left := operator.get(at).want(t, http.StatusOK).object(t); left["revoked_at"] == nil || left["last_used_at"] == nil {
		t.Errorf("%v", left)
	}
	operator.do(http.MethodDelete, "/tokens/0199f2a4-5c1e-7d3a-9b60-2f1c8a7e4d11", "").want(t, http.StatusNotFound)
}

func TestToken_InvalidRequestIsRefused(t *testing.T) {
	t.Parallel()
	operator, _ := serveGuarded(t)
	for body, pointer := range map[string]string{
		`{"name":"ci","role":"root","scopes":[{}]}`:                         "/role",
		`{"name":"Ci:x","role":"admin","scopes":[{}]}`:                      "/name",
		`{"name":"ci","role":"admin","scopes":[]}`:                          "/scopes",
		`{"name":"ci","role":"admin"}`:                                      "/scopes",
		`{"name":"ci","role":"admin","scopes":[{"service":"a*"}]}`:          "/scopes/0/service",
		`{"name":"ci","role":"admin","scopes":[{"team":"a"}]}`:              "/scopes/0/team",
		`{"name":"ci","role":"admin","scopes":[{}],"expires_in":"1s"}`:      "/expires_in",
		`{"name":"ci","role":"admin","scopes":[{}],"expires_in":"tuesday"}`: "/expires_in",
		`{"name":"ci","role":"admin","scopes":[{}],"token":"rct_mine"}`:     "/token",
	} {
		operator.do(http.MethodPost, "/tokens", body).wantProblem(t, http.StatusUnprocessableEntity, pointer)
	}
	if items, _ := operator.items("/tokens", "id"); len(items) > 0 {
		t.Errorf("%d tokens were given out", len(items))
	}
}

func TestToken_ListIsPaged(t *testing.T) {
	t.Parallel()
	operator, _ := serveGuarded(t)
	for i := range 5 {
		operator.holder(fmt.Sprintf("t%d", i), authz.RoleViewer, "*/*")
	}
	first, next := operator.items("/tokens?limit=3", "name")
	second, end := operator.items("/tokens?limit=3&cursor="+next, "name")
	if fmt.Sprint(first, second) != "[t4 t3 t2] [t1 t0]" || end != "" {
		t.Errorf("%v %v %q", first, second, end)
	}
	operator.get("/tokens?cursor=nonsense").wantProblem(t, http.StatusUnprocessableEntity, "/cursor")
}

func TestLimit_TooManyRequestsNamesRetryTime(t *testing.T) {
	t.Parallel()
	c, s := serveStored(t)
	_ = c
	limited := serve(t, api.Config{Store: s, Who: auth.New(auth.Config{Store: s, Admin: operatorsToken, Rate: 1})}).as(operatorsToken)
	refused := 0
	for range 10 {
		got := limited.get("/strategies")
		if got.StatusCode == http.StatusTooManyRequests {
			refused++
			if after := got.Header.Get("Retry-After"); after != "1" && after != "2" {
				t.Errorf("Retry-After %q", after)
			}
			got.wantProblem(t, http.StatusTooManyRequests, noPointer)
		}
	}
	if refused < 6 || refused > 8 {
		t.Errorf("%d of 10 requests at once were refused at 1 per second and twice that at once", refused)
	}
	limited.get("/healthz").want(t, http.StatusOK)
}

func TestLimit_TooManyStreamsBlockNoRequests(t *testing.T) {
	t.Parallel()
	_, s := serveStored(t)
	c := serve(t, api.Config{Store: s, MaxStreams: 2})
	first, second := c.watch("/events"), c.watch("/events")
	id := c.created(with("force", "true"))
	wait := "/deployments/" + id + "?wait=1s&after=1"
	got := c.get(wait)
	got.wantProblem(t, http.StatusTooManyRequests, noPointer)
	if got.Header.Get("Retry-After") != "1" {
		t.Errorf("Retry-After %q", got.Header.Get("Retry-After"))
	}
	c.do(http.MethodPost, "/deployments/"+id+"/abort", "").want(t, http.StatusOK)
	first.close()
	second.close()
	for deadline := time.Now().Add(20 * time.Second); c.get(wait).StatusCode == http.StatusTooManyRequests; { // it must see that they are gone
		if time.Now().After(deadline) {
			t.Fatal("streams that were closed count")
		}
	}
}

func TestQuota_BoundsUnfinishedDeployments(t *testing.T) {
	t.Parallel()
	_, s := serveStored(t)
	c := serve(t, api.Config{Store: s, Who: everybody{}, CheckAddress: forbid, QueueLimit: 3})
	for i := range 3 {
		c.post(deploymentOf("checkout", fmt.Sprintf("e%d", i)), "Idempotency-Key", fmt.Sprint(i)).want(t, http.StatusAccepted)
	}
	got := c.post(deploymentOf("checkout", "e3"))
	got.wantProblem(t, http.StatusTooManyRequests, noPointer)
	if got.Header.Get("Retry-After") != "10" {
		t.Errorf("Retry-After %q", got.Header.Get("Retry-After"))
	}
	c.post(deploymentOf("checkout", "e1"), "Idempotency-Key", "1").want(t, http.StatusAccepted) // answered before
	newer := c.created(deploymentOf("checkout", "e2"))                                          // takes the place of the one that waits
	c.post(deploymentOf("search", "e3")).want(t, http.StatusAccepted)
	c.do(http.MethodPost, "/deployments/"+newer+"/abort", "").want(t, http.StatusOK)
	c.post(deploymentOf("checkout", "e3")).want(t, http.StatusAccepted)
}
