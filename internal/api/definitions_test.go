package api_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"rollcall/internal/api"
	"rollcall/internal/rollout"
	"rollcall/internal/secret"
)

const (
	definitionAt = "/services/checkout/environments/production"
	defined      = `{"targets":[{"id":"web-1","address":"http://10.0.0.1:8080"},{"id":"web-2","address":"http://10.0.0.2:8080"}]}`
	shortRequest = `{"service":"checkout","version":"v2"}`
	secretOne    = "whsec_MDEyMzQ1Njc4OWFiY2RlZg=="
	secretTwo    = "whsec_ZmVkY2JhOTg3NjU0MzIxMA=="
)

// definition is a good one with one more field.
func definition(field, value string) string {
	return strings.TrimSuffix(defined, "}") + fmt.Sprintf(",%q:%s}", field, value)
}

func (c *client) put(body string, headers ...string) answer {
	c.t.Helper()
	return c.do(http.MethodPut, definitionAt, body, headers...)
}

func TestDefinition_ResponseMatchesStored(t *testing.T) {
	t.Parallel()
	c, _ := serveStored(t)
	c.get(definitionAt).wantProblem(t, http.StatusNotFound, noPointer)
	first := c.put(definition("strategy", `{"type":"rolling","batch_size":"50%"}`)).want(t, http.StatusCreated)
	if first.Header.Get("Location") != definitionAt || first.Header.Get("ETag") != `"1"` {
		t.Errorf("headers %v", first.Header)
	}
	got := c.get(definitionAt).want(t, http.StatusOK)
	if !bytes.Equal(got.body, first.body) || got.Header.Get("ETag") != `"1"` {
		t.Errorf("GET answers %s, PUT answered %s", got.body, first.body)
	}
	d := got.object(t)
	for field, want := range map[string]any{
		"service": "checkout", "environment": "production", "revision": 1.0, "healthy_deadline": "1m0s", "traffic": nil,
		"strategy": map[string]any{"type": "rolling", "batch_size": "50%"}, "force": false, "on_conflict": "queue",
		"labels": map[string]any{}, "protected": false, "signed": false, "created_at": d["updated_at"],
		"deploy":        map[string]any{"path": "/deploy", "timeout": "30s", "retries": 2.0, "backoff": "1s"},
		"health_checks": []any{map[string]any{"type": "http"}},
	} {
		if got, there := d[field]; !there || !reflect.DeepEqual(got, want) {
			t.Errorf("%s is %v, want %v", field, got, want)
		}
	}
	second := c.put(defined).want(t, http.StatusOK)
	after := second.object(t)
	if second.Header.Get("ETag") != `"2"` || after["revision"] != 2.0 || after["created_at"] != d["created_at"] {
		t.Errorf("%v %v", second.Header, after)
	}
	if !reflect.DeepEqual(after["strategy"], map[string]any{"type": "rolling"}) {
		t.Errorf("the old strategy is still there: %v", after["strategy"])
	}
	for tag, status := range map[string]int{`"2"`: 304, `W/"2"`: 304, "*": 304, `"1"`: 200} {
		c.get(definitionAt, "If-None-Match", tag).want(t, status)
	}
}

func TestDefinition_ReadCanBeWrittenAgain(t *testing.T) {
	t.Parallel()
	c, s := serveStored(t)
	for _, body := range []string{
		defined,
		`{"service":"checkout","environment":"production","protected":true,"force":true,"on_conflict":"reject","labels":{"team":"a"},
			"healthy_deadline":"90s","strategy":{"type":"rolling","batch_size":["10%","50%"]},"traffic":{"type":"webhook","url":"http://lb/w"},
			"deploy":{"retries":0,"secret":"` + secretOne + `"},"health_checks":[{"type":"tcp","port":5432},{"type":"metric","metric":"up","fail_below":0}],
			"targets":[{"id":"a","name":"A","address":"http://10.0.0.1/x","slot":"blue","metadata":{"n":1.5},"version":"v0","deploy_url":"http://10.0.0.9/d"}]}`,
		definition("traffic", `{"type":"haproxy","socket":"unix:/run/haproxy.sock","backend":"web"}`),
	} {
		c.do(http.MethodDelete, definitionAt, "")
		before := c.put(body).want(t, http.StatusCreated).object(t)
		again := map[string]any{}
		for field, value := range before {
			if !slices.Contains([]string{"service", "environment", "revision", "signed", "created_at", "updated_at"}, field) {
				again[field] = value
			}
		}
		encoded, err := json.Marshal(again)
		if err != nil {
			t.Fatal(err)
		}
		after := c.put(string(encoded)).want(t, http.StatusOK).object(t)
		before["revision"], before["updated_at"] = after["revision"], after["updated_at"]
		if !reflect.DeepEqual(before, after) {
			t.Errorf("before %v\nafter  %v", before, after)
		}
		c.created(strings.TrimSuffix(shortRequest, "}") + `,"on_conflict":"queue"}`)
	}
	stored, err := s.Definition(t.Context(), "checkout", "production")
	if err != nil || stored.Protected {
		t.Error(stored, err)
	}
}

func TestDefinition_IsValidatedLikeDeployment(t *testing.T) {
	t.Parallel()
	c := serve(t, api.Config{CheckAddress: forbid}) // without a store: a question to it is a panic, and a 500
	for _, refused := range slices.Concat(refusedBodies(), invalidTraffic(), invalidStrategies()) {
		if strings.Contains(refused.name, "version") || strings.Contains(refused.pointer, "Version") ||
			strings.HasPrefix(refused.name, "environment") || refused.pointer == "/service" {
			continue
		}
		t.Run(refused.name, func(t *testing.T) {
			t.Parallel()
			body := strings.Replace(refused.body, `,"version":"v2"`, "", 1)
			c.doIn(t, http.MethodPut, definitionAt, body, "Content-Type", "application/json").
				wantProblem(t, refused.status, refused.pointer)
		})
	}
	for body, pointer := range map[string]string{
		definition("version", `"v1"`): "/version", definition("service", `"other"`): "/service",
		definition("environment", `"staging"`): "/environment", definition("protected", `1`): "/protected",
		`{}`: "/targets", definition("revision", "1"): "/revision",
	} {
		c.put(body).wantProblem(t, http.StatusUnprocessableEntity, pointer)
	}
	c.do(http.MethodPut, "/services/Check%20Out/environments/x", defined).
		wantProblem(t, http.StatusUnprocessableEntity, "/service")
	c.get("/services/A/environments/x").wantProblem(t, http.StatusNotFound, noPointer)
	c.do(http.MethodDelete, "/services/a/environments/X", "").wantProblem(t, http.StatusNotFound, noPointer)
	c.get("/services/a/environments/%00/status").wantProblem(t, http.StatusNotFound, noPointer)
}

func invalidStrategies() []refusedBody {
	return []refusedBody{
		{"unknown type", with("strategy", `{"type":"sideways"}`), 422, "/strategy/type"},
		{"batch of 0", with("strategy", `{"type":"rolling","batch_size":0}`), 422, "/strategy/batch_size"},
		{"unknown parameter", with("strategy", `{"type":"rolling","batchsize":1}`), 422, "/strategy/batchsize"},
	}
}

func TestDefinition_PreconditionDecidesChange(t *testing.T) {
	t.Parallel()
	c, _ := serveStored(t)
	c.put(defined, "If-Match", "*").wantProblem(t, http.StatusPreconditionFailed, noPointer)
	c.put(defined, "If-Match", `"1"`).wantProblem(t, http.StatusPreconditionFailed, noPointer)
	c.do(http.MethodDelete, definitionAt, "", "If-Match", "*").wantProblem(t, http.StatusPreconditionFailed, noPointer)
	c.do(http.MethodDelete, definitionAt, "").wantProblem(t, http.StatusNotFound, noPointer)
	c.put(defined, "If-None-Match", "*").want(t, http.StatusCreated)
	for _, headers := range [][]string{
		{"If-None-Match", "*"},
		{"If-None-Match", `"1"`},
		{"If-Match", `"0"`},
		{"If-Match", `W/"1"`},
		{"If-Match", `"2", "3"`},
		{"If-Match", `"1"`, "If-None-Match", "*"},
	} {
		c.put(defined, headers...).wantProblem(t, http.StatusPreconditionFailed, noPointer)
	}
	c.put(defined, "If-Match", `"1"`, "If-Match", `"1"`).wantProblem(t, http.StatusBadRequest, noPointer)
	for _, value := range []string{"1", "", `"1`, `"1" "2"`, `*, "1"`, `"1",`} {
		c.put(defined, "If-Match", value).wantProblem(t, http.StatusBadRequest, noPointer)
		c.put(defined, "If-None-Match", value).wantProblem(t, http.StatusBadRequest, noPointer)
		c.do(http.MethodDelete, definitionAt, "", "If-Match", value).wantProblem(t, http.StatusBadRequest, noPointer)
	}
	c.put(defined, "If-Match", `"7", "1"`).want(t, http.StatusOK)
	c.put(defined, "If-Match", `*`).want(t, http.StatusOK)
	c.put(defined, "If-None-Match", `"1"`).want(t, http.StatusOK)
	c.do(http.MethodDelete, definitionAt, "", "If-Match", `"3"`).wantProblem(t, http.StatusPreconditionFailed, noPointer)
	if a := c.do(http.MethodDelete, definitionAt, "", "If-Match", `"4"`).want(t, http.StatusNoContent); len(a.body) > 0 {
		t.Errorf("%q", a.body)
	}
	c.get(definitionAt).wantProblem(t, http.StatusNotFound, noPointer)
}

func TestDefinition_OneChangePerRevisionWins(t *testing.T) {
	t.Parallel()
	c, _ := serveStored(t)
	for _, race := range []struct {
		header, value string
		status        int
	}{{"If-None-Match", "*", 201}, {"If-Match", `"1"`, 200}, {"If-Match", `"2"`, 200}} {
		var won, lost atomic.Int32
		atOnce(16, func(i int) {
			a := c.put(definition("labels", fmt.Sprintf(`{"i":"%d"}`, i)), race.header, race.value)
			switch a.StatusCode {
			case race.status:
				won.Add(1)
			case http.StatusPreconditionFailed:
				lost.Add(1)
			default:
				t.Errorf("%d %s", a.StatusCode, a.body)
			}
		})
		if won.Load() != 1 || lost.Load() != 15 {
			t.Errorf("%s: %s: %d won, %d lost", race.header, race.value, won.Load(), lost.Load())
		}
	}
}

func TestDefinition_DeletedRevisionIsNotReused(t *testing.T) {
	t.Parallel()
	c, _ := serveStored(t)
	c.put(definition("deploy", `{"secret":"`+secretOne+`"}`)).want(t, http.StatusCreated)
	c.do(http.MethodDelete, definitionAt, "").want(t, http.StatusNoContent)
	again := c.put(defined).want(t, http.StatusCreated)
	if again.Header.Get("ETag") != `"3"` || again.object(t)["signed"] != false {
		t.Errorf("%v %s", again.Header, again.body)
	}
	c.put(defined, "If-Match", `"1"`).wantProblem(t, http.StatusPreconditionFailed, noPointer)
}

func TestDefinition_DeleteKeepsDeployments(t *testing.T) {
	t.Parallel()
	c, _ := serveStored(t)
	c.put(defined).want(t, http.StatusCreated)
	id := c.created(shortRequest)
	before := c.get("/deployments/" + id)
	c.do(http.MethodDelete, definitionAt, "").want(t, http.StatusNoContent)
	if after := c.get("/deployments/"+id).want(t, http.StatusOK); !bytes.Equal(before.body, after.body) {
		t.Errorf("before %s\nafter %s", before.body, after.body)
	}
	a := c.post(shortRequest)
	a.wantProblem(t, http.StatusUnprocessableEntity, "/targets")
	if !bytes.Contains(a.body, []byte("definition")) {
		t.Errorf("it does not say what to do: %s", a.body)
	}
}

func TestDefinition_FillsOmittedFields(t *testing.T) {
	t.Parallel()
	c, s := serveStored(t)
	c.put(definition("strategy", `{"type":"rolling","batch_size":"100%"},"labels":{"team":"a"},"healthy_deadline":"90s",
		"deploy":{"path":"/hook","retries":0,"secret":"`+secretOne+`"},"health_checks":[{"type":"tcp"}],"on_conflict":"queue","force":true,
		"traffic":{"type":"webhook","url":"http://lb/w"}`)).want(t, http.StatusCreated)
	read := func(id string) rollout.Deployment {
		d, err := s.Deployment(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	d := read(c.created(shortRequest))
	if d.Counts.Total != 2 || len(d.Spec.Waves) != 1 || d.Labels["team"] != "a" || d.Spec.HealthyDeadline.String() != "1m30s" ||
		d.Spec.Deploy.Path != "/hook" || d.Spec.Checks[0].Type != "tcp" || !d.Spec.Force || d.Spec.Traffic == nil || d.DeploySecret != secretOne {
		t.Errorf("%+v", d)
	}
	for body, check := range map[string]func(rollout.Deployment) bool{
		`"targets":[{"id":"x","address":"http://10.0.0.7"}]`: func(d rollout.Deployment) bool { return d.Counts.Total == 1 && d.Labels["team"] == "a" },
		`"strategy":{"type":"rolling"}`:                      func(d rollout.Deployment) bool { return len(d.Spec.Waves) == 2 && d.Counts.Total == 2 },
		`"labels":{}`:                                        func(d rollout.Deployment) bool { return len(d.Labels) == 0 },
		`"force":false`:                                      func(d rollout.Deployment) bool { return !d.Spec.Force },
		`"healthy_deadline":"5s"`:                            func(d rollout.Deployment) bool { return d.Spec.HealthyDeadline.String() == "5s" },
		`"health_checks":[{"type":"none"}]`:                  func(d rollout.Deployment) bool { return d.Spec.Checks[0].Type == "none" },
		`"deploy":{}`:                                        func(d rollout.Deployment) bool { return d.Spec.Deploy.Path == "/deploy" && d.DeploySecret == secretOne },
		`"deploy":{"secret":null}`:                           func(d rollout.Deployment) bool { return d.DeploySecret == "" },
		`"deploy":{"secret":"` + secretTwo + `"}`:            func(d rollout.Deployment) bool { return d.DeploySecret == secretTwo },
		`"traffic":{"type":"webhook","url":"http://other/"}`: func(d rollout.Deployment) bool { return d.Spec.Traffic.URL == "http://other/" },
	} {
		if d := read(c.created(strings.TrimSuffix(shortRequest, "}") + "," + body + "}")); !check(d) {
			t.Errorf("%s: %+v", body, d)
		}
	}
	if got := c.get(definitionAt).object(t); got["revision"] != 1.0 {
		t.Errorf("an override changed the definition: %v", got)
	}
	c.post(`{"service":"checkout","environment":"staging","version":"v2"}`).wantProblem(t, 422, "/targets")
	c.post(strings.TrimSuffix(shortRequest, "}")+`,"targets":[]}`).wantProblem(t, 422, "/targets")
}

func TestKey_ReplayNeedsNoDefinition(t *testing.T) {
	t.Parallel()
	c, _ := serveStored(t)
	c.put(defined).want(t, http.StatusCreated)
	first := c.post(shortRequest, "Idempotency-Key", "k").want(t, http.StatusAccepted)
	c.do(http.MethodDelete, definitionAt, "").want(t, http.StatusNoContent)
	again := c.post(shortRequest, "Idempotency-Key", "k").want(t, http.StatusAccepted)
	if !bytes.Equal(first.body, again.body) || again.Header.Get("Idempotency-Replayed") != "true" {
		t.Errorf("first %s\nagain %s", first.body, again.body)
	}
}

func TestDefinition_ErrorPointsAtDefinition(t *testing.T) {
	t.Parallel()
	c, s := serveStored(t)
	c.put(defined).want(t, http.StatusCreated)
	strict := serve(t, api.Config{Store: s, CheckAddress: func(string) error { return errors.New("is not allowed any more") }})
	a := strict.post(shortRequest)
	a.wantProblem(t, http.StatusUnprocessableEntity, "/targets/1/address")
	if !bytes.Contains(a.body, []byte("is not allowed any more (in the definition)")) {
		t.Errorf("%s", a.body)
	}
}

func TestDefinition_SecretIsKeptUntilReplaced(t *testing.T) {
	t.Parallel()
	c, s := serveStored(t)
	for _, step := range []struct {
		deploy string
		want   secret.Secret
	}{
		{`{"secret":"` + secretOne + `"}`, secretOne},
		{`{"retries":1}`, secretOne},
		{`{"secret":"` + secretTwo + `"}`, secretTwo},
		{`{}`, secretTwo},
		{`{"secret":null}`, ""},
		{`{}`, ""},
	} {
		signed := c.put(definition("deploy", step.deploy)).object(t)["signed"]
		d, err := s.Definition(t.Context(), "checkout", "production")
		if err != nil || d.DeploySecret != step.want || signed != (step.want != "") {
			t.Errorf("%s: secret %q, signed %v, %v", step.deploy, d.DeploySecret.Reveal(), signed, err)
		}
	}
	c.put(definition("deploy", `{"secret":"`+secretOne+`"}`))
	c.put(defined)
	if d, err := s.Definition(t.Context(), "checkout", "production"); err != nil || d.DeploySecret != secretOne {
		t.Error("the secret is lost without deploy", err)
	}
	c.put(definition("deploy", `{"secret":7}`)).wantProblem(t, 422, "/deploy/secret")
}

func TestDefinition_SecretIsInNoResponse(t *testing.T) {
	t.Parallel()
	c, s := serveStored(t)
	body := definition("deploy", `{"secret":"`+secretOne+`"}`)
	answers := []answer{c.put(body), c.put(defined), c.put(body, "If-Match", `"99"`)}
	id := c.created(shortRequest, "Idempotency-Key", "k")
	answers = append(answers, c.do(http.MethodPost, "/deployments?dry_run=true", shortRequest), c.post(shortRequest, "Idempotency-Key", "k"))
	for _, path := range []string{
		definitionAt, definitionAt + "/status", "/services", "/summary", "/deployments/" + id, "/deployments",
		"/deployments/" + id + "/targets", "/deployments/" + id + "/events",
	} {
		answers = append(answers, c.get(path))
	}
	for _, a := range answers {
		if a.StatusCode >= 500 || bytes.Contains(a.body, []byte(secretOne[6:])) {
			t.Errorf("%s: %d shows the secret, or fails: %s", a.Request.URL, a.StatusCode, a.body)
		}
	}
	var kept string
	if err := s.Pool().QueryRow(t.Context(), `SELECT body::text FROM definitions`).Scan(&kept); err != nil || strings.Contains(kept, "whsec") {
		t.Errorf("%s %v", kept, err)
	}
}
