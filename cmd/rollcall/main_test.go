package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"rollcall/internal/api/types"
)

const id = "0190b0a6-7c31-7d3a-9b1e-4f2f8a6c1d20"

// api serves fixed responses by method and path, and records the last body.
type api struct {
	url  string
	body map[string]any
}

func serve(t *testing.T, responses map[string]any) *api {
	t.Helper()
	a := &api{}
	h := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if text, err := io.ReadAll(r.Body); err == nil && len(text) > 0 {
			if err := json.Unmarshal(text, &a.body); err != nil {
				t.Error(err)
			}
		}
		response, ok := responses[r.Method+" "+r.URL.Path]
		if !ok {
			w.WriteHeader(http.StatusNotFound)
			response = types.Problem{Type: "urn:rollcall:problem:not-found", Title: "Not found", Status: http.StatusNotFound}
		}
		if err := json.NewEncoder(w).Encode(response); err != nil {
			t.Error(err)
		}
	}))
	t.Cleanup(h.Close)
	a.url = h.URL
	return a
}

func rollcall(t *testing.T, url string, args ...string) (code int, out, stderr string) {
	t.Helper()
	var o, e bytes.Buffer
	code = run(context.Background(), append([]string{"--url=" + url, "--patience=1ms"}, args...), &o, &e)
	return code, o.String(), e.String()
}

func deployment(state string, success *bool) map[string]any {
	d := map[string]any{
		"id": id, "service": "checkout", "environment": "production", "version": "v2", "state": state, "reason": "because",
		"strategy": map[string]any{"type": "rolling"}, "created_at": "2026-01-02T03:04:05Z", "requested_by": "token:ci",
		"progress": map[string]any{"targets_total": 4, "targets_updated": 2, "wave": 1, "waves": 2, "targets_failed": 1},
	}
	if success != nil {
		d["result"] = map[string]any{"success": *success, "errors": []any{map[string]any{"target": "web-3", "message": "refused"}}}
	}
	return d
}

func TestRun_ExitCodes(t *testing.T) {
	t.Parallel()
	s := serve(t, map[string]any{
		"GET /deployments/" + id: deployment("failed", new(false)),
		"POST /deployments":      deployment("completed", new(true)),
	})
	for name, c := range map[string]struct {
		url  string
		args []string
		want int
	}{
		"completed":    {s.url, []string{"deploy", "checkout", "v2", "--wait"}, codeSuccess},
		"failed":       {s.url, []string{"watch", id}, codeFailed},
		"unknown flag": {s.url, []string{"status", "--nonsense"}, codeUsage},
		"not found":    {s.url, []string{"status", "checkout"}, codeUsage},
		"no version":   {s.url, []string{"deploy", "checkout"}, codeUsage},
		"bad url":      {"nowhere", []string{"services"}, codeUsage},
		"unreachable":  {"http://127.0.0.1:1", []string{"services"}, codeUnreachable},
	} {
		if code, out, stderr := rollcall(t, c.url, c.args...); code != c.want {
			t.Errorf("%s: exit code %d, want %d\n%s%s", name, code, c.want, out, stderr)
		}
	}
}

func TestRun_InterruptPrintsHowToFollowAndStop(t *testing.T) {
	t.Parallel()
	s := serve(t, map[string]any{"GET /deployments/" + id: deployment("in_progress", nil)})
	ctx, cancel := context.WithCancel(t.Context())
	var out, stderr bytes.Buffer
	time.AfterFunc(200*time.Millisecond, cancel)
	if code := run(ctx, []string{"--url=" + s.url, "watch", id}, &out, &stderr); code != codeInterrupted {
		t.Errorf("exit code %d", code)
	}
	for _, want := range []string{"interrupted; deployment " + id + " is still running: because", "rollcall watch " + id, "rollcall abort " + id} {
		if !strings.Contains(stderr.String(), want) {
			t.Errorf("%q is missing in:\n%s", want, stderr.String())
		}
	}
}

func TestStatus_PrintsDeploymentAndErrors(t *testing.T) {
	t.Parallel()
	s := serve(t, map[string]any{"GET /deployments/" + id: deployment("failed", new(false))})
	_, out, _ := rollcall(t, s.url, "status", id)
	for _, want := range []string{
		id + "  checkout in production: v2, failed: because", "rolling, 2/4 updated, wave 1/2, 1 failed; requested by token:ci", "  web-3: refused",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is missing in:\n%s", want, out)
		}
	}
}

func TestStatus_PrintsServiceWithUnknownVersion(t *testing.T) {
	t.Parallel()
	s := serve(t, map[string]any{"GET /services/checkout/environments/production/status": map[string]any{
		"service": "checkout", "environment": "production", "targets": []any{map[string]any{"id": "web-1", "health": "unknown"}},
	}})
	code, out, _ := rollcall(t, s.url, "status", "checkout")
	if code != 0 || !strings.Contains(out, "checkout in production runs an unknown version\n") || !strings.Contains(out, "web-1   -        unknown\n") {
		t.Errorf("%d:\n%s", code, out)
	}
}

func TestPromote_NamesTheWave(t *testing.T) {
	t.Parallel()
	s := serve(t, map[string]any{
		"GET /deployments/" + id: deployment("in_progress", nil), "POST /deployments/" + id + "/promote": deployment("in_progress", nil),
	})
	if code, _, stderr := rollcall(t, s.url, "promote", id, "-m", "looks good"); code != 0 || s.body["wave"] != 1.0 || s.body["reason"] != "looks good" {
		t.Errorf("%d %v %s", code, s.body, stderr)
	}
}

func TestDeploy_FlagsOverrideFile(t *testing.T) {
	t.Parallel()
	s := serve(t, map[string]any{"POST /deployments": deployment("pending", nil)})
	file := filepath.Join(t.TempDir(), "request.yaml")
	text := "service: checkout\nversion: 2026-01-02\nstrategy: {type: canary, steps: 3}\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	code, out, stderr := rollcall(t, s.url, "deploy", "-f", file, "--strategy=rolling", "--set=batch_size=2", "--set=timeout=30s", "--target=a=http://a")
	if code != 0 || !strings.HasPrefix(out, id+"  ") {
		t.Fatalf("%d:\n%s%s", code, out, stderr)
	}
	got, err := json.Marshal(s.body)
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"service":"checkout","strategy":{"batch_size":2,"timeout":"30s","type":"rolling"},"targets":[{"address":"http://a","id":"a"}],"version":"2026-01-02"}`
	if string(got) != want {
		t.Errorf("%s", got)
	}
}

func TestJSON_PrintsTheResponse(t *testing.T) {
	t.Parallel()
	s := serve(t, map[string]any{"GET /services": map[string]any{"items": []any{map[string]any{"service": "checkout", "unknown": 1}}}})
	code, out, _ := rollcall(t, s.url, "services", "--json")
	if code != 0 || out != "{\n  \"items\": [\n    {\n      \"service\": \"checkout\",\n      \"unknown\": 1\n    }\n  ]\n}\n" {
		t.Errorf("%d:\n%s", code, out)
	}
}

func TestTable_AlignsAndRemovesControlCharacters(t *testing.T) {
	t.Parallel()
	table := newTable("A", "LONG")
	table.addRow("x\x1b[2Jy", 1)
	var out bytes.Buffer
	table.writeTo(&out)
	if out.String() != "A       LONG\nx [2Jy  1\n" {
		t.Errorf("%q", out.String())
	}
}

func TestBar_ShowsOneFailureOfMany(t *testing.T) {
	t.Parallel()
	d := &types.Deployment{Progress: types.Progress{TargetsTotal: 1000, TargetsUpdated: 500, TargetsFailed: 1, TargetsInFlight: 100}}
	if got := progressBar(d, 10); got != "[█████✗▒···]" {
		t.Error(got)
	}
}

func TestToken_Status(t *testing.T) {
	t.Parallel()
	now := time.Now()
	for want, token := range map[string]types.Token{
		"valid": {ExpiresAt: new(now.Add(time.Hour))}, "expired": {ExpiresAt: new(now)}, "revoked": {RevokedAt: new(now)},
	} {
		if got := tokenStatus(&token, now); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
}
