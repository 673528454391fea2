package main

import (
	"encoding/base64"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const deployCall = `{"action":"deploy","service":"checkout","environment":"production","version":"v2","previous_version":null,"target":{"id":"web-1"}}`

// newReceiver returns a receiver whose command writes what it was given into a file.
func newReceiver(t *testing.T, command ...string) (*receiver, string) {
	t.Helper()
	dir := t.TempDir()
	r := &receiver{file: filepath.Join(dir, "state.json"), command: command, timeout: time.Minute}
	if err := r.loadRecord("v1"); err != nil {
		t.Fatal(err)
	}
	return r, dir
}

func deploy(r *receiver, id, fence string) *httptest.ResponseRecorder {
	req := httptest.NewRequest(http.MethodPost, "/deploy", strings.NewReader(deployCall))
	req.Header.Set("webhook-id", id)
	req.Header.Set("Rollcall-Fence", fence)
	res := httptest.NewRecorder()
	r.serveDeploy(res, req)
	return res
}

func version(t *testing.T, r *receiver) string {
	t.Helper()
	res := httptest.NewRecorder()
	r.serveHealth(res, httptest.NewRequest(http.MethodGet, "/health", nil))
	return strings.TrimSpace(res.Body.String())
}

func TestReceiver_RunsTheCommandOncePerID(t *testing.T) {
	t.Parallel()
	r, dir := newReceiver(t, "sh", "-c", `echo "$ROLLCALL_ACTION $ROLLCALL_VERSION" >>"$0"`)
	r.command = append(r.command, filepath.Join(dir, "ran"))
	for _, fence := range []string{"10", "11"} {
		if res := deploy(r, "msg_1", fence); res.Code != http.StatusOK {
			t.Fatalf("answered %d %s", res.Code, res.Body)
		}
	}
	if ran, err := os.ReadFile(filepath.Join(dir, "ran")); err != nil || string(ran) != "deploy v2\n" {
		t.Errorf("ran %q, %v", ran, err)
	}
	restarted := &receiver{file: r.file}
	if err := restarted.loadRecord("v1"); err != nil || version(t, restarted) != `{"version":"v2"}` {
		t.Errorf("after a restart it reports %s, %v", version(t, restarted), err)
	}
}

func TestReceiver_RejectsLateCalls(t *testing.T) {
	t.Parallel()
	r, _ := newReceiver(t, "true")
	deploy(r, "msg_1", "10")
	res := deploy(r, "msg_2", "9")
	if res.Code != http.StatusConflict || res.Header().Get("Rollcall-Fence") != "10" {
		t.Errorf("answered %d, fence %q", res.Code, res.Header().Get("Rollcall-Fence"))
	}
}

func TestReceiver_RunsOneDeployAtATime(t *testing.T) {
	t.Parallel()
	r, _ := newReceiver(t, "true")
	r.busy = true
	if res := deploy(r, "msg_1", "1"); res.Code != http.StatusTooManyRequests || res.Header().Get("Retry-After") == "" {
		t.Errorf("answered %d", res.Code)
	}
}

func TestReceiver_FailureKeepsTheVersion(t *testing.T) {
	t.Parallel()
	r, _ := newReceiver(t, "sh", "-c", "echo no such image; exit 1")
	if res := deploy(r, "msg_1", "1"); res.Code != http.StatusUnprocessableEntity || !strings.Contains(res.Body.String(), "no such image") {
		t.Errorf("answered %d %s", res.Code, res.Body)
	}
	if got := version(t, r); got != `{"version":"v1"}` {
		t.Errorf("it reports %s", got)
	}
}

func TestVerify_AcceptsTheExampleOfTheStandard(t *testing.T) {
	t.Parallel()
	key, err := base64.StdEncoding.DecodeString("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
	if err != nil {
		t.Fatal(err)
	}
	header := http.Header{}
	header.Set("webhook-id", "msg_p5jXN8AQM9LWM0D4loKWxJek")
	header.Set("webhook-timestamp", "1614265330")
	header.Set("webhook-signature", "v1,old v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=")
	body, now := []byte(`{"test": 2432232314}`), time.Unix(1614265330, 0)
	if !verifySignature(key, header, body, now) {
		t.Error("a good signature is rejected")
	}
	if verifySignature(key, header, body, now.Add(time.Hour)) || verifySignature(key, header, append(body, '!'), now) {
		t.Error("an old call or a changed body is accepted")
	}
}
