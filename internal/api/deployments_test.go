package api_test

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"rollcall/internal/duration"
	"rollcall/internal/healthcheck"
	"rollcall/internal/rollout"
	"rollcall/internal/storage"
	"rollcall/internal/store"
)

func TestDeployment_ResponseMatchesStored(t *testing.T) {
	t.Parallel()
	c, _ := serveStored(t)
	a := c.post(`{"service":"checkout","version":"v2","labels":{"commit":"abc"},
		"targets":[{"id":"a","address":"http://10.0.0.1"},{"id":"b","address":"http://10.0.0.2"}]}`)
	d := a.want(t, http.StatusAccepted).object(t)
	id, _ := d["id"].(string)
	if a.Header.Get("Location") != "/deployments/"+id || a.Header.Get("Idempotency-Replayed") != "" {
		t.Errorf("headers %v", a.Header)
	}
	for field, want := range map[string]any{
		"service": "checkout", "environment": "production", "version": "v2", "kind": "deploy", "state": "pending",
		"direction": "forward", "intent": nil, "rollback_of": nil, "rolled_back_by": nil, "result": nil, "owner": nil,
		"epoch": 0.0, "requested_by": "ann", "started_at": nil, "finished_at": nil, "deadline_at": nil,
		"labels": map[string]any{"commit": "abc"},
	} {
		if got, there := d[field]; !there || !reflect.DeepEqual(got, want) {
			t.Errorf("%s is %v, want %v", field, got, want)
		}
	}
	wantProgress := map[string]any{
		"targets_total": 2.0, "targets_updated": 0.0, "targets_failed": 0.0, "targets_unknown": 0.0,
		"targets_in_flight": 0.0, "wave": 0.0, "waves": 2.0, "traffic_weight": 0.0, "percent": 0.0,
	}
	if !reflect.DeepEqual(d["progress"], wantProgress) {
		t.Errorf("progress %v", d["progress"])
	}
	if got := c.get(a.Header.Get("Location")).want(t, http.StatusOK); !reflect.DeepEqual(got.object(t), d) {
		t.Errorf("GET answers %s, POST answered %s", got.body, a.body)
	}
}

func TestCreate_DefaultsAreResolved(t *testing.T) {
	t.Parallel()
	c, s := serveStored(t)
	d, err := s.Deployment(t.Context(), c.created(with("force", "false")))
	if err != nil {
		t.Fatal(err)
	}
	second := func(n int) duration.Duration { return duration.Duration(time.Duration(n) * time.Second) }
	want := rollout.Deploy{Path: "/deploy", Timeout: second(30), Retries: 2, Backoff: second(1)}
	if !reflect.DeepEqual(d.Spec.Deploy, want) || d.Spec.HealthyDeadline != second(60) || d.Spec.OnConflict != rollout.OnConflictQueue {
		t.Errorf("%+v", d.Spec)
	}
	check := healthcheck.Check{
		Name: "http", Type: "http", Critical: true, Interval: second(1), Timeout: second(5), HealthyThreshold: 2,
		UnhealthyThreshold: 3, Method: "GET", Path: "/health", ExpectedStatus: []string{"200-299"},
	}
	if !reflect.DeepEqual(d.Spec.Checks, []healthcheck.Check{check}) {
		t.Errorf("%+v", d.Spec.Checks)
	}
}

func TestCreate_KeepsRequestFields(t *testing.T) {
	t.Parallel()
	c, s := serveStored(t)
	id := c.created(`{"service":"s","environment":"e","version":"v ü","force":true,"on_conflict":"reject","healthy_deadline":"90s",
		"strategy":{"type":"rolling","batch_size":"50%"},
		"deploy":{"path":"/hook","timeout":"2m","retries":0,"backoff":"0s","secret":"whsec_MDEyMzQ1Njc4OWFiY2RlZg=="},
		"health_checks":[{"type":"none"},{"type":"tcp","port":5432,"critical":false},{"type":"tcp","name":"tcp-2"},{"type":"tcp"},
			{"type":"grpc","service":"x","tls":true},{"type":"command","command":"disk","args":["/"]},
			{"type":"metric","metric":"up","fail_below":0},{"type":"http","url":"https://x/y?z","version_pointer":"/v~1/0"}],
		"targets":[{"id":"a","name":"A","address":"http://10.0.0.1/base/","slot":"blue","metadata":{"zone":"a"},"version":"v1"},
			{"id":"b","address":"http://10.0.0.2","deploy_url":"http://10.0.0.3/x?y"}]}`)
	d, err := s.Deployment(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, check := range d.Spec.Checks {
		names = append(names, check.Name)
	}
	if want := []string{"none", "tcp", "tcp-2", "tcp-3", "grpc", "command", "metric", "http"}; !slices.Equal(names, want) {
		t.Errorf("names of checks %v", names)
	}
	if d.Spec.Checks[6].Path != "/metrics" || d.Spec.Checks[6].FailBelow == nil || *d.Spec.Checks[6].FailBelow != 0 {
		t.Errorf("%+v", d.Spec.Checks[6])
	}
	if d.Spec.Deploy.Retries != 0 || d.Spec.Deploy.Path != "/hook" || !d.Spec.Force || d.Version != "v ü" {
		t.Errorf("%+v", d)
	}
	list, err := s.Targets(t.Context(), id, storage.Page{Limit: 10})
	if err != nil || len(list.Items) != 2 {
		t.Fatal(list, err)
	}
	a, b := list.Items[0], list.Items[1]
	if a.DeployURL != "http://10.0.0.1/base/hook" || b.DeployURL != "http://10.0.0.3/x?y" {
		t.Errorf("deploy URLs %q and %q", a.DeployURL, b.DeployURL)
	}
	if a.Name != "A" || b.Name != "b" || a.Slot != "blue" || a.Metadata["zone"] != "a" || a.Version != "v1" {
		t.Errorf("%+v", a)
	}
}

func TestDeployment_SecretIsInNoResponse(t *testing.T) {
	t.Parallel()
	c, _ := serveStored(t)
	const secret = "whsec_MDEyMzQ1Njc4OWFiY2RlZg=="
	body := with("deploy", `{"secret":"`+secret+`"}`)
	id := c.created(body, "Idempotency-Key", "k")
	for _, a := range []answer{
		c.post(body, "Idempotency-Key", "k"), c.get("/deployments/" + id), c.get("/deployments"),
		c.get("/deployments/" + id + "/targets"), c.get("/deployments/" + id + "/events"),
	} {
		if bytes.Contains(a.want(t, a.StatusCode).body, []byte(secret[6:])) {
			t.Errorf("%s shows the secret", a.Request.URL)
		}
	}
}

func TestCreate_RefusedLeavesNothing(t *testing.T) {
	t.Parallel()
	c, _ := serveStored(t)
	for pointer, strategy := range map[string]string{
		"/strategy/type":         `{"type":"sideways"}`,
		"/strategy/batch_size":   `{"type":"rolling","batch_size":0}`,
		"/strategy/batchsize":    `{"type":"rolling","batchsize":1}`,
		"/strategy/batch_delay":  `{"type":"rolling","batch_delay":"soon"}`,
		"/strategy/batch_size/1": `{"type":"rolling","batch_size":[2,1]}`,
	} {
		c.post(with("strategy", strategy), "Idempotency-Key", "k").wantProblem(t, http.StatusUnprocessableEntity, pointer)
	}
	for _, refused := range slices.Concat(malformedBodies(), invalidBodies()) {
		c.do(http.MethodPost, "/deployments", refused.body, "Content-Type", "application/json", "Idempotency-Key", "k").
			wantProblem(t, refused.status, refused.pointer)
	}
	if ids, _ := c.items("/deployments", "id"); len(ids) > 0 {
		t.Errorf("deployments %v", ids)
	}
	c.created(with("force", "true"), "Idempotency-Key", "k") // the key is still free
}

func TestCreate_AcceptsTenThousandTargets(t *testing.T) {
	t.Parallel()
	c, _ := serveStored(t)
	var list strings.Builder
	for i := range 10_000 {
		fmt.Fprintf(&list, `,{"id":"t%d","address":"http://10.%d.%d.%d:8080"}`, i, i>>16&255, i>>8&255, i&255)
	}
	d := c.post(with("targets", "["+list.String()[1:]+"]")).want(t, http.StatusAccepted).object(t)
	if progress, _ := d["progress"].(map[string]any); progress["targets_total"] != 10_000.0 {
		t.Errorf("progress %v", progress)
	}
}

func TestDeployment_UnknownIsNotFound(t *testing.T) {
	t.Parallel()
	c, _ := serveStored(t)
	for _, below := range []string{"", "?wait=10s&after=1", "/targets", "/events"} {
		c.get("/deployments/0199f2a4-5c1e-7d3a-9b60-2f1c8a7e4d11"+below).wantProblem(t, http.StatusNotFound, noPointer)
	}
}

func TestETag_IsRevision(t *testing.T) {
	t.Parallel()
	c, _ := serveStored(t)
	path := "/deployments/" + c.created(with("force", "true"))
	a := c.get(path).want(t, http.StatusOK)
	tag := a.Header.Get("ETag")
	if want := fmt.Sprintf("%q", fmt.Sprint(a.object(t)["revision"])); tag != want {
		t.Errorf("ETag %s, want %s", tag, want)
	}
	for _, matching := range []string{tag, "W/" + tag, `"x", ` + tag, "*"} {
		if a := c.get(path, "If-None-Match", matching).want(t, http.StatusNotModified); a.Header.Get("ETag") != tag || len(a.body) > 0 {
			t.Errorf("304 with %v %q", a.Header, a.body)
		}
	}
	for _, other := range []string{`"x"`, strings.Trim(tag, `"`), `"99"`} {
		c.get(path, "If-None-Match", other).want(t, http.StatusOK)
	}
}

func TestWait_EndsUnchangedAtTimeout(t *testing.T) {
	t.Parallel()
	c, _ := serveStored(t)
	path := "/deployments/" + c.created(with("force", "true"))
	a := c.get(path)
	revision := a.object(t)["revision"]
	began := time.Now()
	waited := c.get(fmt.Sprintf("%s?wait=300ms&after=%v", path, revision)).want(t, http.StatusOK)
	if took := time.Since(began); took < 300*time.Millisecond || !bytes.Equal(waited.body, a.body) {
		t.Errorf("after %s: %s", took, waited.body)
	}
	c.get(fmt.Sprintf("%s?wait=10ms&after=%v", path, revision), "If-None-Match", a.Header.Get("ETag")).
		want(t, http.StatusNotModified)
	c.get(path+"?wait=60s").want(t, http.StatusOK) // any revision is newer than none
}

func TestWait_EndsWithChange(t *testing.T) {
	t.Parallel()
	for _, heard := range []bool{true, false} {
		t.Run(fmt.Sprintf("notified %v", heard), func(t *testing.T) {
			t.Parallel()
			c, s := serveStored(t)
			if heard {
				listen(t, s)
			}
			path := "/deployments/" + c.created(with("force", "true"))
			answers := make(chan answer, 1)
			go func() { answers <- c.get(path + "?wait=60s&after=1") }()
			c.created(with("version", `"v3"`)) // supersedes it
			if state := (<-answers).want(t, http.StatusOK).object(t)["state"]; state != "superseded" {
				t.Errorf("state %v", state)
			}
		})
	}
}

// listen hears the store's notifications until the test ends.
func listen(t *testing.T, s *store.Store) {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	connected := make(chan struct{}, 1)
	ended := make(chan error, 1)
	go func() {
		ended <- s.Listen(ctx, func(string) {
			select {
			case connected <- struct{}{}:
			default:
			}
		})
	}()
	<-connected
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}
