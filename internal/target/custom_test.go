package target

import (
	"crypto/hmac"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"io"
	"net/http"
	"strings"
	"testing"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"rollcall/internal/request"
	"rollcall/internal/rollout"
	"rollcall/internal/secret"
)

// custom returns a deployment whose targets are called by a request.
func custom(r request.Request) *rollout.Deployment {
	d := deployment()
	d.Labels = map[string]string{"commit": "abc"}
	d.Spec.Deploy.Request = &r
	return d
}

func TestCustom_RequestIsSentAsRendered(t *testing.T) {
	t.Parallel()
	var got *http.Request
	var body []byte
	url := serve(t, func(w http.ResponseWriter, r *http.Request) {
		got = r
		body, _ = io.ReadAll(r.Body)
		w.WriteHeader(http.StatusNoContent)
	})
	d := custom(request.Request{
		Method: "PUT", URL: url + "/jobs/{target.metadata.job}?tag={version}&from={previous_version}",
		Headers: map[string]secret.Secret{"Authorization": "Bearer {labels.commit}"},
		JSON:    request.JSON(`{"ref":"{version}","attempt":"{attempt}","fence":"{fence}","wave":"{wave}"}`), Sign: &request.Sign{Type: request.SignNone},
	})
	to := webhook("")
	to.Metadata, to.Wave = map[string]any{"job": "a b", "n": 1.0}, 2
	c := deployCall()
	c.Version = "v2&x=1"
	want(t, New(Config{Key: serverSecret}).Deploy(t.Context(), d, to, c), rollout.ResultDone, "HTTP 204")
	if got.Method != http.MethodPut || got.URL.EscapedPath() != "/jobs/a%20b" || got.URL.RawQuery != "tag=v2%26x%3D1&from=v1" {
		t.Errorf("%s %s", got.Method, got.URL)
	}
	if string(body) != `{"attempt":3,"fence":42,"ref":"v2&x=1","wave":2}` {
		t.Errorf("body %s", body)
	}
	for name, value := range map[string]string{
		"Authorization": "Bearer abc", "Content-Type": "application/json", "Webhook-Id": c.WebhookID, "Rollcall-Attempt": "3",
		"Rollcall-Fence": "42", "Webhook-Signature": "",
	} {
		if got.Header.Get(name) != value {
			t.Errorf("%s is %q", name, got.Header.Get(name))
		}
	}
}

func TestCustom_SignaturesAreReceivers(t *testing.T) {
	t.Parallel()
	sum256, sum1 := hmac.New(sha256.New, []byte("a plain key")), hmac.New(sha1.New, []byte("a plain key"))
	sum256.Write([]byte("deploy v2"))
	sum1.Write([]byte("deploy v2"))
	text := "deploy {version}"
	for want, how := range map[string]request.Sign{
		"sha256=" + hex.EncodeToString(sum256.Sum(nil)):  {Type: request.SignHMAC, Header: "X-Hub-Signature-256", Algorithm: "sha256", Encoding: "hex", Prefix: "sha256="},
		base64.StdEncoding.EncodeToString(sum1.Sum(nil)): {Type: request.SignHMAC, Header: "X-Sig", Algorithm: "sha1", Encoding: "base64"},
	} {
		var header http.Header
		url := serve(t, func(_ http.ResponseWriter, r *http.Request) { header = r.Header })
		d := custom(request.Request{Method: "POST", URL: url, Text: &text, Sign: &how})
		d.DeploySecret = "a plain key"
		if got := New(Config{Key: serverSecret}).Deploy(t.Context(), d, webhook(""), deployCall()); got.Kind != rollout.ResultDone || header.Get(how.Header) != want {
			t.Errorf("%v, signature %q, want %q", got, header.Get(how.Header), want)
		}
		d.DeploySecret = "***"
		if got := New(Config{}).Deploy(t.Context(), d, webhook(""), deployCall()); got.Kind != rollout.ResultNotSent {
			t.Errorf("sent without the key: %v", got)
		}
	}
	var header http.Header
	var body []byte
	url := serve(t, func(_ http.ResponseWriter, r *http.Request) {
		header = r.Header
		body, _ = io.ReadAll(r.Body)
	})
	New(Config{Key: serverSecret}).Deploy(t.Context(), custom(request.Request{Method: "POST", URL: url}), webhook(""), deployCall())
	oracle, err := standardwebhooks.NewWebhook(serverSecret.Reveal())
	if err != nil {
		t.Fatal(err)
	}
	if err := oracle.Verify(body, header); err != nil || !strings.Contains(string(body), `"deployment_id":"d1"`) {
		t.Errorf("%v: %s", err, body)
	}
}

func TestCustom_ListsSayWhatStatusMeans(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		deploy rollout.Deploy
		status int
		want   rollout.ResultKind
	}{
		{rollout.Deploy{}, 204, rollout.ResultDone},
		{rollout.Deploy{}, 202, rollout.ResultAccepted},
		{rollout.Deploy{}, 302, rollout.ResultRefused},
		{rollout.Deploy{}, 409, rollout.ResultRefused},
		{rollout.Deploy{}, 429, rollout.ResultRetry},
		{rollout.Deploy{}, 503, rollout.ResultUnknown},
		{rollout.Deploy{OK: []string{"302"}}, 302, rollout.ResultDone},
		{rollout.Deploy{OK: []string{"302"}}, 200, rollout.ResultRefused},
		{rollout.Deploy{RetryOn: []string{"409"}}, 409, rollout.ResultRetry},
		{rollout.Deploy{RetryOn: []string{"409"}}, 500, rollout.ResultRefused},
		{rollout.Deploy{OnNoAnswer: rollout.OnNoAnswerStop}, 503, rollout.ResultRetry},
		{rollout.Deploy{OnNoAnswer: rollout.OnNoAnswerStop}, 504, rollout.ResultUnknown},
	} {
		url := serve(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(c.status) })
		d := custom(request.Request{Method: "POST", URL: url})
		c.deploy.Request, c.deploy.Timeout = d.Spec.Deploy.Request, d.Spec.Deploy.Timeout
		d.Spec.Deploy = c.deploy
		if got := New(Config{}).Deploy(t.Context(), d, webhook(""), deployCall()); got.Kind != c.want {
			t.Errorf("%d with %v, %v: %s", c.status, c.deploy.OK, c.deploy.RetryOn, got.Kind)
		}
	}
	url := serve(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusConflict) })
	d := deployment()
	d.Spec.Deploy.OK = []string{"200"}
	want(t, New(Config{}).Deploy(t.Context(), d, webhook(url), deployCall()), rollout.ResultFenced, "HTTP 409")
}

func TestCustom_BodyDecidesWhereAsked(t *testing.T) {
	t.Parallel()
	for body, kind := range map[string]rollout.ResultKind{
		`{"status":"done"}`: rollout.ResultDone, `{"status":"error"}`: rollout.ResultRefused, `{"status":"queued"}`: rollout.ResultUnknown,
		`Hook rules were not satisfied.`: rollout.ResultUnknown,
	} {
		url := serve(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, body) })
		d := custom(request.Request{Method: "POST", URL: url})
		d.Spec.Deploy.Done = &request.Done{Type: request.DoneJSON, Pointer: "/status", Equals: []request.Scalar{"done"}, Fails: []request.Scalar{"error"}}
		want(t, New(Config{}).Deploy(t.Context(), d, webhook(""), deployCall()), kind, "HTTP 200")
	}
}

func TestCustom_HeadersAreNotRepeated(t *testing.T) {
	t.Parallel()
	url := serve(t, func(w http.ResponseWriter, r *http.Request) {
		http.Error(w, "bad "+r.Header.Get("X-Token"), http.StatusForbidden)
	})
	d := custom(request.Request{Method: "POST", URL: url, Headers: map[string]secret.Secret{"X-Token": "hunter2"}})
	got := New(Config{}).Deploy(t.Context(), d, webhook(""), deployCall())
	if got.Kind != rollout.ResultRefused || strings.Contains(got.Message, "hunter2") {
		t.Errorf("%v", got)
	}
}

func TestCustom_UnrenderableIsNotSent(t *testing.T) {
	t.Parallel()
	d := custom(request.Request{Method: "POST", URL: "http://127.0.0.1:1/{version}"})
	sealed := custom(request.Request{Method: "POST", URL: "http://127.0.0.1:1/", Headers: map[string]secret.Secret{"X-Token": "***"}})
	want(t, New(Config{}).Deploy(t.Context(), sealed, webhook(""), deployCall()), rollout.ResultNotSent, "sealed")
	c := deployCall()
	c.Version = ".."
	want(t, New(Config{}).Deploy(t.Context(), d, webhook(""), c), rollout.ResultNotSent, "segment")
}

func TestDeployURL_PlaceholdersAreFilledIn(t *testing.T) {
	t.Parallel()
	var uri string
	url := serve(t, func(_ http.ResponseWriter, r *http.Request) { uri = r.RequestURI })
	for given, want := range map[string]string{
		"/a/{version}?x={target.id}": "/a/v2?x=web-1", "/a/%7Bversion%7D": "/a/%7Bversion%7D", "/a/{not}": "/a/%7Bnot%7D",
	} {
		call(t, Config{}, url+given)
		if uri != want {
			t.Errorf("%s became %s", given, uri)
		}
	}
}
