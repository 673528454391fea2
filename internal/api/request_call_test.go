package api_test

import (
	"net/http"
	"reflect"
	"strings"
	"testing"
)

// calling is a request whose targets are called by what deploy says.
func calling(deploy string) string { return with("deploy", deploy) }

func TestCall_FaultsAreRefusedAtPointer(t *testing.T) {
	t.Parallel()
	c, _ := serveStored(t)
	for _, refused := range []struct{ deploy, pointer string }{
		{`{"request":{"url":"{target.address}/{nothing}"}}`, "/deploy/request/url"},
		{`{"request":{"url":"https://{version}.example/"}}`, "/deploy/request/url"},
		{`{"request":{"url":"{target.address}:1/"}}`, "/deploy/request/url"},
		{`{"request":{"url":"http://forbidden/{version}"}}`, "/deploy/request/url"},
		{`{"request":{"url":"{target.address}/{target.metadata.missing}"}}`, "/deploy/request/url"},
		{`{"request":{"url":"{target.address}/","method":"TRACE"}}`, "/deploy/request/method"},
		{`{"request":{"url":"{target.address}/","json":{"a":["{labels.missing}"]}}}`, "/deploy/request/json/a/0"},
		{`{"request":{"json":1,"form":{"a":"b"}}}`, "/deploy/request/form"},
		{`{"request":{"json":1,"text":"b"}}`, "/deploy/request/text"},
		{`{"request":{"headers":{"X":"a\r\nb"}}}`, "/deploy/request/headers/X"},
		{`{"request":{"headers":{"Host":"a"}}}`, "/deploy/request/headers/Host"},
		{`{"request":{"headers":{"X":"***"}}}`, "/deploy/request/headers/X"},
		{`{"request":{"sign":{"type":"hmac"}}}`, "/deploy/request/sign/header"},
		{`{"request":{"sign":{"type":"none","prefix":"x"}}}`, "/deploy/request/sign/prefix"},
		{`{"request":{"sign":{"type":"hmac","header":"X-Sig"}}}`, "/deploy/secret"},
		{`{"request":{"sign":{"type":"hmac","header":"X-Sig"}},"secret":"short"}`, "/deploy/secret"},
		{`{"request":{},"secret":"a plain key of 24 bytes"}`, "/deploy/secret"},
		{`{"request":{"surprise":1}}`, "/deploy/request/surprise"},
		{`{"request":{},"ok":["299-200"]}`, "/deploy/ok/0"},
		{`{"request":{},"retry_on":["x"]}`, "/deploy/retry_on/0"},
		{`{"request":{},"on_no_answer":"guess"}`, "/deploy/on_no_answer"},
		{`{"request":{},"done":{"type":"json"}}`, "/deploy/done/pointer"},
		{`{"request":{},"done":{"type":"status","pointer":"/a"}}`, "/deploy/done/pointer"},
		{`{"request":{},"done":{"type":"json","pointer":"/a","equals":["x"],"fails":["x"]}}`, "/deploy/done/fails/0"},
		{`{"request":{},"done":{"type":"json","pointer":"a"}}`, "/deploy/done/pointer"},
		{`{"path":"/{nothing}"}`, "/deploy/path"},
		{`{"path":"/{target.metadata.missing}"}`, "/deploy/path"},
	} {
		t.Run(refused.deploy, func(t *testing.T) {
			t.Parallel()
			c.doIn(t, http.MethodPost, "/deployments", calling(refused.deploy)).wantProblem(t, 422, refused.pointer)
		})
	}
}

func TestCall_DeploymentEchoesDeploy(t *testing.T) {
	t.Parallel()
	c, s := serveStored(t)
	id := c.created(calling(`{"request":{"url":"{target.address}/hooks/deploy?tag={version}","headers":{"X-Token":"hunter2"},
		"json":{"b":1.50,"a":"{version}"},"sign":{"type":"hmac","header":"X-Sig"}},"secret":"a plain key of 24 bytes","done":{"type":"json","pointer":"/n","equals":[1,true,"x"]}}`))
	got := c.get("/deployments/" + id)
	want := map[string]any{
		"path": "/deploy", "timeout": "30s", "retries": 2.0, "backoff": "1s", "ok": []any{"200-299"},
		"retry_on": []any{"408", "425", "429", "500-599"}, "on_no_answer": "ask",
		"done": map[string]any{"type": "json", "pointer": "/n", "equals": []any{"1", "true", "x"}},
		"request": map[string]any{
			"method": "POST", "url": "{target.address}/hooks/deploy?tag={version}", "headers": map[string]any{"X-Token": "***"},
			"json": map[string]any{"a": "{version}", "b": 1.5},
			"sign": map[string]any{"type": "hmac", "header": "X-Sig", "algorithm": "sha256", "encoding": "hex"},
		},
	}
	if deploy := got.object(t)["deploy"]; !reflect.DeepEqual(deploy, want) {
		t.Errorf("%v", deploy)
	}
	d, err := s.Deployment(t.Context(), id)
	if err != nil || d.Spec.Deploy.Request.Headers["X-Token"].Reveal() != "hunter2" {
		t.Errorf("%v: the header is %q", err, d.Spec.Deploy.Request.Headers["X-Token"].Reveal())
	}
	plain := c.get("/deployments/" + c.created(with("service", `"other"`))).object(t)["deploy"]
	if !reflect.DeepEqual(plain, map[string]any{"path": "/deploy", "timeout": "30s", "retries": 2.0, "backoff": "1s"}) {
		t.Errorf("%v", plain)
	}
}

func TestCall_DryRunShowsIt(t *testing.T) {
	t.Parallel()
	c, _ := serveStored(t)
	plan := c.do(http.MethodPost, "/deployments?dry_run=true", calling(`{"request":{"url":"{target.address}/x?v={version}","headers":{"X-Token":"hunter2"},"form":{"a":"{target.id}"}}}`)).
		want(t, http.StatusOK).object(t)
	requests, _ := plan["requests"].([]any)
	if len(requests) != 1 {
		t.Fatalf("%v", plan)
	}
	first, _ := requests[0].(map[string]any)
	url, _ := first["url"].(string)
	body, _ := first["body"].(string)
	if !strings.HasSuffix(url, "/x?v=v2") || first["method"] != "POST" || !strings.HasPrefix(body, "a=") ||
		!reflect.DeepEqual(first["headers"], map[string]any{"X-Token": "***", "Content-Type": "application/x-www-form-urlencoded"}) {
		t.Errorf("%v", first)
	}
}

func TestCall_DefinitionKeepsHeaders(t *testing.T) {
	t.Parallel()
	c, s := serveStored(t)
	const path = "/services/checkout/environments/production"
	body := func(address, token string) string {
		return `{"targets":[{"id":"a","address":"` + address + `"}],"deploy":{"request":{"url":"{target.address}/x?v={version}&c={labels.commit}","headers":{"X-Token":"` + token + `"}}}}`
	}
	c.do(http.MethodPut, path, body("http://one", "***")).wantProblem(t, 422, "/deploy/request/headers/X-Token")
	shown := c.do(http.MethodPut, path, body("http://one", "hunter2")).want(t, http.StatusCreated)
	if strings.Contains(string(shown.body), "hunter2") || !strings.Contains(string(shown.body), `"X-Token":"***"`) {
		t.Errorf("%s", shown.body)
	}
	c.do(http.MethodPut, path, body("http://one", "***")).want(t, http.StatusOK)
	c.do(http.MethodPut, path, body("http://two", "***")).wantProblem(t, 422, "/deploy/request/headers/X-Token")
	id := c.created(`{"service":"checkout","version":"v2","labels":{"commit":"abc"}}`)
	d, err := s.Deployment(t.Context(), id)
	if err != nil || d.Spec.Deploy.Request.Headers["X-Token"].Reveal() != "hunter2" {
		t.Errorf("%v: %+v", err, d.Spec.Deploy)
	}
	c.post(`{"service":"checkout","version":"v2"}`).wantProblem(t, 422, "/deploy/request/url")
	c.post(`{"service":"checkout","version":"v2","labels":{"commit":"abc"},"targets":[{"id":"b","address":"http://three"}]}`).
		wantProblem(t, 422, "/deploy/request/headers")
}
