package e2e

import (
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"rollcall/internal/dbtest"
)

const receiverKey = "a key of adnanh/webhook"

// adnanh is an adnanh/webhook with the example's configuration.
type adnanh struct {
	address, state string
}

func startAdnanh(t *testing.T) adnanh {
	t.Helper()
	program := shellOrSkip(t, "webhook")
	folder, err := filepath.Abs(filepath.Join(examples, "receivers", "adnanh-webhook"))
	if err != nil {
		t.Fatal(err)
	}
	a := adnanh{address: freeAddress(t), state: t.TempDir()}
	_, port, _ := strings.Cut(a.address, ":")
	run := exec.CommandContext(t.Context(), program, "-hooks", filepath.Join(folder, "hooks.yaml"), "-template", "-urlprefix", "hooks",
		"-ip", "127.0.0.1", "-port", port)
	run.Env = append(os.Environ(), "DEPLOY_KEY="+receiverKey, "DEPLOY_STATE="+a.state, "DEPLOY_SCRIPT="+filepath.Join(folder, "deploy.sh"))
	run.Stdout, run.Stderr = t.Output(), t.Output()
	if err := run.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = run.Process.Kill(); _ = run.Wait() })
	awaitFact(t, "webhook listens", func() bool {
		answer, err := http.Get("http://" + a.address)
		if err != nil {
			return false
		}
		_ = answer.Body.Close()
		return true
	})
	return a
}

func (a adnanh) version() string {
	text, _ := os.ReadFile(filepath.Join(a.state, "version"))
	return string(text)
}

// receiving is a request for three of them, with the deploy of the example.
func receiving(t *testing.T, version string, strategy object, receivers []adnanh) object {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(examples, "receivers", "adnanh-webhook", "deploy.json"))
	if err != nil {
		t.Fatal(err)
	}
	var deploy object
	if err := json.Unmarshal(text, &deploy); err != nil {
		t.Fatal(err)
	}
	deploy["secret"], deploy["backoff"], deploy["timeout"] = receiverKey, "50ms", "10s"
	var targets []object
	for i, r := range receivers {
		targets = append(targets, object{"id": string(rune('a' + i)), "address": "http://" + r.address})
	}
	return object{
		"service": "checkout", "environment": "production", "version": version, "strategy": strategy, "targets": targets,
		"deploy": deploy, "health_checks": []object{{"type": "none"}},
	}
}

func TestReceivers_AdnanhWebhookIsRolledOutAndBack(t *testing.T) {
	t.Parallel()
	receivers := []adnanh{startAdnanh(t), startAdnanh(t), startAdnanh(t)}
	p := serve(t, dbtest.New(t))
	expect := func(id, state, version string) {
		t.Helper()
		if d := p.awaitEnd(id); d.State != state {
			t.Fatalf("ended %s (%s): %+v", d.State, d.Reason, d.Result)
		}
		for i, r := range receivers {
			if r.version() != version {
				t.Errorf("receiver %d runs %q, want %q", i, r.version(), version)
			}
		}
	}
	expect(p.post(receiving(t, "v1", object{"type": "rolling"}, receivers)).ID, "completed", "v1")
	canary := object{"type": "canary", "stages": []int{30, 100}, "stage_duration": "100ms"}
	second := p.post(receiving(t, "v2+build.5", canary, receivers))
	expect(second.ID, "completed", "v2+build.5")
	for _, e := range list[struct {
		Type string
		Call struct {
			Request struct {
				Method, URL string
				BodySHA256  string `json:"body_sha256"`
			}
		}
	}](p, "/deployments/"+second.ID+"/events") {
		if r := e.Call.Request; e.Type == "target.intent" && (r.Method != http.MethodPost || !strings.HasSuffix(r.URL, "/hooks/deploy") || len(r.BodySHA256) != 64) {
			t.Errorf("the intent is recorded as %+v", r)
		}
	}
	expect(p.ask("/deployments/"+second.ID+"/rollback", http.StatusAccepted).ID, "rolled_back", "v1")

	forged := receiving(t, "v3", object{"type": "rolling", "on_failure": "halt"}, receivers)
	part[object](forged, "deploy")["secret"] = "the key of another receiver"
	expect(p.post(forged).ID, "failed", "v1")
}
