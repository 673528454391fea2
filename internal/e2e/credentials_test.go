package e2e

import (
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"rollcall/internal/dbtest"
)

// asInProduction are the arguments of a server without any credentials.
func asInProduction(more ...string) []string {
	return append([]string{"--dev=false", "--admin-token="}, more...)
}

// with sends a request with a token, none when it is empty, and answers with the status.
func (p *process) with(token, method, path string, body any, into any) int {
	p.t.Helper()
	req, err := http.NewRequestWithContext(p.t.Context(), method, p.url+path, payload(p.t, body))
	if err != nil {
		p.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header["Authorization"] = []string{} // so that the tests' own token is not sent
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	return send(p.t, req, into)
}

func (p *process) says(text string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return strings.Contains(strings.Join(p.lines, "\n"), text)
}

func TestTokens_FirstAdminIsPrintedOnce(t *testing.T) {
	t.Parallel()
	state := privateFolder(t)
	first := serve(t, "", asInProduction("--state-dir="+state)...)
	if status := first.with("", http.MethodGet, "/deployments", nil, nil); status != http.StatusUnauthorized {
		t.Errorf("without a token: %d", status)
	}
	first.stop()
	token := regexp.MustCompile(`rct_[A-Za-z0-9_-]{43}`).FindString(first.printed.String())
	if token == "" || first.says(token) {
		t.Fatalf("printed %q; in the log: %t", first.printed.String(), first.says(token))
	}
	second := serve(t, "", asInProduction("--state-dir="+state)...)
	var self struct{ Name, Role string }
	if status := second.with(token, http.MethodGet, "/tokens/self", nil, &self); status != http.StatusOK || self.Role != "admin" {
		t.Errorf("%d %+v", status, self)
	}
	second.stop()
	if second.printed.String() != "" {
		t.Errorf("the second start prints %q", second.printed.String())
	}
}

func TestTokens_NoneMeansClosedServerWithHint(t *testing.T) {
	t.Parallel()
	p := serve(t, dbtest.New(t), asInProduction()...)
	for path, want := range map[string]int{
		"/deployments": http.StatusUnauthorized, "/metrics": http.StatusUnauthorized, "/": http.StatusUnauthorized,
		"/tokens": http.StatusUnauthorized, "/healthz": http.StatusOK, "/readyz": http.StatusOK, "/openapi.yaml": http.StatusOK,
	} {
		for _, token := range []string{"", adminToken, "admin"} {
			if status := p.with(token, http.MethodGet, path, nil, nil); status != want {
				t.Errorf("%s with token %q: %d, want %d", path, token, status, want)
			}
		}
	}
	p.stop()
	if p.printed.String() != "" || !p.says("--admin-token") {
		t.Errorf("printed %q, and the log says\n%s", p.printed.String(), p.tail())
	}
}

func TestTokens_DevWithoutAdminIsOpenAndLogged(t *testing.T) {
	t.Parallel()
	p := serve(t, dbtest.New(t), "--admin-token=")
	var self struct{ Name string }
	if status := p.with("", http.MethodGet, "/tokens/self", nil, &self); status != http.StatusOK || self.Name != "anonymous" {
		t.Errorf("%d %+v", status, self)
	}
	if !p.says("authentication disabled") {
		t.Errorf("the log does not say so:\n%s", p.tail())
	}
	client := &http.Client{Transport: plainTransport()}
	for _, path := range []string{"/ui", "/ui/deployments"} {
		if res, body := page(t, client, http.MethodGet, p.url+path, nil); res.StatusCode != http.StatusOK || !strings.Contains(body, "Authentication is disabled.") {
			t.Errorf("%s does not say so: %s", path, res.Status)
		}
	}
}

func TestTokens_RevokedIsRefusedByAllReplicas(t *testing.T) {
	t.Parallel()
	database := dbtest.New(t)
	one, two := serve(t, database), serve(t, database)
	for range 20 {
		var issued struct{ ID, Token string }
		request := object{"name": "ci", "role": "viewer", "scopes": []object{{}}}
		one.with(adminToken, http.MethodPost, "/tokens", request, &issued)
		for _, p := range []*process{one, two, two} {
			if status := p.with(issued.Token, http.MethodGet, "/metrics", nil, nil); status != http.StatusOK {
				t.Errorf("a good token: %d", status)
			}
		}
		one.with(adminToken, http.MethodDelete, "/tokens/"+issued.ID, nil, nil)
		for _, p := range []*process{two, one} {
			if status := p.with(issued.Token, http.MethodGet, "/metrics", nil, nil); status != http.StatusUnauthorized {
				t.Errorf("a revoked token: %d", status)
			}
		}
	}
}

func TestProtected_NoCallBeforeApproval(t *testing.T) {
	t.Parallel()
	p := serve(t, dbtest.New(t))
	targets := newFleet(t, 2, "v1")
	tokens := map[string]string{}
	for name, role := range map[string]string{"ci": "deployer", "ann": "approver", "bob": "approver"} {
		var issued struct{ Token string }
		p.with(adminToken, http.MethodPost, "/tokens", object{
			"name": name, "role": role, "scopes": []object{{"service": "checkout", "environment": "production"}},
		}, &issued)
		tokens[name] = issued.Token
	}
	definition := request(targets, "v2", object{"type": "rolling"})
	delete(definition, "version")
	definition["protected"] = true
	if status := p.with(adminToken, http.MethodPut, "/services/checkout/environments/production", definition, nil); status != http.StatusCreated {
		t.Fatalf("%d", status)
	}
	var d deployment
	if status := p.with(tokens["ann"], http.MethodPost, "/deployments", request(targets, "v2", object{"type": "rolling"}), &d); status != http.StatusAccepted {
		t.Fatalf("%d", status)
	}
	p.await(d.ID, "held", func(d *deployment) bool { return d.State == "paused" })
	promote := "/deployments/" + d.ID + "/promote"
	for name, want := range map[string]int{"ci": http.StatusForbidden, "ann": http.StatusForbidden} {
		if status := p.with(tokens[name], http.MethodPost, promote, nil, nil); status != want {
			t.Errorf("%s: %d", name, status)
		}
	}
	if calls := targets.Calls(); len(calls) > 0 {
		t.Errorf("targets were called: %+v", calls)
	}
	if status := p.with(tokens["bob"], http.MethodPost, promote, nil, nil); status != http.StatusOK {
		t.Errorf("bob: %d", status)
	}
	if end := p.awaitEnd(d.ID); end.State != "completed" || len(targets.Calls()) != 2 {
		t.Errorf("%s: %s, %d calls", end.State, end.Reason, len(targets.Calls()))
	}
}

func TestTokens_FloodLimitsOnlyItsToken(t *testing.T) {
	t.Parallel()
	p := serve(t, dbtest.New(t), "--rate-limit=5")
	var issued struct{ Token string }
	p.with(adminToken, http.MethodPost, "/tokens", object{"name": "flood", "role": "viewer", "scopes": []object{{}}}, &issued)
	refused, until := 0, time.Now().Add(30*time.Second)
	for refused == 0 && time.Now().Before(until) {
		if p.with(issued.Token, http.MethodGet, "/strategies", nil, nil) == http.StatusTooManyRequests {
			refused++
		}
	}
	if status := p.with(adminToken, http.MethodGet, "/strategies", nil, nil); refused == 0 || status != http.StatusOK {
		t.Errorf("%d refused; another token: %d", refused, status)
	}
}
