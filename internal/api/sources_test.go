package api_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"rollcall/internal/api"
	"rollcall/internal/dbtest"
	"rollcall/internal/gitsource"
	"rollcall/internal/keyring"
	"rollcall/internal/problem"
	"rollcall/internal/store"
)

// serveSources starts the API on a database of its own, with a key for secrets and the remotes that --dev and
// --allow-file-remotes allow.
func serveSources(t *testing.T, remotes api.Remotes, options ...store.Option) (*client, *store.Store) {
	t.Helper()
	s, err := store.Open(t.Context(), dbtest.New(t), options...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return serve(t, api.Config{Store: s, CheckAddress: forbidHost, Remotes: remotes, GitOps: gitOps{}}), s
}

func forbidHost(address string) error {
	if strings.Contains(address, "forbidden") {
		return errors.New("this host is not allowed")
	}
	return nil
}

func withKey(t *testing.T) store.Option {
	t.Helper()
	box, err := keyring.New(keyring.NewKey(time.Now()))
	if err != nil {
		t.Fatal(err)
	}
	return store.SealedBy(box)
}

// gitOps knows one remote that cannot be read and takes one signature: what the API makes of answers is tested here.
type gitOps struct{}

func (gitOps) PreviewSync(_ context.Context, _ string, ask gitsource.SyncRequest) (gitsource.PlannedSync, error) {
	if ask.Retry {
		return gitsource.PlannedSync{}, &problem.Error{Code: problem.CodeConflict, Message: "the source cannot be read"}
	}
	want := gitsource.DesiredState{Service: "checkout", Environment: "production", Version: "v2", Commit: gitsource.Commit{SHA: "abc"}}
	return gitsource.PlannedSync{
		DesiredRevision: "abc", Deployments: []gitsource.PlannedAttempt{{Path: "a.yaml", Kind: gitsource.AttemptSync, Want: want}},
		Broken: []gitsource.File{{Path: "b.yaml", Problems: []gitsource.FileProblem{{Line: 3, Detail: "is wrong"}}}},
	}, nil
}

func (gitOps) ReceivePush(_ context.Context, _ string, header http.Header, body []byte, form bool) (bool, string, error) {
	if form != strings.HasPrefix(string(body), "payload=") {
		return false, "", errors.New("a form is taken for JSON")
	}
	if s := header.Get("X-Hub-Signature-256"); s != "of "+string(body) && (s != "of a large body" || len(body) < 1<<20) {
		return false, "", &problem.Error{Code: problem.CodeBadSignature, Message: "it is not signed"}
	}
	return true, "", nil
}

const aSource = "/gitops/sources/main"

func TestSource_Lifecycle(t *testing.T) {
	t.Parallel()
	c, _ := serveSources(t, api.Remotes{}, withKey(t))
	c.get(aSource).wantProblem(t, http.StatusNotFound, noPointer)
	made := c.do(http.MethodPut, aSource, `{"url": "https://git.example.com/x"}`).want(t, http.StatusCreated)
	if made.Header.Get("Location") != aSource {
		t.Errorf("Location %q", made.Header.Get("Location"))
	}
	for field, want := range map[string]any{
		"branch": "main", "path": "", "interval": "1m0s", "heal": false, "username": "x-access-token", "state": "unknown",
		"has_token": false, "desired_revision": nil, "actual_revision": nil, "files": nil, "revision": 1.0,
	} {
		if got := made.object(t)[field]; got != want {
			t.Errorf("%s is %v, not %v", field, got, want)
		}
	}
	same := c.do(http.MethodPut, aSource, `{"url": "https://git.example.com/x"}`).want(t, http.StatusOK).object(t)
	changed := c.do(http.MethodPut, aSource, `{"url": "https://git.example.com/x", "heal": true}`).want(t, http.StatusOK).object(t)
	if same["revision"] != 1.0 || changed["revision"] != 2.0 || changed["heal"] != true {
		t.Errorf("the same again is revision %v, a change %v", same["revision"], changed["revision"])
	}
	if names, _ := c.items("/gitops/sources", "name"); len(names) != 1 || names[0] != "main" {
		t.Errorf("listed: %v", names)
	}
	c.do(http.MethodPost, aSource+"/sync", "").want(t, http.StatusAccepted)
	c.do(http.MethodPost, aSource+"/sync", `{"retry": true, "service": "checkout"}`).want(t, http.StatusAccepted)
	c.do(http.MethodPost, "/gitops/sources/none/sync", "").wantProblem(t, http.StatusNotFound, noPointer)
	c.do(http.MethodDelete, aSource, "").want(t, http.StatusNoContent)
	c.do(http.MethodDelete, aSource, "").wantProblem(t, http.StatusNotFound, noPointer)
}

func TestSource_InvalidIsRefusedAtField(t *testing.T) {
	t.Parallel()
	c, _ := serveSources(t, api.Remotes{}, withKey(t))
	url := func(u string) string { return `{"url": "` + u + `"}` }
	for body, pointer := range map[string]string{
		`{}`:    "/url",
		url(""): "/url",
		url("https://ann:secret@git.example.com/x"):                           "/url",
		url("https://git.example.com"):                                        "/url",
		url("https://git.example.com/x?y"):                                    "/url",
		url("http://git.example.com/x"):                                       "/url",
		url("http://127.0.0.1/x"):                                             "/url",
		url("file:///srv/x.git"):                                              "/url",
		url("ext::sh -c id"):                                                  "/url",
		url("ext::sh%20-c%20id"):                                              "/url",
		url("-u/bin/sh"):                                                      "/url",
		url("--upload-pack=id"):                                               "/url",
		url("https://git.example.com./x"):                                     "/url",
		url("https://git..example.com/x"):                                     "/url",
		url("https://-git.example.com/x"):                                     "/url",
		url("ssh://git@git.example.com./x"):                                   "/url",
		url("git://git.example.com/x"):                                        "/url",
		url("ssh://-oProxyCommand=id/x"):                                      "/url",
		url("ssh://-l@git.example.com/x"):                                     "/url",
		url("-oProxyCommand=id@git.example.com:x"):                            "/url",
		url("ssh://a:b@git.example.com/x"):                                    "/url",
		url("https://forbidden.example.com/x"):                                "/url",
		url("https://git.example.com:1\\u0000/x"):                             "",
		url("git@git.example.com:x"):                                          "/known_hosts",
		`{"url": "https://git.example.com/x", "branch": "-x"}`:                "/branch",
		`{"url": "https://git.example.com/x", "branch": "a..b"}`:              "/branch",
		`{"url": "https://git.example.com/x", "branch": "a:b"}`:               "/branch",
		`{"url": "https://git.example.com/x", "branch": "a b"}`:               "/branch",
		`{"url": "https://git.example.com/x", "path": "../x"}`:                "/path",
		`{"url": "https://git.example.com/x", "path": "/x"}`:                  "/path",
		`{"url": "https://git.example.com/x", "path": "a/../b"}`:              "/path",
		`{"url": "https://git.example.com/x", "path": "-x"}`:                  "/path",
		`{"url": "https://git.example.com/x", "interval": "10ms"}`:            "/interval",
		`{"url": "https://git.example.com/x", "username": "a:b"}`:             "/username",
		`{"url": "https://git.example.com/x", "hook_secret": "short"}`:        "/hook_secret",
		`{"url": "https://git.example.com/x", "token": "a\u0007b"}`:           "/token",
		`{"url": "https://git.example.com/x", "allowed_signers": "a\u0007b"}`: "/allowed_signers",
		`{"url": "https://git.example.com/x", "surprise": 1}`:                 "/surprise",
	} {
		if pointer == "" {
			if a := c.do(http.MethodPut, aSource, body); a.StatusCode < 400 || a.StatusCode >= 500 {
				t.Errorf("%s: %d %s", body, a.StatusCode, a.body)
			}
			continue
		}
		c.do(http.MethodPut, aSource, body).wantProblem(t, http.StatusUnprocessableEntity, pointer)
	}
	c.get(aSource).wantProblem(t, http.StatusNotFound, noPointer)
}

func TestSource_LocalRemotesNeedPermission(t *testing.T) {
	t.Parallel()
	s, err := store.Open(t.Context(), dbtest.New(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	c := serve(t, api.Config{Store: s, Remotes: api.Remotes{AllowFile: true, AllowHTTP: true}})
	for _, url := range []string{"file:///srv/x.git", "http://127.0.0.1:3000/x", "http://localhost/x", "http://[::1]:80/x"} {
		if a := c.do(http.MethodPut, aSource, `{"url": "`+url+`"}`); a.StatusCode >= 300 {
			t.Errorf("%s: %d %s", url, a.StatusCode, a.body)
		}
	}
	for _, url := range []string{"file://host/srv/x.git", "file:srv/x", "file:///srv/../etc", "http://git.example.com/x"} {
		c.do(http.MethodPut, aSource, `{"url": "`+url+`"}`).wantProblem(t, http.StatusUnprocessableEntity, "/url")
	}
}

func TestSource_ShortSSHFormEqualsLong(t *testing.T) {
	t.Parallel()
	c, _ := serveSources(t, api.Remotes{}, withKey(t))
	a := c.do(http.MethodPut, aSource, `{"url": "git@git.example.com:team/x.git", "known_hosts": "git.example.com ssh-ed25519 AAAA"}`)
	if got := a.want(t, http.StatusCreated).object(t)["url"]; got != "ssh://git@git.example.com/team/x.git" {
		t.Errorf("url %v", got)
	}
}

func TestSource_SecretsLastUntilURLChanges(t *testing.T) {
	t.Parallel()
	c, s := serveSources(t, api.Remotes{}, withKey(t))
	const token, hook = "geheim-4711", "a-hook-secret-of-some-length"
	put := func(body string) map[string]any {
		t.Helper()
		a := c.do(http.MethodPut, aSource, body)
		if a.StatusCode >= 300 || strings.Contains(string(a.body), token) || strings.Contains(string(a.body), hook) {
			t.Fatalf("%d %s", a.StatusCode, a.body)
		}
		return a.object(t)
	}
	has := func(step string, got map[string]any, wantToken, wantHook bool) {
		t.Helper()
		if got["has_token"] != wantToken || got["has_hook_secret"] != wantHook {
			t.Errorf("%s: token %v, hook_secret %v", step, got["has_token"], got["has_hook_secret"])
		}
	}
	has("given", put(`{"url": "https://git.example.com/x", "token": "`+token+`", "hook_secret": "`+hook+`"}`), true, true)
	report, err := s.Source(t.Context(), "main")
	if err != nil || report.Source.Secrets.Token.Reveal() != token {
		t.Fatalf("stored %+v: %v", report.Source.Secrets, err)
	}
	var shown int
	row := s.Pool().QueryRow(t.Context(), `SELECT count(*) FROM gitops_sources s WHERE s::text LIKE '%' || $1 || '%' OR position(convert_to($1, 'UTF8') in secrets) > 0`, token)
	if err := row.Scan(&shown); err != nil || shown != 0 {
		t.Errorf("%d rows show the token: %v", shown, err)
	}
	has("left out", put(`{"url": "https://git.example.com/x", "heal": true}`), true, true)
	has("removed", put(`{"url": "https://git.example.com/x", "hook_secret": null}`), true, false)
	has("another url", put(`{"url": "https://git.example.org/x"}`), false, false)
}

func TestSource_SecretNeedsEncryptionKey(t *testing.T) {
	t.Parallel()
	c, _ := serveSources(t, api.Remotes{})
	c.do(http.MethodPut, aSource, `{"url": "https://git.example.com/x", "token": "t"}`).wantProblem(t, http.StatusUnprocessableEntity, noPointer)
	c.get(aSource).wantProblem(t, http.StatusNotFound, noPointer)
}

func TestSync_DryRunShowsDeployments(t *testing.T) {
	t.Parallel()
	c, _ := serveSources(t, api.Remotes{})
	plan := c.do(http.MethodPost, aSource+"/sync?dry_run=true", "").want(t, http.StatusOK).object(t)
	deployments, _ := plan["deployments"].([]any)
	broken, _ := plan["broken"].([]any)
	if plan["desired_revision"] != "abc" || len(deployments) != 1 || len(broken) != 1 {
		t.Errorf("plan %v", plan)
	}
	c.do(http.MethodPost, aSource+"/sync?dry_run=true", `{"retry": true}`).wantProblem(t, http.StatusConflict, noPointer)
}

func TestHook_SignatureCoversReceivedBytes(t *testing.T) {
	t.Parallel()
	c, _ := serveSources(t, api.Remotes{})
	body := `{ "ref" : "refs/heads/main" }`
	c.do(http.MethodPost, aSource+"/hook", body, "X-Hub-Signature-256", "of "+body).want(t, http.StatusOK)
	c.do(http.MethodPost, aSource+"/hook", body, "X-Hub-Signature-256", "of another").wantProblem(t, http.StatusUnauthorized, noPointer)
	c.do(http.MethodPost, aSource+"/hook", `[]`).wantProblem(t, http.StatusUnauthorized, noPointer)
}

func TestSource_UnreadableSecretIsNotOverwritten(t *testing.T) {
	t.Parallel()
	url := dbtest.New(t)
	with := func(key store.Option) *client {
		s, err := store.Open(t.Context(), url, key)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(s.Close)
		return serve(t, api.Config{Store: s, CheckAddress: forbidHost, GitOps: gitOps{}})
	}
	owner, stranger := with(withKey(t)), with(withKey(t))
	owner.do(http.MethodPut, aSource, `{"url":"https://git.example.com/d","token":"geheim"}`).want(t, http.StatusCreated)
	stranger.do(http.MethodPut, aSource, `{"url":"https://git.example.com/d","heal":true}`).wantProblem(t, http.StatusConflict, noPointer)
	owner.do(http.MethodPut, aSource, `{"url":"https://git.example.com/d","heal":true}`).want(t, http.StatusOK)
}

func TestSource_BranchMayBeGivenAsItsReference(t *testing.T) {
	t.Parallel()
	c, _ := serveSources(t, api.Remotes{})
	made := c.do(http.MethodPut, aSource, `{"url": "https://git.example.com/x", "branch": "refs/heads/main"}`).want(t, http.StatusCreated).object(t)
	same := c.do(http.MethodPut, aSource, `{"url": "https://git.example.com/x", "branch": "main"}`).want(t, http.StatusOK).object(t)
	if made["branch"] != "main" || same["revision"] != 1.0 {
		t.Errorf("branch %v, then revision %v", made["branch"], same["revision"])
	}
	for _, branch := range []string{"refs/tags/v1", "refs/heads/", "refs/heads/-x"} {
		c.do(http.MethodPut, aSource, `{"url": "https://git.example.com/x", "branch": "`+branch+`"}`).
			wantProblem(t, http.StatusUnprocessableEntity, "/branch")
	}
}

func TestHook_FormAndLargeBodyAreTaken(t *testing.T) {
	t.Parallel()
	c, _ := serveSources(t, api.Remotes{})
	const form = "application/x-www-form-urlencoded"
	take := func(body, mediaType string) answer {
		signature := "of " + body
		if len(body) > 1<<10 { // the fake signature is as long as what it signs
			signature = "of a large body"
		}
		return c.do(http.MethodPost, aSource+"/hook", body, "Content-Type", mediaType, "X-Hub-Signature-256", signature)
	}
	large := func(size int) string { return `{"ref":"refs/heads/main","x":"` + strings.Repeat("x", size) + `"}` }
	take("payload=%7B%7D", form).want(t, http.StatusOK)
	take("{}", "application/json; charset=utf-8").want(t, http.StatusOK)
	take(large(25_000_000), "application/json").want(t, http.StatusOK)
	take("payload="+large(25_000_000), form).want(t, http.StatusOK)
	take(large(27<<20), "application/json").wantProblem(t, http.StatusRequestEntityTooLarge, noPointer)
	take("{}", "text/plain").wantProblem(t, http.StatusUnsupportedMediaType, noPointer)
	take("{}", "application/json; charset=latin1").wantProblem(t, http.StatusUnsupportedMediaType, noPointer)
	for range 2 * 4 { // more than there may be at once
		take(large(2<<20), "application/json").want(t, http.StatusOK)
	}
}
