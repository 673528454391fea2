package api_test

import (
	"net/http"
	"reflect"
	"strings"
	"testing"

	"rollcall/internal/api"
	"rollcall/internal/notification"
	"rollcall/internal/problem"
	"rollcall/internal/store"
)

const (
	aNotification = "/notifications/main"
	aSigningKey   = "whsec_MDEyMzQ1Njc4OWFiY2RlZg=="
)

func putNotification(c *client, body string) answer { return c.do(http.MethodPut, aNotification, body) }

// secretsOf is what the store keeps.
func secretsOf(t *testing.T, s *store.Store) notification.Secrets {
	t.Helper()
	n, err := s.Notification(t.Context(), "main")
	if err != nil {
		t.Fatal(err)
	}
	return n.Secrets
}

func TestNotification_Lifecycle(t *testing.T) {
	t.Parallel()
	c, _ := serveSources(t, api.Remotes{}, withKey(t))
	c.get(aNotification).wantProblem(t, http.StatusNotFound, noPointer)
	const first = `{"kind": "webhook", "url": "https://hooks.example.com/planted", "services": ["search", "checkout", "search"]}`
	made := putNotification(c, first).want(t, http.StatusCreated)
	if made.Header.Get("Location") != aNotification {
		t.Errorf("Location %q", made.Header.Get("Location"))
	}
	for field, want := range map[string]any{
		"name": "main", "kind": "webhook", "services": []any{"checkout", "search"}, "environments": []any{},
		"states":           []any{"in_progress", "waiting", "completed", "failed", "rolled_back", "aborted", "superseded"},
		"cdevents_version": nil, "has_secret": false, "has_token": false, "readable": true, "revision": 1.0,
	} {
		if got := made.object(t)[field]; !reflect.DeepEqual(got, want) {
			t.Errorf("%s is %v, not %v", field, got, want)
		}
	}
	same := putNotification(c, first).want(t, http.StatusOK).object(t)
	changed := putNotification(c, `{"kind": "webhook", "states": ["failed", "completed"]}`).want(t, http.StatusOK).object(t)
	if same["revision"] != 1.0 || changed["revision"] != 2.0 || !reflect.DeepEqual(changed["states"], []any{"completed", "failed"}) {
		t.Errorf("the same again is revision %v; a change %v", same["revision"], changed)
	}
	if names, _ := c.items("/notifications", "name"); len(names) != 1 || names[0] != "main" {
		t.Errorf("listed: %v", names)
	}
	asked := c.do(http.MethodPost, aNotification+"/test", "").want(t, http.StatusAccepted).object(t)
	if asked["type"] != "notification.test" || asked["status"] != "pending" || asked["deployment_id"] != nil {
		t.Errorf("%v", asked)
	}
	if ids, _ := c.items(aNotification+"/deliveries", "id"); len(ids) != 1 || ids[0] != asked["id"] {
		t.Errorf("delivered: %v", ids)
	}
	for _, path := range []string{aNotification, "/notifications", aNotification + "/deliveries"} {
		if body := string(c.get(path).body); strings.Contains(body, "planted") || strings.Contains(body, "example.com") {
			t.Errorf("%s shows the url: %s", path, body)
		}
	}
	c.do(http.MethodDelete, aNotification, "").want(t, http.StatusNoContent)
	c.do(http.MethodDelete, aNotification, "").wantProblem(t, http.StatusNotFound, noPointer)
	c.do(http.MethodPost, aNotification+"/test", "").wantProblem(t, http.StatusNotFound, noPointer)
	c.get(aNotification+"/deliveries").wantProblem(t, http.StatusNotFound, noPointer)
}

func TestCDEvents_VersionIsChosen(t *testing.T) {
	t.Parallel()
	c, _ := serveSources(t, api.Remotes{}, withKey(t))
	for _, step := range []struct {
		more, version string
		revision      float64
	}{{"", "0.4.1", 1}, {`, "cdevents_version": "0.4.1"`, "0.4.1", 1}, {`, "cdevents_version": "0.5.1"`, "0.5.1", 2}, {"", "0.4.1", 3}} {
		putNotification(c, `{"kind": "cdevents", "url": "https://hooks.example.com/x"`+step.more+`}`)
		got := c.get(aNotification).want(t, http.StatusOK).object(t)
		if got["cdevents_version"] != step.version || got["revision"] != step.revision {
			t.Errorf("%q: %v, revision %v", step.more, got["cdevents_version"], got["revision"])
		}
	}
}

func TestNotification_InvalidIsRefusedAtField(t *testing.T) {
	t.Parallel()
	c, s := serveSources(t, api.Remotes{}, withKey(t))
	hook := func(rest string) string {
		return `{"kind": "webhook", "url": "https://hooks.example.com/x"` + rest + `}`
	}
	for body, pointer := range map[string]string{
		`{}`:                  "/kind",
		`{"kind": "pigeon"}`:  "/kind",
		`{"kind": "webhook"}`: "/url",
		`{"kind": "webhook", "url": "ftp://hooks.example.com/planted"}`:                           "/url",
		`{"kind": "webhook", "url": "https://ann:planted@hooks.example.com/"}`:                    "/url",
		`{"kind": "webhook", "url": "https://forbidden.example.com/planted"}`:                     "/url",
		`{"kind": "github", "url": "https://github.com/o/planted", "token": "t"}`:                 "/url",
		`{"kind": "github", "url": "https://api.github.com/repos/o/n"}`:                           "/token",
		hook(`, "services": ["Not A Name"]`):                                                      "/services/0",
		hook(`, "environments": ["*"]`):                                                           "/environments/0",
		hook(`, "cdevents_version": "0.5.1"`):                                                     "/cdevents_version",
		`{"kind": "cdevents", "url": "https://hooks.example.com/x", "cdevents_version": "0.3.0"}`: "/cdevents_version",
		`{"kind": "cdevents", "url": "https://hooks.example.com/x", "states": ["waiting"]}`:       "/states/0",
		hook(`, "states": []`):          "/states",
		hook(`, "states": ["pending"]`): "/states/0",
		hook(`, "secret": "planted"`):   "/secret",
		hook(`, "secret": ""`):          "/secret",
		hook(`, "token": "planted"`):    "/token",
		hook(`, "address": "x"`):        "/address",
		`{"kind": "cdevents", "url": "https://hooks.example.com/x", "states": ["completed", "failed"]}`:    "/states/1",
		`{"kind": "slack", "url": "https://hooks.example.com/x", "secret": "` + aSigningKey + `"}`:         "/secret",
		`{"kind": "github", "url": "https://api.github.com/repos/o/n", "token": "two words"}`:              "/token",
		`{"kind": "github", "url": "https://api.github.com/repos/o/n?x", "token": "t"}`:                    "/url",
		`{"kind": "github", "url": "https://api.github.com/repos/o/n", "token": "t", "secret": "planted"}`: "/secret",
	} {
		got := putNotification(c, body)
		got.wantProblem(t, http.StatusUnprocessableEntity, pointer)
		if strings.Contains(string(got.body), "planted") || strings.Contains(string(got.body), "forbidden.example.com") {
			t.Errorf("%s is answered with what it holds: %s", body, got.body)
		}
	}
	if _, err := s.Notification(t.Context(), "main"); problem.CodeOf(err) != problem.CodeNotFound {
		t.Errorf("what was refused has left a mark: %v", err)
	}
	putNotification(c, hook("")).want(t, http.StatusCreated)
	putNotification(c, `{"kind": "slack"}`).wantProblem(t, http.StatusUnprocessableEntity, "/kind")
}

func TestNotification_NewURLClearsSecrets(t *testing.T) {
	t.Parallel()
	c, s := serveSources(t, api.Remotes{}, withKey(t))
	const one, two = `"url": "https://one.example.com/x"`, `"url": "https://two.example.com/x"`
	putNotification(c, `{"kind": "webhook", `+one+`, "secret": "`+aSigningKey+`"}`).want(t, http.StatusCreated)
	for _, kept := range []string{`{"kind": "webhook"}`, `{"kind": "webhook", ` + one + `}`} {
		putNotification(c, kept).want(t, http.StatusOK)
		if got := secretsOf(t, s); got.Signing != aSigningKey || got.URL != "https://one.example.com/x" {
			t.Errorf("%s leaves %q", kept, got.URL.Reveal())
		}
	}
	moved := putNotification(c, `{"kind": "webhook", `+two+`}`).want(t, http.StatusOK).object(t)
	if got := secretsOf(t, s); got.Signing != "" || got.URL != "https://two.example.com/x" || moved["has_secret"] != false {
		t.Errorf("the key for one address signs for another: %v", moved)
	}
	putNotification(c, `{"kind": "webhook", `+one+`, "secret": "`+aSigningKey+`"}`).want(t, http.StatusOK)
	removed := putNotification(c, `{"kind": "webhook", "secret": null}`).want(t, http.StatusOK).object(t)
	if got := secretsOf(t, s); got.Signing != "" || got.URL != "https://one.example.com/x" || removed["has_secret"] != false {
		t.Errorf("null leaves %v", removed)
	}
}

func TestNotification_GitHubTokenGoesNowhereElse(t *testing.T) {
	t.Parallel()
	c, s := serveSources(t, api.Remotes{}, withKey(t))
	putNotification(c, `{"kind": "github", "url": "https://api.github.com/repos/o/n", "token": "planted"}`).want(t, http.StatusCreated)
	const elsewhere = `"url": "https://evil.example.com/api/v3/repos/o/n"`
	putNotification(c, `{"kind": "github", `+elsewhere+`}`).wantProblem(t, http.StatusUnprocessableEntity, "/token")
	if got := secretsOf(t, s); got.Token != "planted" || got.URL != "https://api.github.com/repos/o/n" {
		t.Errorf("what was refused has changed %q", got.URL.Reveal())
	}
	putNotification(c, `{"kind": "github", `+elsewhere+`, "token": "another"}`).want(t, http.StatusOK)
	if got := secretsOf(t, s); got.Token != "another" {
		t.Error("the token of before was kept")
	}
}

func TestNotification_NeedsEncryptionKey(t *testing.T) {
	t.Parallel()
	c, _ := serveSources(t, api.Remotes{})
	got := putNotification(c, `{"kind": "slack", "url": "https://hooks.example.com/planted"}`)
	got.wantProblem(t, http.StatusUnprocessableEntity, noPointer)
	if !strings.Contains(string(got.body), "--secret-key-file") || strings.Contains(string(got.body), "planted") {
		t.Errorf("%s", got.body)
	}
}

func TestNotification_UnreadableURLIsNotOverwritten(t *testing.T) {
	t.Parallel()
	c, s := serveSources(t, api.Remotes{}, withKey(t))
	putNotification(c, `{"kind": "slack", "url": "https://hooks.example.com/x"}`).want(t, http.StatusCreated)
	if _, err := s.Pool().Exec(t.Context(), `UPDATE notifications SET secrets = set_byte(secrets, length(secrets) - 1, get_byte(secrets, length(secrets) - 1) # 1)`); err != nil {
		t.Fatal(err)
	}
	if shown := c.get(aNotification).want(t, http.StatusOK).object(t); shown["readable"] != false {
		t.Errorf("%v", shown)
	}
	putNotification(c, `{"kind": "slack", "states": ["failed"]}`).want(t, http.StatusConflict)
	putNotification(c, `{"kind": "slack", "url": "https://hooks.example.com/y"}`).want(t, http.StatusOK)
	if got := secretsOf(t, s); got.URL != "https://hooks.example.com/y" || got.Unreadable != "" {
		t.Errorf("%+v", got)
	}
}
