package target

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"rollcall/internal/rollout"
	"rollcall/internal/secret"
)

type received struct {
	header http.Header
	body   []byte
	method string
}

func receive(t *testing.T, c Config, d *rollout.Deployment, target *rollout.Target, call rollout.Call) received {
	t.Helper()
	var got received
	target.DeployURL = serve(t, func(_ http.ResponseWriter, r *http.Request) {
		got.header, got.method = r.Header, r.Method
		got.body, _ = io.ReadAll(r.Body)
	}) + "/deploy?token=1"
	want(t, New(c).Deploy(t.Context(), d, target, call), rollout.ResultDone, "HTTP 200")
	return got
}

func TestWebhook_SignatureMatchesReference(t *testing.T) {
	t.Parallel()
	other := secret.Secret("whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD")
	for name, test := range map[string]struct{ own, server, verifies secret.Secret }{
		"deployment's own": {serverSecret, "", serverSecret},
		"server's":         {"", serverSecret, serverSecret},
		"own before":       {serverSecret, other, serverSecret},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := deployment()
			d.DeploySecret = test.own
			got := receive(t, Config{Key: test.server}, d, webhook(""), deployCall())
			oracle, err := standardwebhooks.NewWebhook(test.verifies.Reveal())
			if err != nil {
				t.Fatal(err)
			}
			if err := oracle.Verify(got.body, got.header); err != nil {
				t.Error(err)
			}
			if err := oracle.Verify(append(got.body, ' '), got.header); err == nil {
				t.Error("the signature does not cover the body")
			}
		})
	}
}

func TestCall_WithoutSecretIsUnsigned(t *testing.T) {
	t.Parallel()
	got := receive(t, Config{}, deployment(), webhook(""), deployCall())
	if got.header.Get("webhook-signature") != "" || got.header.Get("webhook-timestamp") == "" {
		t.Errorf("headers %v", got.header)
	}
}

func TestCall_RequestFollowsContract(t *testing.T) {
	t.Parallel()
	target := webhook("")
	target.Slot, target.Metadata = "blue", map[string]any{"zone": "a"}
	got := receive(t, Config{UserAgent: "rollcall/test"}, deployment(), target, deployCall())
	const body = `{"action":"deploy","deployment_id":"d1","service":"checkout","environment":"production",` +
		`"version":"v2","previous_version":"v1","target":{"id":"web-1","name":"web 1",` +
		`"address":"http://10.0.0.1:8080","slot":"blue","metadata":{"zone":"a"}}}`
	if string(got.body) != body {
		t.Errorf("body %s", got.body)
	}
	for name, value := range map[string]string{
		"webhook-id": deployCall().WebhookID, "Rollcall-Attempt": "3", "Rollcall-Fence": "42",
		"Content-Type": "application/json", "User-Agent": "rollcall/test", "Idempotency-Key": "",
	} {
		if got.header.Get(name) != value {
			t.Errorf("%s: %q, want %q", name, got.header.Get(name), value)
		}
	}
	if got.method != http.MethodPost {
		t.Errorf("method %s", got.method)
	}
}

func TestCall_UnknownFieldsAreNullOrEmpty(t *testing.T) {
	t.Parallel()
	c := deployCall()
	c.PreviousVersion = ""
	got := receive(t, Config{}, deployment(), webhook(""), c)
	var body map[string]any
	if err := json.Unmarshal(got.body, &body); err != nil {
		t.Fatal(err)
	}
	if previous, there := body["previous_version"]; previous != nil || !there {
		t.Errorf("previous_version is %v", previous)
	}
	if !strings.Contains(string(got.body), `"metadata":{}`) {
		t.Errorf("body %s", got.body)
	}
}

func TestCall_InvalidRequestIsNotSent(t *testing.T) {
	t.Parallel()
	d := deployment()
	d.DeploySecret = "hunter2"
	got := New(Config{}).Deploy(t.Context(), d, webhook("http://127.0.0.1:1"), deployCall())
	want(t, got, rollout.ResultNotSent, "signing secret")
	want(t, call(t, Config{}, "http://user:hunter2@[bad"), rollout.ResultNotSent, "not a URL")
	want(t, call(t, Config{}, "ftp://user:hunter2@host/"), rollout.ResultNotSent, "neither http nor https")
	if strings.Contains(got.Message, "hunter2") {
		t.Errorf("the message shows the secret: %s", got.Message)
	}
	target := webhook("http://127.0.0.1:1")
	target.Metadata = map[string]any{"bad": make(chan int)}
	want(t, New(Config{}).Deploy(t.Context(), deployment(), target, deployCall()), rollout.ResultNotSent, "encoded")
}
