package api_test

import (
	"net/http"
	"strings"
	"testing"

	"rollcall/internal/api"
)

func TestPresets_AreListed(t *testing.T) {
	t.Parallel()
	items, _ := serve(t, api.Config{}).get("/presets").want(t, http.StatusOK).object(t)["items"].([]any)
	if len(items) != 3 {
		t.Errorf("%v", items)
	}
}

func TestPreset_ExpandsIntoDeploy(t *testing.T) {
	t.Parallel()
	c, s := serveStored(t)
	id := c.created(calling(`{"preset":"watchtower","params":{"token":"hunter2"},"request":{"method":"GET"},"retry_on":["503"]}`))
	deploy, _ := c.get("/deployments/" + id).object(t)["deploy"].(map[string]any)
	request, _ := deploy["request"].(map[string]any)
	if request["method"] != "GET" || request["url"] != "{target.address}/v1/update" || deploy["preset"] != nil {
		t.Errorf("%v", deploy)
	}
	d, err := s.Deployment(t.Context(), id)
	if err != nil || d.Spec.Deploy.Request.Headers["Authorization"].Reveal() != "Bearer hunter2" || d.Spec.Deploy.RetryOn[0] != "503" {
		t.Errorf("%v: %+v", err, d.Spec.Deploy)
	}
	const path = "/services/checkout/environments/production"
	shown := c.do(http.MethodPut, path, `{"targets":[{"id":"a","address":"http://one"}],"deploy":{"preset":"watchtower","params":{"token":"hunter2"}}}`).
		want(t, http.StatusCreated)
	if strings.Contains(string(shown.body), "hunter2") || strings.Contains(string(shown.body), "preset") || !strings.Contains(string(shown.body), "/v1/update") {
		t.Errorf("%s", shown.body)
	}
}

func TestPreset_FaultsAreRefusedAtPointer(t *testing.T) {
	t.Parallel()
	c := serve(t, api.Config{}) // without a store: they are found before it is asked
	for deploy, pointer := range map[string]string{
		`{"preset":"jenkins-x"}`: "/deploy/preset", `{"preset":"adnanh-webhook"}`: "/deploy/params/hook", `{"params":{"a":"b"}}`: "/deploy/params",
		`{"preset":"watchtower","params":{"token":"t","hook":"x"}}`: "/deploy/params/hook",
	} {
		c.post(calling(deploy)).wantProblem(t, 422, pointer)
		c.do(http.MethodPut, "/services/s/environments/e", `{"targets":[{"id":"a","address":"http://one"}],"deploy":`+deploy+`}`).wantProblem(t, 422, pointer)
	}
}
